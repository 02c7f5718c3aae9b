"""Every transformation of Haiku's under the settings, shapes and values users have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks
from lifted_table import KEY, TRANSFORMATIONS, WITHOUT_STATE, X, program

import haiku as hk

pytestmark = pytest.mark.tables

LEGACY = jax.random.PRNGKey(3)


def net_of(name):
    """The table's program without the names and keys it returns."""
    f = program(name, name not in WITHOUT_STATE)
    return hk.transform_with_state(lambda x: f(x)[0])


def floats(tree):
    leaves = [x for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
    return [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]


def slope(net, params, state, x):
    """The gradient of a sum of what the net returns."""

    def loss(params, x):
        out, _ = net.apply(params, state, KEY, x)
        return sum(jnp.sum(y) for y in floats(out))

    return jax.grad(loss, (0, 1))(params, x)


# JAX differentiates no loop of unknown length backwards.
NO_GRADIENT = ("hk.while_loop",)


def strict(context):
    def check(name):
        net = net_of(name)
        with context:
            params, state = net.init(KEY, X)
            net.apply(params, state, KEY, X)
            if name not in NO_GRADIENT:
                jax.eval_shape(lambda p: slope(net, p, state, X), params)

    return check


def in_and_out(dtype):
    def check(name):
        net = net_of(name)
        x = X.astype(dtype)
        with jax.numpy_dtype_promotion("strict"):
            params, state = jax.eval_shape(net.init, KEY, x)
            out, after = jax.eval_shape(net.apply, params, state, KEY, x)
        assert floats(params)
        assert {y.dtype for y in floats((params, out))} == {jnp.dtype(dtype)}
        assert jax.tree.structure(after) == jax.tree.structure(state)

    return check


def check_symbolic(name):
    net = net_of(name)
    params, state = jax.eval_shape(net.init, LEGACY, jnp.ones((2, 4)))
    (batch,) = jax.export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, 4), jnp.float32)
    out = jax.export.export(jax.jit(net.apply))(params, state, LEGACY, x).out_avals
    assert name == "hk.lift" or any(batch in y.shape for y in out)
    jax.export.export(jax.jit(net.init))(LEGACY, x)


def check_empty(name):
    net = net_of(name)
    params, state = net.init(KEY, jnp.ones((2, 4)))
    empty = net.init(KEY, jnp.ones((0, 4)))
    assert jax.tree.map(jnp.shape, empty) == jax.tree.map(jnp.shape, (params, state))
    out, after = net.apply(params, state, KEY, jnp.ones((0, 4)))
    assert name == "hk.lift" or any(0 in y.shape for y in floats(out))
    assert all(np.isfinite(y).all() for y in jax.tree.leaves(after))


def check_without_jit(name):
    net = net_of(name)
    params, state = net.init(KEY, X)
    out, after = net.apply(params, state, KEY, X)
    with jax.disable_jit():
        assert_close(net.init(KEY, X), (params, state))
        assert_close(net.apply(params, state, KEY, X), (out, after))


def assert_close(have, want):
    assert jax.tree.structure(have) == jax.tree.structure(want)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), have, want)


def check_leaks(name):
    net = net_of(name)

    def both(key, x):
        params, state = net.init(key, x)
        return net.apply(params, state, key, x)

    def slope_there(x):
        return slope(net, *net.init(KEY, x), x)

    with checking_leaks():
        jax.eval_shape(jax.jit(both), KEY, X)
        jax.eval_shape(jax.jit(lambda key, x: jax.jit(both)(key, x)), KEY, X)
        if name not in NO_GRADIENT:
            jax.eval_shape(jax.vmap(slope_there), jnp.stack([X, X]))


def check_numpy(name):
    net = net_of(name)
    key, x = np.asarray(LEGACY), np.asarray(X)
    params, state = jax.tree.map(np.asarray, jax.jit(net.init)(key, x))
    assert_close(net.init(key, x), (params, state))
    want = net.apply(params, state, LEGACY, X)
    assert_close(jax.jit(lambda x: net.apply(params, state, key, x))(x), want)


SETTINGS = {
    "rank promotion raises": strict(jax.numpy_rank_promotion("raise")),
    "strict dtype promotion": strict(jax.numpy_dtype_promotion("strict")),
    "bfloat16 in and out": in_and_out(jnp.bfloat16),
    "float16 in and out": in_and_out(jnp.float16),
    "symbolic axis": check_symbolic,
    "empty axis": check_empty,
    "disable_jit": check_without_jit,
    "checking_leaks": check_leaks,
    "NumPy values and keys": check_numpy,
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_setting(name, setting):
    SETTINGS[setting](name)
