"""Every op with `truncation_t` on streams of environments that reset themselves.

The op sees the stream as an agent collects it, in two arrays one after the other. A
plain loop in float64 sees the same episodes whole and one by one, each with the value
of its own last observation. docs/guide/truncation.md has the same table of arguments.
"""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resetting_games import LANES, LENGTH, ROLLOUTS, Steps, from_gymnasium, from_jax
from whole_episodes import (
    GAMMA,
    LAMBDA,
    Episode,
    N,
    advantage,
    cell_values,
    double,
    frames,
    general_return,
    greedy,
    importance_corrected,
    lambda_return,
    mu,
    n_step_return,
    online_q,
    pi,
    pick,
    pixel_loss,
    q,
    retrace,
    squashed_v,
    tx,
    unsquashed,
    upgo_return,
    v,
    vtrace_parts,
)

import rlax

# How the keywords are filled in each mode; `lost` are the steps that can't be kept.


class Mode(NamedTuple):
    collect: Callable
    bootstraps: bool = False  # by bootstrap_t, as s_t is of the next episode
    puts_back: bool = False  # last_t in the place of s_t
    loses_cut: bool = False  # as last_t is unknown


MODES = {
    "same_step": Mode(lambda: from_gymnasium("SAME_STEP"), bootstraps=True),
    "same_step_put_back": Mode(lambda: from_gymnasium("SAME_STEP"), puts_back=True),
    "next_step": Mode(lambda: from_gymnasium("NEXT_STEP")),
    "disabled": Mode(lambda: from_gymnasium("DISABLED")),
    "jax": Mode(from_jax, bootstraps=True),
    "jax_last_observation_lost": Mode(from_jax, loses_cut=True),
}


def lost_steps(name, row, steps):
    if row.frames and name != "next_step":
        return steps.terminated_t | steps.truncated_t
    if MODES[name].loses_cut:
        return steps.truncated_t & ~steps.terminated_t
    return np.zeros_like(steps.dummy_t)


def keywords(name, row, steps):
    """mask_t, truncation_t and bootstrap_t of a mode."""
    mode = MODES[name]
    ends: dict[str, Any] = {"truncation_t": steps.truncated_t}
    dropped = steps.dummy_t | lost_steps(name, row, steps)
    if dropped.any():
        ends["mask_t"] = ~dropped
    if not row.frames and (mode.bootstraps or name in row.bootstraps_in):
        last = np.float32(row.value(steps.last_t))
        ends["bootstrap_t"] = np.where(steps.truncated_t, last, np.nan)
    return ends


def arguments(row, wanted, steps, a_t):
    """The op's arguments, by their names."""
    before, after = steps.s_tm1, steps.s_t
    all_states = np.concatenate([before, after[-1:]])

    def ratio(s, a):
        return pick(pi(s), a) / pick(mu(s), a)

    known = {
        "r_t": steps.r_t,
        "discount_t": GAMMA * (1 - steps.terminated_t),
        "lambda_": LAMBDA,
        "v_tm1": v(before),
        "v_t": v(after),
        "values": v(all_states),
        "rho_tm1": ratio(before, steps.a_tm1),
        "q_tm1": q(before),
        "a_tm1": steps.a_tm1,
        "q_t": q(after),
        "a_t": a_t,
        "pi_t": pi(after),
        "mu_t": pick(mu(after), a_t),
        "c_t": LAMBDA * ratio(after, a_t),
    }
    x = types.SimpleNamespace(**known, s_t=after, all_states=all_states)
    known |= row.arguments(x)
    return {name: jnp.asarray(known[name]) for name in wanted if name in known}


def episodes_of(name, row, steps, rollout, lane, whole):
    """The episodes, or parts of one, that the rollout has of a lane."""
    mode, real = MODES[name], ~steps.dummy_t[:, lane]
    begin, end = (int(real[: k * LENGTH].sum()) for k in (rollout, rollout + 1))
    at = 0
    for one in whole:
        start, stop = max(begin - at, 0), min(end - at, len(one.a))
        finished, at = stop == len(one.a), at + len(one.a)
        if finished and start < stop:
            loses_end = row.frames and name != "next_step"
            stop -= loses_end or (mode.loses_cut and not one.terminal)
        if start < stop:
            yield Episode(one, start, stop)


class Row(NamedTuple):
    """An op's equation, and where its arguments aren't those of `arguments`."""

    loop: Callable
    value: Callable = v  # of the state that a cut-off episode ended in
    options: dict = {}
    arguments: Callable = lambda x: {}
    bootstraps_in: frozenset = frozenset()  # further modes that need bootstrap_t
    frames: bool = False  # consecutive ones, in which a last one can't be put back


# `values` [T + 1] hold each state once, so that the last of an episode isn't there.
ONE_ARRAY = frozenset({"same_step_put_back", "disabled"})
# No action is taken in the last state.
NO_ACTION = ONE_ARRAY | {"next_step"}
PAIR = {"tx_pair": rlax.SIGNED_LOGP1_PAIR}

