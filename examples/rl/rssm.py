"""The world model of Dreamer: a recurrent state-space model.

It remembers with a GRU (h), and codes what it sees as one-hot vectors (z): those drawn
from the posterior, which sees the step, are learned to be predicted by the prior, which
does not. From h and z it rebuilds what was seen, the reward, and whether the episode
goes on. Rewards are distributions over bins whose size grows exponentially (two-hot),
one percent of each code is uniform, and divergences below one nat count as one (free
nats). Noise comes from outside, so that all here are pure functions of numbers.
Source: Hafner et al., 2023, Mastering Diverse Domains through World Models,
arXiv:2301.04104.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import haiku as hk
import rlax

ACTIONS = 2
# Of what CartPole shows: else the angle, at most 0.21, would hardly count in the loss.
UNITS = np.array([2.4, 3.0, 0.21, 3.0], np.float32)
CODES, CHOICES = 8, 8  # z: so many one-hot vectors, of so many numbers
MEMORY, WIDTH = 64, 64  # of h, and of hidden layers
BINS = 57
SCALAR = rlax.symexp_twohot_pair(-7.0, 7.0, BINS)  # rewards and values, to 1000


class State(NamedTuple):
    """What the world model knows."""

    h: Any  # [..., MEMORY]
    z: Any  # [..., CODES, CHOICES]


class Row(NamedTuple):
    """One step; flags are 0 or 1."""

    s: Any  # what is seen now
    a_tm1: Any  # what was done before
    r_t: Any  # the reward for it
    first_t: Any  # whether an episode begins: the action before means nothing
    ended_t: Any  # whether the episode came to its end
    over_t: Any  # whether it did, or was cut off: the next row begins another


class World(NamedTuple):
    """The functions of the world model; parameters come first."""

    observe: Any  # state [B], rows and noise [T, B] -> states, both logits [T, B]
    imagine: Any  # state, actions, noise [B] -> the state that follows
    predict: Any  # states -> what is seen, and logits of reward and of going on


def mlp(outputs: int, **last):
    layers = [hk.Linear(WIDTH), hk.RMSNorm(-1), jax.nn.silu]
    return hk.Sequential([*layers, hk.Linear(outputs, **last)])


def features(state: State):
    return jnp.concatenate([state.h, state.z.reshape(*state.z.shape[:-2], -1)], -1)


def start(count: int) -> State:
    return State(jnp.zeros([count, MEMORY]), jnp.zeros([count, CODES, CHOICES]))


def symlog(s):
    return rlax.symlog(s / UNITS)


def drawn(logits, noise):
    """One-hot draws, whose gradient is that of the probabilities (straight through)."""
    one = jax.nn.one_hot(jnp.argmax(logits + noise, -1), logits.shape[-1])
    probs = jax.nn.softmax(logits)
    return one + probs - jax.lax.stop_gradient(probs)


def zero_where(first, tree):
    """The tree of [B, ...], with zeros where `first` [B] is 1."""
    return jax.vmap(lambda keep, x: jax.tree.map(lambda y: keep * y, x))(
        1 - first, tree
    )


def model():
    enter = hk.Sequential([hk.Linear(WIDTH), hk.RMSNorm(-1), jax.nn.silu])
    gru, encoder, decoder = hk.GRU(MEMORY), mlp(WIDTH), mlp(len(UNITS))
    prior, posterior = mlp(CODES * CHOICES), mlp(CODES * CHOICES)
    reward, goes_on = mlp(BINS, w_init=jnp.zeros), mlp(1)

    def remember(state, a):
        x = jnp.concatenate([state.z.reshape(len(a), -1), a], -1)
        return gru(enter(x), state.h)[1]

    def codes(net, x):
        return rlax.uniform_mix(net(x).reshape(*x.shape[:-1], CODES, CHOICES))

    def imagine(state, a, noise):
        h = remember(state, jax.nn.one_hot(a, ACTIONS))
        return State(h, drawn(codes(prior, h), noise))

    def observe(state, rows, noise):
        def step(inputs, state):
            seen, first, a, noise = inputs
            h = remember(*zero_where(first, (state, a)))
            logits = codes(posterior, jnp.concatenate([h, seen], -1))
            state = State(h, drawn(logits, noise))
            return (state, logits), state

        seen, a = encoder(symlog(rows.s)), jax.nn.one_hot(rows.a_tm1, ACTIONS)
        inputs = seen, rows.first_t, a, noise
        (states, post), _ = hk.dynamic_unroll(step, inputs, state)
        return states, post, codes(prior, states.h)

    def predict(states):
        x = features(states)
        return decoder(x), reward(x), goes_on(x)[..., 0]

    def init(state, rows, noise):
        return predict(observe(state, rows, noise)[0])

    return init, World(observe, imagine, predict)


init, world = hk.without_apply_rng(hk.multi_transform(model))


def mean(logits):
    """The number that a distribution over the bins stands for."""
    return SCALAR.apply_inv(jax.nn.softmax(logits))


def cross_entropy(numbers, logits):
    return rlax.categorical_cross_entropy(SCALAR.apply(numbers), logits)


def loss(params, rows: Row, noise):
    """The world model's loss on rows [T, B], and the states it went through."""
    states, post, prior = world.observe(params, start(rows.s.shape[1]), rows, noise)
    seen, reward, goes_on = world.predict(params, states)
    parts = (
        jnp.square(seen - symlog(rows.s)).sum(-1),
        cross_entropy(rows.r_t, reward),
        optax.sigmoid_binary_cross_entropy(goes_on, 1.0 - rows.ended_t),
        jax.vmap(jax.vmap(rlax.balanced_kl_loss))(post, prior),
    )
    return jnp.mean(sum(parts)), states
