"""Pendulum: a motor too weak to lift a rod swings it up, and keeps it upright.

As gymnasium's Pendulum-v1 has it, written anew: the action is a torque, the reward is
minus what the rod's lean, its speed and the torque cost. The episode has no end of its
own, it is cut off after 200 steps.
"""

from typing import NamedTuple

import games
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

GRAVITY, MASS, LENGTH, SECONDS = 10.0, 1.0, 1.0, 0.05  # a step lasts SECONDS
STRONGEST, FASTEST, LONGEST = 2.0, 8.0, 200


class Pendulum(NamedTuple):
    """Where the rod is."""

    angle: jax.Array  # in radians from upright
    speed: jax.Array  # of the angle
    steps: jax.Array  # in this episode


def start(key) -> Pendulum:
    """Anywhere, and slow."""
    angle, speed = jax.random.uniform(key, [2], minval=-1.0)
    return Pendulum(jnp.pi * angle, speed, jnp.zeros([], int))


def step(rod: Pendulum, torque):
    """The rod after one step, and the reward."""
    torque = jnp.clip(torque, -STRONGEST, STRONGEST)
    lean = (rod.angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
    cost = lean**2 + 0.1 * rod.speed**2 + 0.001 * torque**2
    fall = 3 * GRAVITY / (2 * LENGTH) * jnp.sin(rod.angle)
    push = 3 / (MASS * LENGTH**2) * torque
    speed = jnp.clip(rod.speed + SECONDS * (fall + push), -FASTEST, FASTEST)
    return Pendulum(rod.angle + SECONDS * speed, speed, rod.steps + 1), -cost


def observation(rod: Pendulum):
    """What the player sees, [3]."""
    return jnp.stack([jnp.cos(rod.angle), jnp.sin(rod.angle), rod.speed])


def _play(rod, action, key):
    after, reward = step(rod, action[0])
    return after, reward, False, after.steps >= LONGEST


GAME = games.Game(
    "Pendulum-v1",
    start,
    _play,
    observation,
    gymnasium.spaces.Box(-STRONGEST, STRONGEST, [1], np.float32),
)
