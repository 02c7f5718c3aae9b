"""Successor features beside their formulas."""

import numpy as np
import pytest
from numpy_formulas import equal

import rlax

RANDOM = np.random.default_rng(9)
PSI_0, PSI_1 = RANDOM.standard_normal((2, 3, 4))
PHI, W = RANDOM.standard_normal((2, 4))
MANY = RANDOM.standard_normal((5, 3, 4))


@pytest.mark.parametrize("stop", [True, False])
def test_td_error_equals_the_formula(stop):
    equal(
        lambda psi, phi, g, psi_t: rlax.successor_feature_td_error(
            psi, 2, phi, g, psi_t, 1, stop
        ),
        lambda psi, phi, g, psi_t: phi + g * psi_t[1] - psi[2],
        *(PSI_0, PHI, 0.9, PSI_1),
        grads=(0,) if stop else range(4),
    )


def test_policy_improvement_equals_the_formula():
    equal(
        rlax.gpi_action_values,
        lambda psi, w: (psi @ w).max(0),
        *(MANY, W),
        grads=(0, 1),
    )


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match=r"a_tm1 must be in 0 .. 2"):
        rlax.successor_feature_td_error(PSI_0, 3, PHI, 0.9, PSI_1, 1)
    with pytest.raises(rlax.ContractError, match=r"discount_t must be in \[0, 1\]"):
        rlax.successor_feature_td_error(PSI_0, 0, PHI, 1.9, PSI_1, 1)
    with pytest.raises(rlax.ContractError, match="psi_t has shape"):
        rlax.gpi_action_values(MANY[:0], W)
    with pytest.raises(rlax.ContractError, match="w has shape"):
        rlax.gpi_action_values(MANY, W[:3])
