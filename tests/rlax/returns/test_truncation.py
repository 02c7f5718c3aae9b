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

import rlax

A, LIMIT, LANES, LENGTH, ROLLOUTS = 3, 5, 3, 16, 2
GAMMA, LAMBDA, N = 0.9, 0.8, 3

# The game: a walk on the places 0 to 5 that is over at either end, and is cut off after
# LIMIT steps; both may happen at once.


def move(place, action):
    """The next place, the reward, and whether the walk is over."""
    place = place + action - 1
    return place, 0.25 * place - 0.1 * action, (place <= 0) | (place >= 5)


def first_place(episode):
    return 1 + episode % 3 + (episode % 3 == 2)  # 1, 2, 4


def observe(place, clock, episode, xp=np):
    return xp.stack([0.5 * place, 0.3 * clock, 0.2 * (episode % 7)]).astype(xp.float32)


class Game:
    """One game after another, which remembers its episodes."""

    def __init__(self):
        self.episodes = []

    def reset(self):
        self.place, self.clock = first_place(len(self.episodes)), 0
        self.episodes.append(types.SimpleNamespace(s=[], a=[], r=[], terminal=False))
        return self.see()

    def step(self, action):
        self.place, reward, over = move(self.place, int(action))
        self.clock += 1
        now = self.episodes[-1]
        now.a.append(int(action))
        now.r.append(reward)
        now.terminal = bool(over)
        return self.see(), reward, bool(over), self.clock >= LIMIT

    def see(self):
        seen = observe(self.place, self.clock, len(self.episodes) - 1)
        self.episodes[-1].s.append(seen)
        return seen


# What an agent knows of a state. [..., 3] -> [...] or [..., A], in float64.

WEIGHTS = np.random.default_rng(0).standard_normal((6, 3, 16))


def features(kind, count, s):
    return np.sin(np.asarray(s, float) @ WEIGHTS[kind, :, :count] + kind)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


q, online_q = functools.partial(features, 0, A), functools.partial(features, 1, A)


def pi(s):
    return softmax(features(2, A, s))


def mu(s):
    return softmax(features(3, A, s))


def v(s):
    return (pi(s) * q(s)).sum(-1)


def greedy(s):
    return q(s).max(-1)


def double(s):
    return pick(q(s), online_q(s).argmax(-1))


def pick(x, a):
    return np.take_along_axis(x, np.asarray(a)[..., None], -1)[..., 0]


def frames(s):
    x = features(4, 16, s)
    return x.reshape(*x.shape[:-1], 4, 4, 1)


def cell_values(s):
    x = features(5, 4 * A, s)
    return x.reshape(*x.shape[:-1], 2, 2, A)


def tx(x):
    return np.sign(x) * np.log1p(np.abs(x))


def tx_inv(x):
    return np.sign(x) * np.expm1(np.abs(x))


def squashed_v(s):
    return tx((pi(s) * tx_inv(q(s))).sum(-1))


# Streams as agents collect them.


class Steps(NamedTuple):
    s_tm1: Any  # [T, B, 3]
    a_tm1: Any  # [T, B]
    r_t: Any
    s_t: Any  # [T, B, 3], what the environment returned
    last_t: Any  # [T, B, 3], where the episode ended its last observation
    terminated_t: Any  # [T, B]
    truncated_t: Any
    dummy_t: Any  # [T, B], whether the step did nothing but reset


def actions():
    """One more than all arrays hold: their last step has a next action, too."""
    shape = ROLLOUTS * LENGTH + 1, LANES
    return np.random.default_rng(2).integers(0, A, shape).astype(np.int32)


@functools.cache
def from_gymnasium(mode):
    """The steps of a vector environment, and the episodes of each of its lanes."""
    gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is an extra")

    class Walk(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, [3])
        action_space = gymnasium.spaces.Discrete(A)

        def __init__(self, game):
            self.game = game

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.game.reset(), {}

        def step(self, action):
            return *self.game.step(action), {}

    games = [Game() for _ in range(LANES)]
    environments = gymnasium.vector.SyncVectorEnv(
        [functools.partial(Walk, game) for game in games],
        autoreset_mode=gymnasium.vector.AutoresetMode[mode],
    )
    s_tm1, _ = environments.reset()
    ended, rows = np.zeros(LANES, bool), []
    for a_tm1 in actions():
        s_t, r_t, terminated, truncated, info = environments.step(a_tm1)
        last = s_t.copy()
        for i in np.flatnonzero(info.get("_final_obs", [])):
            last[i] = info["final_obs"][i]
        dummy = ended & (mode == "NEXT_STEP")
        rows.append((s_tm1, a_tm1, r_t, s_t, last, terminated, truncated, dummy))
        s_tm1, ended = s_t, terminated | truncated
        if mode == "DISABLED" and ended.any():
            s_tm1, _ = environments.reset(options={"reset_mask": ended})
    environments.close()
    return Steps(*map(np.stack, zip(*rows))), [game.episodes for game in games]


