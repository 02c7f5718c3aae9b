"""Two-hot encodings of scalars."""

import jax.numpy as jnp
import numpy as np

import rlax


def test_pairs_encode_on_two_bins_and_decode():
    x = jnp.array([-7.0, -1.3, 0.0, 0.25, 9.0])
    pair = rlax.twohot_pair(-2.0, 2.0, 9)
    probs = pair.apply(x)
    assert probs.shape == (5, 9)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    assert ((probs > 0).sum(-1) <= 2).all()
    np.testing.assert_allclose(pair.apply_inv(probs), jnp.clip(x, -2, 2), atol=1e-4)
    # The mean of an unbiased encoding is the mean of the scalars.
    unbiased = rlax.unbiased_transform_pair(-3.0, 3.0, 7, rlax.SIGNED_LOGP1_PAIR)
    mixed = unbiased.apply(jnp.array([1.0, 12.0])).mean(0)
    np.testing.assert_allclose(unbiased.apply_inv(mixed), [6.5], rtol=1e-4)
    muzero = rlax.muzero_pair(-3.0, 3.0, 7, rlax.SIGNED_LOGP1_PAIR)
    np.testing.assert_allclose(
        muzero.apply_inv(muzero.apply(jnp.float32(12.0))), [12.0], rtol=1e-3
    )
