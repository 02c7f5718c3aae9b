"""Policy targets of a distribution, and the loss that imitates them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax


class Standard:
    """A distribution with distrax's interface."""

    batch_shape, event_shape = (4,), (3,)

    def sample(self, *, seed, sample_shape):
        return jax.random.normal(seed, (*sample_shape, 4, 3))

    def log_prob(self, value):
        return -0.5 * jnp.square(value).sum(-1)


def test_distillation_loss_averages_weighted_log_likelihoods():
    d, key = Standard(), jax.random.PRNGKey(0)
    targets = rlax.constant_policy_targets(d, key, 5, 0.5)
    assert targets.actions.shape == (5, 4, 3)
    np.testing.assert_array_equal(targets.weights, np.full((5, 4), 0.5))
    loss = rlax.sampled_policy_distillation_loss(d, targets)
    want = 0.25 * jnp.square(targets.actions).sum(-1).mean()
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    # The reference fails if weights_scale comes by position.
    assert not rlax.zero_policy_targets(d, key, 5, 0.0).weights.any()
    wrong = targets.replace(weights=targets.weights[0])
    with pytest.raises(ValueError, match="log_prob of actions"):
        rlax.sampled_policy_distillation_loss(d, wrong)
