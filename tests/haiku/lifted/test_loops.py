"""Loops of Haiku's against loops in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifted_programs import X, assert_close, count, layer, noise, run

import haiku as hk


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2])
def test_scan_is_a_python_loop(reverse, unroll):
    xs = jnp.arange(20.0).reshape(5, 4) / 20

    def step(module):
        def f(carry, x):
            carry = module(carry) + x
            return carry, {"y": carry.sum(), "n": hk.get_state("n")}

        return f

    def loop(xs):
        f, carry, ys = step(hk.to_module(layer)("layer")), jnp.zeros(4), []
        count()
        for x in xs[::-1] if reverse else xs:
            carry, y = f(carry, x)
            ys.append(y)
        ys = ys[::-1] if reverse else ys
        return carry, jax.tree.map(lambda *ys: jnp.stack(ys), *ys), noise(carry)

    def scan(xs):
        f = step(hk.to_module(layer)("layer"))
        count()
        carry, ys = hk.scan(f, jnp.zeros(4), xs, reverse=reverse, unroll=unroll)
        return carry, ys, noise(carry)

    assert_close(run(loop, xs), run(scan, xs))


def test_scan_without_steps_still_makes_parameters():
    def f(x):
        carry, ys = hk.scan(lambda c, x: (layer(c), x), jnp.zeros(4), x[:0])
        return carry, ys, count("after")

    params, state, (carry, ys, _), after = run(f, X)
    assert params["linear"]["w"].shape == (4, 4)
    assert state["~"] == {"n": 0, "after": 0}
    assert (carry == 0).all()
    assert ys.shape == (0, 4)
    assert after["~"] == {"n": 0, "after": 1}


def test_scan_runs_with_a_length_alone():
    def f():
        return hk.scan(lambda c, _: (c + count(), None), 0, None, length=4)

    assert run(f)[2] == (0 + 1 + 2 + 3, None)


def test_map_runs_one_after_the_other():
    params, _, out, after = run(lambda x: hk.map(hk.Linear(3), x), X)
    assert_close(out, X @ params["linear"]["w"])
    assert after == {}


@pytest.mark.parametrize(("lower", "upper"), [(0, 4), (2, 5), (3, 4)])
@pytest.mark.parametrize("traced", [False, True])
def test_fori_loop_is_a_python_loop(lower, upper, traced):
    def body(module):
        return lambda i, x: module(x) + i

    def loop(x, lower, upper):
        del lower, upper
        step = body(hk.to_module(layer)("layer"))
        for i in range(*bounds):
            x = step(i, x)
        return x, noise(x)

    def fori(x, lower, upper):
        lower, upper = (lower, upper) if traced else bounds
        x = hk.fori_loop(lower, upper, body(hk.to_module(layer)("layer")), x)
        return x, noise(x)

    bounds = lower, upper
    assert_close(run(loop, X, *bounds), run(fori, X, *bounds))


def test_fori_loop_without_steps():
    def f(x):
        return hk.fori_loop(3, 3, lambda i, x: layer(x), x)

    params, state, out, after = run(f, X)
    assert "linear" in params
    assert (state, after) == ({"~": {"n": 0}},) * 2
    assert_close(out, X)


def test_while_loop_sees_the_state_as_it_is():
    def f():
        count()
        if hk.running_init():
            return 0
        return hk.while_loop(
            lambda x: hk.get_state("n") < 5, lambda x: x + 10 * count(), 0
        )

    _, _, out, after = run(f)
    assert out == 10 * (1 + 2 + 3 + 4)
    assert after == {"~": {"n": 5}}


def test_while_loop_carries_keys():
    def f(x):
        if hk.running_init():
            return x, x
        _, y = hk.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, noise(c[1])), (0, x)
        )
        return y, noise(x)

    def loop(x):
        if hk.running_init():
            return x, x
        y = x
        for _ in range(3):
            y = noise(y)
        return y, noise(x)

    assert_close(run(f, X), run(loop, X))


def test_a_loop_of_one_step_without_jit():
    """As views run it: the step that `init` runs first leaves none for the loop."""

    def f(xs):
        return hk.scan(lambda c, x: (c + hk.Linear(2)(x).sum(), x), 0.0, xs)

    xs = jnp.ones((1, 3))
    net = hk.transform(f)
    with jax.disable_jit():
        params = net.init(jax.random.key(0), xs)
        assert net.apply(params, None, xs)[1].shape == (1, 3)
        assert net.init(jax.random.key(0), xs[:0])["linear"]["w"].shape == (3, 2)
        assert net.apply(params, None, xs[:0])[1].shape == (0, 3)


def test_a_symbolic_length_gives_the_parameters_and_keys_of_a_length():
    """`init` skips the first step of its loop where it can't leave it out."""

    def f(xs):
        def step(carry, x):
            noise = jax.random.normal(hk.next_rng_key(), x.shape)
            return carry + 1, hk.Linear(2, w_init=normal)(x + noise)

        normal = hk.initializers.RandomNormal()
        for reverse in (False, True):
            _, xs = hk.scan(step, 0, xs, reverse=reverse)
        return xs

    net = hk.transform(f)
    key, xs = jax.random.PRNGKey(0), jnp.arange(8.0).reshape(4, 2)
    symbolic = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("t"), 2), xs.dtype)
    init = jax.export.export(jax.jit(net.init))(key, symbolic)
    params = init.call(key, xs)
    close = lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6)  # noqa: E731
    jax.tree.map(close, params, net.init(key, xs))
    apply = jax.export.export(jax.jit(net.apply))(params, key, symbolic)
    close(apply.call(params, key, xs), net.apply(params, key, xs))


def test_a_scan_over_scalars_says_so():
    with pytest.raises(ValueError, match=r"the shapes \[\(3,\), \(\)\] is a scalar"):
        hk.testing.transform_and_run(
            lambda: hk.scan(lambda c, x: (c, x), 0, (jnp.ones(3), 1.0))
        )()
