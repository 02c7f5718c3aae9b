"""C51: deep Q-learning of the return's whole distribution, on fixed places.

    python examples/rl/c51.py

For each action the network gives probabilities of the return being near each of some
places ("atoms"), evenly spaced. The distribution at the next state, shrunk by the
discount and moved by the reward, is shared out among the nearest atoms; the network
learns it by cross entropy. An action is as good as its mean. `value_agent.py` has the
loop.
Source: Bellemare et al., 2017, A Distributional Perspective on Reinforcement Learning,
arXiv:1707.06887.
"""

import jax
import jax.numpy as jnp
import value_agent

import haiku as hk
import rlax

ATOMS = jnp.linspace(0, 100, 51)  # No return is beyond 1 / (1 - 0.99).

parser = value_agent.parser(__doc__)


def network(actions: int):
    """Logits [B, A, ATOMS] of observations."""

    def forward(observations):
        logits = hk.Linear(actions * len(ATOMS))(value_agent.torso(observations))
        return logits.reshape(-1, actions, len(ATOMS))

    return hk.without_apply_rng(hk.transform(forward))


def rule(actions: int, options):
    net = network(actions)

    def q_values(params, observations):
        return jax.nn.softmax(net.apply(params, observations)) @ ATOMS

    def loss(params, target_params, key, transitions):
        s_tm1, a_tm1, r_t, discount_t, s_t = transitions
        logits_tm1 = net.apply(params, s_tm1)
        logits_t = net.apply(target_params, s_t)

        def cross_entropy(logits_tm1, a_tm1, r_t, discount_t, logits_t):
            return rlax.categorical_q_learning(
                ATOMS, logits_tm1, a_tm1, r_t, discount_t, ATOMS, logits_t
            )

        return jax.vmap(cross_entropy)(logits_tm1, a_tm1, r_t, discount_t, logits_t)

    return value_agent.Rule(net.init, loss, q_values)


main = value_agent.main(rule, parser)

if __name__ == "__main__":
    main()
