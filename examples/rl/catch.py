"""Catch: a ball falls down a board, and a paddle in the last row must be under it.

The game of bsuite (Osband et al., 2020, Behaviour Suite for Reinforcement Learning,
arXiv:1908.03568), written anew: 10 rows of 5. The ball starts in the first row, in a
random column, and falls by one row in a step; the paddle starts in the middle, and goes
left (0), stays (1) or goes right (2). After nine steps the ball is in the paddle's row:
the reward is 1 if the paddle is there, else -1, and the episode ends. All other rewards
are 0.

The rules are pure functions on JAX arrays: `jax.vmap` plays many games at once, and
`jax.lax.scan` whole trainings in one compiled call, with no trip to Python in between.
"""

from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode

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


starts, steps, boards = (jax.jit(jax.vmap(f)) for f in (start, step, board))


class CatchVector(gymnasium.vector.VectorEnv):
    """Games side by side for `experiment.evaluate`, as gymnasium's environments."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, environment: str, count: int, wrappers=()):
        if environment != "Catch" or wrappers:
            raise ValueError(f"Catch is played here, not {environment} in {wrappers}.")
        self.num_envs = count
        self.single_action_space = gymnasium.spaces.Discrete(3)
        self.single_observation_space = gymnasium.spaces.Box(0, 1, [ROWS, COLUMNS])
        batch = gymnasium.vector.utils.batch_space
        self.action_space = batch(self.single_action_space, count)
        self.observation_space = batch(self.single_observation_space, count)

    def reset(self, *, seed=None, options=None):
        """Starts all games anew; as in gymnasium, without `seed` chance goes on."""
        super().reset(seed=seed)
        self.games = starts(self._keys())
        return np.asarray(boards(self.games)), {}

    def step(self, actions):
        """One step in each; a game that ended starts anew."""
        self.games, rewards, ended = steps(self.games, actions)
        info, ended = {}, np.asarray(ended)
        if ended.any():  # All at once: every episode has as many steps.
            info = {"final_obs": np.asarray(boards(self.games)), "_final_obs": ended}
            self.games = starts(self._keys())
        cut = np.zeros_like(ended)
        return np.asarray(boards(self.games)), np.asarray(rewards), ended, cut, info

    def _keys(self):
        number = self.np_random.integers(2**31)
        return jax.random.split(jax.random.key(number), self.num_envs)
