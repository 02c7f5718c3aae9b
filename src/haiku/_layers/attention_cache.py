"""What an attention layer keeps of each step, from call to call."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core import get_state, set_state
from haiku._layers.inputs import at_least_single

# A slot that no step can have: writing there writes nothing.
_NOWHERE = jnp.iinfo(jnp.int32).max


class Kept(NamedTuple):
    """What is kept of steps, ``[B, S, ...]``: a layer's state under these names."""

    keys: jax.Array
    values: jax.Array
    positions: jax.Array | None = None  # only if later calls need them
    # What int8 keys and values are multiplied by, ``[B, S, K]``.
    keys_scale: jax.Array | None = None
    values_scale: jax.Array | None = None

    def rounded(self, keys: bool, values: bool) -> "Kept":
        """With keys, values or both as int8, and a scale for each head of a step."""
        new = self
        if keys:
            integers, scale = _rounded(self.keys)
            new = new._replace(keys=integers, keys_scale=scale)
        if values:
            integers, scale = _rounded(self.values)
            new = new._replace(values=integers, values_scale=scale)
        return new

    def read(self, dtype: Any) -> tuple[jax.Array, jax.Array]:
        """Keys and values as floats."""
        return (
            _scaled(self.keys, self.keys_scale, dtype),
            _scaled(self.values, self.values_scale, dtype),
        )


