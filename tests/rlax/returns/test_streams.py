"""No data of one episode reaches the returns of another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_streams import RETRACE, SEQ, VTRACE, A, T, jax_arrays

import rlax

EPISODIC = {
    "lambda_returns": (rlax.lambda_returns, (*SEQ, "l")),
    "discounted_returns": (rlax.discounted_returns, SEQ),
    "n_step": (lambda *x, **k: rlax.n_step_bootstrapped_returns(*x, 4, **k), SEQ),
    "gae": (
        rlax.truncated_generalized_advantage_estimation,
        ("r", "d", "l", "values"),
    ),
    "td_lambda": (rlax.td_lambda, ("v0", *SEQ, "l")),
    "sarsa_lambda": (rlax.sarsa_lambda, ("q0", "a0", "r", "d", "q", "a", "l")),
    "q_lambda": (rlax.q_lambda, ("q0", "a0", "r", "d", "q", "l")),
    "retrace": (lambda *x, **k: rlax.retrace(*x, 0.9, **k), RETRACE),
    "vtrace": (rlax.vtrace, (*VTRACE, "l")),
    "vtrace_advantage": (
        lambda *x, **k: tuple(rlax.vtrace_td_error_and_advantage(*x, **k)),
        VTRACE,
    ),
    "n_step_q": (
        lambda *x, **k: rlax.transformed_n_step_q_learning(
            *x, 3, tx_pair=rlax.SIGNED_LOGP1_PAIR, **k
        ),
        ("q0", "a0", "q", "a", "r", "d"),
    ),
}


SCAN_ONLY = {"n_step", "n_step_q"}


@pytest.mark.parametrize(
    ("name", "parallel"),
    [(n, p) for n in EPISODIC for p in (False, True) if not (p and n in SCAN_ONLY)],
)
def test_nothing_of_a_later_episode_reaches_an_earlier_one(name, parallel):
    """NaN after a truncated step: values and gradients before it stay the same."""
    op, names = EPISODIC[name]
    options = {} if name in SCAN_ONLY else {"parallel": parallel}
    end = 4
    random = np.random.default_rng(0)
    s = {k: random.standard_normal(T) for k in ("r", "v", "v0", "boot")}
    s |= {k: 0.1 + 0.8 * random.random(T) for k in ("d", "l", "rho", "mu")}
    s |= {"q": random.standard_normal((T, A)), "q0": random.standard_normal((T, A))}
    s |= {"a": random.integers(0, A, T), "a0": random.integers(0, A, T)}
    s |= {"pi": np.full((T, A), 1 / A), "values": random.standard_normal(T + 1)}
    cut = jnp.arange(T) == end

    @jax.jit
    def first_episode(args):
        out = op(*args, truncation_t=cut, bootstrap_t=jnp.asarray(s["boot"]), **options)
        return [x[: end + 1] for x in jax.tree.leaves(out)]

    def loss(floats, args):
        args = [floats.get(i, x) for i, x in enumerate(args)]
        return sum(x.sum() for x in first_episode(args))

    def run(args):
        floats = {i: x for i, x in enumerate(args) if x.dtype == jnp.float32}
        return first_episode(args), jax.jit(jax.grad(loss))(floats, args)

    clean = jax_arrays(s, *names)
    # Of `values`, entry end + 1 belongs to the next episode.
    spoiled = [
        x.at[end + 1 :].set(jnp.nan) if x.dtype == jnp.float32 else x for x in clean
    ]
    (out, grads), (out_spoiled, grads_spoiled) = run(clean), run(spoiled)
    for x, y in zip(out, out_spoiled):
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, y)
    for i, x in grads.items():
        np.testing.assert_allclose(
            x[: end + 1], grads_spoiled[i][: end + 1], rtol=1e-6, err_msg=names[i]
        )
        assert not np.any(x[end + 1 :])
