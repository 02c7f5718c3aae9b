"""CrossQ: soft actor-critic without target networks, by batch normalisation.

    python examples/rl/crossq.py --compiled   # or without, in gymnasium's Pendulum

Target networks are there because a critic that learns toward its own values may run
away with them. Here batch normalisation keeps them in bounds: the states and actions
that are learned about and those that follow them go through the critic as one batch, so
that both are normalised by the same mean and variance, as neither alone would do. The
critics are wide, and the policy takes a step for each third one of theirs.
Source: Bhatt et al., 2024, CrossQ: Batch Normalization in Deep Reinforcement Learning
for Greater Sample Efficiency and Simplicity, arXiv:1902.05605.
"""

from typing import Any, NamedTuple

import control
import jax
import jax.numpy as jnp
import off_policy
import optax

import haiku as hk
import rlax

parser = control.parser(__doc__, steps=10_000, batch_size=128)
parser.add_argument("--width", type=int, default=128, help="of the critics; 128")
parser.add_argument("--delay", type=int, default=3, help="of the policy's steps; 3")


class Networks(NamedTuple):
    """Parameters of networks, their statistics, or their optimizers."""

    policy: Any
    critics: Any
    log_temperature: Any = ()


class State(NamedTuple):
    """All that learning changes."""

    params: Networks
    statistics: Networks  # of batches: running means and variances
    optimizers: Networks
    count: jax.Array  # of updates


def normalised_mlp(x, sizes, is_training: bool):
    """A network that normalises what goes into each layer over the batch."""
    for i, size in enumerate(sizes):
        x = jax.nn.relu(x) if i else x
        x = hk.BatchNorm(True, True, decay_rate=0.99)(x, is_training)
        x = hk.Linear(size)(x)
    return x


def rule(size: int, options) -> control.Rule:
    @hk.without_apply_rng
    @hk.transform_with_state
    def policy(s, is_training):
        outputs = normalised_mlp(s, [64, 64, 2 * size], is_training)
        mu, log_sigma = jnp.split(outputs, 2, -1)
        return mu, jnp.exp(jnp.clip(log_sigma, -5, 2))

    @hk.without_apply_rng
    @hk.transform_with_state
    def critics(s, a, is_training):
        """Two estimates, [B, 2]."""
        sa, sizes = jnp.concatenate([s, a], -1), [options.width, options.width, 1]
        both = [normalised_mlp(sa, sizes, is_training) for _ in range(2)]
        return jnp.concatenate(both, -1)

    optimizer = optax.adam(options.learning_rate, b1=0.5)

    def draw(params, statistics, key, s, is_training):
        """Actions and log probabilities; and the statistics with this batch."""
        gaussian, statistics = policy.apply(params, statistics, s, is_training)
        return rlax.tanh_gaussian().sample_and_logprob(key, *gaussian), statistics

    def critic_loss(critic_params, state, key, batch):
        s_tm1, a_tm1, r_t, discount_t, s_t = batch
        params, statistics = state.params, state.statistics
        (a_t, log_pi_t), _ = draw(params.policy, statistics.policy, key, s_t, False)
        s, a = jnp.concatenate([s_tm1, s_t]), jnp.concatenate([a_tm1, a_t])
        q, statistics = critics.apply(critic_params, statistics.critics, s, a, True)
        q_tm1, q_t = jnp.split(q, 2)  # each [B, 2]
        temperature = jnp.exp(params.log_temperature)
        errors = jax.vmap(rlax.sac_td_error, [0, 0, 0, 0, 0, None])(
            q_tm1, r_t, discount_t, q_t, log_pi_t, temperature
        )
        return rlax.l2_loss(errors).sum(-1).mean(), statistics

    def policy_loss(trained, state, key, s):
        policy_params, log_temperature = trained
        statistics = state.statistics
        (a, log_pi), policy_statistics = draw(
            policy_params, statistics.policy, key, s, True
        )
        q, _ = critics.apply(state.params.critics, statistics.critics, s, a, False)
        temperature = jnp.exp(log_temperature)
        policy_losses = jax.vmap(rlax.sac_policy_loss, [0, 0, None])(
            log_pi, q, jax.lax.stop_gradient(temperature)
        )
        temperature_losses = jax.vmap(rlax.sac_temperature_loss, [None, 0, None])(
            log_temperature, log_pi, -size
        )
        return (policy_losses + temperature_losses).mean(), policy_statistics

    def descend(state, names, grads):
        params, optimizers = state.params._asdict(), state.optimizers._asdict()
        for name, grad in zip(names, grads):
            updates, optimizers[name] = optimizer.update(grad, optimizers[name])
            params[name] = optax.apply_updates(params[name], updates)
        return state._replace(
            params=Networks(**params), optimizers=Networks(**optimizers)
        )

    def improved(state, key, s):
        """The state after a step of the policy and of its temperature."""
        trained = state.params.policy, state.params.log_temperature
        grads, statistics = jax.grad(policy_loss, has_aux=True)(trained, state, key, s)
        state = descend(state, ["policy", "log_temperature"], grads)
        return state._replace(statistics=state.statistics._replace(policy=statistics))

    def init(key, s, a):
        keys = jax.random.split(key)
        made = policy.init(keys[0], s, True), critics.init(keys[1], s, a, True)
        params, statistics = (Networks(*x) for x in zip(*made))
        params = params._replace(log_temperature=jnp.zeros([]))
        optimizers = Networks(*map(optimizer.init, params))
        return State(params, statistics, optimizers, jnp.zeros([], int))

    def update(state, key, batch):
        keys = jax.random.split(key)
        grads, statistics = jax.grad(critic_loss, has_aux=True)(
            state.params.critics, state, keys[0], batch
        )
        state = descend(state, ["critics"], [grads])
        state = state._replace(
            statistics=state.statistics._replace(critics=statistics),
            count=state.count + 1,
        )
        due = state.count % options.delay == 0
        skipped = lambda state, *_: state  # noqa: E731 a branch of one word
        return jax.lax.cond(due, improved, skipped, state, keys[1], batch.s_tm1)

    def explore(state, key, s, share):
        made = draw(state.params.policy, state.statistics.policy, key, s, False)
        return made[0][0]

    def learned(state):
        return {"params": state.params.policy, "statistics": state.statistics.policy}

    def act(learned, s):
        (mu, _), _ = policy.apply(learned["params"], learned["statistics"], s, False)
        return jnp.tanh(mu)

    return control.Rule(off_policy.Agent(init, explore, update, learned), act)


main = control.main(rule, parser)

if __name__ == "__main__":
    main()
