"""Prioritised replay beside its formulas."""

import jax
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

P = np.array([0.5, 2.0, 0.0, 3.0, 1.0], np.float32)
MASK = np.array([True, True, True, False, True])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_probabilities_equal_the_formula(alpha):
    equal(
        lambda p: rlax.prioritized_probabilities(p, alpha),
        lambda p: p**alpha / np.sum(p**alpha),
        P,
    )
    garbage = np.where(MASK, P, np.nan)
    have = rlax.prioritized_probabilities(garbage, alpha, mask=MASK)
    power = P**alpha * MASK
    close(have, power / power.sum())


def test_probabilities_at_the_edges():
    zeros = np.zeros(5, np.float32)
    close(rlax.prioritized_probabilities(zeros), np.full(5, 0.2))
    close(rlax.prioritized_probabilities(zeros, mask=MASK), MASK / 4)
    close(rlax.prioritized_probabilities(P, mask=MASK & False), zeros)
    huge = rlax.prioritized_probabilities(np.array([1e30, 3e30, 0.0]), 1.0)
    close(huge, np.array([0.25, 0.75, 0]))
    gradient = jax.grad(lambda p: rlax.prioritized_probabilities(p)[0])(P)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("size", [None, 100])
def test_weights_equal_the_formula(beta, size):
    p = np.array([0.2, 0.1, 0.4, 0.3])
    raw = ((size or 4) * p) ** -beta
    for normalize, want in (("none", raw), ("max", raw / raw.max())):

        def op(p, normalize=normalize):
            return rlax.importance_sampling_weights(
                p, beta, size=size, normalize=normalize
            )

        equal(op, lambda p, want=want: want, p)
        with_zero = np.append(p, 0.0)
        if size:
            close(op(with_zero), np.append(want, 0.0))
    assert not np.any(rlax.importance_sampling_weights(np.zeros(3), beta))


def test_size_may_be_traced():
    def weights(size):
        return rlax.importance_sampling_weights(P[:2], 1.0, size=size, normalize="none")

    close(jax.jit(weights)(10), 1 / (10 * P[:2]))


@pytest.mark.parametrize("eta", [0.0, 0.9, 1.0])
def test_sequence_priority_equals_the_formula(eta):
    errors = np.array([0.5, -2.0, 1.0, -0.1])
    equal(
        lambda x: rlax.r2d2_priority(x, eta),
        lambda x: eta * np.abs(x).max() + (1 - eta) * np.abs(x).mean(),
        errors,
    )
    mask = np.array([True, False, True, True])
    have = rlax.r2d2_priority(np.where(mask, errors, np.nan), eta, mask_t=mask)
    close(have, rlax.r2d2_priority(errors[mask], eta))
    assert rlax.r2d2_priority(errors, eta, mask_t=mask & False) == 0


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="exponent must be at least 0"):
        rlax.prioritized_probabilities(P, -1.0)
    with pytest.raises(rlax.ContractError, match="priority must be at least 0"):
        rlax.prioritized_probabilities(-P)
    with pytest.raises(rlax.ContractError, match="priority has shape"):
        rlax.prioritized_probabilities(P[:0])
    with pytest.raises(rlax.ContractError, match="normalize must be 'max' or 'none'"):
        rlax.importance_sampling_weights(P, normalize="sum")
    with pytest.raises(rlax.ContractError, match="size must be at least 1"):
        rlax.importance_sampling_weights(P, size=0)
    with pytest.raises(rlax.ContractError, match=r"eta must be in \[0, 1\]"):
        rlax.r2d2_priority(P, 1.5)
    with pytest.raises(rlax.ContractError, match="at least one element"):
        rlax.r2d2_priority(P[:0])