def jax_step(state, action):
    """One step of the game that starts the next one where it ends, for `vmap`."""
    place, clock, episode = state
    s_tm1 = observe(*state, jnp)
    place, reward, over = move(place, action)
    clock = clock + 1
    last, cut = observe(place, clock, episode, jnp), clock >= LIMIT
    fresh = first_place(episode + 1), jnp.zeros_like(clock), episode + 1
    state = jax.tree.map(
        functools.partial(jnp.where, over | cut), fresh, (place, clock, episode)
    )
    s_t, dummy = observe(*state, jnp), jnp.zeros((), bool)
    return state, Steps(s_tm1, action, reward, s_t, last, over, cut, dummy)


@functools.cache
def from_jax():
    """The same of an environment that resets inside jit."""
    zeros = jnp.zeros(LANES, jnp.int32)
    start = zeros + first_place(0), zeros, zeros
    scan = jax.jit(lambda a: jax.lax.scan(jax.vmap(jax_step), start, a)[1])
    steps = jax.tree.map(np.asarray, scan(actions()))
    games = [Game() for _ in range(LANES)]
    for game, lane in zip(games, actions().T):
        game.reset()
        for action in lane:
            if any(game.step(action)[2:]):
                game.reset()
    return steps, [game.episodes for game in games]


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


# Whole episodes, and what the ops' equations say of them.


class Episode:
    """An episode up to its end, or to where an array ends."""

    def __init__(self, whole, start, stop):
        self.s = np.stack(whole.s[start : stop + 1])  # [L + 1, 3]
        self.a = whole.a[start : stop + 1]  # one more than L if it goes on
        self.r = np.array(whole.r[start:stop])  # [L]
        self.terminal = whole.terminal and stop == len(whole.a)

    def __len__(self):
        return len(self.r)

    def all_values(self, f):
        """f of every state; nothing follows a terminal one. [L + 1]."""
        values = f(self.s).copy()
        if self.terminal:
            values[-1] = 0
        return values

    def taken(self, f):
        """f of the actions taken, [L]."""
        return pick(f(self.s[:-1]), self.a[: len(self)])

    def ratios(self):
        return self.taken(pi) / self.taken(mu)

    def sarsa_values(self):
        """Those of the actions taken; after a cut no action is: the expected one."""
        values = self.all_values(v)
        values[:-1] = self.taken(q)
        if len(self.a) > len(self):
            values[-1] = q(self.s[-1])[self.a[-1]]
        return values


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


def lambda_return(r, values, trace=LAMBDA):
    g, out = values[-1], []
    for reward, value in zip(r[::-1], values[:0:-1]):
        g = reward + GAMMA * ((1 - trace) * value + trace * g)
        out.append(g)
    return np.array(out[::-1])


def n_step_return(r, values):
    steps = [range(t, min(t + N, len(r))) for t in range(len(r))]
    return np.array([
        sum(GAMMA ** (k - t) * r[k] for k in window)
        + GAMMA ** len(window) * values[t + len(window)]
        for t, window in enumerate(steps)
    ])  # fmt: skip


def td_errors(r, values):
    return r + GAMMA * values[1:] - values[:-1]


def advantage(e):
    delta = td_errors(e.r, e.all_values(v))
    decay = GAMMA * LAMBDA
    return np.array([
        sum(decay ** (k - t) * delta[k] for k in range(t, len(e)))
        for t in range(len(e))
    ])  # fmt: skip


def importance_corrected(e):
    delta, rho = td_errors(e.r, e.all_values(v)), e.ratios()
    out = np.zeros(len(e))
    for t in range(len(e)):
        for k in range(t, len(e)):
            weight = (GAMMA * LAMBDA) ** (k - t) * np.prod(rho[t : k + 1])
            out[t] += weight * delta[k]
    return out


def vtrace_parts(e, alpha):
    values, rho = e.all_values(v), e.ratios()
    clipped = alpha * np.minimum(1, rho) + (1 - alpha) * rho
    delta = clipped * td_errors(e.r, values)
    errors = np.zeros(len(e))
    for t in range(len(e)):
        for k in range(t, len(e)):
            errors[t] += delta[k] * np.prod(GAMMA * LAMBDA * clipped[t:k])
    ahead = np.append(values[1:-1] + LAMBDA * errors[1:], values[-1:])
    q_estimate = e.r + GAMMA * ahead
    return errors, clipped * (q_estimate - values[:-1]), q_estimate


def off_policy_return(e, values, q_taken, c):
    out = np.zeros(len(e))
    for t in reversed(range(len(e))):
        out[t] = e.r[t] + GAMMA * values[t + 1]
        if t + 1 < len(e):
            out[t] += GAMMA * c[t + 1] * (out[t + 1] - q_taken[t + 1])
    return out


def squashed_q(s):
    return tx_inv(q(s))


def unsquashed(f):
    return lambda s: tx_inv(f(s))


