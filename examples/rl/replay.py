"""A memory of transitions to learn from again, in arrays of fixed size."""

import numpy as np


class Replay:
    """The last `capacity` transitions, drawn from uniformly and with replacement."""

    def __init__(self, capacity: int, seed: int):
        self.capacity, self.size, self.next = capacity, 0, 0
        self.random = np.random.default_rng(seed)
        self.columns = None

    def add(self, *columns):
        """Adds a batch of transitions: each of `columns` is [B, ...]."""
        columns = [np.asarray(x) for x in columns]
        if self.columns is None:
            self.columns = [
                np.zeros((self.capacity, *x.shape[1:]), x.dtype) for x in columns
            ]
        at = (self.next + np.arange(len(columns[0]))) % self.capacity
        for kept, new in zip(self.columns, columns):
            kept[at] = new
        self.next = int(at[-1] + 1) % self.capacity
        self.size = min(self.size + len(at), self.capacity)

    def sample(self, count: int):
        """A list of [count, ...], in the order that they were added with."""
        at = self.random.integers(self.size, size=count)
        return [x[at] for x in self.columns]

    def batches(self, number: int, count: int):
        """As `sample`, but `number` batches in one go: [number, count, ...]."""
        at = self.random.integers(self.size, size=(number, count))
        return [x[at] for x in self.columns]
