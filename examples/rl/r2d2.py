r"""R2D2: deep Q-learning with a memory, from sequences that are replayed.

    python examples/rl/r2d2.py
    python examples/rl/r2d2.py --environment tmaze:TMaze-v0 --name tmaze_r2d2 \
        --steps 50000 --updates 16 --copy-period 100 --n-step 5 --episodes 100 \
        --evaluations 5

What a recurrent network knows of the past is in its state, so sequences are replayed,
not single steps. Each is kept with the state that the network had when it began; but
parameters have changed since, and the state is stale. So the first half of a sequence
only brings the state up to date (burn-in), and the second half is learned from. The
first half of one is the second half of the one before. --zero-state does without both:
it begins at the second half, from the state at the start of an episode.

The rest is double Q-learning with n-step targets. Values are learned as h(value), which
is close to its square root, so that large rewards need no clipping. Sequences are drawn
by the largest and the mean of their errors, each environment explores with an epsilon
of its own, and the head is dueling. For a small task there are three more things, as in
value_agent.py: the learning rate sinks to 0, averaged parameters are evaluated, and the
network is not shown its last action and reward.
Source: Kapturowski et al., 2019, Recurrent Experience Replay in Distributed
Reinforcement Learning, ICLR, https://openreview.net/forum?id=r1lyTjAqYX.
"""

import functools
from typing import Any, NamedTuple

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import optax
import ppo_lstm
import replay
from rollouts import Actor, Rollout

import haiku as hk
import rlax

ACTIONS = 2  # in both tasks: left, right
vector = ppo_lstm.vector  # CartPole without velocities, or a T-maze


class Sequence(NamedTuple):
    """Some of what happened in each environment, [B, ...] or [B, T, ...]."""

    state: Any  # of the network, when it began
    before: Rollout  # its first half
    steps: Rollout  # the half to learn from


class Training(NamedTuple):
    """All that an update changes."""

    params: Any
    target: Any  # an older copy of params
    average: Any  # of params over the last updates
    optimizer: Any
    count: Any  # of updates


def forward(x, first, state, s_t):
    """Values of steps [T, B, A], the state after them, and values of s_t."""
    core = hk.ResetCore(hk.DeepRNN([hk.Linear(64), jnp.tanh, hk.LSTM(64)]))
    value, advantage = hk.Linear(1, name="value"), hk.Linear(ACTIONS, name="advantage")

    def dueling(x):
        return value(x) + advantage(x) - advantage(x).mean(-1, keepdims=True)

    if state is None:
        state = core.initial_state(x.shape[1])
    output, states = hk.dynamic_unroll(core, (x, first), state, return_all_states=True)
    # As in ppo_lstm.py: s_t follows each step, though an episode that was cut off goes
    # on elsewhere.
    following, _ = hk.BatchApply(core)((s_t, jnp.zeros_like(first)), states)
    last = jax.tree.map(lambda x: x[-1], states)
    return dueling(output), last, dueling(following)


network = hk.without_apply_rng(hk.transform(forward))


def values(params, sequence: Sequence, zero_state: bool):
    """Values of the steps to learn from and of what follows each, [T, B, A]."""
    state, before, steps = sequence
    if zero_state:
        state = None
    else:
        _, state, _ = network.apply(
            params, before.s_tm1, before.first_tm1, state, before.s_tm1
        )
        state = jax.lax.stop_gradient(state)
    q_tm1, _, q_t = network.apply(
        params, steps.s_tm1, steps.first_tm1, state, steps.s_t
    )
    return q_tm1, q_t


def td_errors(q_tm1, q_t, q_t_selector, steps: Rollout, options):
    """n-step errors of h(value), [T, B]; fewer steps near the end of a sequence."""
    return rlax.transformed_n_step_q_learning(
        q_tm1,
        steps.a_tm1,
        q_t,
        q_t_selector.argmax(-1),
        steps.r_t,
        options.discount * (1.0 - steps.ended_t),
        options.n_step,
        tx_pair=rlax.SIGNED_HYPERBOLIC_PAIR,
        truncation_t=steps.cut_t,
    )


def loss(params, target, sequences, weights, options):
    """The loss of a batch of sequences, and their new priorities [B]."""
    q_tm1, q_t_selector = values(params, sequences, options.zero_state)
    _, q_t = values(target, sequences, options.zero_state)
    errors = td_errors(q_tm1, q_t, q_t_selector, sequences.steps, options)
    priorities = jax.vmap(rlax.r2d2_priority, in_axes=1)(errors)
    return jnp.mean(weights * rlax.l2_loss(errors)), priorities


