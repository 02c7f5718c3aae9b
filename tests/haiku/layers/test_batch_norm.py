"""BatchNorm on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import normalise

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(8, 3, 4).astype(np.float32) * 2 + 1


def batch_norm(**options):
    options = {"create_scale": True, "create_offset": True, "decay_rate": 0.5} | options
    return hk.transform_with_state(
        lambda x, training, **kw: hk.BatchNorm(**options)(x, training, **kw)
    )


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
    np.testing.assert_allclose(out, 2 * normalise(X, (0, 1)) + 1, atol=1e-4)
    _, state = net.apply(params, state, None, 3 * X, True)
    mean = X.mean((0, 1))
    average = state["batch_norm/~/mean_ema"]["average"][0, 0]
    np.testing.assert_allclose(average, mean * (0.25 + 3 * 0.5) / 0.75, rtol=1e-4)
    variance = X.var((0, 1)) * (0.25 + 9 * 0.5) / 0.75
    out, after = net.apply(params, state, None, X, False)
    want = 2 * (X - average) / np.sqrt(variance + 1e-5) + 1
    np.testing.assert_allclose(out, want, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_local_statistics_outside_training_leave_the_averages():
    net = batch_norm()
    params, state = net.init(None, X, True)
    out, after = net.apply(params, state, None, X, False, test_local_stats=True)
    np.testing.assert_allclose(out, normalise(X, (0, 1)), atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_is_training_may_be_an_array():
    net = batch_norm()
    params, state = net.init(None, X, jnp.array(True))
    out, _ = net.apply(params, state, None, X, np.bool_(True))
    np.testing.assert_allclose(out, normalise(X, (0, 1)), atol=1e-4)


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
def test_axis_chooses_the_statistics_and_the_shape_of_parameters(axis, axes, shape):
    net = batch_norm(axis=axis)
    params, state = net.init(None, X, True)
    assert params["batch_norm"]["scale"].shape == shape
    out, _ = net.apply(params, state, None, X, True)
    np.testing.assert_allclose(out, normalise(X, axes), atol=1e-4)


def test_float32_averages_keep_outputs_in_half_precision():
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


def test_averages_are_missing_until_init_has_trained():
    net = hk.transform_with_state(
        lambda x, is_training: hk.BatchNorm(True, True, 0.9)(x, is_training)
    )
    with pytest.raises(
        ValueError, match="No value for 'average' in 'batch_norm/~/mean"
    ):
        net.init(None, X, False)
    with pytest.raises(ValueError, match=r"Run `init` with is_training=True"):
        net.apply(*net.init(None, X, True)[:1], {}, None, X, False)


def test_averages_continue_after_an_empty_batch():
    net = hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9)(x, True))
    params, state = net.init(None, X[:0])
    _, state = net.apply(params, state, None, X[:0])
    _, after = net.apply(params, state, None, X)
    _, alone = net.apply(*net.init(None, X), None, X)
    assert jax.tree.structure(after) == jax.tree.structure(alone)
    for name in ("batch_norm/~/mean_ema", "batch_norm/~/var_ema"):
        np.testing.assert_allclose(after[name]["counter"], 1)
        np.testing.assert_allclose(after[name]["average"], alone[name]["average"], 1e-5)


@pytest.mark.parametrize("mean", [0, 1e3, 1e5])
def test_the_variance_is_exact_far_from_zero(mean):
    net = batch_norm(decay_rate=0.9)
    x = np.random.RandomState(0).randn(8, 3, 5) * np.arange(1, 6) + 4
    x = (np.round(16 * x) / 16 % 8 + mean).astype(np.float32)
    params, state = net.init(None, x, True)
    out, state = net.apply(params, state, None, x, True)
    exact = x.astype(np.float64)
    variance = exact.var((0, 1))
    found = state["batch_norm/~/var_ema"]["average"][0, 0]
    np.testing.assert_allclose(found, variance, rtol=1e-4)
    want = (exact - exact.mean((0, 1))) / np.sqrt(variance + 1e-5)
    # The mean itself has only the digits of a float32.
    np.testing.assert_allclose(out, want, atol=1e-5 + 1e-7 * mean)


def test_second_derivatives_are_those_of_the_equation():
    net = batch_norm(decay_rate=0.9)
    x = jnp.asarray(np.random.RandomState(2).randn(4, 1, 5).astype(np.float32))

    _, state = net.init(None, x, True)
    scale = jnp.asarray([1, 2, -1, 0.5, 3]).reshape(1, 1, 5)
    params = {"batch_norm": {"scale": scale, "offset": scale / 2}}

    def ours(x):
        return jnp.sum(net.apply(params, state, None, x, True)[0] ** 3)

    def by_hand(x):
        p = params["batch_norm"]
        scale = p["scale"] / jnp.sqrt(jnp.var(x, (0, 1)) + 1e-5)
        return jnp.sum(((x - x.mean((0, 1))) * scale + p["offset"]) ** 3)

    weights = jnp.arange(20.0).reshape(x.shape)

    def product(f):  # The Hessian times `weights`.
        return jax.jit(jax.grad(lambda x: jnp.sum(weights * jax.grad(f)(x))))(x)

    np.testing.assert_allclose(product(ours), product(by_hand), rtol=1e-3, atol=1e-3)


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
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
