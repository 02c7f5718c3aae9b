"""MobileNetV1."""

import jax
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
X = np.random.RandomState(0).randn(2, 8, 9, 3).astype(np.float32)


@pytest.mark.parametrize("use_bn", [True, False])
def test_batch_norm_replaces_the_biases_of_convolutions(use_bn):
    def f(x):
        return hk.nets.MobileNetV1((1, 2), (4, 6), 3, use_bn=use_bn)(x, True)

    net = hk.transform_with_state(f)
    params, state = jax.eval_shape(net.init, KEY, X)
    biases = [path for path, p in params.items() if "b" in p]
    assert bool(state) is use_bn
    assert len(biases) == (1 if use_bn else 6)  # the head, and each convolution
    out, _ = jax.eval_shape(net.apply, params, state, None, X)
    assert out.shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.nets.MobileNetV1((1, 2), (3,)), "same length.*Got: 2 and 1"),
    ],
)
def test_different_lengths_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
