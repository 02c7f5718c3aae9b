"""hk.associative_scan: JAX's, with one set of parameters for all calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0)


def affine(a, b):
    """The composition of x -> w x + c, and a learned scale of nothing."""
    scale = hk.get_parameter("scale", (), init=jnp.ones)
    return {"w": a["w"] * b["w"] * scale, "c": a["c"] * b["w"] + b["c"]}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("axis", [0, 1])
def test_is_jaxs_own_with_parameters(length, reverse, axis):
    w, c = jax.random.normal(KEY, (2, length, length))
    net = hk.transform(
        lambda e: hk.associative_scan(affine, e, reverse=reverse, axis=axis)
    )
    params = net.init(None, {"w": w, "c": c})
    assert params == {"~": {"scale": 1.0}}
    have = jax.jit(net.apply)(params, None, {"w": w, "c": c})

    def plain(a, b):
        return {"w": a["w"] * b["w"], "c": a["c"] * b["w"] + b["c"]}

    want = jax.lax.associative_scan(plain, {"w": w, "c": c}, reverse, axis)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), have, want)


def test_modules_in_it_keep_one_name():
    net = hk.transform(
        lambda x: hk.associative_scan(lambda a, b: hk.Linear(3)(a) + b, x)
    )
    params = net.init(KEY, jnp.ones((8, 3)))
    assert list(params) == ["linear"]
    grads = jax.grad(lambda p: net.apply(p, None, jnp.ones((8, 3))).sum())(params)
    assert np.all(np.isfinite(grads["linear"]["w"])) and np.any(grads["linear"]["w"])


def test_state_goes_from_call_to_call():
    def f(a, b):
        n = hk.get_state("calls", (), jnp.int32, init=jnp.zeros)
        hk.set_state("calls", n + 1)
        return a + b

    net = hk.transform_with_state(lambda x: hk.associative_scan(f, x))
    x = jnp.arange(8.0)
    params, state = net.init(None, x)
    out, after = net.apply(params, state, None, x)
    np.testing.assert_allclose(out, jnp.cumsum(x))
    assert state["~"]["calls"] == 0 and after["~"]["calls"] >= 3