def updater(optimizer, options):
    """Makes the compiled function of several updates, each from its own draw."""

    def update(training: Training, sequences, weights):
        params, target, average, state, count = training
        gradient, priorities = jax.grad(loss, has_aux=True)(
            params, target, sequences, weights, options
        )
        updates, state = optimizer.update(gradient, state)
        params, count = optax.apply_updates(params, updates), count + 1
        target = rlax.periodic_update(params, target, count, options.copy_period)
        average = optax.incremental_update(params, average, options.average)
        return Training(params, target, average, state, count), priorities

    @jax.jit
    def updates(training: Training, memory: replay.Replay, key):
        # Drawn at once: what an update changes in priorities counts in the next round.
        shape = options.updates, options.batch_size
        drawn = replay.prioritised_places(
            memory, key, shape, options.priority, options.correction
        )

        def one(carry, drawn):
            (training, priorities), (at, weights) = carry, drawn
            state, *halves = replay.rows(memory, at)
            halves = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), halves)  # [T, B]
            training, new = update(training, Sequence(state, *halves), weights)
            return (training, priorities.at[at].set(new)), None

        carry, _ = jax.lax.scan(one, (training, memory.priorities), drawn)
        return carry[0], memory._replace(priorities=carry[1])

    return updates


def explorer(options):
    """Makes the policy that acts: each environment has its own epsilon, most small."""
    share = jnp.arange(options.environments) / max(1, options.environments - 1)
    epsilon = options.epsilon ** (1 + options.alpha * share[:, None])

    def policy(params, observations, first, memory):
        x = observations[None]  # T = 1
        q, memory, _ = network.apply(params, x, first[None], memory, x)
        return jnp.log(rlax.epsilon_greedy().probs(q[0], epsilon)), memory

    return policy


def act(params, observations, memory):
    x, first = observations[None], jnp.zeros([1, len(observations)], bool)
    q, memory, _ = network.apply(params, x, first, memory, x)
    return q[0].argmax(-1), memory


def kept(state, before: Rollout, steps: Rollout) -> Sequence:
    """What is remembered, a sequence of each environment: [B, T, ...]."""
    halves = before._replace(logits_tm1=None), steps._replace(logits_tm1=None)
    return Sequence(state, *jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), halves))


def learn(options, seed, report):
    environments = vector(options.environment, options.environments)
    each = options.length * options.environments
    count = max(1, (options.steps - options.warm_up) // each * options.updates)
    rate = optax.linear_schedule(options.learning_rate, 0.0, count)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate, eps=1e-5))
    key, init_key = jax.random.split(jax.random.key(seed))
    x = np.zeros(environments.observation_space.shape, np.float32)
    begins = np.ones(options.environments, bool)
    params = jax.jit(network.init)(init_key, x[None], begins[None], None, x[None])
    policy = explorer(options)
    _, state = jax.jit(policy)(params, x, begins, None)  # the first step sets it back

    flags = np.zeros(options.length, bool)
    seen = np.zeros([options.length, *x.shape[1:]], np.float32)
    half = Rollout(
        seen, flags, None, np.int32(flags), np.float32(flags), flags, flags, seen
    )
    example = Sequence(jax.tree.map(lambda x: x[0], state), half, half)
    memory = replay.empty(options.capacity, example, prioritised=True)
    training = Training(params, params, params, optimizer.init(params), jnp.array(0))
    (training, memory), first = report.resume((training, memory))

    remember = jax.jit(lambda memory, *parts: replay.add(memory, kept(*parts)))
    update, before = updater(optimizer, options), None
    actor = Actor(policy, environments, seed, state, played=report.played, steps=first)
    for step in range(first, options.steps, each):
        report(step, training.average, (training, memory))
        state, steps = actor.memory, actor(training.params, options.length)
        if before is not None:
            memory = remember(memory, *before, steps)
            if step >= options.warm_up:
                update_key = jax.random.fold_in(key, step)
                training, memory = update(training, memory, update_key)
        before = state, steps
    environments.close()
    return training.average


parser = experiment.parser(
    __doc__, environment="CartPole-v1", steps=100_000, evaluations=10
)
add = parser.add_argument
add("--environments", type=int, default=16, help="side by side; %(default)s")
add("--length", type=int, default=40, help="steps of half a sequence; %(default)s")
add("--updates", type=int, default=24, help="after so many steps; %(default)s")
add("--batch-size", type=int, default=32, help="sequences; %(default)s")
add("--capacity", type=int, default=2000, help="sequences kept; %(default)s")
add("--warm-up", type=int, default=4000, help="steps before learning; %(default)s")
add("--learning-rate", type=float, default=1e-3, help="%(default)s, sinks to 0")
add("--copy-period", type=int, default=50, help="updates until the target is new")
add("--average", type=float, default=0.005, help="weight of new parameters in it")
add("--discount", type=float, default=0.99, help="%(default)s")
add("--n-step", type=int, default=10, help="rewards of a target; %(default)s")
add("--epsilon", type=float, default=0.4, help="the largest; %(default)s")
add("--alpha", type=float, default=7.0, help="others are powers of it up to 1 + alpha")
add("--priority", type=float, default=0.9, help="its exponent; %(default)s")
add("--correction", type=float, default=0.6, help="exponent of weights; %(default)s")
add("--zero-state", action="store_true", help="no stored state and no burn-in")
main = functools.partial(experiment.main, learn, act, parser, vector=vector)

if __name__ == "__main__":
    main()
