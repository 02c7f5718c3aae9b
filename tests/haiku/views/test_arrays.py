"""Specs of arrays, and statistics of their numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.views.arrays import ValueSummary


def test_a_spec_has_shape_dtype_and_text():
    spec = hk.experimental.ArraySpec.from_array(np.ones((2, 3), np.float32))
    assert repr(spec) == str(spec) == "f32[2,3]" and spec.size == 6
    assert spec == hk.experimental.ArraySpec((2, 3), np.dtype("float32"))
    assert len({spec, hk.experimental.ArraySpec((2, 3), np.dtype("float32"))}) == 1
    assert hk.experimental.ArraySpec.from_array(jnp.int8(1)).size == 1
    with pytest.raises(AttributeError, match="takes an array, got int: 5"):
        hk.experimental.ArraySpec.from_array(5)


@pytest.mark.parametrize(
    "numbers",
    [
        np.array([-3e38, 3e38], np.float32),
        np.array([-1e308, 1e308]),
        np.array([5, 5, 5]),
        np.array([True, False]),
        np.array([1e-40, 2e-40], np.float32),
        jnp.array([1, 2, 300], jnp.bfloat16),
        jnp.array(3),
    ],
)
def test_statistics_of_numbers_of_every_kind(numbers):
    values = ValueSummary.of(numbers)
    exact = np.asarray(numbers).astype(np.float64)
    assert sum(values.histogram) == exact.size
    assert (values.low, values.high) == (exact.min(), exact.max())
    assert np.isfinite(values.std)


def test_keys_shapes_and_nan_have_no_statistics():
    for other in (
        jax.random.key(0),
        jnp.full([2], jnp.nan),
        jnp.zeros([0]),
        jax.ShapeDtypeStruct([2], jnp.float32),
        jnp.ones([2], complex),
    ):
        assert ValueSummary.of(other) is None
