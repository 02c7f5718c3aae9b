"""Sequences of random keys, typed (`jax.random.key`) or legacy."""

import collections
import functools
import reprlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._core.keys.batched_init import Draw, Sample, as_is, split_and_draw
from haiku._settings import current_settings

KeyState = tuple[jax.Array, tuple[jax.Array, ...]]


@functools.partial(jax.jit, static_argnums=1)
def _split(key, num):
    return tuple(jax.random.split(key, num))


# Beyond this number, one array that is sliced later traces faster than many outputs.
_LARGEST_UNPACKED_SPLIT = 64


def split(key: jax.Array, num: int) -> tuple[jax.Array, ...]:
    """Splits `key` into `num` keys by one compiled call."""
    if num <= _LARGEST_UNPACKED_SPLIT:
        return _split(key, num)
    return tuple(jax.random.split(key, num))


@functools.lru_cache(maxsize=8)
def _legacy_key_shape(implementation: str) -> tuple[int, ...]:
    with jax.default_prng_impl(implementation):
        return jax.eval_shape(lambda: jax.random.PRNGKey(0)).shape


def is_typed_key(x: Any) -> bool:
    """Whether `x` is a single key made by `jax.random.key`."""
    return (
        isinstance(x, jax.Array)
        and not x.shape
        and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    )


def is_legacy_key(x: Any) -> bool:
    """Whether `x` is a single key made by `jax.random.PRNGKey`."""
    return (
        isinstance(x, (jax.Array, np.ndarray))
        and x.dtype == np.uint32
        and x.shape == _legacy_key_shape(jax.config.jax_default_prng_impl)  # type: ignore
    )


def is_seed(x: Any) -> bool:
    """Whether `x` is an integer seed, of Python, NumPy or JAX."""
    if isinstance(x, (int, np.integer)):
        return not isinstance(x, bool)
    return (
        isinstance(x, (jax.Array, np.ndarray))
        and not x.shape
        and jnp.issubdtype(x.dtype, np.integer)
    )


def as_key(x: Any, what: str) -> jax.Array:
    """A key from a key or a seed.

    Args:
      x: A key of either kind, or an integer seed.
      what: The start of the error's first sentence.

    Raises:
      ValueError: `x` is neither.
    """
    if is_legacy_key(x) or is_typed_key(x):
        return x
    if is_seed(x):
        return jax.random.PRNGKey(x)
    raise ValueError(f"{what}, got {describe(x)}. {WAYS_TO_A_KEY}")


WAYS_TO_A_KEY = (
    "Pass `jax.random.key(42)`, `jax.random.PRNGKey(42)` or an integer seed such as 42;"
    " of several keys pass one, `keys[0]`."
)


def describe(x: Any) -> str:
    """An array's dtype and shape, or a value's type and value."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype}[{','.join(map(str, x.shape))}]"
    return f"{type(x).__name__} {reprlib.repr(x)}"


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


class PRNGSequence(Iterator[jax.Array]):
    """An endless sequence of keys from one key or seed, each returned once.

    Args:
      key_or_seed: A key, an integer seed, or the `internal_state` of another sequence.

    Raises:
      ValueError: It is none of these.

    Example:
      >>> keys = PRNGSequence(42)
      >>> a, (b, c) = next(keys), keys.take(2)
    """

    __slots__ = ("_key", "_reserved", "draws")

    def __init__(self, key_or_seed: jax.Array | int | KeyState):
        self.draws: list[Draw] = []  # Traced draws alone.
        if isinstance(key_or_seed, tuple):
            self.replace_internal_state(key_or_seed)
            return
        kind = "is not a JAX PRNGKey: key did not have expected shape and/or dtype"
        self._key = as_key(key_or_seed, f"PRNGSequence's argument {kind}")
        self._reserved: collections.deque[jax.Array] = collections.deque()

    @property
    def internal_state(self) -> KeyState:
        """`(key, reserved keys)`; reserved keys are split off but not returned yet."""
        return self._key, tuple(self._reserved)

    def replace_internal_state(self, state: KeyState) -> None:
        """Continues from another sequence's `internal_state`.

        Args:
          state: `(key, reserved keys)`.

        Raises:
          ValueError: `state` isn't such a pair.
        """
        if not (isinstance(state, tuple) and len(state) == 2):
            raise ValueError(
                "The state of a PRNGSequence is a pair (key, reserved keys), got "
                f"{describe(state)}. Take it from `internal_state`."
            )
        key, reserved = state
        self._key = as_key(key, "The state of a PRNGSequence starts with a key")
        self._reserved = collections.deque(reserved)

    def reserve(self, num: int) -> None:
        """Splits off `num` keys at once; they are returned next.

        Args:
          num: How many; below 1 does nothing.
        """
        if num > 0:
            self._key, *keys = split(self._key, num + 1)
            self._reserved.extend(keys)

    def reserve_up_to_full(self) -> None:
        """Splits off keys until `config.rng_reserve_size` are reserved."""
        self.reserve(current_settings().rng_reserve_size - len(self._reserved))

    def reserve_exactly(self, num: int) -> None:
        """Splits off or drops keys until `num` are reserved."""
        self.reserve(num - len(self._reserved))
        while len(self._reserved) > num:
            self._reserved.pop()

    def next(self) -> jax.Array:
        """The next key."""
        return self.__next__()

    def __next__(self) -> jax.Array:
        if not self._reserved:
            self.reserve(current_settings().rng_reserve_size)
        return self._reserved.popleft()

    def draw(self, sample: Sample, arguments: tuple[Any, ...]) -> jax.Array:
        """`sample(next key, rounded, *arguments)`, compiled with the key's split.

        Outside of `jit`, XLA must round where single operations would: `rounded(x)`
        keeps it from merging the operations before and after `x`. Inside the user's
        `jit`, XLA merges as usual.
        """
        single = not self._reserved and current_settings().rng_reserve_size == 1
        if not single or not _hashable(arguments):
            return sample(next(self), as_is, *arguments)
        before = self._key
        traced = isinstance(before, Tracer)
        rounded = as_is if traced else jax.lax.optimization_barrier
        self._key, value = split_and_draw(before, sample, arguments, rounded)
        if traced:
            self.draws.append(Draw(before, self._key, sample, arguments, value))
        return value

    def take(self, num: int) -> tuple[jax.Array, ...]:
        """The next `num` keys; those that aren't reserved are split off at once.

        Args:
          num: How many.

        Returns:
          `num` keys.
        """
        self.reserve(num - len(self._reserved))
        return tuple(self._reserved.popleft() for _ in range(num))

    def take_array(self, num: int) -> jax.Array:
        """The next `num` keys as one array, `[num, ...]`.

        Args:
          num: How many; may be symbolic if nothing is reserved.
        """
        if num == 0 or not isinstance(num, int):
            keys = jax.random.split(self._key, num + 1)
            if num != 0:
                self._key = keys[0]
            return keys[1:]
        return jnp.stack(self.take(num))