ROWS = {
    "lambda_returns": Row(lambda e: lambda_return(e.r, e.all_values(v))),
    "discounted_returns": Row(lambda e: lambda_return(e.r, e.all_values(v), 1.0)),
    "n_step_bootstrapped_returns": Row(
        lambda e: n_step_return(e.r, e.all_values(v)), options={"n": N}
    ),
    "upgo_returns": Row(upgo_return),
    "truncated_generalized_advantage_estimation": Row(
        advantage, bootstraps_in=ONE_ARRAY
    ),
    "importance_corrected_td_errors": Row(
        importance_corrected, bootstraps_in=ONE_ARRAY
    ),
    "vtrace": Row(lambda e: vtrace_parts(e, 1.0)[0]),
    "leaky_vtrace": Row(
        lambda e: vtrace_parts(e, 0.6)[0], options={"alpha_": 0.6}
    ),
    "vtrace_td_error_and_advantage": Row(lambda e: vtrace_parts(e, 1.0)),
    "leaky_vtrace_td_error_and_advantage": Row(
        lambda e: vtrace_parts(e, 0.6), options={"alpha": 0.6}
    ),
    "general_off_policy_returns_from_q_and_v": Row(
        general_return,
        arguments=lambda x: {"q_t": pick(x.q_t, x.a_t)[:-1], "c_t": x.c_t[:-1]},
    ),
    "general_off_policy_returns_from_action_values": Row(general_return),
    "td_lambda": Row(
        lambda e: lambda_return(e.r, e.all_values(v)) - v(e.s[:-1])
    ),
    "sarsa_lambda": Row(
        lambda e: lambda_return(e.r, e.sarsa_values()) - e.taken(q),
        bootstraps_in=NO_ACTION,
    ),
    "q_lambda": Row(
        lambda e: lambda_return(e.r, e.all_values(greedy)) - e.taken(q), greedy
    ),
    "retrace": Row(retrace),
    "retrace_continuous": Row(
        retrace,
        arguments=lambda x: {
            "q_tm1": pick(x.q_tm1, x.a_tm1),
            "q_t": pick(x.q_t, x.a_t)[:-1],
            "log_rhos": np.log(x.c_t / LAMBDA)[:-1],
        },
    ),
    "transformed_lambda_returns": Row(
        lambda e: tx(lambda_return(e.r, e.all_values(unsquashed(v)))), options=PAIR
    ),
    "transformed_n_step_returns": Row(
        lambda e: tx(n_step_return(e.r, e.all_values(unsquashed(v)))),
        options={**PAIR, "n": N},
    ),
    "transformed_general_off_policy_returns_from_action_values": Row(
        lambda e: general_return(e, squash=True), squashed_v, PAIR
    ),
    "transformed_q_lambda": Row(
        lambda e: (
            tx(lambda_return(e.r, e.all_values(unsquashed(greedy)))) - e.taken(q)
        ),
        greedy,
        PAIR,
    ),
    "transformed_retrace": Row(lambda e: retrace(e, squash=True), squashed_v, PAIR),
    "transformed_n_step_q_learning": Row(
        lambda e: tx(n_step_return(e.r, e.all_values(unsquashed(double)))) - e.taken(q),
        double,
        {**PAIR, "n": N},
        lambda x: {"target_q_t": x.q_t, "a_t": online_q(x.s_t).argmax(-1)},
    ),
    "pixel_control_loss": Row(
        pixel_loss,
        options={"cell_size": 2},
        arguments=lambda x: {
            "observations": frames(x.all_states),
            "actions": x.a_tm1,
            "action_values": cell_values(x.all_states),
            "discount_factor": x.discount_t,
        },
        frames=True,
    ),
}  # fmt: skip


def takes_truncation(op):
    try:
        return "truncation_t" in inspect.signature(op).parameters
    except (TypeError, ValueError):
        return False


OPS = sorted(name for name in dir(rlax) if takes_truncation(getattr(rlax, name)))


@pytest.mark.parametrize("name", MODES)
def test_streams_end_in_every_way(name):
    steps, _ = MODES[name].collect()
    over, cut = steps.terminated_t[:-1], steps.truncated_t[:-1]
    assert (over & ~cut).sum() > 5 and (cut & ~over).sum() > 5 and (over & cut).any()
    assert cut[[LENGTH - 1, 2 * LENGTH - 1]].any()  # where an array ends, too
    assert steps.dummy_t[LENGTH].any() == (name == "next_step")  # or begins


def test_every_op_that_takes_truncation_has_a_row():
    assert set(OPS) == set(ROWS)


@functools.cache
def compiled(name, parallel):
    """The op as a function of its arrays."""
    options = ROWS[name].options | ({"parallel": True} if parallel else {})
    op = functools.partial(getattr(rlax, name), **options)
    return jax.jit(lambda args: op(**args))


