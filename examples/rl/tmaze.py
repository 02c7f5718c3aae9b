"""A T-maze: the sign at its entrance tells which way to turn at its end.

One walks along a corridor by oneself; only the turn at its end, left (0) or right (1),
is a choice: the reward is 1 for the side of the sign, else -1. The sign is seen in the
first step alone, so a policy without a memory can only guess, and gets 0 on average.
The task of Bakker (2001, Reinforcement Learning with Long Short-Term Memory) without
its choices on the way. Its name in gymnasium is "tmaze:TMaze-v0".
"""

import gymnasium
import numpy as np


class TMaze(gymnasium.Env):
    """The observation is the sign, -1 or 1 and later 0, and whether this is the end."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, length: int = 20, render_mode=None):
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed=None, options=None):
        """A new sign, at the entrance."""
        super().reset(seed=seed)
        self.side, self.place = int(self.np_random.integers(2)), 0
        return self._seen(), {}

    def step(self, action):
        """One step on, or the turn at the end."""
        ended = self.place == self.length
        reward = (1.0 if action == self.side else -1.0) * ended
        self.place = min(self.place + 1, self.length)
        return self._seen(), reward, ended, False, {}

    def render(self):
        """The corridor, the sign in its colour, the walker white."""
        colours = np.full([3, self.length + 1, 3], 0.1)
        colours[1], colours[:, -1] = 0.4, 0.4
        colours[2 * self.side, -1] = colours[1, 0] = 1.0, 0.7, 0.2
        colours[1, self.place] = 1.0
        return np.uint8(255 * np.kron(colours, np.ones([12, 12, 1])))

    def _seen(self):
        sign = (2 * self.side - 1) * (self.place == 0)
        return np.array([sign, self.place == self.length], np.float32)


gymnasium.register("TMaze-v0", TMaze, order_enforce=False, disable_env_checker=True)
