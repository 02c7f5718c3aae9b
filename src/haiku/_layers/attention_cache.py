"""The keys and values that an attention layer keeps from call to call."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import get_state, set_state

# A slot that no key can have: writing there writes nothing.
_NOWHERE = jnp.iinfo(jnp.int32).max


@dataclasses.dataclass
class Cache:
    """A layer's state: ``keys``, ``values`` ``[B, slots, K, D]``, ``length`` ``[B]``.

    Tokens are numbered by the order in which they come, without padding. Token ``n``
    lies in slot ``n``; in a ring, which holds as many as a window, in ``n % slots``.
    ``positions`` ``[B, slots]`` are kept too, if later calls need them.
    """

    keys: jax.Array
    values: jax.Array
    length: jax.Array
    ring: bool
    positions: jax.Array | None = None

    @classmethod
    def read(
        cls,
        key: jax.Array,
        value: jax.Array,
        size: int,
        window: int | None,
        keeps_positions: bool,
    ):
        """Returns the cache of the module that runs, empty if it has none yet."""
        ring = window is not None and window <= size
        slots = window if ring else size
        batch = key.shape[0]
        shapes = {
            "keys": (batch, slots, *key.shape[2:]),
            "values": (batch, slots, *value.shape[2:]),
            "length": (batch,),
        }
        dtypes = {"keys": key.dtype, "values": value.dtype, "length": jnp.int32}
        if keeps_positions:
            shapes["positions"] = (batch, slots)
            dtypes["positions"] = jnp.float32
        held = {
            name: get_state(name, shape, dtypes[name], init=jnp.zeros)
            for name, shape in shapes.items()
        }
        for name, shape in shapes.items():
            if held[name].shape != shape:
                raise ValueError(
                    f"The cache has {name} of shape {held[name].shape}, but this call "
                    f"needs {shape}: batch, cache_size and window must stay as they "
                    "were when it was made. Drop the state to begin a new one."
                )
        return cls(**held, ring=ring)

    def numbers(self, valid: jax.Array) -> jax.Array:
        """The numbers of a call's tokens, ``[B, T]``; of padding, that before it."""
        return self.length[:, None] + jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1

    def extended(
        self,
        key: jax.Array,
        value: jax.Array,
        valid: jax.Array,
        positions: jax.Array,
    ) -> "Cache":
        """The cache with a call's valid tokens, at their positions ``[B, T]``.

        Raises:
          ValueError: There are more than fit, as far as that is known.
        """
        slots, numbers = self.keys.shape[1], self.numbers(valid)
        length = self.length + jnp.sum(valid, axis=1, dtype=jnp.int32)
        if self.ring:  # of many new tokens, the last ones stay
            kept = valid & (numbers >= length[:, None] - slots)
            numbers = numbers % slots
        else:
            check_room(length, slots)
            kept = valid
        places = jnp.where(kept, numbers, _NOWHERE)

        def put(held, new, places):
            return held.at[places].set(new.astype(held.dtype), mode="drop")

        put_rows = jax.vmap(put)
        keys = put_rows(self.keys, key, places)
        values = put_rows(self.values, value, places)
        at = self.positions
        if at is not None:
            at = put_rows(at, positions, places)
        return Cache(keys, values, length, self.ring, at)

    def key_numbers(self) -> tuple[jax.Array, jax.Array]:
        """Which token each slot holds, and whether it holds one, ``[B, slots]``."""
        slots = jnp.arange(self.keys.shape[1], dtype=jnp.int32)[None]
        last = self.length[:, None] - 1
        if not self.ring:
            return jnp.broadcast_to(slots, self.keys.shape[:2]), slots <= last
        numbers = last - (last - slots) % self.keys.shape[1]
        return numbers, numbers >= 0

    @property
    def overflows(self) -> jax.Array:
        """Which rows hold more tokens than there are slots, ``[B]``."""
        if self.ring:
            return jnp.zeros(self.length.shape, bool)
        return self.length > self.keys.shape[1]

    def write(self) -> None:
        """Makes it the state of the module that runs."""
        names = ["keys", "values", "length"]
        if self.positions is not None:
            names.append("positions")
        for name in names:
            set_state(name, getattr(self, name))


def check_room(length: Any, slots: int) -> None:
    """Raises if a row's `length` is above `slots`, where that is known."""
    if isinstance(length, Tracer):
        return
    longest = int(jnp.max(length, initial=0))
    if longest > slots:
        raise ValueError(
            f"The cache has {slots} slots, and this call fills {longest}: pass a "
            f"cache_size of at least {longest} from the first call on."
        )
