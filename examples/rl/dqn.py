"""Deep Q-learning on CartPole, with --double the double Q-learning variant.

    python examples/rl/dqn.py
    python examples/rl/dqn.py --double

A network predicts the return of each action. It learns from transitions drawn from a
memory of the past, toward the value that a slowly following copy of it gives the next
state. Double Q-learning lets the network itself choose the action there, and the copy
rate it, which takes out the bias of the maximum over noisy values.
Sources: Mnih et al., 2015, Human-level control through deep reinforcement learning,
Nature 518; van Hasselt et al., 2016, Deep Reinforcement Learning with Double
Q-learning, arXiv:1509.06461.
"""

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import optax
from replay import Replay

import haiku as hk
import rlax

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=100_000)
parser.add_argument("--double", action="store_true", help="double Q-learning")
parser.add_argument("--environments", type=int, default=8, help="side by side; 8")
parser.add_argument("--learning-rate", type=float, default=1e-3, help="1e-3")
parser.add_argument("--batch-size", type=int, default=128, help="transitions; 128")
parser.add_argument("--updates", type=int, default=2, help="at each step; 2")
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--explore", type=float, default=0.3, help="fraction of steps; 0.3")

network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([128, 128, 2])(x)))


def loss(params, target_params, batch, double: bool):
    s_tm1, a_tm1, r_t, discount_t, s_t = batch
    q_tm1 = network.apply(params, s_tm1)
    q_t = network.apply(target_params, s_t)
    if double:
        selector_t = network.apply(params, s_t)
        errors = jax.vmap(rlax.double_q_learning)(
            q_tm1, a_tm1, r_t, discount_t, q_t, selector_t
        )
    else:
        errors = jax.vmap(rlax.q_learning)(q_tm1, a_tm1, r_t, discount_t, q_t)
    return jnp.mean(rlax.huber_loss(errors))


def act(params, observations, memory):
    return jnp.argmax(network.apply(params, observations), -1), memory
