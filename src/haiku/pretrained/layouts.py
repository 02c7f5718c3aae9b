"""Weights under the names and layouts of files, and under ours.

A rule says that a tensor of a file is one of our parameters, or several of them joined
along their last axis. The same rules read and write.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku.nets.layer_plan import plan_of
from haiku.pretrained.deferred import Deferred
from haiku.pretrained.gathering import numbers
from haiku.pretrained.json_files import shown
from haiku.pretrained.placement import array_of_parts


class Layout(NamedTuple):
    """How a tensor of a file stands to our parameters.

    Attributes:
      axes: The file's axes in our order. Default: the same order.
      lead: Axes of size 1 that the file has in front; -1 if ours has one instead.
      interleaved: Whether several parameters alternate along our last axis, instead of
        standing side by side.
    """

    axes: tuple[int, ...] | None = None
    lead: int = 0
    interleaved: bool = False

    def read(self, tensor: Any) -> Any:
        """A view of a file's tensor in our order of axes."""
        tensor = tensor.reshape((1,) if self.lead < 0 else tensor.shape[self.lead :])
        return tensor if self.axes is None else tensor.transpose(self.axes)

    def write(self, array: Any) -> Any:
        """A view of our array in the file's order."""
        if self.axes is not None:
            array = array.transpose(np.argsort(self.axes))
        return array.reshape(self._led(array.shape))

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The file's shape of an array of ours."""
        if self.axes is not None:
            shape = tuple(shape[i] for i in np.argsort(self.axes))
        return self._led(shape)

    def _led(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return () if self.lead < 0 else (1,) * self.lead + shape

    def part(self, view: Any, start: int, size: int, number: int) -> Any:
        """One of `number` parameters in our view, which starts at `start`."""
        if self.interleaved:
            return view[..., start // size :: number]
        return view[..., start : start + size]


PLAIN = Layout()
LINEAR = Layout((1, 0))  # [out, in]
CONVOLUTION = Layout((2, 3, 1, 0))  # [out, in, height, width]


class Rule(NamedTuple):
    """What a tensor of a file is.

    Attributes:
      theirs: Its name; `{i}` is the number of the layer, or of each for what all share;
        `{e}` that of the expert, `^` the prefix.
      ours: The path and name of our parameter, below the net; in a layer `block` stands
        for its part of the path. Several are joined in the tensor.
      layout: Its order of axes.
    """

    theirs: str
    ours: str | tuple[str, ...]
    layout: Layout = PLAIN

    @property
    def parts(self) -> tuple[str, ...]:
        """Our parameters in it."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours


def linear(theirs: str, ours: str | tuple[str, ...]) -> tuple[Rule, Rule]:
    """A layer's weights and biases, or those of several that a tensor joins."""
    names = (ours,) if isinstance(ours, str) else ours
    weights = tuple(f"{name}/w" for name in names)
    biases = tuple(f"{name}/b" for name in names)
    return Rule(f"{theirs}.weight", weights, LINEAR), Rule(f"{theirs}.bias", biases)


def norm(theirs: str, ours: str) -> tuple[Rule, Rule]:
    """A norm's scale and offset."""
    return Rule(f"{theirs}.weight", f"{ours}/scale"), Rule(
        f"{theirs}.bias", f"{ours}/offset"
    )


class Part(NamedTuple):
    """One of our parameters, or a part of a stacked one, in a tensor."""

    path: str
    name: str
    index: tuple[int, ...]  # in the stack, and that of the expert
    shape: tuple[int, ...]


class Slot(NamedTuple):
    """A tensor of a file, and our parameters in it."""

    theirs: str
    layout: Layout
    parts: tuple[Part, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the file."""
        *lead, _ = self.parts[0].shape
        return self.layout.shape((*lead, sum(part.shape[-1] for part in self.parts)))


def slots_of(
    shapes: Mapping[str, Mapping[str, tuple[int, ...]]],
    rules: Sequence[Rule],
    stacks: Mapping[str, Sequence[Any]],
    prefix: str,
) -> list[Slot]:
    """The tensors that hold parameters of these shapes.

    Args:
      shapes: By module path, below the net's, and name.
      rules: Of the family.
      stacks: What kind each layer is of, as `run_layers` got it, by the path above.
      prefix: What `^` in names stands for.

    Raises:
      ValueError: No rule is for a parameter.
    """
    by_ours = {part: rule for rule in rules for part in rule.parts}
    places: dict[tuple[str, int | None, int | None], Part] = {}
    for path, named in shapes.items():
        for name, shape in named.items():
            for local, layer, index in _layers_of(path, stacks):
                key = f"{local}/{name}" if local else name
                if key not in by_ours:
                    raise ValueError(f"No tensor of this family holds {path}/{name}.")
                own = shape[len(index) :]
                if "{e}" not in by_ours[key].theirs:
                    places[key, layer, None] = Part(path, name, index, own)
                    continue
                for e in range(own[0]):
                    part = Part(path, name, (*index, e), own[1:])
                    places[key, layer, e] = part
    slots: dict[str, Slot] = {}
    for key, layer, expert in places:
        rule, of_layers = by_ours[key], [layer]
        if layer is None and "{i}" in rule.theirs:
            of_layers = range(max(map(len, stacks.values())))
        for i in of_layers:
            theirs = rule.theirs.replace("^", prefix)
            theirs = theirs.replace("{i}", str(i)).replace("{e}", str(expert))
            if theirs not in slots:
                parts = tuple(places[part, layer, expert] for part in rule.parts)
                slots[theirs] = Slot(theirs, rule.layout, parts)
    return list(slots.values())


def _layers_of(
    path: str, stacks: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, int | None, tuple[int, ...]]]:
    """Where a module stands: its path in a block, the layer, its index in a stack."""
    for above, kinds in stacks.items():
        first, _, rest = path.removeprefix(f"{above}/" if above else "").partition("/")
        if above and not path.startswith(f"{above}/"):
            continue
        block = f"{above}/block" if above else "block"
        if first.startswith("block_"):
            yield f"{block}/{rest}", int(first[len("block_") :]), ()
            return
        if first == "blocks":
            plan, offset = plan_of(kinds), 0
            if plan.period > 1:
                name, _, rest = rest.partition("/")
                offset = int(name[len("block_") :])
            for repeat in range(plan.repeats):
                layer = plan.start + repeat * plan.period + offset
                yield f"{block}/{rest}", layer, (repeat,)
            return
    yield path, None, ()


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
        self.views: dict[tuple[int, ...], Any] = {}
        self.dtype, self.file = dtype, file

    def add(self, index: tuple[int, ...], view: Any, theirs: str) -> None:
        """Takes the view of a layer or expert, or of all with the index `()`."""
        if self.views and view.dtype != next(iter(self.views.values())).dtype:
            raise ValueError(
                f"{self.file(theirs)}, tensor {shown(theirs)}: its dtype {view.dtype} "
                "differs from that of other layers: load with a dtype."
            )
        self.views[index] = view

    @property
    def lead(self) -> tuple[int, ...]:
        """Sizes of the axes of layers and experts."""
        return tuple(max(axis) + 1 for axis in zip(*self.views))

    @property
    def dtype_read(self) -> np.dtype:
        """The parameter's dtype."""
        return np.dtype(self.dtype or next(iter(self.views.values())).dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return (*self.lead, *next(iter(self.views.values())).shape)

    def read(self, place: Any) -> Any:
        """A part of the parameter, of which only that much is read."""
        lead = self.lead
        axes = [range(size)[part] for size, part in zip(lead, place)]
        rest = tuple(place[len(lead) :])
        views = [self.views[index][rest] for index in itertools.product(*axes)]
        some = next(iter(self.views.values()))
        dtype = self.dtype_read
        if not lead and some.dtype == dtype and views[0].flags.c_contiguous:
            return views[0]
        shape = (*map(len, axes), *some[rest].shape)
        return _filled(views, shape, dtype)

    def array(self, sharding: Any = None) -> jax.Array:
        """The parameter; with a sharding, each device gets its part alone."""
        if sharding is None:
            whole = (slice(None),) * len(self.shape)
            return jax.device_put(self.read(whole))
        return array_of_parts(self.shape, self.dtype_read, sharding, self.read)


def _filled(views: Sequence[Any], shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The views after one another, in memory that JAX takes without a copy."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    whole = memory[start : start + size].view(dtype).reshape(shape)
    if views:
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
        view, start = slot.layout.read(arrays[slot.theirs]), 0
        for part in slot.parts:
            size = part.shape[-1]
            own = slot.layout.part(view, start, size, len(slot.parts))
            start += size
            source = found.setdefault(part.path, {}).setdefault(
                part.name, Source(dtype, file_of)
            )
            source.add(part.index, own, slot.theirs)
    return found


# ---- Writing -------------------------------------------------------------------------


def tensors(
    slots: Sequence[Slot], params: Mapping[str, Mapping[str, Any]]
) -> dict[str, Deferred]:
    """The tensors of the slots; views where nothing is joined or gathered."""
    found = {}
    for slot in slots:
        arrays = [params[part.path][part.name] for part in slot.parts]
        dtype = np.result_type(*(x.dtype for x in arrays))
        read = functools.partial(_read, slot, arrays, dtype)
        found[slot.theirs] = Deferred(slot.shape, dtype, read)
    return found


def _read(slot: Slot, arrays: Sequence[Any], dtype: Any) -> np.ndarray:
    first, *others = slot.parts
    if not others:
        return slot.layout.write(numbers(arrays[0], first.index))
    *lead, _ = first.shape
    sizes = [part.shape[-1] for part in slot.parts]
    whole, start = np.empty((*lead, sum(sizes)), dtype), 0
    for x, part, size in zip(arrays, slot.parts, sizes):
        own = slot.layout.part(whole, start, size, len(sizes))
        own[...] = numbers(x, part.index)
        start += size
    return slot.layout.write(whole)