def retrace(e, squash=False):
    action_values, value = (squashed_q, squashed_v) if squash else (q, v)
    values = e.all_values(unsquashed(value) if squash else value)
    c = LAMBDA * np.minimum(1, e.ratios())
    g = off_policy_return(e, values, e.taken(action_values), c)
    return (tx(g) if squash else g) - e.taken(q)


def general_return(e, squash=False):
    action_values, value = (squashed_q, unsquashed(squashed_v)) if squash else (q, v)
    c = LAMBDA * e.ratios()
    g = off_policy_return(e, e.all_values(value), e.taken(action_values), c)
    return tx(g) if squash else g


def upgo_return(e):
    values = e.all_values(v)
    out = np.zeros(len(e))
    for t in reversed(range(len(e))):
        after = values[t + 1]
        if t + 1 < len(e) and e.r[t + 1] + GAMMA * values[t + 2] >= after:
            after = out[t + 1]
        out[t] = e.r[t] + GAMMA * after
    return out


def pixel_loss(e):
    images, cells = frames(e.s), cell_values(e.s)
    reward = np.abs(np.diff(images, axis=0)).reshape(-1, 2, 2, 2, 2).mean((2, 4))
    following = cells[-1].max(-1) * (not e.terminal)
    out = np.zeros(reward.shape)
    for t in reversed(range(len(e))):
        following = reward[t] + GAMMA * following
        out[t] = 0.5 * (following - cells[t][..., e.a[t]]) ** 2
    return out


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
    assert set(OPS) <= set(ROWS)


@functools.cache
def compiled(name, parallel):
    """The op as a function of its arrays."""
    options = ROWS[name].options | ({"parallel": True} if parallel else {})
    op = functools.partial(getattr(rlax, name), **options)
    return jax.jit(lambda args, ends: op(**args, **ends))


def outputs(name, mode, rollout):
    """What the op makes of a rollout, [T, B, ...] each, and which steps count."""
    row, op = ROWS[name], getattr(rlax, name)
    steps, _ = MODES[mode].collect()
    here = slice(rollout * LENGTH, (rollout + 1) * LENGTH)
    a_t = steps.a_tm1[1:][here]
    steps = Steps(*(x[here] for x in steps))
    ends = keywords(mode, row, steps)
    if MODES[mode].puts_back:
        steps = steps._replace(s_t=steps.last_t)
    wanted = inspect.signature(op).parameters
    args = arguments(row, wanted, steps, a_t)
    out = compiled(name, "parallel" in wanted and mode.startswith("jax"))(args, ends)
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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPS)
def test_row(name, mode):
    for rollout in range(ROLLOUTS):
        out, kept = outputs(name, mode, rollout)
        assert all(x.dtype == jnp.float32 for x in out)
        for lane in range(LANES):
            for have, want in zip(
                out, expected(name, mode, rollout, lane), strict=True
            ):
                have = np.asarray(have[:, lane])
                np.testing.assert_allclose(
                    have[kept[:, lane]], want, rtol=1e-5, atol=1e-5
                )
                assert not np.any(have[~kept[:, lane]])


# The page's remarks.


def returns_in(mode, **changes):
    """Lambda returns of a first lane, as the mode's keywords say but for some."""
    row = ROWS["lambda_returns"]
    steps, _ = MODES[mode].collect()
    steps = Steps(*(x[:LENGTH] for x in steps))
    ends = keywords(mode, row, steps) | changes
    args = arguments(row, ("r_t", "discount_t", "v_t", "lambda_"), steps, steps.a_tm1)
    have = rlax.lambda_returns(**args, **ends)[:, 0]
    kept = keywords(mode, row, steps).get("mask_t", ~steps.dummy_t)[:, 0]
    return np.asarray(have)[kept], expected("lambda_returns", mode, 0, 0)[0]


def test_next_steps_mask_cuts_without_truncation_t():
    np.testing.assert_allclose(*returns_in("next_step", truncation_t=None), rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "forgotten"),
    [
        ("same_step", "truncation_t"),
        ("same_step", "bootstrap_t"),
        ("same_step_put_back", "truncation_t"),
        ("next_step", "mask_t truncation_t"),
        ("jax", "bootstrap_t"),
        ("jax_last_observation_lost", "mask_t"),
    ],
)
def test_forgetting_a_keyword_changes_returns(mode, forgotten):
    have, want = returns_in(mode, **dict.fromkeys(forgotten.split()))
    assert np.abs(have - want).max() > 0.05


def test_discounted_returns_with_the_last_value_alone_need_bootstrap_t():
    steps, _ = MODES["jax"].collect()
    steps = Steps(*(x[:LENGTH] for x in steps))
    ends = keywords("jax", ROWS["discounted_returns"], steps)
    discount = np.float32(GAMMA * (1 - steps.terminated_t))
    last = np.float32(v(steps.s_t[-1]))
    have = rlax.discounted_returns(steps.r_t, discount, last, **ends)
    for lane in range(LANES):
        (want,) = expected("discounted_returns", "jax", 0, lane)
        np.testing.assert_allclose(have[:, lane], want, rtol=1e-5, atol=1e-5)
