"""DreamerV3's scale of returns, balanced divergence and uniform mixture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

RANDOM = np.random.default_rng(2)
POST, PRIOR = 2 * RANDOM.standard_normal((2, 4, 5))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl(post, prior):
    post = log_softmax(post)
    return np.sum(np.exp(post) * (post - log_softmax(prior)))


def test_percentile_scale_equals_the_formula_over_time():
    state, low, high = rlax.PercentileScaleState(), 0.0, 0.0
    for step in range(4):
        x = 30 * np.random.default_rng(step).standard_normal((5, 7))
        scale, state = jax.jit(rlax.percentile_scale)(x.astype(np.float32), state)
        low = 0.99 * low + 0.01 * np.quantile(x, 0.05)
        high = 0.99 * high + 0.01 * np.quantile(x, 0.95)
        close((scale, *state), (max(1.0, high - low), low, high))
    scale, _ = rlax.percentile_scale(
        x, state, low=0.1, high=0.7, decay=0.5, minimum=90.0
    )
    assert scale == 90
    scale, state = rlax.percentile_scale(x, rlax.PercentileScaleState(), decay=0.0)
    close(scale, np.quantile(x, 0.95) - np.quantile(x, 0.05))


def test_percentile_scale_averages_over_devices_and_stops_gradients():
    x = RANDOM.standard_normal((3, 8)).astype(np.float32)
    state = rlax.PercentileScaleState(-1.0, 2.0)

    def scale(x):
        return rlax.percentile_scale(x, state, decay=0.5, minimum=0.0, axis_name="i")

    got, new = jax.vmap(scale, axis_name="i")(x)
    low, high = (np.quantile(x, q, axis=1).mean() for q in (0.05, 0.95))
    want = (0.5 * (high + 2) - 0.5 * (low - 1)) * np.ones(3)
    close(got, want)
    assert new.low.shape == (3,)
    gradient = jax.grad(lambda x: rlax.percentile_scale(x, state)[0])(x)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("free_nats", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("rank", [1, 2])
def test_balanced_kl_equals_the_formula(free_nats, rank):
    post, prior = (POST, PRIOR) if rank == 2 else (POST[0], PRIOR[0])
    options = {"dynamics_weight": 0.8, "representation_weight": 0.3}

    def op(*x):
        return rlax.balanced_kl_loss(*x, free_nats=free_nats, **options)

    divergence = kl(post, prior)
    value, grads = jax.value_and_grad(op, (0, 1))(post, prior)
    close(value, 1.1 * max(free_nats, divergence))
    # Each side has the gradient of its own term.
    alone = [
        lambda post, prior: 0.3 * np.maximum(free_nats, kl(post, prior)),
        lambda post, prior: 0.8 * np.maximum(free_nats, kl(post, prior)),
    ]
    for i, term in enumerate(alone):

        def side(x, i=i):
            return op(x, prior) if i == 0 else op(post, x)

        def of_side(x, i=i, term=term):
            both = (x, prior) if i == 0 else (post, x)
            other = 1.1 * max(free_nats, divergence) - term(post, prior)
            return term(*both) + other

        equal(side, of_side, (post, prior)[i], grads=(0,))
    if free_nats == 1e3:
        assert not np.any(grads[0])


def test_balanced_kl_of_impossible_and_extreme_classes_is_finite():
    logits = np.array([[1e4, -1e4, 0.0], [-np.inf, 0.0, 1.0]], np.float32)
    value, grads = jax.value_and_grad(rlax.balanced_kl_loss, (0, 1))(logits, logits)
    np.testing.assert_allclose(value, 1.1, rtol=1e-6)
    assert all(np.isfinite(g).all() for g in grads)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 1.0])
def test_uniform_mix_equals_the_formula(fraction):
    equal(
        lambda x: rlax.uniform_mix(x, fraction),
        lambda x: np.log((1 - fraction) * np.exp(log_softmax(x)) + fraction / 5),
        *(POST,),
        grads=(0,),
    )
    impossible = -np.inf if fraction else -1e4
    extreme = np.array([1e4, -1e4, impossible, 0.0], np.float32)
    value, gradient = jax.value_and_grad(
        lambda x: jnp.sum(rlax.uniform_mix(x, fraction)[:2])
    )(extreme)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    mixed = np.exp(rlax.uniform_mix(extreme, fraction))
    np.testing.assert_allclose(mixed.sum(), 1, rtol=1e-6)


def test_bad_input_raises():
    state = rlax.PercentileScaleState()
    with pytest.raises(rlax.ContractError, match="x must hold at least one element"):
        rlax.percentile_scale(np.ones((0, 3), np.float32), state)
    for name, value in {
        "low": -0.1,
        "high": 1.1,
        "decay": 1.5,
        "minimum": -1.0,
    }.items():
        with pytest.raises(rlax.ContractError, match=f"{name} must be"):
            rlax.percentile_scale(POST, state, **{name: value})
    with pytest.raises(rlax.ContractError, match="low must not exceed high"):
        rlax.percentile_scale(POST, state, low=0.9, high=0.1)
    with pytest.raises(rlax.ContractError, match="must both be"):
        rlax.balanced_kl_loss(POST, PRIOR[0])
    with pytest.raises(rlax.ContractError, match=r"jax.vmap\(balanced_kl_loss\)"):
        rlax.balanced_kl_loss(POST[None], PRIOR[None])
    with pytest.raises(rlax.ContractError, match="free_nats must be at least 0"):
        rlax.balanced_kl_loss(POST, PRIOR, free_nats=-1.0)
    with pytest.raises(rlax.ContractError, match=r"fraction must be in \[0, 1\]"):
        rlax.uniform_mix(POST, 1.5)
