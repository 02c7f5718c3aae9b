"""IMPALA: several actors, one learner, on CartPole.

    python examples/rl/impala.py

Each actor is a thread with its own environments. It takes the newest parameters,
acts for a while, and puts what happened into a queue; the learner never waits for a
particular one of them. So what it learns from was done by a policy a little older than
the one it improves. V-trace corrects that: it weights each step by the ratio of the two
policies' probabilities, cut at 1. The actors run while the learner computes, so that
two runs of one seed differ.
Source: Espeholt et al., 2018, IMPALA: Scalable Distributed Deep-RL with Importance
Weighted Actor-Learner Architectures, arXiv:1802.01561.
"""

import functools

import experiment
import jax
import jax.numpy as jnp
import optax
import ppo
from actors import Actors
from rollouts import Actor

import haiku as hk
import rlax

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=300_000)


def add_options(parser, **defaults):
    """The options of the learner and of its threads."""
    add = parser.add_argument
    add("--actors", type=int, default=2, help="threads; %(default)s")
    add("--environments", type=int, default=4, help="of each actor; %(default)s")
    add("--length", type=int, default=32, help="steps of a rollout; %(default)s")
    add("--batch", type=int, default=2, help="rollouts of an update; %(default)s")
    add("--depth", type=int, default=4, help="rollouts in the queue; %(default)s")
    add("--oldest", type=int, default=8, help="parameters, in updates; %(default)s")
    add("--replacements", type=int, default=3, help="of actors; %(default)s")
    add("--patience", type=float, default=60, help="seconds for one; %(default)s")
    add("--learning-rate", type=float, default=2e-3, help="%(default)s, sinks to 0")
    add("--discount", type=float, default=0.99, help="%(default)s")
    add("--entropy", type=float, default=0.01, help="weight; %(default)s")
    parser.set_defaults(**defaults)
    return parser


add_options(parser)


def forward(x):
    """Logits of two actions, and the value: two networks."""
    policy = hk.nets.MLP([64, 64, 2], activation=jnp.tanh, name="policy")
    value = hk.nets.MLP([64, 64, 1], activation=jnp.tanh, name="value")
    return policy(x), value(x)[..., 0]


network = hk.without_apply_rng(hk.transform(forward))


def loss(params, batch, options):
    """What IMPALA minimises, of sequences [B, T]."""
    logits_tm1, v_tm1 = network.apply(params, batch.s_tm1)
    _, v_t = network.apply(params, batch.s_t)
    ratio = rlax.categorical_importance_sampling_ratios

    def vtrace(v_tm1, v_t, batch, ratios_tm1):
        # A reward of 1 in each step, for ever, is now worth 1: the gradient of values
        # does not drown that of the policy when both are clipped together.
        r_t = (1 - options.discount) * batch.r_t
        discount_t = options.discount * (1.0 - batch.ended_t)
        return rlax.vtrace_td_error_and_advantage(
            v_tm1, v_t, r_t, discount_t, ratios_tm1, truncation_t=batch.cut_t
        )

    ratios_tm1 = ratio(logits_tm1, batch.logits_tm1, batch.a_tm1)
    errors, adv_tm1, _ = jax.vmap(vtrace)(v_tm1, v_t, batch, ratios_tm1)
    adv_tm1 = rlax.normalize_advantages(jax.lax.stop_gradient(adv_tm1))
    gradient = jax.vmap(rlax.policy_gradient_loss)
    weights = jnp.ones_like(v_tm1)
    policy = gradient(logits_tm1, batch.a_tm1, adv_tm1, weights)
    entropy = jax.vmap(rlax.entropy_loss)(logits_tm1, weights)
    value = rlax.l2_loss(errors)
    return policy.mean() + value.mean() + options.entropy * entropy.mean()


def act(params, observations, memory):
    return jnp.argmax(network.apply(params, observations)[0], -1), memory


def policy(params, observations, first, memory):
    return network.apply(params, observations)[0], memory


def optimizer(options):
    """Adam at a rate that sinks to 0, and how many steps an update takes in."""
    each = options.batch * options.length * options.environments
    updates = -(-options.steps // each)
    rate = optax.linear_schedule(options.learning_rate, 0.0, updates)
    return optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate)), each


def learn(options, seed, report):
    def make(number: int):
        vector = experiment.vector(options.environment, options.environments)
        return Actor(policy, vector, 100 * seed + number, steps=first)

    optimise, each = optimizer(options)
    environment = experiment.vector(options.environment, 1)
    params = ppo.start(network, environment, jax.random.key(seed))
    environment.close()
    (params, state), first = report.resume((params, optimise.init(params)))

    @jax.jit
    def update(params, state, batch):
        gradient = jax.grad(loss)(params, batch, options)
        updates, state = optimise.update(gradient, state)
        return optax.apply_updates(params, updates), state

    with Actors(make, options, [params]) as actors:
        for step in range(first, options.steps, each):
            report(step, params, (params, state), lag=actors.figures.age)
            params, state = update(params, state, actors.batch())
            actors.publish([params])
    return params


main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
