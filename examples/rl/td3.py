"""Twin delayed deep deterministic policy gradient (TD3) on Pendulum.

    python examples/rl/td3.py --compiled   # or without, in gymnasium's Pendulum

The policy gives one action, and goes up the slope of its value; some noise is added to
explore. Critics that learn toward the value of the policy's own actions rate them too
high, and the policy finds where. Three things hold that down: the target is the lower
value of two critics, the action that it rates is moved a little, so that neighbouring
actions have nearly the same value, and the policy takes a step only after each second
one of the critics. Policy and critics are followed by slow copies, which give targets.
Source: Fujimoto et al., 2018, Addressing Function Approximation Error in Actor-Critic
Methods, arXiv:1802.09477.
"""

from typing import Any, NamedTuple

import control
import jax
import jax.numpy as jnp
import off_policy
import optax

import rlax


def add_options(parser):
    """TD3's options."""
    add = parser.add_argument
    add("--follow", type=float, default=0.005, help="of the copies; %(default)s")
    add("--noise", type=float, default=0.1, help="to explore; %(default)s")
    add("--smooth", type=float, default=0.2, help="noise of targets; %(default)s")
    add("--delay", type=int, default=2, help="of the policy's steps; %(default)s")
    return parser


parser = add_options(control.parser(__doc__, steps=10_000, batch_size=128))


class Params(NamedTuple):
    """Networks."""

    policy: Any
    critics: Any


class State(NamedTuple):
    """All that learning changes."""

    params: Params
    target: Params  # follows
    optimizers: Params  # one for each
    count: jax.Array  # of updates


def up_the_slope(q, a, a_tm1, options):
    """A loss whose gradient is that of minus the value `q` of the policy's actions."""
    dqda = jax.grad(lambda a: q(a).sum())(jax.lax.stop_gradient(a))
    return jax.vmap(rlax.dpg_loss)(a, dqda).sum(-1).mean()


def rule(size: int, options, loss=up_the_slope) -> control.Rule:
    policy = control.deterministic(size)
    critics = control.ensemble(count=2, outputs=1)
    optimizer = optax.adam(options.learning_rate)

    def values(params, s, a):
        return critics.apply(params, s, a)[..., 0]  # [B, 2]

    def critic_loss(params, target, key, batch):
        s_tm1, a_tm1, r_t, discount_t, s_t = batch
        a_t = jax.vmap(rlax.smoothed_target_action, [0, 0, None])(
            jax.random.split(key, len(s_t)),
            policy.apply(target.policy, s_t),
            options.smooth,
        )
        errors = jax.vmap(rlax.td3_td_error)(
            values(params, s_tm1, a_tm1),
            r_t,
            discount_t,
            values(target.critics, s_t, a_t),
        )
        return rlax.l2_loss(errors).sum(-1).mean()

    def policy_loss(params, critics_params, batch):
        def q(a):
            return values(critics_params, batch.s_tm1, a)[:, 0]

        return loss(q, policy.apply(params, batch.s_tm1), batch.a_tm1, options)

    def descend(state, name, grads):
        params, optimizers = state.params._asdict(), state.optimizers._asdict()
        updates, optimizers[name] = optimizer.update(grads, optimizers[name])
        params[name] = optax.apply_updates(params[name], updates)
        return state._replace(params=Params(**params), optimizers=Params(**optimizers))

    def init(key, s, a):
        keys = jax.random.split(key)
        params = Params(policy.init(keys[0], s), critics.init(keys[1], s, a))
        optimizers = Params(*map(optimizer.init, params))
        return State(params, params, optimizers, jnp.zeros([], int))

    def update(state, key, batch):
        grads = jax.grad(critic_loss)(state.params.critics, state.target, key, batch)
        state = descend(state, "critics", grads)

        def improved(state):
            params = state.params
            grads = jax.grad(policy_loss)(params.policy, params.critics, batch)
            state = descend(state, "policy", grads)
            target = optax.incremental_update(
                state.params, state.target, options.follow
            )
            return state._replace(target=target)

        count = state.count + 1
        state = state._replace(count=count)
        return jax.lax.cond(count % options.delay == 0, improved, lambda x: x, state)

    explore = control.with_noise(policy, options.noise)
    agent = off_policy.Agent(init, explore, update, lambda state: state.params.policy)
    return control.Rule(agent, policy.apply)


main = control.main(rule, parser)

if __name__ == "__main__":
    main()
