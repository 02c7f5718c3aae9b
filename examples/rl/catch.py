"""Catch: a ball falls down a board, and a paddle in the last row must be under it.

The game of bsuite (Osband et al., 2020, Behaviour Suite for Reinforcement Learning,
arXiv:1908.03568), written anew: 10 rows of 5. The ball starts in the first row, in a
random column, and falls by one row in a step; the paddle starts in the middle, and goes
left (0), stays (1) or goes right (2). After nine steps the ball is in the paddle's row:
the reward is 1 if the paddle is there, else -1, and the episode ends. All other rewards
are 0.
"""

from typing import NamedTuple

import games
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pictures
from games import Game

ROWS, COLUMNS = 10, 5
STEPS = ROWS - 1  # of each episode


class Catch(NamedTuple):
    """Where things are, each a whole number."""

    row: jax.Array  # of the ball
    column: jax.Array  # of the ball
    paddle: jax.Array  # its column


def start(key) -> Catch:
    """A ball in the first row."""
    column = jax.random.randint(key, [], 0, COLUMNS)
    return Catch(jnp.zeros([], int), column, jnp.full([], COLUMNS // 2))


def step(game: Catch, action):
    """The game after one step, the reward, and whether the episode ended."""
    paddle = jnp.clip(game.paddle + action - 1, 0, COLUMNS - 1)
    row = game.row + 1
    ended = row == ROWS - 1
    reward = jnp.where(paddle == game.column, 1.0, -1.0) * ended
    return Catch(row, game.column, paddle), reward, ended


def board(game: Catch):
    """What the player sees, [ROWS, COLUMNS]: 1 where the ball and the paddle are."""
    empty = jnp.zeros([ROWS, COLUMNS])
    return empty.at[game.row, game.column].set(1).at[ROWS - 1, game.paddle].set(1)


def draw(game: Catch):
    """Ball and paddle, on a dark ground."""
    colours = np.full([ROWS, COLUMNS, 3], 0.1)
    colours[game.row, game.column] = 1.0, 0.7, 0.2
    colours[ROWS - 1, game.paddle] = 0.3, 0.6, 1.0
    return pictures.board(colours)


GAME = Game(
    "Catch",
    start,
    lambda game, action, key: (*step(game, action), False),
    board,
    gymnasium.spaces.Discrete(3),
    draw,
)
vector = games.vector(GAME)
