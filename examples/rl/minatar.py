"""MinAtar's five games, as pgx has them in JAX.

Small boards [10, 10, C] of what Atari's games show; each channel is one kind of thing.
With a chance of 0.1 the action is the one before, as in MinAtar. A game is cut off
after 5000 steps: a submarine that stays on the surface would play for ever.
Source: Young and Tian, 2019, MinAtar: An Atari-Inspired Testbed for Thorough and
Reproducible Reinforcement Learning Experiments, arXiv:1903.03176; Koyamada et al.,
2023, Pgx, arXiv:2303.17503.
"""

import colorsys
import functools
from typing import Any, NamedTuple

import experiment
import games
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pgx
import pictures

GAMES = "asterix", "breakout", "freeway", "seaquest", "space_invaders"
LONGEST = 5000  # steps


class Timed(NamedTuple):
    """A game, and how many steps it has taken."""

    state: Any
    steps: jax.Array


@functools.cache
def game(name: str) -> games.Game:
    """One of the five."""
    if name not in GAMES:
        raise ValueError(f"MinAtar has {', '.join(GAMES)}, not {name!r}.")
    rules = pgx.make(f"minatar-{name}")

    def start(key):
        return Timed(rules.init(key), jnp.zeros([], jnp.int32))

    def step(timed, action, key):
        state, steps = rules.step(timed.state, action, key), timed.steps + 1
        timed = Timed(state, steps)
        return timed, state.rewards[0], state.terminated, steps >= LONGEST

    return games.Game(
        name,
        start,
        step,
        lambda timed: timed.state.observation,
        gymnasium.spaces.Discrete(rules.num_actions),
        lambda timed: draw(timed.state.observation),
    )


def draw(board):
    """A board with a colour for each kind of thing."""
    kinds = board.shape[-1]
    colours = [colorsys.hsv_to_rgb(i / kinds, 0.6, 1.0) for i in range(kinds)]
    shown = np.einsum("hwc,cr->hwr", board.astype(float), np.array(colours))
    return pictures.board(np.where(board.any(-1, keepdims=True), shown, 0.1))


def vector(name: str, count: int, wrappers=(), **render):
    """Games side by side; by other names gymnasium's environments."""
    make = games.vector(game(name)) if name in GAMES else experiment.vector
    return make(name, count, wrappers, **render)
