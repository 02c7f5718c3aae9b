"""MinAtar's five games, as pgx has them in JAX.

Small boards [10, 10, C] of what Atari's games show; each channel is one kind of thing.
With a chance of 0.1 the action is the one before, as in MinAtar.
Source: Young and Tian, 2019, MinAtar: An Atari-Inspired Testbed for Thorough and
Reproducible Reinforcement Learning Experiments, arXiv:1903.03176; Koyamada et al.,
2023, Pgx, arXiv:2303.17503.
"""

import colorsys
import functools

import experiment
import games
import gymnasium
import numpy as np
import pgx
import pictures

GAMES = "asterix", "breakout", "freeway", "seaquest", "space_invaders"


@functools.cache
def game(name: str) -> games.Game:
    """One of the five."""
    if name not in GAMES:
        raise ValueError(f"MinAtar has {', '.join(GAMES)}, not {name!r}.")
    rules = pgx.make(f"minatar-{name}")

    def step(state, action, key):
        state = rules.step(state, action, key)
        return state, state.rewards[0], state.terminated, state.truncated

    return games.Game(
        name,
        rules.init,
        step,
        lambda state: state.observation,
        gymnasium.spaces.Discrete(rules.num_actions),
        lambda state: draw(state.observation),
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
