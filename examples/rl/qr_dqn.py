"""QR-DQN: deep Q-learning of the return's quantiles.

    python examples/rl/qr_dqn.py

For each action the network gives values that the return stays below with probability
1/(2N), 3/(2N), and so on: places that move, each of the same weight, where C51 has
fixed places of weights that move. They learn by quantile regression toward the
quantiles at the next state, and need no bounds. An action is as good as its mean.
`value_agent.py` has the loop.
Source: Dabney et al., 2018, Distributional Reinforcement Learning with Quantile
Regression, arXiv:1710.10044.
"""

import jax
import jax.numpy as jnp
import value_agent

import haiku as hk
import rlax

QUANTILES = 10
TAU = (jnp.arange(QUANTILES) + 0.5) / QUANTILES

parser = value_agent.parser(__doc__, updates=64, copy_period=128)
parser.add_argument("--kappa", type=float, default=0.1, help="of Huber; %(default)s")


def network(actions: int):
    """Quantiles [B, QUANTILES, A] of observations."""

    def forward(observations):
        outputs = hk.Linear(QUANTILES * actions)(value_agent.torso(observations))
        return outputs.reshape(-1, QUANTILES, actions)

    return hk.without_apply_rng(hk.transform(forward))


def rule(actions: int, options):
    net = network(actions)

    def q_values(params, observations):
        return net.apply(params, observations).mean(1)

    def loss(params, target_params, key, transitions):
        s_tm1, a_tm1, r_t, discount_t, s_t = transitions
        r_t = (1 - options.discount) * r_t  # in units of the best, as in dqn.py
        quantiles_tm1 = net.apply(params, s_tm1)
        quantiles_t = net.apply(target_params, s_t)

        def quantile_loss(quantiles_tm1, a_tm1, r_t, discount_t, quantiles_t):
            return rlax.quantile_q_learning(
                quantiles_tm1,
                TAU,
                a_tm1,
                r_t,
                discount_t,
                quantiles_t,  # selects the next action
                quantiles_t,  # values it
                huber_param=options.kappa,
            )

        return jax.vmap(quantile_loss)(
            quantiles_tm1, a_tm1, r_t, discount_t, quantiles_t
        )

    return value_agent.Rule(net.init, loss, q_values)


main = value_agent.main(rule, parser)

if __name__ == "__main__":
    main()
