"""Ratios of probabilities whose logarithms are far apart, or masked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlax._core import ratios


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_ratios_are_finite_at_any_distance(dtype):
    log_p = jnp.array([200.0, 0.0, -200.0, 1e4, -jnp.inf], dtype)
    values = ratios.ratio(log_p, jnp.zeros(5, dtype))
    assert values.dtype == dtype
    assert jnp.isfinite(values).all()
    assert values[0] > 0.4 * jnp.finfo(dtype).max
    np.testing.assert_array_equal(values[1:], [1, 0, values[0], 0])


def test_ratios_near_one_are_exact():
    log_p, log_q = np.log([0.3, 0.9, 0.5]), np.log([0.6, 0.3, 0.5])
    np.testing.assert_allclose(ratios.ratio(log_p, log_q), [0.5, 3, 1], rtol=1e-6)


def test_clip_of_a_huge_ratio_has_gradient_zero():
    gradient = jax.grad(lambda x: jnp.minimum(ratios.ratio(x, 0 * x), 1.2))
    assert gradient(200.0) == 0


def test_masked_log_probabilities_reach_neither_value_nor_gradient():
    log_p, mask = jnp.array([-1.0, jnp.nan, -jnp.inf]), np.array([True, False, False])
    for log_q in (jnp.array([-2.0, -jnp.inf, -jnp.inf]), log_p[::-1] * 0 - 2):
        log_q = log_q.at[0].set(-2.0)
        np.testing.assert_array_equal(ratios.log_ratio(log_p, log_q, mask), [1, 0, 0])
        for gradient in jax.grad(
            lambda p, q: ratios.ratio(p, q, mask).sum(), argnums=(0, 1)
        )(log_p, log_q):
            assert gradient[0] != 0
            np.testing.assert_array_equal(gradient[1:], 0)
