"""Reshape and Flatten."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("keep", "shape"),
    [
        (1, (2, 12, 5)),
        (-3, (2, 12, 5)),
        (2, (2, 3, 4, 5)),
        (3, (2, 3, 4, 1, 5)),
        (-1, (2, 3, 4, 1, 5)),
        (4, (2, 3, 4, 5)),
        (9, (2, 3, 4, 5)),
        (-9, (24, 5)),
    ],
)
def test_reshape_keeps_the_leading_axes(keep, shape):
    out = run(lambda: hk.Reshape((-1, 5), preserve_dims=keep)(X))()
    np.testing.assert_array_equal(out, X.reshape(shape))


def test_flatten_merges_the_other_axes():
    assert run(lambda: hk.Flatten()(X))().shape == (2, 60)
    assert run(lambda: hk.Flatten(2)(X))().shape == (2, 3, 20)
    assert run(lambda: hk.Flatten(-2)(X))().shape == (2, 3, 20)
    assert run(lambda: hk.Flatten()(jnp.ones(())))().shape == ()
    assert run(lambda: hk.Reshape((3, -1))(X[:0]))().shape == (0, 3, 20)
    assert run(lambda: hk.Reshape(())(jnp.ones([3, 1])))().shape == (3,)


def test_reshape_accepts_symbolic_sizes():
    sizes = jax.export.symbolic_shape("b, t, 4")
    x = jax.ShapeDtypeStruct(sizes, np.float32)
    f = hk.transform(lambda x: hk.Reshape((-1, 2))(x))
    out = jax.eval_shape(lambda x: f.apply({}, None, x), x)
    assert out.shape == (sizes[0], 2 * sizes[1], 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.Flatten(0), ValueError, "should be non-zero"),
        (lambda: hk.Reshape([-1, -1]), ValueError, r"-1 once.*\(-1, -1\)"),
        (lambda: hk.Reshape([7, "a"]), TypeError, "got 'a'"),
        (lambda: hk.Reshape(4), TypeError, "sequence of integers, got 4"),
        (lambda: hk.Reshape("45"), TypeError, "sequence of integers"),
        (lambda: hk.Reshape([7])(X), TypeError, r"'reshape'.*hold 60 elements"),
        (lambda: hk.Reshape([-1, 7])(X), TypeError, r"\(2, -1, 7\)"),
        (lambda: hk.Reshape([-1, 0])(X), TypeError, r"\(2, -1, 0\)"),
        (lambda: hk.Reshape([-1, -2])(X), TypeError, r"\(2, -1, -2\)"),
    ],
)
def test_wrong_shapes_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
