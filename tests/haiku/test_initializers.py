"""Initializers: their distributions, dtypes and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

I = hk.initializers  # noqa: E741


def draw(init, shape, dtype=jnp.float32, key=0):
    net = hk.transform(lambda: hk.get_parameter("w", shape, dtype, init=init))
    return net.init(jax.random.PRNGKey(key))["~"]["w"]


def draw_fast(init, shape, dtype=jnp.float32):
    """Draws with a generator that compiles in a tenth of the time; returns its key."""
    key = jax.random.key(0, impl="unsafe_rbg")
    net = hk.transform(lambda: hk.get_parameter("w", shape, dtype, init=init))
    return net.init(key)["~"]["w"], jax.random.split(key)[1]


def test_normal_has_mean_and_stddev():
    w = draw(I.RandomNormal(0.5, 3.0), (200, 200))
    assert abs(float(w.mean()) - 3.0) < 0.02
    assert abs(float(w.std()) - 0.5) < 0.02


def test_truncated_normal_stays_between_its_bounds():
    w = np.asarray(draw(I.TruncatedNormal(2.0, 1.0, -1.0, 0.5), (200, 200)))
    assert 1.0 - 2.0 <= w.min() < -0.9
    assert 1.9 < w.max() <= 1.0 + 2.0 * 0.5


def test_uniform_stays_between_its_bounds():
    w = np.asarray(draw(I.RandomUniform(-1.0, 3.0), (200, 200)))
    assert -1.0 <= w.min() < -0.99
    assert 2.99 < w.max() < 3.0


@pytest.mark.plain_xla
def test_compiled_draws_equal_single_operations_bit_for_bit():
    key = jax.random.split(jax.random.PRNGKey(0))[1]
    normal = jax.random.normal(key, (30, 7))
    truncated = jax.random.truncated_normal(key, -2.0, 2.0, (30, 7))
    np.testing.assert_array_equal(
        draw(I.RandomNormal(0.3, 0.1), (30, 7)),
        np.float32(0.3) * normal + np.float32(0.1),
    )
    np.testing.assert_array_equal(
        draw(I.TruncatedNormal(0.3, 0.1), (30, 7)),
        np.float32(0.3) * truncated + np.float32(0.1),
    )


@pytest.mark.parametrize(
    "number", [0.5, np.float64(0.5), np.array(0.5), jnp.array(0.5)]
)
def test_every_kind_of_number_gives_the_same_draw(number):
    same = lambda a, b: np.testing.assert_array_equal(draw(a, (3, 4)), draw(b, (3, 4)))  # noqa: E731
    same(I.RandomNormal(number, number), I.RandomNormal(0.5, 0.5))
    same(I.TruncatedNormal(number, number), I.TruncatedNormal(0.5, 0.5))
    same(I.RandomUniform(number, 2 * number), I.RandomUniform(0.5, 1.0))
    same(I.Constant(number), I.Constant(0.5))
    same(I.Identity(number), I.Identity(0.5))
    np.testing.assert_allclose(
        draw(I.VarianceScaling(number), (3, 4)),
        draw(I.VarianceScaling(0.5), (3, 4)),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("shape", "axes", "fan_in", "fan_out"),
    [
        ((), None, 1, 1),
        ((7,), None, 7, 7),
        ((5, 2), None, 5, 2),
        ((3, 3, 4, 2), None, 36, 18),
        ((3, 5, 2), (0,), 3, 10),
        ((3, 5, 2), (-3, 1), 15, 2),
    ],
)
@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "uniform"])
def test_variance_scaling_divides_by_the_fan(
    shape, axes, fan_in, fan_out, distribution
):
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    for mode, fan in fans.items():
        init = I.VarianceScaling(2.0, mode, distribution, fan_in_axes=axes)
        have, key = draw_fast(init, shape)
        variance = 2.0 / fan
        if distribution == "normal":
            want = np.sqrt(variance) * jax.random.normal(key, shape)
        elif distribution == "uniform":
            limit = np.sqrt(3 * variance)
            want = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
        else:
            # The standard deviation of a standard normal truncated at two.
            stddev = np.sqrt(variance) / 0.87962566
            want = stddev * jax.random.truncated_normal(key, -2, 2, shape)
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


def test_variance_scaling_accepts_arrays_but_no_tracer():
    def norm(scale):
        net = hk.transform(lambda: I.VarianceScaling(scale)((4, 3), jnp.float32))
        return jnp.sum(net.apply({}, jax.random.PRNGKey(0)) ** 2)

    def unchecked(scale):  # `scale < 0` is unknown while tracing
        return norm(scale)

    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(unchecked)(2.0)
    np.testing.assert_allclose(norm(jnp.array(4.0)), 4 * norm(1.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "axis"), [((6, 3), -1), ((3, 6), -1), ((3, 4, 2), 1)]
)
def test_orthogonal_slices_are_orthonormal(shape, axis):
    w = np.moveaxis(np.asarray(draw(I.Orthogonal(2.0, axis), shape)), axis, -1)
    w = w.reshape(-1, w.shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_identity_fills_the_last_two_axes():
    w = draw(I.Identity(2.0), (3, 2, 4))
    np.testing.assert_array_equal(w, np.broadcast_to(2 * np.eye(2, 4), (3, 2, 4)))


def test_a_constant_broadcasts_to_the_shape():
    assert (draw(I.Constant(2.5), (2, 3)) == 2.5).all()
    np.testing.assert_array_equal(draw(I.Constant([1, 2]), (3, 2)), [[1, 2]] * 3)
    assert draw(I.Constant(2), (), jnp.int32).dtype == jnp.int32


def test_uniform_scaling_keeps_its_limit():
    w = np.asarray(draw(I.UniformScaling(2.0), (12, 500)))
    assert 0.98 < np.abs(w).max() <= 1.0  # 2 * sqrt(3 / 12)


@pytest.mark.parametrize("init", [I.RandomNormal(2 + 3j), I.TruncatedNormal(1.0, 1j)])
def test_complex_draws_have_both_parts(init):
    w = draw(init, (50, 40), jnp.complex64)
    assert w.dtype == jnp.complex64
    assert np.asarray(w).imag.std() > 0.5


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_draws_keep_half_precision(dtype):
    for init in (I.RandomNormal(), I.TruncatedNormal(), I.RandomUniform()):
        assert draw(init, (3, 4), dtype).dtype == dtype


@pytest.mark.parametrize(
    ("init", "shape", "dtype", "message"),
    [
        (I.RandomNormal(), (2, 3), jnp.int32, "RandomNormal draws floating.*int32"),
        (I.TruncatedNormal(), (2, 3), jnp.int32, "TruncatedNormal draws.*int32"),
        (
            I.RandomUniform(),
            (2, 3),
            jnp.complex64,
            "RandomUniform draws real.*complex64",
        ),
        (I.VarianceScaling(), (2, 3), jnp.int32, "VarianceScaling draws"),
        (I.Orthogonal(), (2, 3), jnp.int32, "Orthogonal draws"),
        (I.Orthogonal(), (20,), jnp.float32, r"at least a 2D shape. Got: \(20,\)"),
        (I.Identity(), (20,), jnp.float32, r"at least a 2D shape. Got: \(20,\)"),
    ],
)
def test_wrong_shapes_and_dtypes_raise(init, shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        draw(init, shape, dtype)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": -1.0}, "positive.*-1"),
        ({"mode": "fan"}, "fan_avg"),
        ({"distribution": "gaussian"}, "truncated_normal"),
    ],
)
def test_wrong_options_of_variance_scaling_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        I.VarianceScaling(**arguments)


def test_fan_in_axes_out_of_range_raise():
    init = I.VarianceScaling(fan_in_axes=[5])
    with pytest.raises(IndexError, match=r"fan_in_axes \(5,\).*\(2, 3, 4\)"):
        draw(init, (2, 3, 4))
