"""Gymnasium's running statistics and scaled rewards."""

import gymnasium
import numpy as np
from gymnasium.wrappers import NormalizeObservation, NormalizeReward
from gymnasium.wrappers.utils import RunningMeanStd
from recorder import NumpyRecorder


class Game(gymnasium.Env):
    """Gives always the same observation and reward."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, observation, reward=0.0):
        self.observation, self.reward = observation, float(reward)
        self.observation_space = gymnasium.spaces.Box(
            -9, 9, observation.shape, observation.dtype
        )

    def step(self, action):
        return self.observation, self.reward, False, False, {}


def statistics(count, mean, square_sum):
    """Theirs start at a variance, and have a count above 0."""
    state = RunningMeanStd(shape=mean.shape)
    state.count, state.mean, state.var = float(count), mean, square_sum / count
    return state


def numbers(state):
    return state.count, state.mean, state.var * state.count


def update(count, mean, square_sum, x):
    state = statistics(count, mean, square_sum)
    state.update(x)
    return numbers(state)


def standardize(x, **state):
    wrapped = NormalizeObservation(Game(x))
    wrapped.obs_rms = statistics(**state)
    wrapped.update_running_mean = False
    return wrapped.observation(x)


def scale_rewards(r_t, discount_t, return_tm1, count, mean, square_sum, max_abs):
    """One step: ours reads a whole sequence, then scales its rewards by one number."""
    gamma = float(discount_t[0])
    wrapped = NormalizeReward(Game(np.zeros(1), r_t[0]), gamma)
    wrapped.return_rms = statistics(count, mean, square_sum)
    wrapped.discounted_reward = return_tm1[None] / gamma  # Ours has the discount in it.
    scaled = wrapped.step(0)[1]
    now = wrapped.discounted_reward
    largest = max(max_abs, np.abs(now).max())
    return (
        np.reshape(scaled, 1),
        gamma * np.reshape(now, ()),
        *(np.reshape(x, ()) for x in numbers(wrapped.return_rms)),
        largest,
    )


def main():
    recorder = NumpyRecorder("Gymnasium", "gymnasium")
    random = np.random.default_rng(6)
    state = {"count": 5.0, "mean": [0.3, -1.0], "square_sum": [4.0, 7.0]}
    x = random.standard_normal((4, 2))
    recorder.case(
        "update_running_statistics", "RunningMeanStd", update, {**state, "x": x}
    )
    recorder.case(
        "standardize", "NormalizeObservation", standardize, {"x": x[0], **state}
    )
    recorder.case(
        "scale_rewards",
        "NormalizeReward",
        scale_rewards,
        {
            **{"r_t": [0.7], "discount_t": [0.9], "return_tm1": 1.2, "max_abs": 1.5},
            **{"count": 5.0, "mean": 0.3, "square_sum": 4.0},
        },
    )
    recorder.write()


if __name__ == "__main__":
    main()
