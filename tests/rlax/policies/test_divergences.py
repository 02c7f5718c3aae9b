"""Divergences and ratios of policies: closed forms and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax
from rlax._policies.divergences import sampled_kl

P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
LOGITS = np.array([[1.0, 1.0, 0.0], [1.0, 3.0, 0.0]])


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_importance_ratios_equal_the_quotient_of_probabilities():
    a = np.array([0, 1])
    have = rlax.categorical_importance_sampling_ratios(LOGITS, -LOGITS, a)
    want = softmax(LOGITS)[[0, 1], a] / softmax(-LOGITS)[[0, 1], a]
    np.testing.assert_allclose(have, want, rtol=1e-5)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_unbiased_estimators_average_to_the_divergence(estimator):
    samples = sampled_kl("test", np.log(P) - np.log(Q), estimator)
    np.testing.assert_allclose(P @ samples, P @ np.log(P / Q), rtol=1e-5)


def test_estimators_equal_their_formulas():
    d = np.array([-1.5, 0.0, 0.7], np.float32)
    wanted = {"k1": d, "k2": d**2 / 2, "k3": np.exp(-d) - 1 + d, "abs": np.abs(d)}
    for estimator, want in wanted.items():
        np.testing.assert_allclose(
            sampled_kl("test", d, estimator), want, rtol=1e-5, err_msg=estimator
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_third_estimator_is_never_negative(dtype):
    size = jnp.logspace(-9, 2, 4001).astype(dtype)
    for d in (size, -size):
        assert (jax.jit(lambda d: sampled_kl("test", d, "k3"))(d) >= 0).all()


def test_unknown_estimator_names_the_choices():
    with pytest.raises(
        rlax.ContractError, match="op: estimator must be 'k1', 'k2', 'k3' or 'abs', got"
    ):
        sampled_kl("op", jnp.zeros(2), "k4")
