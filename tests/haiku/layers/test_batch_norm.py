import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(8, 3, 4).astype(np.float32) * 2 + 1


def batch_norm(**options):
    options = {"create_scale": True, "create_offset": True, "decay_rate": 0.5} | options
    return hk.transform_with_state(
        lambda x, training, **kw: hk.BatchNorm(**options)(x, training, **kw)
    )


def normalised(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def test_training_normalises_the_batch_and_averages_over_calls():
    net = batch_norm()
    params, state = net.init(None, X, True)
    assert {k: v.shape for k, v in params["batch_norm"].items()} == {
        "scale": (1, 1, 4),
        "offset": (1, 1, 4),
    }
    params = {
        "batch_norm": {"scale": 2 * jnp.ones([1, 1, 4]), "offset": jnp.ones([1, 1, 4])}
    }
    out, state = net.apply(params, state, None, X, True)
    np.testing.assert_allclose(out, 2 * normalised(X, (0, 1)) + 1, atol=1e-4)
    _, state = net.apply(params, state, None, 3 * X, True)
    mean = X.mean((0, 1))
    average = state["batch_norm/~/mean_ema"]["average"][0, 0]
    np.testing.assert_allclose(average, mean * (0.25 + 3 * 0.5) / 0.75, rtol=1e-4)
    variance = X.var((0, 1)) * (0.25 + 9 * 0.5) / 0.75
    out, after = net.apply(params, state, None, X, False)
    want = 2 * (X - average) / np.sqrt(variance + 1e-5) + 1
    np.testing.assert_allclose(out, want, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_local_statistics_outside_of_training_leave_the_averages():
    net = batch_norm()
    params, state = net.init(None, X, True)
    out, after = net.apply(params, state, None, X, False, test_local_stats=True)
    np.testing.assert_allclose(out, normalised(X, (0, 1)), atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_is_training_may_be_an_array():
    net = batch_norm()
    params, state = net.init(None, X, jnp.array(True))
    out, _ = net.apply(params, state, None, X, np.bool_(True))
    np.testing.assert_allclose(out, normalised(X, (0, 1)), atol=1e-4)


@pytest.mark.parametrize(
    ("axis", "axes", "shape"),
    [
        ([0], (0,), (1, 3, 4)),
        ([0, 2], (0, 2), (1, 3, 1)),
        (slice(0, 2), (0, 1), (1, 1, 4)),
        (
            [0, -1],
            (0, 2),
            (1, 3, 4),
        ),  # parameters vary along an axis named from the end
        (0, (0,), (1, 3, 4)),
    ],
)
def test_axis(axis, axes, shape):
    net = batch_norm(axis=axis)
    params, state = net.init(None, X, True)
    assert params["batch_norm"]["scale"].shape == shape
    out, _ = net.apply(params, state, None, X, True)
    np.testing.assert_allclose(out, normalised(X, axes), atol=1e-4)


def test_averages_in_float32_do_not_promote_half_precision():
    net = batch_norm()
    params, state = net.init(None, X, True)
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    out, _ = net.apply(half, state, None, X.astype(jnp.bfloat16), False)
    assert out.dtype == jnp.bfloat16


def test_whole_numbers_are_not_rounded():
    net = batch_norm(create_scale=False, create_offset=False)
    x = np.array([[1], [2]])
    params, state = net.init(None, x, True)
    _, state = net.apply(params, state, None, x, True)
    out, _ = net.apply(params, state, None, x, False)
    np.testing.assert_allclose(out, [[-1], [1]], atol=1e-3)


def test_vectors_and_scalars_count_as_one_example():
    for x in (X[0, 0], X[0, 0, 0]):
        out = run(lambda: hk.BatchNorm(True, True, 0.9)(x, True))()  # noqa: B023
        np.testing.assert_array_equal(out, np.zeros_like(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.BatchNorm(True, True, 0.9)(X, False), "mean_ema"),
        (lambda: hk.BatchNorm(True, True, 0.9, axis="foo"), "int, slice or iterable"),
        (lambda: hk.BatchNorm(True, True, 0.9, axis=[3])(X, True), "axis 3.*rank 3"),
        (lambda: hk.BatchNorm(True, True, 0.9, data_format="FOO"), "'FOO'"),
        (
            lambda: hk.BatchNorm(True, True, 0.9, data_format="NCW")(X[0, 0], True),
            r"\[batch, channels, ...\].*rank is 1",
        ),
        (
            lambda: hk.BatchNorm(
                True, True, 0.9, cross_replica_axis_index_groups=[[0, 1]]
            ),
            "`cross_replica_axis` name must be specified",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
