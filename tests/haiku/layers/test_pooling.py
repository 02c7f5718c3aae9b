import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

X = np.random.RandomState(0).randn(2, 5, 6, 3).astype(np.float32)


def windows(x, size, step, padding, fill):
    """All [size, size] windows over the two middle axes, padded with `fill`."""
    if padding == "SAME":
        extra = [max((-(-n // step) - 1) * step + size - n, 0) for n in x.shape[1:3]]
        pads = [(e // 2, e - e // 2) for e in extra]
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return view[:, ::step, ::step]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "step"), [(2, 2), (3, 1), (2, 3)])
def test_pooling_follows_its_definition(padding, size, step):
    most = windows(X, size, step, padding, -np.inf).max((-1, -2))
    np.testing.assert_array_equal(hk.max_pool(X, size, step, padding), most)
    mean = np.nanmean(windows(X, size, step, padding, np.nan), (-1, -2))
    np.testing.assert_allclose(hk.avg_pool(X, size, step, padding), mean, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "channel_axis", "shape"),
    [
        (2, -1, (2, 4, 5, 3)),
        (2, 1, (2, 5, 5, 2)),
        (2, None, (2, 4, 5, 2)),
        ((2, 3), -1, (2, 5, 5, 1)),  # the last axes
        ([2], None, (2, 5, 6, 2)),
        ((1, 2, 3, 1), -1, (2, 4, 4, 3)),
    ],
)
def test_sizes_apply_to_the_right_axes(size, channel_axis, shape):
    assert hk.max_pool(X, size, 1, "VALID", channel_axis).shape == shape
    module = hk.testing.transform_and_run(
        lambda: hk.MaxPool(size, 1, "VALID", channel_axis)(X)
    )
    np.testing.assert_array_equal(
        module(), hk.max_pool(X, size, 1, "VALID", channel_axis)
    )
    module = hk.testing.transform_and_run(
        lambda: hk.AvgPool(size, 1, "SAME", channel_axis)(X)
    )
    assert module().shape == X.shape


def test_an_input_without_spatial_axes_stays_unchanged():
    np.testing.assert_array_equal(hk.max_pool(X[0, 0], 2, 1, "VALID"), X[0, 0])


def test_integers_are_pooled_exactly():
    x = np.arange(12, dtype=np.int32).reshape(1, 3, 4, 1) - 20
    assert hk.max_pool(x, 2, 1, "VALID").dtype == jnp.int32
    assert hk.max_pool(x, 2, 1, "SAME")[0, 0, 0, 0] == -15  # padding isn't zero
    assert hk.avg_pool(x, 2, 1, "VALID")[0, 0, 0, 0] == -17.5


def test_a_window_shares_the_gradient():
    grad = jax.grad(lambda x: hk.avg_pool(x, 2, 2, "VALID").sum())(
        jnp.ones([1, 4, 4, 1])
    )
    np.testing.assert_array_equal(grad, np.full([1, 4, 4, 1], 0.25))


@pytest.mark.parametrize("pool", [hk.max_pool, hk.avg_pool])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1, "FOO"), "'FOO', must be 'SAME' or 'VALID'"),
        ((2, 1, "VALID", 7), r"channel axis 7 for \(2, 5, 6, 3\)"),
        (((1, 1, 2, 2, 1), 1, "VALID"), "window_shape .* more sizes"),
        ((2, (1, 1, 2, 2, 1), "VALID"), "strides .* more sizes"),
    ],
)
def test_wrong_arguments_raise(pool, arguments, message):
    with pytest.raises(ValueError, match=message):
        pool(X, *arguments)
