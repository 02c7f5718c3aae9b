"""The option-critic's value and loss beside their formulas."""

import jax
import numpy as np
import pytest
from numpy_formulas import equal

import rlax

Q = np.array([0.5, 2.0, -1.0])


@pytest.mark.parametrize("option", [0, 1, 2])
@pytest.mark.parametrize("cost", [0.0, 0.4])
def test_value_and_loss_equal_the_formulas(option, cost):
    equal(
        lambda beta, q: rlax.option_losses(beta, q, option, cost=cost).arrival_value,
        lambda beta, q: (1 - beta) * q[option] + beta * q.max(),
        *(0.3, Q),
        grads=(0, 1),
    )
    equal(
        lambda beta, q: rlax.option_losses(beta, q, option, cost=cost).termination_loss,
        lambda beta, q: beta * (q[option] - q.max() + cost),
        *(0.3, Q),
        grads=(0,),
    )


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match=r"o_tm1 must be in 0 .. 2"):
        rlax.option_losses(0.3, Q, 3)
    with pytest.raises(rlax.ContractError, match=r"beta_t must be in \[0, 1\]"):
        rlax.option_losses(1.3, Q, 0)
    assert np.isnan(jax.jit(rlax.option_losses)(0.3, Q, 3).arrival_value)
