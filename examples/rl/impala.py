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
import queue
import threading

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import optax
import ppo
from rollouts import Actor

import haiku as hk
import rlax

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=300_000)
parser.add_argument("--actors", type=int, default=4, help="threads; 4")
parser.add_argument("--environments", type=int, default=4, help="of each actor; 4")
parser.add_argument("--length", type=int, default=16, help="steps of a rollout; 16")
parser.add_argument("--batch", type=int, default=2, help="rollouts of an update; 2")
parser.add_argument("--learning-rate", type=float, default=2e-3, help="2e-3, sinks")
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--entropy", type=float, default=0.01, help="weight; 0.01")


def forward(x):
    """Logits of two actions, and the value: two networks."""
    policy = hk.nets.MLP([64, 64, 2], activation=jnp.tanh, name="policy")
    value = hk.nets.MLP([64, 64, 1], activation=jnp.tanh, name="value")
    return policy(x), value(x)[..., 0]


network = hk.without_apply_rng(hk.transform(forward))


def loss(params, batch, options):
    logits_tm1, v_tm1 = network.apply(params, batch.s_tm1)  # [T, B, A], [T, B]
    _, v_t = network.apply(params, batch.s_t)
    ratio = rlax.categorical_importance_sampling_ratios
    vtrace = rlax.vtrace_td_error_and_advantage(
        v_tm1,
        v_t,
        batch.r_t,
        options.discount * (1.0 - batch.ended_t),
        ratio(logits_tm1, batch.logits_tm1, batch.a_tm1),
        truncation_t=batch.cut_t,
    )
    weights = jnp.ones_like(v_tm1)
    policy = rlax.policy_gradient_loss(
        logits_tm1, batch.a_tm1, vtrace.pg_advantage, weights
    )
    entropy = rlax.entropy_loss(logits_tm1, weights)
    value = rlax.l2_loss(vtrace.errors)
    return policy.mean() + 0.5 * value.mean() + options.entropy * entropy.mean()


def act(params, observations, memory):
    return jnp.argmax(network.apply(params, observations)[0], -1), memory


def policy(params, observations, first, memory):
    return network.apply(params, observations)[0], memory


class Actors:
    """Threads that act with the newest parameters and fill a queue with rollouts."""

    def __init__(self, actors, params, length: int):
        self.params, self.version, self.length = params, 0, length
        self.rollouts = queue.Queue(maxsize=len(actors))  # a full queue makes them wait
        self.running = True
        self.threads = [threading.Thread(target=self.run, args=[x]) for x in actors]

    def run(self, actor):
        """Runs one actor until it is stopped."""
        try:
            while self.running:
                version = self.version
                self.rollouts.put((version, actor(self.params, self.length)))
        except Exception as error:
            self.rollouts.put((None, error))

    def batch(self, count: int):
        """The next `count` rollouts side by side, and by how many updates they lag."""
        versions, rollouts = zip(*(self.next() for _ in range(count)))
        joined = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *rollouts)
        return joined, self.version - np.mean(versions)

    def next(self):
        """The next rollout, with the number of updates its actor had seen."""
        version, rollout = self.rollouts.get()
        if version is None:
            raise rollout
        return version, rollout

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        while any(thread.is_alive() for thread in self.threads):
            try:  # makes room for those that wait to put
                self.rollouts.get(timeout=0.05)
            except queue.Empty:
                continue


def learn(options, seed, report):
    vectors = [
        experiment.vector(options.environment, options.environments)
        for _ in range(options.actors)
    ]
    # Each actor has its own environments and its own stream of random numbers.
    params = ppo.start(network, vectors[0], jax.random.key(seed))
    each = options.batch * options.length * options.environments
    updates = -(-options.steps // each)
    rate = optax.linear_schedule(options.learning_rate, 0.0, updates)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate))
    (params, state), first = report.resume((params, optimizer.init(params)))
    actors = [
        Actor(policy, vector, seed * options.actors + i, steps=first)
        for i, vector in enumerate(vectors)
    ]

    @jax.jit
    def update(params, state, batch):
        gradient = jax.grad(loss)(params, batch, options)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    lag = 0.0
    with Actors(actors, params, options.length) as acting:
        for step in range(first, options.steps, each):
            report(step, params, (params, state), lag=lag)
            batch, now = acting.batch(options.batch)
            lag += 0.01 * (now - lag)
            params, state = update(params, state, batch)
            acting.params, acting.version = params, acting.version + 1
    for vector in vectors:
        vector.close()
    return params


main = functools.partial(experiment.main, learn, act, parser)

if __name__ == "__main__":
    main()