def _rounded(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Integers up to 127 and a scale, for each ``[..., D]``."""
    wide = x.astype(at_least_single(x.dtype))
    scale = jnp.max(jnp.abs(wide), axis=-1) / 127
    scale = jnp.where(scale == 0, jnp.ones_like(scale), scale)
    return jnp.round(wide / scale[..., None]).astype(jnp.int8), scale


def _scaled(x: jax.Array, scale: jax.Array | None, dtype: Any) -> jax.Array:
    return (x if scale is None else x * scale[..., None]).astype(dtype)


class Seen(NamedTuple):
    """What a call may see: kept steps ``[B, S]``, their numbers, whether they count."""

    kept: Kept
    numbers: jax.Array
    counts: jax.Array


@dataclasses.dataclass
class Cache:
    """A layer's state: what it keeps, ``[B, slots, ...]``, and each row's ``length``.

    Steps are numbered by the order in which they come, without padding. Step ``n`` lies
    in slot ``n``; in a ring, which holds as many as a window, in ``n % slots``.
    """

    kept: Kept
    length: jax.Array
    ring: bool

    @classmethod
    def read(cls, new: Kept, size: int, window: int | None) -> "Cache":
        """Returns the cache of the module that runs, empty if it has none yet.

        Args:
          new: What the call will add.
          size: How many steps are to be kept.
          window: How many steps a step sees.
        """
        slots = size if window is None else min(size, window)
        ring = slots == window

        def held(name: str, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            value = get_state(name, shape, dtype, init=jnp.zeros)
            if value.shape != shape:
                raise ValueError(
                    f"The cache has {name} of shape {value.shape}, but this call needs "
                    f"{shape}: batch, cache_size and window must stay as they were "
                    "when it was made. Drop the state to begin a new one."
                )
            return value

        def slots_for(name: str, x: Any) -> jax.Array:
            return held(name, (x.shape[0], slots, *x.shape[2:]), x.dtype)

        kept = {
            name: slots_for(name, x)
            for name, x in new._asdict().items()
            if x is not None
        }
        for name in ("keys", "values"):
            if kept[name].dtype == jnp.int8:
                wide = at_least_single(new.keys.dtype)
                scales = jax.ShapeDtypeStruct(getattr(new, name).shape[:-1], wide)
                kept[f"{name}_scale"] = slots_for(f"{name}_scale", scales)
            elif not jnp.issubdtype(kept[name].dtype, jnp.floating):
                raise ValueError(
                    f"The cache has {name} of {kept[name].dtype}: it can hold floats "
                    "or int8."
                )
        return cls(Kept(**kept), held("length", new.keys.shape[:1], jnp.int32), ring)

    @property
    def slots(self) -> int:
        """How many steps there is room for; in a ring, the size of the window."""
        return self.kept.keys.shape[1]

    def numbers(self, valid: jax.Array) -> jax.Array:
        """The numbers of a call's steps, ``[B, T]``; of padding, that before it."""
        return self.length[:, None] + jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1

    def extended(self, new: Kept, valid: jax.Array) -> tuple["Cache", Seen]:
        """The cache with a call's valid steps, and what they may see.

        Raises:
          ValueError: There are more than fit, as far as that is known.
        """
        scales = self.kept.keys_scale, self.kept.values_scale
        new = new.rounded(*(x is not None for x in scales))
        length = self.length + jnp.sum(valid, axis=1, dtype=jnp.int32)
        if not self.ring:
            check_room(length, self.slots)
        after = Cache(self._kept_with(new, valid, length), length, self.ring)
        if not self.ring:
            return after, after._seen()
        # A step may see others that later ones of this call replace.
        both = self._seen(), Seen(new, self.numbers(valid), valid)
        seen = jax.tree.map(
            lambda old, x: jnp.concatenate([old, x.astype(old.dtype)], axis=1), *both
        )
        return after, seen

    def _kept_with(self, new: Kept, valid: jax.Array, length: jax.Array) -> Kept:
        """What is kept after a call, when each row has `length` steps."""
        rows, steps = jnp.arange(valid.shape[0]), valid.shape[1]
        if steps == 0:
            return self.kept
        if steps == 1:  # written in place
            slot = self.length % self.slots if self.ring else self.length
            slot = jnp.where(valid[:, 0], slot, _NOWHERE)
            if valid.shape[0] == 1:
                # XLA makes a single write an update of a slice, fuses that with each
                # product that reads the cache, and copies the cache for each. A second
                # write, which writes nothing, keeps it from that.
                rows = jnp.zeros(2, jnp.int32)
                slot = jnp.append(slot, jnp.int32(_NOWHERE - 1))

            def written(held: jax.Array, x: jax.Array) -> jax.Array:
                x = jnp.broadcast_to(x[:, 0], (*rows.shape, *x.shape[2:]))
                return held.at[rows, slot].set(
                    x.astype(held.dtype), mode="drop", unique_indices=True
                )

            return jax.tree.map(written, self.kept, new)
        # Slots pick their steps: XLA runs a scatter of many step by step on CPUs.
        slots = Cache(self.kept, length, self.ring)._seen()
        which = slots.numbers - self.length[:, None]
        fresh = slots.counts & (which >= 0)
        in_order = jnp.argsort(~valid, axis=1, stable=True)  # the valid ones first
        picked = jnp.take_along_axis(in_order, jnp.clip(which, 0, steps - 1), axis=1)

        def put(held: jax.Array, x: jax.Array) -> jax.Array:
            where = fresh.reshape(*fresh.shape, *[1] * (x.ndim - 2))
            return jnp.where(where, x[rows[:, None], picked].astype(held.dtype), held)

        return jax.tree.map(put, self.kept, new)

    def _seen(self) -> Seen:
        """All slots, with the number of the step in each, and whether there is one."""
        slots = jnp.arange(self.slots, dtype=jnp.int32)[None]
        last = self.length[:, None] - 1
        if not self.ring:
            numbers = jnp.broadcast_to(slots, (last.shape[0], self.slots))
            return Seen(self.kept, numbers, slots <= last)
        numbers = last - (last - slots) % self.slots
        return Seen(self.kept, numbers, numbers >= 0)

    @property
    def overflows(self) -> jax.Array:
        """Which rows hold more steps than there are slots, ``[B]``."""
        full = self.length > self.slots
        return jnp.zeros_like(full) if self.ring else full

    def write(self) -> None:
        """Makes it the state of the module that runs."""
        for name, value in self.kept._asdict().items():
            if value is not None:
                set_state(name, value)
        set_state("length", self.length)


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
