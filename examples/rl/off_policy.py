"""The loop of agents that learn from a memory: act, remember, learn from what is drawn.

Several environments go on side by side. After so many steps, as many batches as there
are updates are drawn and learned from in one compiled call; between two such calls the
agent acts with the same parameters. An episode that is cut off by the time limit still
has a future to bootstrap from: its discount stays (Pardo et al., 2018, Time Limits in
Reinforcement Learning, arXiv:1712.00378).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import replay


class Transition(NamedTuple):
    """From a state to the next, or to the one n steps later."""

    s_tm1: Any
    a_tm1: Any
    r_t: Any  # the sum of n rewards, discounted
    discount_t: Any  # of the value of s_t; 0 where the episode came to its end
    s_t: Any


class Step(NamedTuple):
    """What is remembered of a step; transitions are made of it when they are drawn."""

    s_tm1: Any
    a_tm1: Any
    r_t: Any
    discount_t: Any  # 0 where the episode came to its end
    over_t: Any  # whether the episode is over: it ended, or was cut off
    s_t: Any


class Agent(NamedTuple):
    """A learning rule, as pure functions of all that it changes: its state."""

    init: Callable  # key, observations, actions -> state
    explore: Callable  # state, key, observations, share of steps done -> actions
    update: Callable  # state, key, transitions -> state
    learned: Callable  # state -> what `act` is given
    # With an exponent, transitions are drawn by their priority to this power; `update`
    # then takes their weights [B] too, and also returns their new priorities [B].
    priority: float | None = None


def add_options(parser, **defaults):
    """The options of the loop."""

    def add(name, default, what):
        kind = type(default)
        parser.add_argument(
            name, type=kind, default=default, help=f"{what}; %(default)s"
        )

    add("--environments", 8, "side by side")
    add("--every", 8, "steps from one round of learning to the next")
    add("--updates", 8, "of a round")
    add("--batch-size", 64, "transitions of an update")
    add("--capacity", 100_000, "transitions kept")
    add("--warm-up", 1000, "steps before learning, of random actions")
    add("--discount", 0.99, "of later rewards")
    add("--n-step", 1, "rewards of a transition")
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="the loop as one program, with games in JAX",
    )
    parser.set_defaults(**defaults)
    return parser


def updates_of(options) -> int:
    """How many updates a whole training has."""
    return max(1, (options.steps - options.warm_up) // options.every * options.updates)


def learn(agent: Agent, options, seed: int, report, *, vector=experiment.vector):
    """Trains with one seed; returns what it learned."""
    environments = vector(options.environment, options.environments)
    space, count = environments.action_space, environments.num_envs
    key, init_key = jax.random.split(jax.random.key(seed))
    seen = environments.observation_space
    observations = np.zeros(seen.shape, seen.dtype)
    state = jax.jit(agent.init)(init_key, observations, space.sample())
    memory = empty(agent, observations[0], space.sample()[0], options)
    (state, memory), first = report.resume((state, memory))
    if first:  # New episodes begin, so what was remembered last has no next step.
        memory = cut_off(memory, count)
    learn_from = learner(agent, options)

    @jax.jit
    def explore(state, observations, step):
        act_key = jax.random.fold_in(key, 2 * step)
        return agent.explore(state, act_key, observations, step / options.steps)

    @functools.partial(jax.jit, donate_argnums=1)
    def learn_round(state, memory, step):
        round_key = jax.random.fold_in(key, 2 * step + 1)
        return learn_from(state, memory, round_key, step / options.steps)

    remember = jax.jit(replay.add, donate_argnums=0)
    observations, _ = environments.reset(seed=1000 * seed + first)
    space.seed(seed + first)
    for step in range(first, options.steps, count):
        report(step, agent.learned(state), (state, memory))
        if step < options.warm_up:
            actions = space.sample()
        else:
            actions = np.asarray(explore(state, observations, step))
        s_tm1 = observations
        observations, rewards, ended, cut, info = environments.step(actions)
        report.played(rewards, ended | cut)
        s_t = experiment.last_observations(observations, info)
        discounts = np.float32(options.discount * ~ended)
        taken = Step(s_tm1, actions, rewards, discounts, ended | cut, s_t)
        memory = remember(memory, taken)
        done = step + count
        if done > options.warm_up and done % options.every < count:
            state, memory = learn_round(state, memory, step)
    environments.close()
    return agent.learned(state)


def empty(agent: Agent, observation, action, options) -> replay.Replay:
    """The memory of an agent that sees and does the like of these."""
    step = Step(observation, action, 0.0, 0.0, False, observation)
    return replay.empty(options.capacity, step, agent.priority is not None)


def cut_off(memory: replay.Replay, count: int) -> replay.Replay:
    """The memory with the last step of each of so many environments as a last one."""
    at = (memory.added - 1 - jnp.arange(count)) % replay.capacity(memory)
    over_t = memory.columns.over_t.at[at].set(True)
    return memory._replace(columns=memory.columns._replace(over_t=over_t))


def transitions(memory: replay.Replay, at, options) -> Transition:
    """Transitions of `--n-step` steps that begin at these places, [...].

    The next step of an environment lies as many places further on as there are
    environments. A transition ends where its episode does.
    """
    kept, capacity = memory.columns, replay.capacity(memory)
    apart = options.environments * jnp.arange(options.n_step)
    steps = (at[..., None] + apart) % capacity  # [..., n]
    goes_on = jnp.cumprod(~kept.over_t[steps], -1)  # after each step
    discounts = jnp.cumprod(kept.discount_t[steps], -1)

    def before(x):
        return jnp.concatenate([jnp.ones_like(x[..., :1]), x[..., :-1]], -1)

    taken = before(goes_on)
    r_t = (taken * before(discounts) * kept.r_t[steps]).sum(-1)
    last = taken.sum(-1, keepdims=True).astype(int) - 1
    discount_t, end = (
        jnp.take_along_axis(x, last, -1)[..., 0] for x in (discounts, steps)
    )
    s_tm1, a_tm1, s_t = kept.s_tm1[at], kept.a_tm1[at], kept.s_t[end]
    return Transition(s_tm1, a_tm1, r_t, discount_t, s_t)


def learner(agent: Agent, options):
    """Makes the function of one round of learning: state and memory to the next ones.

    It takes a key, and the share of all steps that are done. Priorities are those from
    before the round; what it changes counts in the next.
    """
    newest = (options.n_step - 1) * options.environments  # what follows isn't there yet
    first = min(max(options.warm_up + 1, options.every), options.capacity)
    if newest >= first:
        raise ValueError(
            f"The first round of learning finds {first} steps, by --warm-up, --every "
            f"or --capacity. It must find more than the {newest} that have no "
            "transition yet: --n-step less one, in each of --environments."
        )
    shape = options.updates, options.batch_size

    def learn_from(state, memory, key, share):
        keys = jax.random.split(key, options.updates + 1)
        if agent.priority is None:
            drawn = replay.places(memory, keys[0], shape, newest), None
        else:
            drawn = replay.prioritised_places(
                memory, keys[0], shape, agent.priority, 0.4 + 0.6 * share, newest
            )

        def update(carry, inputs):
            (state, priorities), (update_key, (at, weights)) = carry, inputs
            batch = transitions(memory, at, options)
            if weights is None:
                return (agent.update(state, update_key, batch), None), None
            state, new = agent.update(state, update_key, batch, weights)
            return (state, priorities.at[at].set(new)), None

        carry = state, memory.priorities
        (state, priorities), _ = jax.lax.scan(update, carry, (keys[1:], drawn))
        return state, memory._replace(priorities=priorities)

    return learn_from
