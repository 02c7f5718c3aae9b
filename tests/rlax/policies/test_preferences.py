"""Losses of preferences beside their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_formulas import equal
from random_streams import SETTINGS

import rlax

N = 6
RANDOM = np.random.default_rng(3)
PAIR = -10 * RANDOM.random((2, N))
REFERENCE = -10 * RANDOM.random((2, N))
DESIRABLE = np.array([1, 0, 1, 0, 0, 1], bool)


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


DPO = {
    "sigmoid": lambda h, e: -(1 - e) * log_sigmoid(h) - e * log_sigmoid(-h),
    "robust": lambda h, e: (
        (-(1 - e) * log_sigmoid(h) + e * log_sigmoid(-h)) / (1 - 2 * e)
    ),
    "hinge": lambda h, e: np.maximum(0, 1 - h),
}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("variant", DPO)
def test_dpo_equals_its_formula(variant, smoothing):
    def op(*x):
        return rlax.dpo_loss(*x, 0.3, label_smoothing=smoothing, variant=variant)

    def formula(c, r, rc, rr):
        return DPO[variant](0.3 * ((c - rc) - (r - rr)), smoothing)

    equal(op, formula, *PAIR, *REFERENCE, grads=(0, 1))


def test_simpo_equals_its_formula():
    lengths = np.array([1.0, 3, 7, 2, 5, 4]), np.array([2.0, 2, 9, 1, 4, 8])

    def formula(c, r, nc, nr):
        return -log_sigmoid(1.5 * c / nc - 1.5 * r / nr - 0.4)

    def op(*x):
        return rlax.simpo_loss(*x, 1.5, margin=0.4)

    equal(op, formula, *PAIR, *lengths, grads=(0, 1))
    whole = [n.astype(np.int32) for n in lengths]
    have = rlax.simpo_loss(*PAIR, *whole, 1.5, margin=0.4)
    np.testing.assert_allclose(have, formula(*PAIR, *lengths), rtol=1e-5)


def test_ipo_equals_its_formula():
    def formula(c, r, rc, rr):
        return ((c - rc) - (r - rr) - 1 / 0.4) ** 2

    equal(
        lambda *x: rlax.ipo_loss(*x, 0.2),
        formula,
        *PAIR,
        *REFERENCE,
        grads=(0, 1),
    )


@pytest.mark.parametrize("kl", [-0.5, 0.5, PAIR[0]])
def test_kto_equals_its_formula(kl):
    def formula(pi, ref, kl):
        z, rho = np.maximum(kl, 0), pi - ref
        good, bad = 1.5 * (1 - sigmoid(0.4 * (rho - z))), 1 - sigmoid(0.4 * (z - rho))
        return np.where(DESIRABLE, good, 0.7 * bad)

    def op(pi, ref, kl):
        return rlax.kto_loss(
            *(pi, ref, DESIRABLE, 0.4),
            **{"kl": kl, "desirable_weight": 1.5, "undesirable_weight": 0.7},
        )

    equal(op, formula, PAIR[0], REFERENCE[0], kl, grads=(0,))


def test_orpo_equals_its_formula():
    def formula(c, r):
        odds = [x - np.log(-np.expm1(x)) for x in (c, r)]
        return -c - 2.5 * log_sigmoid(odds[0] - odds[1])

    pair = PAIR / 5
    equal(lambda *x: rlax.orpo_loss(*x, 2.5), formula, *pair, grads=(0, 1))
    # Log probabilities of 0, and even above, count as -1e-6.
    top = np.array([0.0, 0.5, -1e-9])
    have = rlax.orpo_loss(top, top)
    want = 1e-6 + 0.1 * np.log(2)
    np.testing.assert_allclose(have, want, rtol=1e-5)
    gradient = jax.grad(lambda x: rlax.orpo_loss(x, x - 1).sum())(jnp.asarray(top))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("margin", [0.0, 0.7, np.linspace(0, 1, N)])
def test_bradley_terry_equals_its_formula(margin):
    def formula(c, r, m):
        return -log_sigmoid(c - r - m) + 0.01 * (c + r) ** 2

    def op(c, r, m):
        return rlax.bradley_terry_loss(c, r, m, center_coefficient=0.01)

    equal(op, formula, *PAIR, margin, grads=(0, 1))


# ------------------------------------ properties ------------------------------------


@SETTINGS
@given(x=st.floats(-50, 0, width=32), y=st.floats(-50, 0, width=32))
def test_zero_margins_give_the_logarithm_of_two(x, y):
    x, y = np.float32(x), np.float32(y)
    losses = [
        rlax.dpo_loss(x, y, x, y),
        rlax.dpo_loss(x, x, y, y, variant="robust", label_smoothing=0.1),
        rlax.simpo_loss(x, x, 4, 4, margin=0.0),
        rlax.bradley_terry_loss(x, x),
    ]
    np.testing.assert_allclose(losses, np.log(2), rtol=1e-6)
    assert rlax.kto_loss(x, x, True) == 0.5


@pytest.mark.parametrize("h", [-1e4, 1e4])
def test_large_margins_give_finite_losses_and_gradients(h):
    low = jnp.float32(-abs(h))
    losses = {
        **{
            variant: lambda x, v=variant: rlax.dpo_loss(
                *(x, 0.0, 0.0, 0.0, 1.0), variant=v, label_smoothing=0.1
            )
            for variant in DPO
        },
        "simpo": lambda x: rlax.simpo_loss(x, 0.0, 1, 1),
        "ipo": lambda x: rlax.ipo_loss(x, 0.0, 0.0, 0.0),
        "good": lambda x: rlax.kto_loss(x, 0.0, True, 1.0),
        "bad": lambda x: rlax.kto_loss(x, 0.0, False, 1.0),
        "bradley_terry": lambda x: rlax.bradley_terry_loss(x, 0.0),
        "orpo": lambda x: rlax.orpo_loss(low, x) + rlax.orpo_loss(x, low),
    }
    for name, loss in losses.items():
        value, gradient = jax.value_and_grad(loss)(jnp.float32(h))
        assert np.isfinite(value), name
        assert np.isfinite(gradient), name
    assert losses["sigmoid"](jnp.float32(-1e4)) == pytest.approx(9e3, rel=1e-6)


# ------------------------------------- bad input -------------------------------------


X = np.ones(3, np.float32)
BAD = {
    "dpo_loss: beta must be at least 0": lambda: rlax.dpo_loss(X, X, X, X, -0.1),
    "label_smoothing must be in .0, 0.5., got 0.5": lambda: rlax.dpo_loss(
        X, X, X, X, label_smoothing=0.5
    ),
    "label_smoothing must be in .0, 0.5., got -0.1": lambda: rlax.dpo_loss(
        X, X, X, X, label_smoothing=-0.1
    ),
    "variant must be 'sigmoid', 'robust' or 'hinge', got 'ipo'": lambda: rlax.dpo_loss(
        X, X, X, X, variant="ipo"
    ),
    "dpo_loss: log_ref_rejected has shape": lambda: rlax.dpo_loss(X, X, X, X[:2]),
    "simpo_loss: length_chosen must be at least 1, got 0": lambda: rlax.simpo_loss(
        X, X, np.zeros(3, int), X
    ),
    "simpo_loss: beta": lambda: rlax.simpo_loss(X, X, X, X, -1.0),
    "ipo_loss: beta must be above 0": lambda: rlax.ipo_loss(X, X, X, X, 0.0),
    "desirable must have booleans": lambda: rlax.kto_loss(X, X, X),
    "kto_loss: beta": lambda: rlax.kto_loss(X, X, X > 0, -1.0),
    "kto_loss: undesirable_weight": lambda: rlax.kto_loss(
        X, X, X > 0, undesirable_weight=-1.0
    ),
    "orpo_loss: lambda_ must be at least 0": lambda: rlax.orpo_loss(X, X, -0.1),
    "bradley_terry_loss: score_rejected": lambda: rlax.bradley_terry_loss(X, X[:2]),
    "center_coefficient": lambda: rlax.bradley_terry_loss(
        X, X, center_coefficient=-1.0
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises((rlax.ContractError, TypeError), match=message):
        BAD[message]()
