"""Deep sea: a diver sinks by one row in a step; the treasure lies in one corner.

The game of bsuite (Osband et al., 2020, Behaviour Suite for Reinforcement Learning,
arXiv:1908.03568) without its hidden meaning of actions, written anew: the diver starts
at the top left of N rows of N, goes left (0) or right (1) in each step, and is at the
bottom after N of them. Going right costs 0.01 / N; going right in the last step from
the last column is worth 1. So only one way of 2^N leads to the treasure, and all that
is seen on other ways speaks against going right.
"""

from typing import NamedTuple

import games
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pictures

SIZE = 20


class Diver(NamedTuple):
    """Where the diver is, whole numbers."""

    row: jax.Array
    column: jax.Array


def start(key) -> Diver:
    return Diver(jnp.zeros([], int), jnp.zeros([], int))


def step(diver: Diver, action, key):
    """The diver after one step, the reward, whether the episode ended; never cut."""
    found = (action == 1) & (diver.column == SIZE - 1)
    column = jnp.clip(diver.column + 2 * action - 1, 0, SIZE - 1)
    row = diver.row + 1
    reward = 1.0 * found - 0.01 / SIZE * action
    return Diver(row, column), reward, row == SIZE, False


def observe(diver: Diver):
    """The row and the column, [2 N] in {0, 1}."""
    # At the bottom no row is seen.
    places = jnp.stack([diver.row, diver.column])
    return jax.nn.one_hot(places, SIZE).reshape(-1)


def draw(diver: Diver):
    """The diver in the sea."""
    colours = np.full([SIZE + 1, SIZE, 3], (0.05, 0.2, 0.4))
    colours[-1], colours[-1, -1] = (0.4, 0.3, 0.2), (1.0, 0.8, 0.2)
    colours[int(diver.row), int(diver.column)] = 1.0
    return pictures.board(colours, 12)


GAME = games.Game("DeepSea", start, step, observe, gymnasium.spaces.Discrete(2), draw)
vector = games.vector(GAME)
