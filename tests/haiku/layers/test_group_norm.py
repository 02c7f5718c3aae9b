"""GroupNorm."""

import numpy as np
import pytest
from definitions import normalise

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(3, 4, 5, 6).astype(np.float32) * 2 + 1


@pytest.mark.parametrize(
    ("axis", "axes"),
    [
        (slice(1, None), (1, 2, 4)),
        ([1, 2], (1, 2)),
        (1, (1,)),
        (-1, (4,)),  # of each group: from the end as from the front
        (-2, (2,)),
    ],
)
def test_group_norm_normalises_each_group(axis, axes):
    def f():
        norm = hk.GroupNorm(3, axis=axis, eps=1e-3)
        out = norm(X)
        assert norm.group_shape == (-1, 4, 5, 3, 2)
        assert norm.first_input_shape == (-1, 4, 5, 6)
        assert norm.axis == axes
        assert norm.rank == 4
        return out

    want = normalise(X.reshape(3, 4, 5, 3, 2), axes, 1e-3).reshape(X.shape)
    np.testing.assert_allclose(run(f)(), want, atol=1e-4)


def test_group_norm_accepts_other_sizes_in_later_calls():
    def f():
        norm = hk.GroupNorm(2)
        return norm(X), norm(X[:, :2])

    out = run(f)()[1]
    want = normalise(X[:, :2].reshape(3, 2, 5, 2, 3), (1, 2, 4))
    np.testing.assert_allclose(out, want.reshape(3, 2, 5, 6), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.GroupNorm(2, axis="foo"), "int, slice or iterable"),
        (lambda: hk.GroupNorm(0), "groups must be at least 1, got 0"),
        (lambda: hk.GroupNorm(4)(X), "channels = 6, groups = 4"),
        (lambda: hk.GroupNorm(2, axis=[4])(X), "axis 4 is out of range"),
        (
            lambda: [n := hk.GroupNorm(2), n(X), n(X[0])],
            "rank of the inputs cannot change.*rank=4 but this call was rank=3",
        ),
        (
            lambda: hk.GroupNorm(1, data_format="NCHW")(X[0, 0, 0]),
            r"\[batch, channels, ...\], got \(6,\)",
        ),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
