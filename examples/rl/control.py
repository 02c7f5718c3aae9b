"""What agents for continuous actions share: options, and the scales of what they see.

An agent here sees observations and chooses actions in [-1, 1]; `Scales` translates from
and to those of the environment, by the bounds that its spaces state. `off_policy.py`
has the loop; `compiled.py` has it in one program, for --compiled.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import compiled
import experiment
import jax
import jax.numpy as jnp
import numpy as np
import off_policy

import haiku as hk


class Rule(NamedTuple):
    """An agent in [-1, 1], and how its policy acts without exploration."""

    agent: off_policy.Agent
    act: Callable  # learned, observations -> actions


class Scales(NamedTuple):
    """Middle and half width of each observation and action."""

    observations: Any
    actions: Any

    def seen(self, observations):
        """Observations, in [-1, 1] where they have bounds."""
        middle, half = self.observations
        return (observations - middle) / half

    def unit(self, actions):
        """The environment's actions, in [-1, 1]."""
        middle, half = self.actions
        return (actions - middle) / half

    def bounded(self, actions):
        """Actions in [-1, 1], within the environment's bounds."""
        middle, half = self.actions
        return middle + half * actions

    def seen_transitions(self, batch: off_policy.Transition):
        """Transitions as the agent sees them."""
        return batch._replace(
            s_tm1=self.seen(batch.s_tm1),
            a_tm1=self.unit(batch.a_tm1),
            s_t=self.seen(batch.s_t),
        )


def scales(environments) -> Scales:
    """Those of the spaces of these environments."""

    def of(space):
        bounded = np.isfinite(space.high) & np.isfinite(space.low)
        high, low = np.where(bounded, space.high, 1), np.where(bounded, space.low, -1)
        return np.float32(high + low) / 2, np.float32(high - low) / 2

    return Scales(
        of(environments.single_observation_space), of(environments.single_action_space)
    )


def translated(agent: off_policy.Agent, scales: Scales) -> off_policy.Agent:
    """The agent for environments of these scales."""

    def init(key, observations, actions):
        return agent.init(key, scales.seen(observations), scales.unit(actions))

    def explore(state, key, observations, share):
        actions = agent.explore(state, key, scales.seen(observations), share)
        return scales.bounded(actions)

    def update(state, key, batch):
        return agent.update(state, key, scales.seen_transitions(batch))

    return off_policy.Agent(init, explore, update, agent.learned)


def parser(description: str, **defaults):
    """The options of these agents."""
    options = experiment.parser(
        description,
        environment="Pendulum-v1",
        steps=20_000,
        episodes=100,
        evaluations=10,
    )
    off_policy.add_options(options, environments=4, batch_size=256)
    options.add_argument(
        "--learning-rate", type=float, default=1e-3, help="%(default)s"
    )
    options.set_defaults(**defaults)
    return options


def deterministic(size: int):
    """A network that gives one action in [-1, 1] to each observation."""
    return hk.without_apply_rng(
        hk.transform(lambda s: jnp.tanh(hk.nets.MLP([64, 64, size])(s)))
    )


def with_noise(policy, deviation: float):
    """Exploration by noise on a deterministic policy's actions."""

    def explore(state, key, s, share):
        a = policy.apply(state.params.policy, s)
        return jnp.clip(a + deviation * jax.random.normal(key, a.shape), -1, 1)

    return explore


def gaussian(size: int):
    """A network that gives mean and standard deviation of u; tanh(u) is the action."""

    @hk.without_apply_rng
    @hk.transform
    def policy(s):
        mu, log_sigma = jnp.split(hk.nets.MLP([64, 64, 2 * size])(s), 2, -1)
        return mu, jnp.exp(jnp.clip(log_sigma, -5, 2))

    return policy


def ensemble(count: int, outputs: int, sizes=(64, 64)):
    """Networks `[B, D], [B, A] -> [B, count, outputs]`, side by side."""

    @hk.without_apply_rng
    @hk.transform
    def critics(s, a):
        sa = jnp.concatenate([s, a], -1)
        return jnp.stack([hk.nets.MLP([*sizes, outputs])(sa) for _ in range(count)], 1)

    return critics


def main(rule, parser, recipes=None, loop=compiled.train):
    """Makes the program of `rule(number of actions, options) -> Rule`.

    `recipes` are other defaults for some environments.
    """

    def run(argv=None):
        defaults = experiment.tuned(parser, recipes or {}, argv)
        options = defaults.parse_args(argv)
        environments = experiment.vector(options.environment, 1)
        (size,) = environments.single_action_space.shape
        scale = scales(environments)
        environments.close()
        agent, best = rule(size, options)
        agent = translated(agent, scale)

        def act(learned, observations, memory):
            return scale.bounded(best(learned, scale.seen(observations))), memory

        def learn(options, seed, report):
            return loop(agent, options, seed, report)

        return experiment.main(learn, act, defaults, argv=argv)

    return run
