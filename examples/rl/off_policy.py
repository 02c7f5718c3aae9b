"""The loop of agents that learn from a memory: act, remember, learn from what is drawn.

Several environments go on side by side. After so many steps, as many batches as there
are updates are drawn and learned from in one compiled call; between two such calls the
agent acts with the same parameters. An episode that is cut off by the time limit still
has a future to bootstrap from: its discount stays (Pardo et al., 2018, Time Limits in
Reinforcement Learning, arXiv:1712.00378).
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import experiment
import jax
import numpy as np
import replay


class Transition(NamedTuple):
    """From a state to the next, or to the one n steps later."""

    s_tm1: Any
    a_tm1: Any
    r_t: Any  # the sum of n rewards, discounted
    discount_t: Any  # of the value of s_t; 0 where the episode came to its end
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
    one = Transition(observations[0], space.sample()[0], 0.0, 0.0, observations[0])
    prioritised = agent.priority is not None
    memory = replay.empty(options.capacity, one, prioritised)
    (state, memory), first = report.resume((state, memory))

    @jax.jit
    def explore(state, observations, step):
        act_key = jax.random.fold_in(key, 2 * step)
        return agent.explore(state, act_key, observations, step / options.steps)

    @jax.jit
    def updates(state, memory, step):
        """The state, and the priorities, after a round."""
        keys = jax.random.split(
            jax.random.fold_in(key, 2 * step + 1), options.updates + 1
        )
        shape = options.updates, options.batch_size
        if prioritised:  # Drawn once for the round: what it changes counts in the next.
            correction = 0.4 + 0.6 * step / options.steps
            drawn = replay.prioritised_places(
                memory, keys[0], shape, agent.priority, correction
            )
        else:
            drawn = replay.places(memory, keys[0], shape), None

        def update(carry, inputs):
            (state, priorities), (update_key, (at, weights)) = carry, inputs
            batch = replay.rows(memory, at)
            if not prioritised:
                return (agent.update(state, update_key, batch), None), None
            state, new = agent.update(state, update_key, batch, weights)
            return (state, priorities.at[at].set(new)), None

        carry = state, memory.priorities
        return jax.lax.scan(update, carry, (keys[1:], drawn))[0]

    remember = jax.jit(replay.add, donate_argnums=0)
    last = deque(maxlen=options.n_step)
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
        discounts = options.discount * ~ended
        last.append((s_tm1, actions, rewards, discounts, s_t, ended | cut))
        if len(last) == options.n_step:
            memory = remember(memory, joined(last))
        done = step + count
        if done > options.warm_up and done % options.every < count:
            state, priorities = updates(state, memory, step)
            memory = memory._replace(priorities=priorities)
    environments.close()
    return agent.learned(state)


def joined(steps) -> Transition:
    """One transition of n steps, in each environment: it ends where an episode ends."""
    s_tm1, a_tm1, rewards, discounts, s_t, over = steps[0]
    rewards, discounts = np.float32(rewards), np.float32(discounts)
    for _, _, r_t, discount_t, following, over_t in list(steps)[1:]:
        goes_on = ~over
        rewards = rewards + goes_on * discounts * np.float32(r_t)
        discounts = np.where(goes_on, discounts * np.float32(discount_t), discounts)
        shape = (-1, *[1] * (s_t.ndim - 1))
        s_t = np.where(goes_on.reshape(shape), following, s_t)
        over = over | over_t
    return Transition(s_tm1, a_tm1, rewards, discounts, s_t)
