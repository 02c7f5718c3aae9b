"""Returns of transformed values."""

import numpy as np

import rlax


def test_transformed_returns_undo_the_transform_of_bootstrap_values():
    r, d, v, boot = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    cut = np.array([0, 1, 0, 0, 0])
    pair = rlax.SIGNED_LOGP1_PAIR
    have = rlax.transformed_lambda_returns(
        pair, r, d, pair.apply(v), truncation_t=cut, bootstrap_t=pair.apply(boot)
    )
    want = rlax.lambda_returns(r, d, v, truncation_t=cut, bootstrap_t=boot)
    np.testing.assert_allclose(have, pair.apply(want), rtol=1e-5)
    by_name = rlax.transformed_n_step_returns(pair, r_t=r, discount_t=d, v_t=v, n=2)
    want = rlax.n_step_bootstrapped_returns(r, d, pair.apply_inv(v), 2)
    np.testing.assert_allclose(by_name, pair.apply(want), rtol=1e-5)
