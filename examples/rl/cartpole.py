"""CartPole: a pole stands on a cart that each step pushes left (0) or right (1).

Barto, Sutton and Anderson's pole (1983, Neuronlike adaptive elements that can solve
difficult learning control problems), as gymnasium's CartPole-v1 has it, written anew:
the reward is 1 for each step, the episode ends when the pole leans by more than 12
degrees or the cart is more than 2.4 metres from the middle, and it is cut off after 500
steps.
"""

import math
from typing import NamedTuple

import games
import gymnasium
import jax
import jax.numpy as jnp

GRAVITY, FORCE, SECONDS = 9.8, 10.0, 0.02  # a step lasts SECONDS
CART, POLE, HALF = 1.0, 0.1, 0.5  # masses, and half the pole's length
FARTHEST, STEEPEST, LONGEST = 2.4, math.radians(12), 500


class CartPole(NamedTuple):
    """Where things are."""

    x: jax.Array  # of the cart, in metres from the middle
    x_speed: jax.Array
    angle: jax.Array  # of the pole, in radians from upright
    angle_speed: jax.Array
    steps: jax.Array  # in this episode


def start(key) -> CartPole:
    """Almost upright, almost in the middle, almost at rest."""
    near = jax.random.uniform(key, [4], minval=-0.05, maxval=0.05)
    return CartPole(*near, jnp.zeros([], int))


def step(cart: CartPole, action):
    """The cart after one step, the reward, whether the episode ended, or was cut."""
    sin, cos = jnp.sin(cart.angle), jnp.cos(cart.angle)
    mass = CART + POLE
    push = FORCE * (2 * action - 1) + POLE * HALF * cart.angle_speed**2 * sin
    turn = (GRAVITY * sin - cos * push / mass) / (HALF * (4 / 3 - POLE * cos**2 / mass))
    after = CartPole(
        cart.x + SECONDS * cart.x_speed,
        cart.x_speed + SECONDS * (push - POLE * HALF * turn * cos) / mass,
        cart.angle + SECONDS * cart.angle_speed,
        cart.angle_speed + SECONDS * turn,
        cart.steps + 1,
    )
    ended = (abs(after.x) > FARTHEST) | (abs(after.angle) > STEEPEST)
    return after, jnp.float32(1), ended, after.steps >= LONGEST


def observation(cart: CartPole):
    """What the player sees, [4]."""
    return jnp.stack(cart[:4])


GAME = games.Game(
    "CartPole-v1",
    start,
    lambda cart, action, key: step(cart, action),
    observation,
    gymnasium.spaces.Discrete(2),
)
