"""Critics in ensembles, beside formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

R, G, LOG_PI, ALPHA = 0.3, 0.9, -1.3, 0.2
RANDOM = np.random.default_rng(0)
Q2, Q5, QA, QB, LOGITS = (
    RANDOM.standard_normal(shape) for shape in (2, 5, (2, 3), (4, 3), 3)
)
SUBSET = np.array([3, 1])


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def sac(q_tm1, r, g, q, log_pi, alpha):
    return r + g * (q.min() - alpha * log_pi) - q_tm1


def discrete_sac(q_tm1, r, g, q, logits, alpha):
    log_pi = log_softmax(logits)
    v = np.sum(np.exp(log_pi) * (q.min(0) - alpha * log_pi))
    return r + g * v - q_tm1[:, 1]


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("subset", [None, SUBSET])
def test_td_errors_equal_the_formulas(stop, subset):
    chosen = slice(None) if subset is None else subset
    equal(
        lambda *x: rlax.sac_td_error(*x, stop, subset=subset),
        lambda *x: sac(*x) if subset is None else sac(*x[:3], x[3][chosen], *x[4:]),
        *(Q2, R, G, Q5, LOG_PI, ALPHA),
        grads=(0,) if stop else range(6),
    )
    equal(
        lambda *x: rlax.td3_td_error(*x, stop, subset=subset),
        lambda q0, r, g, q: sac(q0, r, g, q[chosen], 0.0, 0.0),
        *(Q2, R, G, Q5),
        grads=(0,) if stop else range(4),
    )


@pytest.mark.parametrize("stop", [True, False])
def test_discrete_td_errors_equal_the_formula(stop):
    equal(
        lambda q0, *x: rlax.discrete_sac_td_error(q0, 1, *x, stop),
        discrete_sac,
        *(QA, R, G, QB, LOGITS, ALPHA),
        grads=(0,) if stop else range(6),
    )


@pytest.mark.parametrize("garbage", [0.0, np.nan, np.inf, -np.inf])
def test_actions_of_probability_zero_do_not_count(garbage):
    q, logits = QB.copy(), LOGITS.copy()
    q[:, 2], logits[2] = garbage, -np.inf

    def value(q, logits):
        errors = rlax.discrete_sac_td_error(QA, 1, R, G, q, logits, ALPHA, False)
        return errors.sum(), errors

    grads, have = jax.grad(value, (0, 1), has_aux=True)(q, logits)
    want = discrete_sac(QA, R, G, QB[:, :2], LOGITS[:2], ALPHA)
    np.testing.assert_allclose(have, want, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in grads)
    extreme = np.array([1e4, -1e4, 0.0])
    assert np.isfinite(value(QB, extreme)[0])
    assert np.isfinite(jax.grad(lambda x: value(QB, x)[0])(extreme)).all()


def test_ensemble_value_equals_the_formulas():
    for subset in (None, SUBSET):
        chosen = slice(None) if subset is None else subset
        equal(
            lambda q, subset=subset: rlax.ensemble_value(q, subset=subset),
            lambda q, chosen=chosen: q[chosen].min(0),
            QB,
            grads=(0,),
        )
        equal(
            lambda q, subset=subset: rlax.ensemble_value(q, subset=subset, penalty=0.7),
            lambda q, chosen=chosen: q[chosen].mean(0) - 0.7 * q[chosen].std(0),
            QB,
            grads=(0,),
        )
    same = np.full((3, 2), 0.1, np.float32)
    for penalty in (None, 1.0):
        value, gradient = jax.value_and_grad(
            lambda q, p=penalty: rlax.ensemble_value(q, penalty=p).sum()
        )(same)
        np.testing.assert_allclose(value, 0.2, rtol=1e-6)
        np.testing.assert_allclose(gradient, np.full((3, 2), 1 / 3), rtol=1e-6)


def test_subset_may_be_traced_and_out_of_range_gives_nan():
    errors = jax.jit(lambda s: rlax.sac_td_error(Q2, R, G, Q5, LOG_PI, ALPHA, subset=s))
    np.testing.assert_allclose(
        errors(SUBSET), sac(Q2, R, G, Q5[SUBSET], LOG_PI, ALPHA), rtol=1e-5
    )
    for bad in (5, -1):
        assert np.isnan(errors(np.array([0, bad]))).all()
        with pytest.raises(rlax.ContractError, match=r"subset must be in 0 .. 4"):
            rlax.ensemble_value(Q5, subset=np.array([0, bad]))


TAU = np.array([0.1, 0.4, 0.8])
DIST, POOL = RANDOM.standard_normal((2, 3)), 2 * RANDOM.standard_normal((4, 5))


def tqc(dist, r, g, pool, log_pi, alpha, dropped, kappa):
    z = np.sort(pool.ravel())[: pool.size - len(pool) * dropped]
    y = r + g * (z - alpha * log_pi)
    losses = []
    for critic in dist:
        total = 0.0
        for level, theta in zip(TAU, critic):
            for target in y:
                u = abs(target - theta)
                huber = 0.5 * u**2 if u <= kappa else kappa * (u - 0.5 * kappa)
                weight = abs(level - (target < theta))
                total += weight * (huber if kappa else u)
        losses.append(total / len(y) / len(TAU))
    return np.array(losses)


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize(("dropped", "kappa"), [(0, 1.0), (2, 0.5), (4, 0.0)])
def test_tqc_loss_equals_the_loop(stop, dropped, kappa):
    def op(dist, r, g, pool, log_pi, alpha):
        return rlax.tqc_loss(
            *(dist, TAU.astype(np.float32), r, g, pool, dropped),
            log_pi_t=log_pi,
            temperature=alpha,
            huber_param=kappa,
            stop_target_gradients=stop,
        )

    equal(
        op,
        lambda *x: tqc(*x, dropped, kappa),
        *(DIST, R, G, POOL, LOG_PI, ALPHA),
        grads=(0,) if stop else range(6),
    )


def test_tqc_loss_passes_no_gradient_to_levels():
    gradient = jax.grad(lambda t: rlax.tqc_loss(DIST, t, R, G, POOL, 1).sum())(TAU)
    np.testing.assert_array_equal(gradient, 0)


def test_bad_options_raise():
    for dropped in (-1, 5, 1.5):
        with pytest.raises(rlax.ContractError, match="tqc_loss: num_dropped must be"):
            rlax.tqc_loss(DIST, TAU, R, G, POOL, dropped)
    with pytest.raises(rlax.ContractError, match="huber_param must be at least 0"):
        rlax.tqc_loss(DIST, TAU, R, G, POOL, 0, huber_param=-1.0)
    with pytest.raises(rlax.ContractError, match="temperature must be at least 0"):
        rlax.sac_td_error(Q2, R, G, Q5, LOG_PI, -1.0)
    with pytest.raises(rlax.ContractError, match=r"discount_t must be in \[0, 1\]"):
        rlax.td3_td_error(Q2, R, 1.5, Q5)
    with pytest.raises(rlax.ContractError, match="sac_td_error: q_t has shape"):
        rlax.sac_td_error(Q2, R, G, Q5[:0], LOG_PI, ALPHA)
    with pytest.raises(rlax.ContractError, match=r"Use jax.vmap\(td3_td_error\)"):
        rlax.td3_td_error(QA, R, G, Q5)


def test_minimum_of_equal_critics_has_a_finite_gradient():
    equals = jnp.ones(3)
    gradient = jax.grad(lambda q: rlax.td3_td_error(Q2, R, G, q, False).sum())(equals)
    np.testing.assert_allclose(gradient.sum(), 2 * G, rtol=1e-6)
    close(rlax.td3_td_error(Q2, R, G, equals), R + G - Q2)
