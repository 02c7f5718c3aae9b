"""IQN: deep Q-learning of the return's whole distribution, as a function of the chance.

    python examples/rl/iqn.py

QR-DQN gives a fixed number of quantiles; here the chance tau that the return stays
below a quantile is an input of the network, embedded as cosines, so the network is the
quantile function itself. Each update draws other taus, some where it learns and some
where the target is read. An action is as good as the mean of its quantiles.
`value_agent.py` has the loop.
Source: Dabney et al., 2018, Implicit Quantile Networks for Distributional Reinforcement
Learning, arXiv:1806.06923.
"""

import jax
import jax.numpy as jnp
import value_agent

import haiku as hk
import rlax

SAMPLES = 8  # taus on each side of the loss: N and N' of the paper
EVENLY = (jnp.arange(32) + 0.5) / 32  # K taus to act by; the paper draws these too
COSINES = 16  # of the embedding; the paper has 64, for Atari

parser = value_agent.parser(__doc__)


def network(actions: int):
    """Quantiles [B, N, A] of observations [B, ...] at taus [B, N]."""

    def forward(observations, tau):
        state = value_agent.torso(observations)
        cosines = rlax.quantile_embedding(tau, COSINES)
        chance = jax.nn.relu(hk.Linear(state.shape[-1])(cosines))
        return hk.Linear(actions)(state[:, None] * chance)

    return hk.without_apply_rng(hk.transform(forward))


def rule(actions: int, options):
    net = network(actions)

    def evenly(observations):
        return jnp.broadcast_to(EVENLY, (len(observations), len(EVENLY)))

    def init(key, observations):
        return net.init(key, observations, evenly(observations))

    def q_values(params, observations):
        return net.apply(params, observations, evenly(observations)).mean(1)

    def loss(params, target_params, key, transitions):
        s_tm1, a_tm1, r_t, discount_t, s_t = transitions
        shape = 2, len(a_tm1), SAMPLES
        tau_tm1, tau_t = jax.random.uniform(key, shape)
        quantiles_tm1 = net.apply(params, s_tm1, tau_tm1)
        quantiles_t = net.apply(target_params, s_t, tau_t)

        def quantile_loss(*inputs):
            return rlax.quantile_q_learning(*inputs, huber_param=1.0)

        return jax.vmap(quantile_loss)(
            quantiles_tm1, tau_tm1, a_tm1, r_t, discount_t, quantiles_t, quantiles_t
        )

    return value_agent.Rule(init, loss, q_values)


main = value_agent.main(rule, parser)

if __name__ == "__main__":
    main()
