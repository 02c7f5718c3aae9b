"""Experience as it comes: T steps of B environments, in arrays [T, B, ...].

For agents that learn from what they just did, and then throw it away.
"""

from typing import Any, NamedTuple

import experiment
import jax
import numpy as np

import rlax


class Rollout(NamedTuple):
    """Steps from states (`_tm1`) to states (`_t`)."""

    s_tm1: Any  # [T, B, ...]
    first_tm1: Any  # [T, B], whether s_tm1 begins an episode
    logits_tm1: Any  # [T, B, A], of the policy that acted
    a_tm1: Any  # [T, B]
    r_t: Any  # [T, B]
    ended_t: Any  # [T, B], whether the episode came to its end: nothing follows
    cut_t: Any  # [T, B], whether it was cut off: it would have gone on
    s_t: Any  # [T, B, ...], where the episode is cut not the next one's first


class Actor:
    """Acts in its environments, and goes on next time where it stopped.

    `policy(params, observations, first, memory)` gives logits [B, A] and the memory for
    the next step; `first` [B] tells where an episode begins. `played` is called with
    the rewards of each step and where episodes are over. A training that is resumed
    gives the number of steps that were made before: new episodes begin, with chances
    of their own.
    """

    def __init__(
        self, policy, environments, seed: int, memory=None, *, played=None, steps=0
    ):
        self.environments, self.memory = environments, memory
        self.observations, _ = environments.reset(seed=1000 * seed + steps)
        self.first = np.ones(environments.num_envs, bool)
        self.played = played or (lambda rewards, over: None)
        # Apart from the learner's: split's and fold_in's first keys are the same.
        self.key, self.steps = jax.random.key(1_000_000 + seed), steps

        def choose(params, key, step, *inputs):
            logits, memory = policy(params, *inputs)
            if logits.shape[-1] != environments.single_action_space.n:
                raise ValueError(
                    f"The policy gives {logits.shape[-1]} logits, but there are "
                    f"{environments.single_action_space.n} actions: change `forward`."
                )
            key = jax.random.fold_in(key, step)
            return rlax.softmax().sample(key, logits), logits, memory

        self.choose = jax.jit(choose)

    def __call__(self, params, length: int) -> Rollout:
        """What happens in the next `length` steps."""
        rows = []
        for _ in range(length):
            s_tm1, first_tm1 = self.observations, self.first
            a_tm1, logits, self.memory = self.choose(
                params, self.key, self.steps, s_tm1, first_tm1, self.memory
            )
            a_tm1 = np.asarray(a_tm1)
            self.observations, r_t, ended, cut, info = self.environments.step(a_tm1)
            self.first = ended | cut
            self.played(r_t, self.first)
            s_t = experiment.last_observations(self.observations, info)
            r_t = np.asarray(r_t, np.float32)
            rows.append((s_tm1, first_tm1, logits, a_tm1, r_t, ended, cut, s_t))
            self.steps += 1
        return Rollout(*(np.stack(column) for column in zip(*rows)))
