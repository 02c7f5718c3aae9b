"""Random keys inside a transformed function."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax

from haiku._core.errors.help_links import Explained
from haiku._core.keys.key_sequence import KeyState, PRNGSequence
from haiku._core.runs.frame import Frame, current_frame


class MissingRNGError(Explained, ValueError):
    """A key is needed, and `init` or `apply` was called without one."""

    page = "start/randomness"


def _sequence(frame: Frame, what: str) -> PRNGSequence:
    if frame.keys is not None:
        if frame.watch.keys:
            frame.watch.check_keys(frame.keys.internal_state)
        if not frame.usage.initialising:  # New values are checked when stored.
            frame.watch.check_repeated("A random key was drawn", or_never=False)
        return frame.keys
    if frame.initialising:
        call, example = "init", "`init(jax.random.key(42), x)`"
    else:
        call, example = "apply", "`apply(params, jax.random.key(42), x)`"
    raise MissingRNGError(
        f"You must pass a non-None PRNGKey to {call}: `{what}` requires an RNG to be "
        f"passed into the transformed function. Write {example}. If the function needs "
        "no key here (no dropout in evaluation, for instance), don't draw one."
    )


def _note_keys(frame: Frame, sequence: PRNGSequence) -> None:
    if not frame.usage.initialising:
        frame.usage.differs = True
    frame.watch.note_keys(sequence.internal_state[0])


def next_rng_key() -> jax.Array:
    """A random key that no other call in this run returns.

    Returns:
      A key of the kind that `init` or `apply` was called with.

    Raises:
      ValueError: No transformed function is running, or it has no key.

    Example:
      >>> def f():
      ...     return jax.random.normal(hk.next_rng_key(), [2])
      >>> noise = hk.transform(f).apply({}, jax.random.key(0))
    """
    frame = current_frame("hk.next_rng_key")
    frame.watch.check_usage("hk.next_rng_key")
    sequence = _sequence(frame, "hk.next_rng_key")
    key = next(sequence)
    _note_keys(frame, sequence)
    return key


def next_rng_keys(num: int) -> tuple[jax.Array, ...]:
    """`num` random keys that no other call in this run returns.

    Args:
      num: How many.

    Returns:
      `num` keys, the same that `num` calls of `next_rng_key` give after
      `reserve_rng_keys(num)`.

    Raises:
      ValueError: No transformed function is running, or it has no key.

    Example:
      >>> def f():
      ...     a, b = hk.next_rng_keys(2)
      ...     return jax.random.normal(a), jax.random.uniform(b)
      >>> gauss, uniform = hk.transform(f).apply({}, jax.random.key(0))
    """
    frame = current_frame("hk.next_rng_keys")
    frame.watch.check_usage("hk.next_rng_keys")
    sequence = _sequence(frame, "hk.next_rng_keys")
    keys = sequence.take(num)
    _note_keys(frame, sequence)
    return keys


def maybe_next_rng_key() -> jax.Array | None:
    """`next_rng_key()`, or None if `init` or `apply` was called without a key.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> hk.transform(hk.maybe_next_rng_key).apply({}, None) is None
      True
    """
    frame = current_frame("hk.maybe_next_rng_key")
    return None if frame.keys is None else next_rng_key()


def reserve_rng_keys(num: int) -> None:
    """Splits off `num` keys at once, for `next_rng_key` to return.

    One split traces and runs faster than `num` splits, and gives other keys.

    Args:
      num: How many.

    Raises:
      ValueError: No transformed function is running, or it has no key.

    Example:
      >>> def f():
      ...     hk.reserve_rng_keys(3)
      ...     return [hk.next_rng_key() for _ in range(3)]
      >>> len(set(map(str, hk.transform(f).apply({}, jax.random.key(0)))))
      3
    """
    frame = current_frame("hk.reserve_rng_keys")
    frame.watch.check_usage("hk.reserve_rng_keys")
    sequence = _sequence(frame, "hk.reserve_rng_keys")
    sequence.reserve(num)
    _note_keys(frame, sequence)


@contextlib.contextmanager
def _drawing_from(frame: Frame, sequence: PRNGSequence) -> Iterator[None]:
    before, frame.keys = frame.keys, sequence
    stray, frame.watch.keys = frame.watch.keys, None
    try:
        yield
    finally:
        frame.keys, frame.watch.keys = before, stray


def with_rng(key: jax.Array | int) -> contextlib.AbstractContextManager[None]:
    """Draws keys from `key` while a `with` block runs.

    Args:
      key: A key or a seed.

    Returns:
      A context manager.

    Raises:
      ValueError: No transformed function is running, or `key` isn't a key.

    Example:
      >>> def f():
      ...     with hk.with_rng(jax.random.key(1)):
      ...         return hk.next_rng_key()
    """
    frame = current_frame("hk.with_rng")
    frame.watch.check_usage("hk.with_rng")
    return _drawing_from(frame, PRNGSequence(key))


def maybe_get_rng_sequence_state() -> KeyState | None:
    """The state of the key sequence: `(key, reserved keys)`; None without keys.

    Raises:
      ValueError: No transformed function is running.

    Example:
      >>> f = hk.transform(hk.maybe_get_rng_sequence_state)
      >>> f.apply({}, None) is None
      True
      >>> key, reserved = f.apply({}, jax.random.key(0))
    """
    frame = current_frame("hk.maybe_get_rng_sequence_state")
    return None if frame.keys is None else frame.keys.internal_state


def replace_rng_sequence_state(state: KeyState) -> None:
    """Continues with the keys of another sequence.

    Args:
      state: The result of `maybe_get_rng_sequence_state`.

    Raises:
      ValueError: No transformed function is running, or it has no key, or `state` isn't
        the state of a sequence.

    Example:
      >>> def f():
      ...     before = hk.maybe_get_rng_sequence_state()
      ...     key = hk.next_rng_key()
      ...     hk.replace_rng_sequence_state(before)
      ...     return key == hk.next_rng_key()
      >>> hk.transform(f).apply({}, jax.random.key(0))
      Array(True, dtype=bool)
    """
    frame = current_frame("hk.replace_rng_sequence_state")
    frame.watch.check_usage("hk.replace_rng_sequence_state")
    sequence = _sequence(frame, "hk.replace_rng_sequence_state")
    sequence.replace_internal_state(state)
    _note_keys(frame, sequence)


def draw(sample: Callable[..., jax.Array], *arguments: Any) -> jax.Array:
    """`sample(next_rng_key(), rounded, *arguments)`, compiled with the key's split.

    Args:
      sample: A function at module level, compiled once for each `arguments`. It wraps
        `rounded(...)` around values that must be rounded as single operations are.
      *arguments: Hashable; with others the two calls are made one after the other.

    Returns:
      The result of `sample`.

    Raises:
      ValueError: No transformed function is running, or it has no key.
    """
    frame = current_frame("hk.next_rng_key")
    frame.watch.check_usage("hk.next_rng_key")
    sequence = _sequence(frame, "hk.next_rng_key")
    value = sequence.draw(sample, arguments)
    _note_keys(frame, sequence)
    return value
