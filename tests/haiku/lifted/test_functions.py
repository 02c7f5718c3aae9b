"""`hk.grad`, `hk.remat` and `hk.eval_shape`."""

import jax
import jax.numpy as jnp
import pytest
from lifted_programs import KEY, X, assert_close, layer, run

import haiku as hk


def test_grad_reaches_through_modules():
    def f(x):
        return hk.grad(lambda x: (hk.Linear(3)(x) ** 2).sum())(x)

    params, _, out, _ = run(f, X)
    w, b = params["linear"]["w"], params["linear"]["b"]
    assert_close(out, jax.grad(lambda x: ((x @ w + b) ** 2).sum())(X))


def test_grad_takes_argnums_and_aux():
    marker = object()

    def f(x, y):
        both = hk.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(x, y)
        gradient, aux = hk.grad(lambda x: (x.sum(), marker), has_aux=True)(x)
        assert aux is marker
        (value, aux), _ = hk.value_and_grad(lambda x: (x.sum(), marker), has_aux=True)(
            x
        )
        assert aux is marker
        holomorphic = hk.grad(lambda z: z * z, holomorphic=True)(1 + 2j)
        return both, gradient, value, holomorphic

    both, gradient, value, holomorphic = hk.transform(f).apply({}, None, X, X + 1)
    assert_close(both, (X + 1, X))
    assert_close((gradient, value, holomorphic), (jnp.ones_like(X), X.sum(), 2 + 4j))


def test_remat_recomputes_and_takes_policies():
    def loss(around):
        def f(x):
            return around(hk.nets.MLP([8, 8, 1]))(x).sum()

        net = hk.transform(f)
        params = net.init(KEY, X)
        grad = jax.grad(lambda p: net.apply(p, None, X))
        return grad(params), str(jax.make_jaxpr(grad)(params))

    plain, plain_text = loss(lambda f: f)
    for policy in (None, jax.checkpoint_policies.dots_saveable):
        grads, text = loss(lambda f, p=policy: hk.remat(f, policy=p))
        assert_close(grads, plain)
        assert "checkpoint" in text or "remat" in text
    assert "remat" not in plain_text

    def static(x):
        return hk.remat(lambda x, n: x * n if n == 3 else x, static_argnums=1)(x, 3)

    assert_close(hk.transform(static).apply({}, None, X), X * 3)


def test_eval_shape_has_no_side_effects():
    def f(x):
        shape = hk.eval_shape(lambda x: layer(x)[0], x)
        fast = hk.experimental.fast_eval_shape(lambda x: layer(x)[0], x)
        assert (
            (shape.shape, shape.dtype)
            == (fast.shape, fast.dtype)
            == ((4,), jnp.float32)
        )
        assert hk.get_params() == hk.get_current_state() == {}
        keys.append(hk.next_rng_key())

    keys = []
    assert hk.transform_with_state(f).init(KEY, X) == ({}, {})
    assert jnp.array_equal(keys[0], jax.random.split(KEY)[1])
    assert hk.experimental.fast_eval_shape(lambda x: x[0], X).shape == (4,)


def test_remat_policies_by_name():
    from jax.ad_checkpoint import checkpoint_name

    def sines(policy):
        """How many sines the gradient's program computes, of two that were named."""

        def f(x):
            def body(x):
                x = checkpoint_name(jnp.sin(x), "first")
                return checkpoint_name(jnp.sin(x), "second")

            return jnp.sum(hk.remat(body, policy=policy)(x))

        net = hk.without_apply_rng(hk.transform(f))
        text = str(jax.make_jaxpr(jax.grad(lambda x: net.apply({}, x)))(jnp.ones([2])))
        return text.count(" sin ")

    def policy(name):
        return getattr(jax.checkpoint_policies, name)

    for name in ("everything_saveable", "nothing_saveable", "dots_saveable"):
        assert sines(name) == sines(policy(name))
    assert sines(["first"]) == sines(policy("save_only_these_names")("first"))
    assert sines(["first"]) < sines([])
    for wrong, message in {
        "first": r"Policies by name are 'every.* pass a list: \['first'\]",
        "save_only_these_names": "Policies by name are",
        3: "policy=3: pass a function",
    }.items():
        with pytest.raises(ValueError, match=message):
            sines(wrong)
