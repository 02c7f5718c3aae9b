"""Value transforms and their inverses."""

import jax.numpy as jnp
import numpy as np

import rlax


def test_pairs_are_inverse():
    x = jnp.linspace(-3, 3, 13)
    for pair in (
        *(rlax.IDENTITY_PAIR, rlax.SIGNED_LOGP1_PAIR, rlax.SIGNED_HYPERBOLIC_PAIR),
        rlax.HYPERBOLIC_SIN_PAIR,
        rlax.TxPair(lambda x: rlax.power(x, 2.0), lambda x: rlax.power(x, 0.5)),
        rlax.compose_tx(rlax.SIGNED_LOGP1_PAIR, rlax.HYPERBOLIC_SIN_PAIR),
        rlax.compose_tx(),
    ):
        np.testing.assert_allclose(
            pair.apply_inv(pair.apply(x)), x, rtol=2e-3, atol=1e-3
        )
    p = jnp.linspace(0.1, 0.9, 5)
    pair = rlax.DISCOUNT_TRANSFORM_PAIR
    np.testing.assert_allclose(pair.apply_inv(pair.apply(p)), p, rtol=1e-5)
    np.testing.assert_allclose(rlax.sigmoid(rlax.logit(p)), p, rtol=1e-5)


def test_parabolic_transform_keeps_its_digits_in_half_precision():
    """Its inverse would lose every digit if it were computed in bfloat16."""
    x = jnp.linspace(-2, 2, 9, dtype=jnp.bfloat16)
    exact = rlax.signed_parabolic(x.astype(jnp.float32))
    np.testing.assert_allclose(
        rlax.signed_parabolic(x).astype(jnp.float32), exact, rtol=0.01, atol=0.01
    )
