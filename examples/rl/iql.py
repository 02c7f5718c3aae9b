"""Implicit Q-learning (IQL) from recorded data.

    python examples/rl/iql.py          # after the three commands of record.py
    python examples/rl/iql.py --clone --steps 4000 --name clone  # imitates alone

No value of an action that isn't in the data is ever used. The value of a state is an
expectile of the values of the actions that were taken there: above 1/2 it leans toward
the best of them, at 1 it would be their maximum. Critics learn toward that value of the
next state. The policy imitates the data, each action with a weight that grows with its
advantage, at a learning rate that falls to 0. With --clone all weights are 1.
Source: Kostrikov et al., 2021, Offline Reinforcement Learning with Implicit Q-Learning,
arXiv:2110.06169.
"""

from typing import Any, NamedTuple

import control
import jax
import jax.numpy as jnp
import off_policy
import offline
import optax

import haiku as hk
import rlax

parser = offline.parser(__doc__)
parser.add_argument("--follow", type=float, default=0.005, help="of the copies; 0.005")
parser.add_argument("--expectile", type=float, default=0.8, help="%(default)s")
parser.add_argument("--beta", type=float, default=10.0, help="of advantages; 10")
parser.add_argument("--clone", action="store_true", help="all weights are 1")


class Params(NamedTuple):
    """Networks."""

    policy: Any
    critics: Any
    value: Any


class State(NamedTuple):
    """All that learning changes."""

    params: Params
    target: Any  # the critics that follow
    optimizer: Any


def rule(size: int, options) -> control.Rule:
    @hk.without_apply_rng
    @hk.transform
    def policy(s):
        """Mean, within the bounds, and deviation, the same everywhere, [B, A]."""
        log_sigma = hk.get_parameter("log_sigma", [size], init=jnp.zeros)
        mu = jnp.tanh(hk.nets.MLP([64, 64, size])(s))
        return mu, jnp.broadcast_to(jnp.exp(jnp.clip(log_sigma, -5, 2)), mu.shape)

    value = hk.without_apply_rng(
        hk.transform(lambda s: hk.nets.MLP([64, 64, 1])(s)[:, 0])
    )
    critics = control.ensemble(count=2, outputs=1)
    optimizer = optax.adam(
        optax.cosine_decay_schedule(options.learning_rate, options.steps)
    )

    def loss(params, target, batch):
        s_tm1, a_tm1, r_t, discount_t, s_t = batch
        r_t = (1 - options.discount) * r_t  # values in units of a reward, as in dqn.py
        followers_q_tm1 = critics.apply(target, s_tm1, a_tm1)[..., 0]  # [B, 2]
        v_tm1 = value.apply(params.value, s_tm1)
        value_losses = jax.vmap(rlax.iql_value_loss, [0, 0, None])(
            v_tm1, followers_q_tm1, options.expectile
        )
        v_t = value.apply(params.value, s_t)
        q_tm1 = critics.apply(params.critics, s_tm1, a_tm1)[..., 0]
        errors = jax.vmap(rlax.td3_td_error)(q_tm1, r_t, discount_t, v_t[:, None])
        critic_losses = rlax.l2_loss(errors).sum(-1)

        log_pi = rlax.gaussian_diagonal().logprob(
            a_tm1, *policy.apply(params.policy, s_tm1)
        )
        adv = 0 * v_tm1 if options.clone else followers_q_tm1.min(-1) - v_tm1
        policy_losses = rlax.advantage_weighted_policy_loss(
            log_pi, adv, 1 / options.beta
        )
        return (value_losses + critic_losses + policy_losses).mean()

    def init(key, s, a):
        keys = jax.random.split(key, 3)
        params = Params(
            policy.init(keys[0], s),
            critics.init(keys[1], s, a),
            value.init(keys[2], s),
        )
        return State(params, params.critics, optimizer.init(params))

    def update(state, key, batch):
        grads = jax.grad(loss)(state.params, state.target, batch)
        updates, optimizer_state = optimizer.update(grads, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        target = optax.incremental_update(params.critics, state.target, options.follow)
        return State(params, target, optimizer_state)

    def act(params, s):
        return policy.apply(params, s)[0]

    def explore(state, key, s, share):
        return act(state.params.policy, s)  # nothing is explored

    agent = off_policy.Agent(init, explore, update, lambda state: state.params.policy)
    return control.Rule(agent, act)


main = control.main(rule, parser, loop=offline.learn)

if __name__ == "__main__":
    main()
