"""The two-step game of QMIX: two players who each choose one of two actions, twice.

The first player's first action chooses which matrix the second actions play for. In one
both get 7 whatever they do; in the other 0, 1 or, only if both take their second
action, 8. A player who takes the mean over what the other may do goes for the 7.
Source: Rashid et al., 2018, QMIX, arXiv:1803.11485, section 5.
"""

import games
import gymnasium
import jax
import jax.numpy as jnp

PLAYERS, ACTIONS, STATES = 2, 2, 3
PAYOFFS = jnp.array([[[0, 0], [0, 0]], [[7, 7], [7, 7]], [[0, 1], [1, 8]]])


def step(state, actions, key):
    """The next state, the reward of both, whether the game ended, and never cut."""
    reward = PAYOFFS[state, actions[0], actions[1]]
    return 1 + actions[0], jnp.float32(reward), state > 0, False


GAME = games.Game(
    "TwoSteps",
    lambda key: jnp.zeros([], int),
    step,
    lambda state: jax.nn.one_hot(state, STATES),
    gymnasium.spaces.MultiDiscrete([ACTIONS] * PLAYERS),
    lambda state: jnp.kron(jax.nn.one_hot(state, STATES) * 255, jnp.ones([60, 60]))[
        :, :, None
    ].repeat(3, -1),
)
vector = games.vector(GAME)
