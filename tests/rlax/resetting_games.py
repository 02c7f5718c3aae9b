"""A small game in environments that reset themselves, and the episodes that it had.

Each function that collects gives the stream of some lanes side by side, as an agent
sees it, and the same episodes whole, which the game remembered by itself.
"""

import functools
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

A, LIMIT, LANES, LENGTH, ROLLOUTS = 3, 5, 3, 16, 2

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
