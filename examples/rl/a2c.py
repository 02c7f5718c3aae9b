"""Advantage actor-critic (A2C) on CartPole.

    python examples/rl/a2c.py

The policy goes up the gradient of the log probability of what it did, weighted by how
much better that went than the value function had thought; the value function learns
from the same errors. A few steps of many environments make one update, and are used
once. Returns bootstrap where the steps end, and where an episode was cut off.
Source: Mnih et al., 2016, Asynchronous Methods for Deep Reinforcement Learning,
arXiv:1602.01783, of which this is the variant without asynchrony.
"""

import functools

import experiment
import jax
import jax.numpy as jnp
import optax
import ppo
from rollouts import Actor

import haiku as hk
import rlax

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=500_000)
parser.add_argument("--environments", type=int, default=8, help="side by side; 8")
parser.add_argument("--length", type=int, default=8, help="steps of an update; 8")
parser.add_argument("--learning-rate", type=float, default=1e-3, help="1e-3, sinks")
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--lambda", type=float, default=1.0, dest="lambda_", help="1")
parser.add_argument("--entropy", type=float, default=0.01, help="weight; 0.01")


def forward(x):
    """Logits of two actions, and the value: two networks."""
    policy = hk.nets.MLP([64, 64, 2], activation=jnp.tanh, name="policy")
    value = hk.nets.MLP([64, 64, 1], activation=jnp.tanh, name="value")
    return policy(x), value(x)[..., 0]


network = hk.without_apply_rng(hk.transform(forward))


def loss(params, batch, options):
    logits_tm1, v_tm1 = network.apply(params, batch.s_tm1)
    _, v_t = network.apply(params, batch.s_t)
    target_tm1 = rlax.lambda_returns(
        batch.r_t,
        options.discount * (1.0 - batch.ended_t),
        v_t,
        options.lambda_,
        stop_target_gradients=True,
        truncation_t=batch.cut_t,
    )
    adv_tm1, weights = target_tm1 - v_tm1, jnp.ones_like(v_tm1)
    policy = rlax.policy_gradient_loss(logits_tm1, batch.a_tm1, adv_tm1, weights)
    entropy = rlax.entropy_loss(logits_tm1, weights)
    value = rlax.l2_loss(v_tm1, target_tm1)
    return policy.mean() + 0.5 * value.mean() + options.entropy * entropy.mean()


def act(params, observations, memory):
    return jnp.argmax(network.apply(params, observations)[0], -1), memory


def policy(params, observations, first, memory):
    return network.apply(params, observations)[0], memory


def learn(options, seed, report):
    environments = experiment.vector(options.environment, options.environments)
    params = ppo.start(network, environments, jax.random.key(seed))
    each = options.length * options.environments
    updates = -(-options.steps // each)
    rate = optax.linear_schedule(options.learning_rate, 0.0, updates)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate))
    (params, state), first = report.resume((params, optimizer.init(params)))
    actor = Actor(policy, environments, seed, played=report.played, steps=first)

    @jax.jit
    def update(params, state, batch):
        gradient = jax.grad(loss)(params, batch, options)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    for step in range(first, options.steps, each):
        report(step, params, (params, state))
        params, state = update(params, state, actor(params, options.length))
    environments.close()
    return params


main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
