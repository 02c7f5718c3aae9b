"""optimize_rng_use: one split for all keys of a function."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from haiku._core.keys.key_sequence import PRNGSequence
from haiku._core.runs.frame import current_frame
from haiku._lifted.pure import changing


class _Counting(PRNGSequence):
    """Counts the keys that it splits off."""

    __slots__ = ("count",)

    def reserve(self, num: int) -> None:
        self.count += max(num, 0)
        super().reserve(num)

    def draw(self, sample, arguments):
        self.count += not self._reserved
        return super().draw(sample, arguments)


def optimize_rng_use(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function split all its keys at once.

    It runs `fun` abstractly to count the keys, then reserves that number. The keys
    differ from those that `fun` draws without it.

    Args:
      fun: A function that draws keys.

    Returns:
      A function like `fun`.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> def f():
      ...     keys = hk.experimental.optimize_rng_use(lambda: hk.next_rng_keys(3))()
      ...     return len(keys)
      >>> hk.transform(f).apply({}, jax.random.key(0))
      3
    """

    @functools.wraps(fun)
    def with_one_split(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame("hk.experimental.optimize_rng_use")
        if frame.keys is not None:
            frame.keys.reserve(_keys_used(fun, args, kwargs))
        return fun(*args, **kwargs)

    return with_one_split


def _keys_used(fun: Callable[..., Any], args: Any, kwargs: Any) -> int:
    """The number of keys that `fun` needs beyond the reserved ones."""
    frame = current_frame("hk.experimental.optimize_rng_use")
    before = frame.snapshot()
    keys = before.keys
    assert keys is not None
    count = []

    def run(args: Any, kwargs: Any) -> None:
        def counted() -> None:
            counting = _Counting(keys)
            counting.count = 0
            frame.keys = counting
            fun(*args, **kwargs)
            count.append(counting.count - len(counting.internal_state[1]))

        changing(counted, before)()

    jax.eval_shape(run, args, kwargs)
    return max(count[0], 0)
