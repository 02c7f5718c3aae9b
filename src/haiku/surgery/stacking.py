"""Layers side by side into one array, as `hk.layer_stack` keeps them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._trees.patterns import Found, Pattern, pattern
from haiku._trees.places import (
    Dicts,
    Place,
    Tree,
    Values,
    computed,
    find_places,
    nested,
    text_of,
    values_of,
)

__all__ = ["stack", "unstack"]


def stack(tree: Tree, layers: str, into: str, *, axis: int = 0) -> Dicts:
    """Stacks the values of layers that lie side by side: `x = [x_0, x_1, ...]`.

    Args:
      tree: `{module: {name: value}}`.
      layers: A pattern in which one `{name}` is the layer's number: `{i}` if every path
        has it, `block_0`, `block_1`; `{_i}` if Haiku numbered them, `block`, `block_1`.
      into: The path of the stack: a pattern without that name, whose `*`, `**` and
        other names are those of `layers`. For `hk.layer_stack(n, name="stack")` in
        `net`, it is `net/stack/` and the module's name in the stacked function.
      axis: The axis of layers in the result; 0 as in `hk.layer_stack`.

    Returns:
      A tree with the stacks, `[layers, ...]` each, and all values that the pattern
      doesn't find.

    Raises:
      ValueError: The pattern finds nothing, or has no number; a layer is missing;
        shapes or dtypes of layers differ; a path is in use.

    Example:
      >>> w = np.ones([3])
      >>> params = {"net/linear": {"w": w}, "net/linear_1": {"w": w}}
      >>> stacked = hk.surgery.stack(params, "net/linear{_i}/*", "net/stack/linear/*")
      >>> stacked["net/stack/linear"]["w"].shape
      (2, 3)
    """
    source, target = pattern(layers), pattern(into)
    number = _number("stack", many=source, one=target)
    target.check_fills(source)
    values = values_of(tree)
    found = find_places("hk.surgery.stack", [layers], values)
    stacks: dict[Place, dict[int, Place]] = {}
    for place, match in found.items():
        new = Place.at("hk.surgery.stack", target.filled(match.found))
        index = _index(number, match.found, place)
        if index in stacks.setdefault(new, {}):
            raise ValueError(
                f"hk.surgery.stack finds {stacks[new][index].path} and {place.path} as "
                f"layer {index} of {new.path}: let {into!r} tell them apart."
            )
        stacks[new][index] = place
    out = {place: value for place, value in values.items() if place not in found}
    _check_complete(stacks, source, number)
    for new, by_index in stacks.items():
        _check_free("stack", new, out)
        members = [by_index[i] for i in range(len(by_index))]
        out[new] = _stacked(new, members, values, axis)
    return nested(dict(sorted(out.items())))


def unstack(tree: Tree, stacked: str, into: str, *, axis: int = 0) -> Dicts:
    """Takes stacks apart: the inverse of `stack`.

    Args:
      tree: `{module: {name: value}}`.
      stacked: A pattern of the stacks' paths.
      into: The paths of single layers: a pattern with one more `{name}`, the layer's
        number, `{i}` for `block_0`, `block_1` or `{_i}` for `block`, `block_1`.
      axis: The axis of layers; 0 as in `hk.layer_stack`.

    Returns:
      A tree with the layers, and all values that the pattern doesn't find.

    Raises:
      ValueError: The pattern finds nothing; `into` has no number; the lengths of stacks
        differ; a path is in use.

    Example:
      >>> params = {"net/stack/linear": {"w": np.ones([2, 3])}}
      >>> sorted(hk.surgery.unstack(params, "net/stack/linear/*", "net/linear{_i}/*"))
      ['net/linear', 'net/linear_1']
    """
    source, target = pattern(stacked), pattern(into)
    number = _number("unstack", many=target, one=source)
    _without(target, number).check_fills(source)
    values = values_of(tree)
    found = find_places("hk.surgery.unstack", [stacked], values)
    lengths = {place: _length(place, values[place], axis) for place in found}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{p.path} {text_of(values[p])}" for p in list(found)[:4])
        raise ValueError(
            f"hk.surgery.unstack finds stacks of {sorted(set(lengths.values()))} "
            f"layers on axis {axis}: {shown}. Take them apart one by one, with "
            f"narrower patterns than {stacked!r}."
        )
    out = {place: value for place, value in values.items() if place not in found}
    for place, match in found.items():
        for i in range(lengths[place]):
            text = (f"_{i}" if i else "") if number.startswith("_") else str(i)
            named = {**match.found.named, number: text}
            path = target.filled(match.found._replace(named=named))
            new = Place.at("hk.surgery.unstack", path)
            _check_free("unstack", new, out)
            out[new] = computed(lambda x, i=i: _taken(x, i, axis), values[place])
    return nested(dict(sorted(out.items())))


def _number(what: str, many: Pattern, one: Pattern) -> str:
    """The name that is in the layers' paths and not in the stack's path."""
    names = [name for name in many.names if name not in one.names]
    if len(names) != 1:
        raise ValueError(
            f"hk.surgery.{what} needs exactly one `{{name}}` that is in the paths of "
            f"the layers, {many.text!r}, and not in the path of the stack, "
            f"{one.text!r}: the layer's number, as in 'net/block_{{i}}/**'. Got "
            f"{len(names)}."
        )
    return names[0]


def _without(target: Pattern, number: str) -> Pattern:
    return pattern(target.text.replace(f"{{{number}}}", "_"))


def _index(number: str, match: Found, place: Place) -> int:
    text = match.named[number]
    digits = text[1:] if text.startswith("_") and number.startswith("_") else text
    if not digits and number.startswith("_"):
        return 0
    if not digits.isdecimal() or digits != str(int(digits)):
        raise ValueError(
            f"hk.surgery.stack finds {text!r} as the number of a layer in "
            f"{place.path}: `{{{number}}}` must be 0, 1, 2, ... there. For a name, "
            "write `*`."
        )
    return int(digits)


def _check_complete(
    stacks: Mapping[Place, Mapping[int, Place]], source: Pattern, number: str
) -> None:
    # Parameters of one module belong to the same layers.
    layers: dict[str, set[int]] = {}
    for place, by_index in stacks.items():
        layers.setdefault(place.module, set()).update(by_index)
    for place, by_index in stacks.items():
        wanted = range(max(layers[place.module]) + 1)
        missing = [i for i in wanted if i not in by_index]
        if not missing:
            continue
        hint = ""
        if missing == [0] and not number.startswith("_"):
            hint = (
                " Haiku omits the number of the first module: for that write "
                f"{source.text.replace(f'_{{{number}}}', f'{{_{number}}}')!r}."
            )
        raise ValueError(
            f"hk.surgery.stack misses layers {missing} of {place.path}: "
            f"{source.text!r} finds {', '.join(p.path for p in by_index.values())}."
            f"{hint}"
        )


def _check_free(what: str, new: Place, taken: Values) -> None:
    if new in taken:
        raise ValueError(
            f"hk.surgery.{what} would write {new.path}, which exists already: "
            f"{text_of(taken[new])}. Choose another path, or rename that one first."
        )


def _stacked(new: Place, members: list[Place], values: Values, axis: int) -> Any:
    found = [values[place] for place in members]
    kinds = [text_of(value) for value in found]
    if len(set(kinds)) > 1:
        odd = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
        raise ValueError(
            f"hk.surgery.stack can't make {new.path} of different values: "
            f"{members[0].path} is {kinds[0]}, {members[odd].path} is {kinds[odd]}. "
            "Exclude values that differ between layers with a narrower pattern."
        )

    def stacked(*arrays: Any) -> Any:
        # NumPy arrays stay NumPy arrays.
        numpy = all(isinstance(x, (np.ndarray, np.generic)) for x in arrays)
        return np.stack(arrays, axis) if numpy else jnp.stack(arrays, axis)

    return computed(stacked, *found)


def _length(place: Place, value: Any, axis: int) -> int:
    lengths = set()
    for leaf in jax.tree.leaves(value):
        rank = len(getattr(leaf, "shape", ()))
        if not -rank <= axis < rank:
            raise ValueError(
                f"hk.surgery.unstack finds no axis {axis} in {place.path}, which is "
                f"{text_of(value)}: exclude it with a narrower pattern."
            )
        lengths.add(leaf.shape[axis])
    if len(lengths) > 1:
        raise ValueError(
            f"hk.surgery.unstack finds several lengths in {place.path}, which is "
            f"{text_of(value)}: axis {axis} has to count the layers in each array."
        )
    return lengths.pop() if lengths else 0


def _taken(x: Any, index: int, axis: int) -> Any:
    return x[(slice(None),) * (axis % x.ndim) + (index,)]
