"""Initial values drawn in batches, so that a jitted `init` compiles quickly.

Each draw of a parameter is a split of the key and a kernel, and XLA compiles as many of
both as there are parameters. So once the function has run, one loop splits the keys
again and another makes all draws of one kind: the same numbers. Nothing needs the
single draws any more, so XLA drops them. Values that were changed after the draw, or
made inside another JAX transformation, stay as they are.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

Sample = Callable[..., jax.Array]


class Draw(NamedTuple):
    """One draw of a key sequence.

    Attributes:
      before: The sequence's key before the draw.
      after: The sequence's key after it.
      sample: The function that drew: ``sample(key, rounded, *arguments)``.
      arguments: Its arguments, hashable.
      value: Its result.
    """

    before: jax.Array
    after: jax.Array
    sample: Sample
    arguments: tuple[Any, ...]
    value: jax.Array


# Fewer draws compile as quickly one by one. A batch is copied once, so large arrays are
# drawn alone: they need few kernels anyway.
_FEWEST = 3
_LARGEST = 2**22


def as_is(x: Any) -> Any:
    """The `rounded` of a sample inside `jit`, where XLA may merge operations."""
    return x


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def split_and_draw(key, sample, arguments, rounded):
    """The key after a split, and a draw from the other half, in one compiled call."""
    key, subkey = jax.random.split(key)
    return key, sample(subkey, rounded, *arguments)


@functools.partial(jax.jit, static_argnums=1)
def _split_in_turn(key, count):
    def step(key, _):
        return tuple(jax.random.split(key))

    subkeys = jax.lax.scan(step, key, length=count)[1]
    return _apart(subkeys, count)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw_in_turn(keys, sample, arguments):
    values = jax.lax.map(lambda key: sample(key, as_is, *arguments), jnp.stack(keys))
    return _apart(values, len(keys))


def _apart(stacked, count):
    return [jax.lax.index_in_dim(stacked, i, keepdims=False) for i in range(count)]


def is_staged() -> bool:
    """Whether operations are traced now, not computed at once."""
    return isinstance(jax.lax.full((), 0), Tracer)


def drawn_together(draws: Iterable[Draw]) -> dict[int, jax.Array]:
    """Draws the same values again, those of one kind in one loop.

    Args:
      draws: The draws in their order.

    Returns:
      ``{id(draw.value): value}``, without the draws that stay as they are.
    """
    alike = defaultdict(list)
    for draw, key in _keys_of(draws):
        alike[draw.sample, draw.arguments].append((draw.value, key))
    values = {}
    for (sample, arguments), group in alike.items():
        together = max(1, _LARGEST // max(1, math.prod(group[0][0].shape)))
        for start in range(0, len(group), together):
            old, keys = zip(*group[start : start + together])
            if len(keys) < _FEWEST:
                new = [sample(key, as_is, *arguments) for key in keys]
            else:
                new = _draw_in_turn(keys, sample, arguments)
            values.update((id(x), y) for x, y in zip(old, new))
    return values


def _keys_of(draws: Iterable[Draw]) -> Iterable[tuple[Draw, jax.Array]]:
    """Each draw with its key, for runs of draws that are long enough."""
    stretches: list[list[Draw]] = []
    for draw in draws:
        if stretches and stretches[-1][-1].after is draw.before:
            stretches[-1].append(draw)
        else:
            stretches.append([draw])
    for stretch in stretches:
        if len(stretch) >= _FEWEST:
            yield from zip(stretch, _split_in_turn(stretch[0].before, len(stretch)))
