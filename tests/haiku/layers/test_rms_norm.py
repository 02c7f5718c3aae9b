"""RMSNorm."""

import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(3, 4, 5, 6).astype(np.float32) * 2 + 1


def test_rms_norm_divides_by_the_root_mean_square():
    net = hk.transform(lambda x: hk.RMSNorm((1, 3), eps=1e-3)(x))
    scale = np.arange(6.0)
    rms = np.sqrt((X**2).mean((1, 3), keepdims=True) + 1e-3)
    out = net.apply({"rms_norm": {"scale": scale}}, None, X)
    np.testing.assert_allclose(out, X * scale / rms, atol=1e-4)
    out = run(lambda: hk.RMSNorm((1, 3), eps=1e-3, create_scale=False)(X))()
    np.testing.assert_allclose(out, X / rms, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.RMSNorm("foo"), "int, slice or iterable"),
        (lambda: hk.RMSNorm(-1, scale_init=jnp.ones, create_scale=False), "scale_init"),
        (lambda: hk.RMSNorm(-5)(X), "axis -5 is out of range.*'rms_norm'"),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
