"""BatchApply and expand_apply."""

import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(2, 3, 4, 5)


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_batch_apply_merges_and_splits(num_dims):
    seen = []

    def f(tree, small, number, nothing, *, named):
        seen.append((tree["x"].shape, small.shape, number, nothing, named.shape))
        return {"sum": tree["x"].sum(-1), "none": None}

    small = np.ones([3] * (num_dims - 1))
    out = hk.BatchApply(f, num_dims)({"x": X}, small, 2.0, None, named=X)
    merged = (int(np.prod(X.shape[:num_dims])), *X.shape[num_dims:])
    assert seen == [(merged, small.shape, 2.0, None, merged)]
    np.testing.assert_allclose(out["sum"], X.sum(-1), rtol=1e-4, atol=1e-5)
    assert out["none"] is None


def test_batch_apply_keeps_numpy_arrays():
    assert isinstance(hk.BatchApply(lambda x: x)(X), np.ndarray)


@pytest.mark.parametrize("axis", [0, -1])
def test_expand_apply_adds_and_removes_a_batch_axis(axis):
    def f(x, *, y):
        assert x.shape == ((1, 3, 4) if axis == 0 else (3, 4, 1))
        assert y.shape == (1,)
        return {"out": x + y}

    out = hk.expand_apply(f, axis)(jnp.ones([3, 4]), y=1.0)
    np.testing.assert_array_equal(out["out"], 2 * np.ones([3, 4]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hk.BatchApply(lambda x: x, 0),
            ValueError,
            "one axis, got num_dims=0",
        ),
        (
            lambda: hk.BatchApply(lambda: 1)(),
            ValueError,
            "at least one input.*is 2",
        ),
        (lambda: hk.BatchApply(lambda x: x.sum())(X), ValueError, r"of 6.*shape \(\)"),
        (lambda: hk.BatchApply(lambda x: x[:2])(X), ValueError, r"of 6.*\(2, 4, 5\)"),
        (
            lambda: hk.expand_apply(lambda x: x, 1),
            ValueError,
            "axis=0 or axis=-1, got 1",
        ),
    ],
)
def test_wrong_axes_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
