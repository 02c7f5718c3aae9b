"""LayerNorm and InstanceNorm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normalise

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(3, 4, 5, 6).astype(np.float32) * 2 + 1


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("axis", "axes"),
    [(-1, -1), (1, 1), ((1, -1), (1, 3)), (slice(1, -1), (1, 2)), ([0, 2], (0, 2))],
)
def test_layer_norm_normalises_over_its_axes(axis, axes, fast):
    def f():
        norm = hk.LayerNorm(axis, True, True, eps=1e-3, use_fast_variance=fast)
        return norm(X)

    np.testing.assert_allclose(run(f)(), normalise(X, axes, 1e-3), atol=1e-4)


def test_layer_norm_scales_and_shifts():
    net = hk.transform(lambda x: hk.LayerNorm(-1, True, True)(x))
    scale, offset = np.arange(6.0), np.arange(6.0) - 3
    out = net.apply({"layer_norm": {"scale": scale, "offset": offset}}, None, X)
    np.testing.assert_allclose(out, normalise(X, -1) * scale + offset, atol=1e-4)


def test_instance_norm_normalises_over_space():
    out = run(lambda: hk.InstanceNorm(True, True)(X))()
    np.testing.assert_allclose(out, normalise(X, (1, 2)), atol=1e-4)


def test_the_gradient_is_that_of_the_equation():
    def by_hand(x):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return jnp.sin((x - mean) / jnp.sqrt(var + 1e-5)).sum()

    net = hk.transform(lambda x: jnp.sin(hk.LayerNorm(-1, False, False)(x)).sum())
    grads = jax.grad(lambda x: net.apply({}, None, x))(X)
    np.testing.assert_allclose(grads, jax.grad(by_hand)(jnp.asarray(X)), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.LayerNorm("foo", True, True), "int, slice or iterable.*'foo'"),
        (lambda: hk.LayerNorm(["a"], True, True), "int, slice or iterable"),
        (lambda: hk.LayerNorm(1.5, True, True), "int, slice or iterable.*1.5"),
        (lambda: hk.LayerNorm(4, True, True)(X), "axis 4.*'layer_norm'.*rank 4"),
        (lambda: hk.LayerNorm(0, True, True, param_axis=4)(X), "axis 4 .*rank 4"),
        (lambda: hk.LayerNorm(-1, True, True)(jnp.ones(())), "rank 0"),
        (lambda: hk.InstanceNorm(True, True, data_format="FOO"), "'FOO'"),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
