"""Games whose rules are pure functions on JAX arrays.

`jax.vmap` plays many at once, and `jax.lax.scan` compiles a whole training. `vector`
shows them as gymnasium's environments, so that agents that step their environments from
Python play them too, and all are evaluated alike.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode


class Game(NamedTuple):
    """Rules of a game for one player."""

    name: str
    start: Callable  # key -> state
    step: Callable  # state, action, key -> state, reward, ended, cut
    observe: Callable  # state -> what the player sees, an array
    action_space: gymnasium.Space
    draw: Callable | None = None  # state -> picture, [H, W, 3] of 0 to 255


class Step(NamedTuple):
    """One step from a state (`_tm1`) to the next (`_t`)."""

    s_tm1: Any  # what the player saw
    a_tm1: Any
    r_t: Any
    ended_t: Any  # whether the episode came to its end: nothing follows
    cut_t: Any  # whether it was cut off: it would have gone on
    s_t: Any  # where an episode is over, not what the next one begins with


def play(game: Game, state, action, key):
    """Takes one step; returns the state after it, and the `Step`.

    Where an episode is over, that state is the first of the next one.
    """
    step_key, start_key = jax.random.split(key)
    return play_on(game, state, action, step_key, game.start(start_key))


def play_on(game: Game, state, action, key, first):
    """`play` with a first state for the next episode, which was drawn before.

    Compiled loops draw slowly on a CPU: drawing for all steps before them is faster.
    """
    after, reward, ended, cut = game.step(state, action, key)
    ended, cut = jnp.asarray(ended, bool), jnp.asarray(cut, bool)
    step = Step(
        game.observe(state),
        action,
        jnp.asarray(reward, jnp.float32),
        ended,
        cut & ~ended,
        game.observe(after),
    )
    over = ended | cut
    return jax.tree.map(lambda x, y: jnp.where(over, x, y), first, after), step


def vector(game: Game):
    """What makes vectors of environments for `experiment.main`."""
    return functools.partial(Games, game)


class Games(gymnasium.vector.VectorEnv):
    """Games side by side, as gymnasium has environments side by side."""

    def __init__(self, game: Game, environment: str, count: int, wrappers=(), **render):
        if environment != game.name or wrappers:
            raise ValueError(
                f"{game.name} is played here, not {environment} in {wrappers}."
            )
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.game, self.num_envs = game, count
        self.render_mode = render.get("render_mode")
        seen = jax.eval_shape(lambda: game.observe(game.start(jax.random.key(0))))
        self.single_action_space = game.action_space
        self.single_observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, seen.shape, np.float32
        )
        batch = gymnasium.vector.utils.batch_space
        self.action_space = batch(self.single_action_space, count)
        self.observation_space = batch(self.single_observation_space, count)
        self.starts, self.steps = _compiled(game._replace(action_space=None))

    def reset(self, *, seed=None, options=None):
        """Starts all games anew; as in gymnasium, without `seed` chance goes on."""
        super().reset(seed=seed)
        self.states, observations = self.starts(self._keys())
        return np.asarray(observations), {}

    def step(self, actions):
        """One step in each; a game that is over starts anew."""
        self.states, observations, step = self.steps(
            self.states, np.asarray(actions), self._keys()
        )
        ended, cut = np.asarray(step.ended_t), np.asarray(step.cut_t)
        info, over = {}, ended | cut
        if over.any():
            info = {"final_obs": np.asarray(step.s_t), "_final_obs": over}
        return np.asarray(observations), np.asarray(step.r_t), ended, cut, info

    def render(self):
        """A picture of each game."""
        leaves, tree = jax.tree.flatten(jax.device_get(self.states))
        states = [jax.tree.unflatten(tree, row) for row in zip(*leaves)]
        return tuple(np.asarray(self.game.draw(state), np.uint8) for state in states)

    def _keys(self):
        number = self.np_random.integers(2**31)
        return jax.random.split(jax.random.key(number), self.num_envs)


@functools.cache
def _compiled(game: Game):
    @jax.jit
    def starts(keys):
        states = jax.vmap(game.start)(keys)
        return states, jax.vmap(game.observe)(states)

    @jax.jit
    def steps(states, actions, keys):
        states, step = jax.vmap(functools.partial(play, game))(states, actions, keys)
        return states, jax.vmap(game.observe)(states), step

    return starts, steps
