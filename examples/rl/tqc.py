"""Truncated quantile critics (TQC) on Pendulum.

    python examples/rl/tqc.py --compiled   # or without, in gymnasium's Pendulum

Soft actor-critic whose critics give quantiles of the return. Maxima of noisy values are
too high, and most so in the upper tail: all critics' quantiles at the next state are
put together, the largest are left out, and each critic learns toward the rest by
quantile regression. How many are left out says how careful the targets are, more finely
than the lower of two values. The policy goes up the mean of all quantiles.
Source: Kuznetsov et al., 2020, Controlling Overestimation Bias with Truncated Mixture
of Continuous Distributional Quantile Critics, arXiv:2005.04269.
"""

from typing import Any, NamedTuple

import control
import jax
import jax.numpy as jnp
import off_policy
import optax

import rlax

QUANTILES = 25
TAU = (jnp.arange(QUANTILES) + 0.5) / QUANTILES

parser = control.parser(__doc__, batch_size=128)
parser.add_argument("--follow", type=float, default=0.005, help="of the copies; 0.005")
parser.add_argument("--critics", type=int, default=2, help="%(default)s")
parser.add_argument("--drop", type=int, default=2, help="of each critic's; %(default)s")


class Params(NamedTuple):
    """What gradients change."""

    policy: Any
    critics: Any
    log_temperature: jax.Array


class State(NamedTuple):
    """All that learning changes."""

    params: Params
    target: Any  # the critics that follow
    optimizer: Any


def rule(size: int, options) -> control.Rule:
    policy = control.gaussian(size)
    critics = control.ensemble(options.critics, QUANTILES)
    optimizer = optax.adam(options.learning_rate)

    def draw(params, key, s):
        """Actions [B, A], differentiable in the policy, and log probabilities [B]."""
        return rlax.tanh_gaussian().sample_and_logprob(key, *policy.apply(params, s))

    def loss(params, target, key, batch):
        s_tm1, a_tm1, r_t, discount_t, s_t = batch
        fixed, keys = jax.lax.stop_gradient(params), jax.random.split(key)
        temperature = jnp.exp(fixed.log_temperature)

        def critic_loss(dist_q_tm1, r_t, discount_t, dist_q_t, log_pi_t):
            soft = {"log_pi_t": log_pi_t, "temperature": temperature}
            return rlax.tqc_loss(
                dist_q_tm1, TAU, r_t, discount_t, dist_q_t, options.drop, **soft
            ).sum()

        a_t, log_pi_t = draw(fixed.policy, keys[0], s_t)
        critic_losses = jax.vmap(critic_loss)(
            critics.apply(params.critics, s_tm1, a_tm1),  # [B, critics, QUANTILES]
            r_t,
            discount_t,
            critics.apply(target, s_t, a_t),
            log_pi_t,
        )

        def policy_loss(log_pi_tm1, dist_q_tm1):
            q_tm1 = dist_q_tm1.mean(-1)
            return rlax.sac_policy_loss(log_pi_tm1, q_tm1, temperature, reduce="mean")

        a_tm1, log_pi_tm1 = draw(params.policy, keys[1], s_tm1)
        policy_losses = jax.vmap(policy_loss)(
            log_pi_tm1, critics.apply(fixed.critics, s_tm1, a_tm1)
        )
        temperature_losses = jax.vmap(rlax.sac_temperature_loss, [None, 0, None])(
            params.log_temperature, log_pi_tm1, -size
        )
        return (critic_losses + policy_losses + temperature_losses).mean()

    def init(key, s, a):
        keys = jax.random.split(key)
        params = Params(
            policy.init(keys[0], s), critics.init(keys[1], s, a), jnp.zeros([])
        )
        return State(params, params.critics, optimizer.init(params))

    def explore(state, key, s, share):
        return draw(state.params.policy, key, s)[0]

    def update(state, key, batch):
        grads = jax.grad(loss)(state.params, state.target, key, batch)
        updates, optimizer_state = optimizer.update(grads, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        target = optax.incremental_update(params.critics, state.target, options.follow)
        return State(params, target, optimizer_state)

    def act(params, s):
        return jnp.tanh(policy.apply(params, s)[0])

    agent = off_policy.Agent(init, explore, update, lambda state: state.params.policy)
    return control.Rule(agent, act)


main = control.main(rule, parser)

if __name__ == "__main__":
    main()
