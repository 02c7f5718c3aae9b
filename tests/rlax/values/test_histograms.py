"""Scalars as histograms: DreamerV3's two-hot bins, and HL-Gauss."""

import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

SETTINGS = hypothesis.settings(max_examples=50, deadline=None, derandomize=True)
NUMBERS = st.floats(-1e6, 1e6, width=32)


def symexp(x):
    return np.sign(x) * np.expm1(np.abs(x))


@SETTINGS
@hypothesis.given(x=NUMBERS)
def test_symexp_undoes_symlog(x):
    x = np.float32(x)
    np.testing.assert_allclose(rlax.symexp(rlax.symlog(x)), x, rtol=3e-5, atol=1e-37)


def test_symlog_equals_the_formula_and_has_slope_one_at_zero():
    x = np.array([-1e3, -0.5, 1e-4, 2.0])
    equal(rlax.symlog, lambda x: np.sign(x) * np.log1p(np.abs(x)), x, grads=(0,))
    equal(rlax.symexp, symexp, x[1:], grads=(0,))
    for f in (rlax.symlog, rlax.symexp, rlax.signed_logp1, rlax.signed_expm1):
        for zero in (0.0, -0.0):
            assert f(zero) == 0
            assert jax.grad(f)(zero) == 1


def two_hot(x, bins):
    out = np.zeros((*x.shape, len(bins)))
    for at in np.ndindex(x.shape):
        y = np.clip(x[at], bins[0], bins[-1])
        i = min(np.searchsorted(bins, y, side="right") - 1, len(bins) - 2)
        share = (y - bins[i]) / (bins[i + 1] - bins[i])
        out[at][i], out[at][i + 1] = 1 - share, share
    return out


PAIR = rlax.symexp_twohot_pair()
BINS = symexp(np.linspace(-20, 20, 255))


def test_symexp_bins_equal_the_formula():
    random = np.random.default_rng(0)
    x = symexp(random.uniform(-5, 5, (3, 4)))
    x[0, 0] = 1e10  # above the last bin
    equal(PAIR.apply, lambda x: two_hot(x, BINS), x, grads=(0,), rtol=3e-4)
    small = rlax.symexp_twohot_pair(-1.0, 3.0, 8)
    bins, probs = symexp(np.linspace(-1, 3, 8)), random.dirichlet(np.ones(8), (2, 3))
    equal(small.apply_inv, lambda p: p @ bins, probs, grads=(0,))
    for num_bins in (8, 9):
        pair = rlax.symexp_twohot_pair(-3.0, 3.0, num_bins)
        bins = symexp(np.linspace(-3, 3, num_bins))
        probs = random.dirichlet(np.ones(num_bins), 2)
        equal(pair.apply_inv, lambda p, b=bins: p @ b, probs, grads=(0,))


def test_symexp_bins_are_exact():
    bins = jnp.asarray(BINS, jnp.float32)
    np.testing.assert_array_equal(PAIR.apply(bins), np.eye(255))
    one = PAIR.apply(0.3)
    assert one.shape == (255,)
    assert PAIR.apply_inv(one).shape == ()
    assert np.isnan(PAIR.apply(np.nan)).all()


@SETTINGS
@hypothesis.given(seed=st.integers(0, 2**32 - 1), x=NUMBERS)
def test_mean_of_symexp_bins(seed, x):
    """A value comes back; a symmetric distribution has mean 0 though bins reach 5e8."""
    x = np.float32(x)
    np.testing.assert_allclose(PAIR.apply_inv(PAIR.apply(x)), x, rtol=1e-5, atol=1e-6)
    half = np.random.default_rng(seed).standard_normal(128).astype(np.float32)
    logits = np.concatenate([half, half[-2::-1]])
    mean = jax.jit(lambda x: PAIR.apply_inv(jax.nn.softmax(x)))(logits)
    assert abs(mean) < 1e-3


@pytest.mark.plain_xla
def test_symmetric_softmax_has_mean_zero_where_the_compiler_fuses():
    mean = jax.jit(lambda x: PAIR.apply_inv(jax.nn.softmax(x)))
    for seed in range(20):
        half = 3 * np.random.default_rng(seed).standard_normal(128).astype(np.float32)
        assert abs(mean(np.concatenate([half, half[-2::-1]]))) < 1e-3


def normal_cdf(x):
    return 0.5 * np.vectorize(math.erfc)(-np.asarray(x) / math.sqrt(2))


def hl_gauss(y, low, high, num_bins, ratio):
    edges = np.linspace(low, high, num_bins + 1)
    sigma = ratio * (high - low) / num_bins
    y = np.clip(y, low, high)[..., None]
    cdf = normal_cdf((edges - y) / sigma)
    return np.diff(cdf) / (cdf[..., -1:] - cdf[..., :1])


@pytest.mark.parametrize("ratio", [0.75, 0.3, 2.0])
def test_hl_gauss_equals_the_formula(ratio):
    pair = rlax.hl_gauss_pair(-2.0, 3.0, 12, ratio)
    y = np.array([[-1.9, 0.1, 0.7], [2.9, 5.0, -7.0]])
    equal(pair.apply, lambda y: hl_gauss(y, -2, 3, 12, ratio), y, grads=(0,))
    np.testing.assert_allclose(pair.apply(y).sum(-1), 1, rtol=1e-6)
    probs = np.random.default_rng(0).dirichlet(np.ones(12), (2, 3))
    edges = np.linspace(-2, 3, 13)
    centres = (edges[1:] + edges[:-1]) / 2
    equal(pair.apply_inv, lambda p: p @ centres, probs, grads=(0,))
    assert pair.apply(0.5).shape == (12,)
    assert np.isnan(pair.apply(np.nan)).all()


def test_hl_gauss_mean_is_near_the_value():
    pair = rlax.hl_gauss_pair(-10.0, 10.0, 51)
    y = np.linspace(-8, 8, 33, dtype=np.float32)
    close(pair.apply_inv(pair.apply(y)), y, rtol=1e-3, atol=1e-3)


def test_bad_bins_raise():
    for make in (rlax.symexp_twohot_pair, rlax.hl_gauss_pair):
        with pytest.raises(rlax.ContractError, match="num_bins must be at least 2"):
            make(-1.0, 1.0, 1)
        with pytest.raises(rlax.ContractError, match="min_value must be below"):
            make(1.0, -1.0, 5)
        with pytest.raises(rlax.ContractError, match="must end in num_bins = 5"):
            make(-1.0, 1.0, 5).apply_inv(np.ones(4, np.float32))
    with pytest.raises(rlax.ContractError, match="sigma_ratio must be above 0"):
        rlax.hl_gauss_pair(-1.0, 1.0, 5, 0.0)
