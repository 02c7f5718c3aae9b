"""What differs between two models: modules, shapes, sizes and costs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haiku._text import count_text, titled
from haiku.views.outline import Outline
from haiku.views.outline_page import Entry, page_of
from haiku.views.outlining import outline_of_params
from haiku.views.values import ArrayOutline

__all__ = ["Comparison", "compare"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A module in two models; true if anything in it differs, and a text for readers.

    Attributes:
      before: The module in the first model; None if it has none.
      after: The module in the second model; None if it has none.
      changes: What differs in the module itself, `{what: (before, after)}`: `name`,
        `class`, `config`, `input`, `output`, `calls`, and `param w` or `state w` for
        each array.
      parts: The modules inside it, in the order of the second model.

    Example:
      >>> before, after = {"a": {"w": jnp.ones(2)}}, {"b": {"w": jnp.ones(3)}}
      >>> comparison = hk.experimental.compare(before, after)
      >>> comparison.added, comparison.removed
      (['b'], ['a'])
    """

    before: Outline | None
    after: Outline | None
    changes: Mapping[str, tuple[str, str]]
    parts: tuple[Comparison, ...]

    @property
    def status(self) -> str:
        """`added`, `removed`, `changed`, or empty if the module itself is the same."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "changed" if self.changes else ""

    @property
    def there(self) -> Outline:
        """The module: in the second model, or else in the first."""
        found = self.before if self.after is None else self.after
        assert found is not None
        return found

    @property
    def added(self) -> list[str]:
        """The paths of modules that only the second model has."""
        return self._paths("added")

    @property
    def removed(self) -> list[str]:
        """The paths of modules that only the first model has."""
        return self._paths("removed")

    @property
    def changed(self) -> list[str]:
        """The paths, in the second model, of modules that differ themselves."""
        return self._paths("changed")

    def _paths(self, status: str) -> list[str]:
        found = (part.there.path for part in self.walk() if part.status == status)
        return [path for path in found if path]  # The function itself has none.

    def walk(self) -> Iterator[Comparison]:
        """Goes through it and everything inside, outermost first.

        Yields:
          A `Comparison` each.
        """
        yield self
        for part in self.parts:
            yield from part.walk()

    def __bool__(self) -> bool:
        return any(part.status for part in self.walk())

    def as_html(self) -> str:
        """A whole web page: both models in one tree, with marks where they differ.

        Returns:
          HTML that loads nothing.
        """
        title = f"{self.before and self.before.name} → {self.after and self.after.name}"
        return page_of(_entry(self), title, self.totals())

    def totals(self) -> str:
        """How many modules differ, and what the models cost."""
        count = [len(self.added), len(self.removed), len(self.changed)]
        words = [f"{n} {what}" for n, what in zip(count, _STATUS) if n]
        a, b = self.before or _NONE, self.after or _NONE
        params, flops = f"{b.param_count:,} parameters", count_text(b.flops, "FLOPs")
        if a.param_count != b.param_count:
            params = f"{a.param_count:,} -> {params}"
        if a.flops != b.flops:
            flops = f"{count_text(a.flops)} -> {flops}"
        return f"{', '.join(words) or 'no module differs'}; {params}, {flops}"

    def __str__(self) -> str:
        lines = [self.totals()]
        for part in self.walk():
            if not part.status:
                continue
            it = part.there
            mark = {"added": "+", "removed": "-", "changed": "~"}[part.status]
            size = "" if part.changes else f"  {it.param_count:,} params"
            if it.flops and not part.changes:
                size += f", {count_text(it.flops, 'flops')}"
            lines.append(f"{mark} {titled(it.path or it.name, it.kind)}{size}")
            lines += [f"    {note}" for note in _notes(part)]
        return "\n".join(lines)

    __repr__ = __str__


_STATUS = ("added", "removed", "changed")
_NONE = Outline("", "", "")


def compare(before: Any, after: Any) -> Comparison:
    """Compares two models: which modules they have, of what shapes, at what cost.

    Modules are the same if they have the same name inside the same module. Of those
    that are left over, two of the same class, arrays and output are one, renamed. For
    the numbers of parameters there is `hk.surgery.diff`.

    Args:
      before: An `Outline`, from `hk.experimental.outline`; or parameters.
      after: The other one.

    Returns:
      A `Comparison`: false if nothing differs, text with `print`, a web page with
      `.as_html()`.

    Raises:
      TypeError: Something else is given.

    Example:
      >>> def outline(sizes):
      ...     f = lambda x: hk.nets.MLP(sizes, name="net")(x)
      ...     return hk.experimental.outline(f)(jnp.ones([8, 28]))
      >>> hk.experimental.compare(outline([300, 10]), outline([300, 20, 5]))
      1 added, 2 changed; 11,710 -> 14,825 parameters, 187.3 k -> 237.2 kFLOPs
      ...
    """
    return _compare(_outline(before), _outline(after))


def _outline(model: Any) -> Outline:
    if isinstance(model, Outline):
        return model
    if isinstance(model, Mapping):
        return outline_of_params(model)
    raise TypeError(
        "hk.experimental.compare takes outlines or parameters, got "
        f"{type(model).__name__}: write hk.experimental.outline(f)(x) of a function "
        "and an example of its inputs."
    )


def _compare(before: Outline, after: Outline) -> Comparison:
    pairs = _matched(before.parts, after.parts)
    parts = tuple(
        _alone(a, b) if a is None or b is None else _compare(a, b) for a, b in pairs
    )
    return Comparison(before, after, _changes(before, after), parts)


def _alone(before: Outline | None, after: Outline | None) -> Comparison:
    it = after if before is None else before
    assert it is not None
    parts = (_alone(p, None) if after is None else _alone(None, p) for p in it.parts)
    return Comparison(before, after, {}, tuple(parts))


Pair = tuple[Outline | None, Outline | None]


def _matched(before: Sequence[Outline], after: Sequence[Outline]) -> list[Pair]:
    """Pairs of modules: in the order of `after`, each removed one where it was."""
    left = list(before)
    partner: dict[int, Outline] = {}
    for same in (_is_same_name, _is_same_but_for_name):
        for b in after:
            found = next((a for a in left if same(a, b)), None)
            if id(b) not in partner and found is not None:
                partner[id(b)] = found
                left.remove(found)
    pairs: list[Pair] = [(partner.get(id(b)), b) for b in after]
    order = {id(part): i for i, part in enumerate(before)}
    for gone in left:
        earlier = (a and order[id(a)] < order[id(gone)] for a, _ in pairs)
        at = max(
            (i + 1 for i, is_earlier in enumerate(earlier) if is_earlier), default=0
        )
        pairs.insert(at, (gone, None))
    return pairs


def _is_same_name(a: Outline, b: Outline) -> bool:
    # One module may have several methods: `lstm (LSTM.initial_state)`, `lstm (LSTM)`.
    return (a.name, a.kind.partition(".")[2]) == (b.name, b.kind.partition(".")[2])


def _is_same_but_for_name(a: Outline, b: Outline) -> bool:
    def form(it: Outline) -> Any:
        inside = [form(part) for part in it.parts]
        return it.kind, it.output, _specs(it.params), _specs(it.state), inside

    return form(a) == form(b) and bool(a.param_count or a.kind)


def _specs(arrays: Mapping[str, ArrayOutline]) -> dict[str, str]:
    return {name: str(array.spec) for name, array in arrays.items()}


def _changes(a: Outline, b: Outline) -> dict[str, tuple[str, str]]:
    fields = {
        "class": (a.kind, b.kind),
        "config": (_config(a), _config(b)),
        "input": (a.inputs, b.inputs),
        "output": (a.output, b.output),
        "calls": (str(a.calls), str(b.calls)),
    }
    if a.path:  # What the functions themselves are called says nothing.
        fields = {"name": (a.name, b.name)} | fields
    for kind, old, new in (("param", a.params, b.params), ("state", a.state, b.state)):
        old, new = _specs(old), _specs(new)
        for name in dict.fromkeys((*old, *new)):
            fields[f"{kind} {name}"] = old.get(name, "none"), new.get(name, "none")
    return {what: pair for what, pair in fields.items() if pair[0] != pair[1]}


def _config(it: Outline) -> str:
    # The same function in two processes, or made anew, lies at another address; and the
    # name is told beside.
    config = re.sub(r" at 0x[0-9a-f]+", "", it.config)
    return re.sub(r",?\s*name='[^']*'", "", config)


def _notes(part: Comparison) -> list[str]:
    notes = [f"{what}: {a} -> {b}" for what, (a, b) in part.changes.items()]
    a, b = part.before, part.after
    if a is not None and b is not None and part.changes:
        if a.param_count != b.param_count:
            notes.append(f"params: {a.param_count:,} -> {b.param_count:,}")
        if a.flops != b.flops:
            notes.append(f"flops: {count_text(a.flops)} -> {count_text(b.flops)}")
    return notes


def _entry(part: Comparison) -> Entry:
    inside = [_entry(inner) for inner in part.parts]
    return Entry(part.there, part.status, _notes(part), inside)
