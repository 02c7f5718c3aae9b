"""Deep deterministic policy gradient (DDPG) on Pendulum.

    python examples/rl/ddpg.py --compiled   # or without, in gymnasium's Pendulum

Q-learning for continuous actions: a second network, the policy, learns which action has
the highest value by going up the slope of the critic at its own action. The critic
learns toward the value that slowly following copies of both give the next state. The
paper explores with noise that drifts; noise drawn anew in each step does as well
(arXiv:1802.09477, section 6).
Sources: Lillicrap et al., 2016, Continuous control with deep reinforcement learning,
arXiv:1509.02971; Silver et al., 2014, Deterministic Policy Gradient Algorithms.
"""

from typing import Any, NamedTuple

import control
import jax
import off_policy
import optax

import rlax

parser = control.parser(__doc__, steps=10_000, batch_size=128)
parser.add_argument("--follow", type=float, default=0.005, help="of the copies; 0.005")
parser.add_argument("--noise", type=float, default=0.1, help="to explore; 0.1")


class Params(NamedTuple):
    """Networks."""

    policy: Any
    critic: Any


class State(NamedTuple):
    """All that learning changes."""

    params: Params
    target: Params  # follows
    optimizer: Any


def rule(size: int, options) -> control.Rule:
    policy = control.deterministic(size)
    critic = control.ensemble(count=1, outputs=1)
    optimizer = optax.adam(options.learning_rate)

    def value(params, s, a):
        return critic.apply(params, s, a)[:, 0, 0]  # [B]

    def loss(params, target, batch):
        s_tm1, a_tm1, r_t, discount_t, s_t = batch
        v_t = value(target.critic, s_t, policy.apply(target.policy, s_t))
        q_tm1 = value(params.critic, s_tm1, a_tm1)
        errors = jax.vmap(rlax.td_learning)(q_tm1, r_t, discount_t, v_t)

        a = policy.apply(params.policy, s_tm1)
        slope = jax.grad(lambda a: value(params.critic, s_tm1, a).sum())
        dqda = slope(jax.lax.stop_gradient(a))
        policy_losses = jax.vmap(rlax.dpg_loss)(a, dqda).sum(-1)
        return (rlax.l2_loss(errors) + policy_losses).mean()

    def init(key, s, a):
        keys = jax.random.split(key)
        params = Params(policy.init(keys[0], s), critic.init(keys[1], s, a))
        return State(params, params, optimizer.init(params))

    def update(state, key, batch):
        grads = jax.grad(loss)(state.params, state.target, batch)
        updates, optimizer_state = optimizer.update(grads, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        target = optax.incremental_update(params, state.target, options.follow)
        return State(params, target, optimizer_state)

    explore = control.with_noise(policy, options.noise)
    agent = off_policy.Agent(init, explore, update, lambda state: state.params.policy)
    return control.Rule(agent, policy.apply)


main = control.main(rule, parser)

if __name__ == "__main__":
    main()
