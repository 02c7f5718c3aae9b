"""Weights under the names and layouts of files, and under ours.

A rule says that a tensor of a file is one of our parameters, or several side by side
along their last axis. The same rules read and write.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku.nets.layer_plan import plan_of
from haiku.pretrained.json_files import shown

PLAIN, LINEAR = "plain", "linear"


class Rule(NamedTuple):
    """What a tensor of a file is.

    Attributes:
      theirs: Its name; `{i}` is the number of the layer, `^` the prefix.
      ours: The path and name of our parameter, below the net; in a layer it begins with
        `block/`. Several are side by side in the tensor.
      layout: `LINEAR` has the axes of our parameters in reverse, `[out, in]`.
    """

    theirs: str
    ours: str | tuple[str, ...]
    layout: str = PLAIN

    @property
    def parts(self) -> tuple[str, ...]:
        """Our parameters in it."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours


class Part(NamedTuple):
    """One of our parameters, or one layer of a stacked one, in a tensor."""

    path: str
    name: str
    index: int | None  # in the stack
    shape: tuple[int, ...]


class Slot(NamedTuple):
    """A tensor of a file and our parameters in it, side by side on the last axis."""

    theirs: str
    layout: str
    parts: tuple[Part, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the file."""
        *lead, _ = self.parts[0].shape
        whole = (*lead, sum(part.shape[-1] for part in self.parts))
        return whole[::-1] if self.layout == LINEAR else whole


def slots_of(
    shapes: Mapping[str, Mapping[str, tuple[int, ...]]],
    rules: Sequence[Rule],
    kinds: Sequence[Any],
    prefix: str,
) -> list[Slot]:
    """The tensors that hold parameters of these shapes.

    Args:
      shapes: By module path, below the net's, and name.
      rules: Of the family.
      kinds: What kind each layer is of, as `run_layers` got it.
      prefix: What `^` in names stands for.

    Raises:
      ValueError: No rule is for a parameter.
    """
    by_ours = {part: rule for rule in rules for part in rule.parts}
    places: dict[tuple[str, int | None], Part] = {}
    for path, named in shapes.items():
        for name, shape in named.items():
            for local, layer, index in _layers_of(path, kinds):
                part_shape = shape if index is None else shape[1:]
                key = f"{local}/{name}" if local else name
                if key not in by_ours:
                    raise ValueError(f"No tensor of this family holds {path}/{name}.")
                places[key, layer] = Part(path, name, index, part_shape)
    slots: dict[str, Slot] = {}
    for key, layer in places:
        rule = by_ours[key]
        theirs = rule.theirs.replace("^", prefix)
        theirs = theirs if layer is None else theirs.replace("{i}", str(layer))
        if theirs not in slots:
            parts = tuple(places[part, layer] for part in rule.parts)
            slots[theirs] = Slot(theirs, rule.layout, parts)
    return list(slots.values())


def _layers_of(
    path: str, kinds: Sequence[Any]
) -> Iterator[tuple[str, int | None, int | None]]:
    """Where a module stands: its path in a block, the layer, its index in a stack."""
    first, _, rest = path.partition("/")
    if first.startswith("block_"):
        yield f"block/{rest}", int(first[len("block_") :]), None
        return
    if first != "blocks":
        yield path, None, None
        return
    plan, offset = plan_of(kinds), 0
    if plan.period > 1:
        block, _, rest = rest.partition("/")
        offset = int(block[len("block_") :])
    for repeat in range(plan.repeats):
        yield f"block/{rest}", plan.start + repeat * plan.period + offset, repeat


# ---- Reading -------------------------------------------------------------------------


def check_tensors(
    slots: Sequence[Slot],
    arrays: Mapping[str, Any],
    ignored: Callable[[str], bool],
    file_of: Callable[[str | None], Any],
) -> None:
    """Raises unless the tensors are those of the slots: names, shapes, floats."""
    wanted = {slot.theirs: slot for slot in slots}
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ValueError(
            f"{file_of(None)}: {_several(missing)} missing. By the config the model "
            f"has {len(wanted)} tensors; the files hold {len(arrays)}."
        )
    left = [name for name in arrays if name not in wanted and not ignored(name)]
    if left:
        raise ValueError(
            f"{file_of(left[0])}: {_several(left)} left over: the model of the config "
            "has no place for that."
        )
    for slot in slots:
        array = arrays[slot.theirs]
        where = f"{file_of(slot.theirs)}, tensor {shown(slot.theirs)}"
        if tuple(array.shape) != slot.shape:
            raise ValueError(
                f"{where}: its shape is {list(array.shape)}, and by the config must be "
                f"{list(slot.shape)}."
            )
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{where}: must be floats, and is {array.dtype}.")


def _several(names: Sequence[str]) -> str:
    few = ", ".join(map(shown, names[:4]))
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"tensor {few}{more} {'is' if len(names) == 1 else 'are'}"


class Source:
    """A parameter as views of the tensors that it is made of."""

    def __init__(self, dtype: Any, file: Callable[[str | None], Any]):
        self.views: dict[int | None, Any] = {}
        self.dtype, self.file = dtype, file

    def add(self, index: int | None, view: Any, theirs: str) -> None:
        """Takes the view of a layer, or of all if the parameter isn't stacked."""
        if self.views and view.dtype != next(iter(self.views.values())).dtype:
            raise ValueError(
                f"{self.file(theirs)}, tensor {shown(theirs)}: its dtype {view.dtype} "
                "differs from that of other layers: load with a dtype."
            )
        self.views[index] = view

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        view = next(iter(self.views.values()))
        return view.shape if None in self.views else (len(self.views), *view.shape)

    def read(self, place: Any) -> Any:
        """A part of the parameter, of which only that much is read."""
        if None in self.views:
            view = self.views[None][place]
            dtype = self.dtype or view.dtype
            if view.dtype == dtype and view.flags.c_contiguous:
                return view
            return _filled([view], view.shape, dtype)
        first, *rest = place
        layers = range(len(self.views))[first]
        views = [self.views[layer][tuple(rest)] for layer in layers]
        shape = (len(views), *views[0].shape) if views else self.shape
        return _filled(views, shape, self.dtype or views[0].dtype)

    def array(self, sharding: Any = None) -> jax.Array:
        """The parameter; with a sharding, each device gets its part alone."""
        if sharding is None:
            whole = (slice(None),) * len(self.shape)
            return jax.device_put(self.read(whole))
        return jax.make_array_from_callback(self.shape, sharding, self.read)


def _filled(views: Sequence[Any], shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The views after one another, in memory that JAX takes without a copy."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    whole = memory[start : start + size].view(dtype).reshape(shape)
    for at, view in zip(whole.reshape(len(views), *views[0].shape), views):
        at[...] = view
    return whole


def sources(
    slots: Sequence[Slot],
    arrays: Mapping[str, np.ndarray],
    dtype: Any,
    file_of: Callable[[str | None], Any],
) -> dict[str, dict[str, Source]]:
    """Our parameters, by path and name, as views of the tensors."""
    found: dict[str, dict[str, Source]] = {}
    for slot in slots:
        view = arrays[slot.theirs]
        view = view.T if slot.layout == LINEAR else view
        ends = list(itertools.accumulate(part.shape[-1] for part in slot.parts))
        for part, end in zip(slot.parts, ends):
            named = found.setdefault(part.path, {})
            source = named.setdefault(part.name, Source(dtype, file_of))
            source.add(part.index, view[..., end - part.shape[-1] : end], slot.theirs)
    return found


# ---- Writing -------------------------------------------------------------------------


def tensors(slots: Sequence[Slot], params: Mapping[str, Mapping[str, Any]]) -> dict:
    """The tensors of the slots, as NumPy arrays; views where nothing is joined."""
    found = {}
    for slot in slots:
        parts = []
        for part in slot.parts:
            array = np.asarray(params[part.path][part.name])
            parts.append(array if part.index is None else array[part.index])
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        found[slot.theirs] = whole.T if slot.layout == LINEAR else whole
    return found
