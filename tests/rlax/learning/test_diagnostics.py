"""Diagnostics beside their formulas."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

RANDOM = np.random.default_rng(7)
RATIO, ADV = np.exp(RANDOM.standard_normal((6, 3))), RANDOM.standard_normal((6, 3))
MASK = RANDOM.random((6, 3)) < 0.6
SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)


@pytest.mark.parametrize("high", [None, 0.5])
@pytest.mark.parametrize("with_advantage", [False, True])
@pytest.mark.parametrize("mask", [None, MASK])
def test_clip_fraction_equals_the_count(high, with_advantage, mask):
    top = 1 + (0.2 if high is None else high)
    below, above = RATIO < 0.8, top < RATIO
    if with_advantage:
        below, above = below & (ADV < 0), above & (ADV > 0)
    kept = MASK if mask is not None else MASK | True
    options = {"epsilon_high": high, "adv_t": ADV if with_advantage else None}

    def fraction(ratio):
        return rlax.clip_fraction(ratio, 0.2, mask_t=mask, **options)

    close(fraction(np.where(kept, RATIO, np.nan)), (below | above)[kept].mean())
    assert not np.any(jax.grad(fraction)(RATIO))
    assert rlax.clip_fraction(RATIO, 0.2, mask_t=MASK & False) == 0
    assert np.isnan(rlax.clip_fraction(np.array([np.nan, 1.0]), 0.2))


def explained(prediction, target):
    return 1 - np.var(target - prediction) / np.var(target)


def test_explained_variance_equals_the_formula():
    prediction = ADV + 0.3 * RATIO
    equal(rlax.explained_variance, explained, prediction, ADV)
    have = rlax.explained_variance(
        np.where(MASK, prediction, np.nan), np.where(MASK, ADV, np.inf), mask_t=MASK
    )
    close(have, explained(prediction[MASK], ADV[MASK]))
    for target in (np.full(5, 0.1), np.zeros(5)):
        assert rlax.explained_variance(np.arange(5.0), target) == 0
    assert rlax.explained_variance(ADV, ADV, mask_t=MASK & False) == 0
    assert rlax.explained_variance(ADV, ADV) == 1


@SETTINGS
@hypothesis.given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-1e4, 1e4))
def test_effective_sample_size_equals_the_formula(seed, offset):
    random = np.random.default_rng(seed)
    log_w, mask = random.standard_normal(8), random.random(8) < 0.6
    log_w, mask[0] = np.round(64 * log_w) / 64, True
    offset = np.round(16 * offset) / 16  # float32 holds the sum
    w = np.exp(log_w)
    for normalize, n in ((False, 1), (True, 8)):
        have = rlax.effective_sample_size(log_w + offset, normalize=normalize)
        np.testing.assert_allclose(have, w.sum() ** 2 / (w**2).sum() / n, rtol=1e-2)
        equal(
            lambda x, normalize=normalize: rlax.effective_sample_size(
                x, normalize=normalize
            ),
            lambda x, n=n: np.exp(x).sum() ** 2 / np.exp(2 * x).sum() / n,
            log_w,
        )
    have = rlax.effective_sample_size(np.where(mask, log_w, np.nan), mask=mask)
    w = w[mask]
    close(have, w.sum() ** 2 / (w**2).sum() / len(w))


def test_effective_sample_size_at_the_edges():
    size = rlax.effective_sample_size
    assert size(np.array([1e4, -1e4])) == 0.5
    assert size(np.zeros(3), mask=np.zeros(3, bool)) == 0
    assert size(np.full(3, -np.inf)) == 0
    assert size(np.full(4, 1e4), normalize=False) == 4


def test_bad_input_raises():
    with pytest.raises(rlax.ContractError, match="epsilon must be at least 0"):
        rlax.clip_fraction(RATIO, -0.1)
    with pytest.raises(rlax.ContractError, match="epsilon_high must be at least 0"):
        rlax.clip_fraction(RATIO, 0.1, epsilon_high=-0.1)
    for f in (rlax.explained_variance, lambda x, _: rlax.clip_fraction(x, 0.1)):
        with pytest.raises(rlax.ContractError, match="at least one element"):
            f(RATIO[:0], RATIO[:0])
    with pytest.raises(rlax.ContractError, match="log_weights has shape"):
        rlax.effective_sample_size(RATIO[0][:0])
