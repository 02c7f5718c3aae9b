"""Caches of another dtype than that of the keys: a hook that makes them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from haiku._bound import Bound
from haiku._core import Hooks
from haiku._layers.attention import Attention

_KEPT = ("keys", "values")


@dataclasses.dataclass(frozen=True)
class CacheDtype(Hooks):
    """Lets attention layers keep keys and values in a dtype."""

    dtype: Any

    def state_creator(self, next_creator, shape, dtype, init, context):
        """Makes empty caches; what a layer keeps of an encoder stays as it is."""
        of_cache = context.name in _KEPT and isinstance(context.module, Attention)
        return next_creator(shape, self.dtype if of_cache else dtype, init)


def with_cache_dtype(model: Any, dtype: Any) -> Any:
    """The bound model, whose caches will have a dtype; None leaves that to the net.

    Raises:
      ValueError: It is neither int8 nor a dtype of floats.
    """
    if dtype is None or not isinstance(model, Bound):
        return model
    try:
        known = jnp.dtype(dtype)
    except TypeError as error:
        raise ValueError(_wrong(repr(dtype))) from error
    if known != jnp.int8 and not jnp.issubdtype(known, jnp.floating):
        raise ValueError(_wrong(known.name))
    return model.replace(hooks=[*model.hooks, CacheDtype(known)])


def check_cache_dtype(state: Any, dtype: Any) -> None:
    """Raises ValueError if a cache was made, but not in this dtype."""
    if dtype is None:
        return
    found = {
        jnp.dtype(x.dtype).name
        for named in state.values()
        for name in _KEPT
        if name in named
        for x in jax.tree.leaves(named[name])
    }
    wanted = jnp.dtype(dtype).name
    if wanted not in found:
        has = f"keeps them in {' and '.join(sorted(found))} already" * bool(found)
        raise ValueError(
            f"cache_dtype={wanted} of hk.generation is for keys and values of "
            f"attention, and this model {has or 'has none'}."
        )


def _wrong(given: str) -> str:
    return (
        "cache_dtype of hk.generation must be jnp.int8 or a dtype of floats, such as "
        f"jnp.bfloat16, got {given}."
    )