def outputs(name, mode, rollout, **changes):
    """What the op makes of a rollout, [T, B, ...] each, and which steps count.

    `changes` are arguments that differ from those of the mode.
    """
    row, op = ROWS[name], getattr(rlax, name)
    steps, _ = MODES[mode].collect()
    here = slice(rollout * LENGTH, (rollout + 1) * LENGTH)
    a_t = steps.a_tm1[1:][here]
    steps = Steps(*(x[here] for x in steps))
    ends = keywords(mode, row, steps)
    if MODES[mode].puts_back:
        steps = steps._replace(s_t=steps.last_t)
    wanted = inspect.signature(op).parameters
    args = arguments(row, wanted, steps, a_t) | ends | changes
    out = compiled(name, "parallel" in wanted and mode.startswith("jax"))(args)
    kept = ends.get("mask_t", np.ones((LENGTH, LANES), bool))
    return jax.tree.leaves(out), kept


def expected(name, mode, rollout, lane):
    """The same of whole episodes, at the steps that count, [K, ...] each."""
    steps, lanes = MODES[mode].collect()
    row = ROWS[name]
    episodes = episodes_of(mode, row, steps, rollout, lane, lanes[lane])
    parts = [row.loop(e) for e in episodes]
    parts = [x if isinstance(x, tuple) else (x,) for x in parts]
    return [np.concatenate(x) for x in zip(*parts)]


def beside_the_loop(name, mode, rollout, **changes):
    """Pairs of what the op gives and what the loop does, at the steps that count."""
    out, kept = outputs(name, mode, rollout, **changes)
    for lane in range(LANES):
        for have, want in zip(out, expected(name, mode, rollout, lane), strict=True):
            yield np.asarray(have)[:, lane][kept[:, lane]], want


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPS)
def test_row(name, mode):
    for rollout in range(ROLLOUTS):
        out, kept = outputs(name, mode, rollout)
        for x in out:
            assert x.dtype == jnp.float32 and not np.any(np.asarray(x)[~kept])
        for have, want in beside_the_loop(name, mode, rollout):
            np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


# The page's remarks.


def test_the_mask_of_next_step_cuts_without_truncation_t():
    for have, want in beside_the_loop(
        "lambda_returns", "next_step", 0, truncation_t=None
    ):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


def test_discounted_returns_take_the_last_value_alone_with_bootstrap_t():
    last = jnp.asarray(v(MODES["jax"].collect()[0].s_t[LENGTH - 1]))
    for have, want in beside_the_loop("discounted_returns", "jax", 0, v_t=last):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "forgotten"),
    [
        ("same_step", "truncation_t"),
        ("same_step", "bootstrap_t"),
        ("same_step_put_back", "truncation_t"),
        ("next_step", "mask_t truncation_t"),
        ("disabled", "truncation_t"),
        ("jax", "bootstrap_t"),
        ("jax_last_observation_lost", "mask_t"),
    ],
)
def test_forgetting_a_keyword_changes_returns(mode, forgotten):
    changes = dict.fromkeys(forgotten.split())
    pairs = beside_the_loop("lambda_returns", mode, 0, **changes)
    assert max(np.abs(have - want).max() for have, want in pairs) > 0.05


@pytest.mark.parametrize("name", OPS)
def test_padding_is_as_if_removed(name):
    """NaN in the padding reaches no value, and no gradient of any argument."""
    row, wanted = ROWS[name], inspect.signature(getattr(rlax, name)).parameters
    steps, _ = MODES["jax"].collect()
    a_t, steps = steps.a_tm1[1 : LENGTH + 1], Steps(*(x[:LENGTH] for x in steps))
    args = arguments(row, wanted, steps, a_t)
    args["truncation_t"] = jnp.asarray(steps.truncated_t)
    length = LENGTH - 3
    options = row.options | (
        {"stop_target_gradients": False} if "stop_target_gradients" in wanted else {}
    )
    op = functools.partial(getattr(rlax, name), **options)

    def extra(x):
        """How many more elements than steps an argument has, 1, 0 or -1."""
        return len(x) - LENGTH if x.ndim else 0

    def removed(x):
        return x[: length + extra(x)] if x.ndim else x

    def spoiled(x):
        floats = jnp.issubdtype(x.dtype, jnp.floating) and x.ndim
        return x.at[length + extra(x) :].set(jnp.nan) if floats else x

    def run(args):
        floats = {k: x for k, x in args.items() if x.dtype == jnp.float32}

        def loss(floats):
            out = jax.tree.leaves(op(**{**args, **floats}))
            return sum(jnp.sum(jnp.sin(x[:length])) for x in out), out

        return jax.jit(jax.grad(loss, has_aux=True))(floats)

    mask = jnp.arange(LENGTH) < length
    padded = {k: spoiled(x) for k, x in args.items()} | {"mask_t": mask}
    gradients, out = run(padded)
    want_gradients, want = run({k: removed(x) for k, x in args.items()})
    for x, y in zip(out, want, strict=True):
        np.testing.assert_allclose(x[:length], y, rtol=1e-5, atol=1e-5)
        assert not np.any(x[length:])
    for k, y in want_gradients.items():
        x = gradients[k]
        np.testing.assert_allclose(removed(x), y, rtol=1e-5, atol=1e-5, err_msg=k)
        assert not x.ndim or not np.any(x[length + extra(x) :]), k
