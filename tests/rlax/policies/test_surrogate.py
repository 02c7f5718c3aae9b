"""The clipped surrogate of every element beside the formula in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlax._core import ratios
from rlax._policies.surrogate import clipped_surrogate

RATIO = np.array([0.5, 0.9, 1.0, 1.25, 4.0] * 2, np.float32)
ADV = np.repeat([2.0, -3.0], 5).astype(np.float32)


def one(ratio, adv, low, high, dual=None):
    s = min(ratio * adv, min(max(ratio, 1 - low), 1 + high) * adv)
    return -(max(s, dual * adv) if dual is not None and adv < 0 else s)


@pytest.mark.parametrize(
    "options", [(0.2,), (0.2, 0.28), (0.2, 0.2, 3.0), (0.0, 0.5, 1.5)]
)
def test_equals_the_formula(options):
    low, high, dual = (*options, *(None,) * (3 - len(options)))
    want = [one(r, a, low, high or low, dual) for r, a in zip(RATIO, ADV)]
    have = jax.jit(clipped_surrogate, static_argnums=(2, 3, 4))(RATIO, ADV, *options)
    np.testing.assert_allclose(have, want, rtol=1e-6)


def test_gradient_stops_where_the_clip_holds():
    gradient = jax.grad(lambda r: clipped_surrogate(r, ADV, 0.2, 0.2, 3.0).sum())(RATIO)
    np.testing.assert_allclose(gradient, [-2, -2, -2, 0, 0, 0, 3, 3, 3, 0])


@pytest.mark.parametrize("distance", [-200.0, 200.0])
def test_distant_log_probabilities_give_finite_losses_and_gradients(distance):
    def loss(log_pi, adv):
        return clipped_surrogate(ratios.ratio(log_pi, 0.0 * log_pi), adv, 0.2)

    for adv in (0.0, 1.0):
        value, gradient = jax.value_and_grad(loss)(jnp.float32(distance), adv)
        assert jnp.isfinite(value)
        assert gradient == 0
