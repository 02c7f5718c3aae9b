"""What differs between two models: modules, shapes, sizes and costs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haiku._text import count_text, titled
from haiku.views.arrays import ArrayOutline
from haiku.views.page import outline_page

Outline = Any  # It imports this file.


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A module in two models; true if anything in it differs, and text with `print`.

    Attributes:
      before: The module's `Outline` in the first model; None if it isn't there.
      after: Its `Outline` in the second model; None if it isn't there.
      changes: What differs in the module itself, `{what: (before, after)}`: `name`,
        `class`, `config`, `input`, `output`, `calls`, and `param w` or `state w` for
        each array.
      parts: The modules inside it, in the order of the second model.

    Example:
      >>> before = hk.views.Outline.of_params({"a": {"w": jnp.ones(2)}})
      >>> after = hk.views.Outline.of_params({"b": {"w": jnp.ones(3)}})
      >>> comparison = before.compare(after)
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
        """The module in the second model, or else in the first."""
        return self.before if self.after is None else self.after

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
        return [path for path in found if path]  # The function itself has no path.

    def walk(self) -> Iterator[Comparison]:
        """It and everything inside, outermost first."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def __bool__(self) -> bool:
        return any(part.status for part in self.walk())

    def as_html(self) -> str:
        """A web page of one file: both models in one tree, marked where they differ."""
        names = (it.name if it else None for it in (self.before, self.after))
        return outline_page(self, " → ".join(map(str, names)), self.totals())

    def totals(self) -> str:
        """How many modules differ, and the size and cost of both models."""
        count = [len(self.added), len(self.removed), len(self.changed)]
        words = [f"{n} {what}" for n, what in zip(count, _MARKS) if n]
        (old_params, params), (old_flops, flops) = _sizes(self)
        sizes = [f"{params:,} parameters", count_text(flops, "FLOPs")]
        if old_params != params:
            sizes[0] = f"{old_params:,} -> {sizes[0]}"
        if old_flops != flops:
            sizes[1] = f"{count_text(old_flops)} -> {sizes[1]}"
        return f"{', '.join(words) or 'no module differs'}; {', '.join(sizes)}"

    @property
    def notes(self) -> list[str]:
        """A line for each change of the module itself."""
        (old_params, params), (old_flops, flops) = _sizes(self)
        pairs = {**self.changes}
        if pairs and old_params != params:
            pairs["params"] = f"{old_params:,}", f"{params:,}"
        if pairs and old_flops != flops:
            pairs["flops"] = count_text(old_flops), count_text(flops)
        return [f"{what}: {a} -> {b}" for what, (a, b) in pairs.items()]

    def __str__(self) -> str:
        lines = [self.totals()]
        for part in self.walk():
            if not part.status:
                continue
            it = part.there
            size = "" if part.changes else f"  {it.param_count:,} params"
            if it.flops and not part.changes:
                size += f", {count_text(it.flops, 'flops')}"
            title = titled(it.path or it.name, it.kind)
            lines.append(f"{_MARKS[part.status]} {title}{size}")
            lines += [f"    {note}" for note in part.notes]
        return "\n".join(lines)

    __repr__ = __str__


_MARKS = {"added": "+", "removed": "-", "changed": "~"}


def _sizes(it: Comparison) -> list[tuple[int, int]]:
    """The parameters before and after, and the operations."""
    both = (it.before, it.after)
    return [*zip(*((x.param_count, x.flops) if x else (0, 0) for x in both))]


def compared(before: Outline, after: Outline) -> Comparison:
    """Compares two outlines; None in the place of one that isn't there."""
    if before is None or after is None:
        changes = {}
        pairs = [(part, None) for part in before.parts] if before else []
        pairs += [(None, part) for part in after.parts] if after else []
    else:
        pairs = _matched(before.parts, after.parts)
        changes = {} if before is after else _changes(before, after)
    return Comparison(before, after, changes, tuple(compared(*pair) for pair in pairs))


def _matched(
    before: Sequence[Outline], after: Sequence[Outline]
) -> list[tuple[Outline, Outline]]:
    """Pairs of modules, in the order of `after`; removed ones stay where they were."""
    left = {id(a): a for a in before}
    partner: dict[int, Outline] = {}
    for same in (_is_same_name, _is_same_but_for_name):
        for b in after:
            found = next((a for a in left.values() if same(a, b)), None)
            if id(b) not in partner and found is not None:
                partner[id(b)] = left.pop(id(found))
    pairs = [(partner.get(id(b)), b) for b in after]
    place = 0  # Behind all that came before in the first model.
    for a in before:
        if id(a) in left:
            pairs.insert(place, (a, None))
        place = max(place, 1 + next(i for i, pair in enumerate(pairs) if pair[0] is a))
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
        "signatures": ("; ".join(a.signatures), "; ".join(b.signatures)),
    }
    if a.path:  # The names of the functions themselves don't matter.
        fields = {"name": (a.name, b.name)} | fields
    for kind, old, new in (("param", a.params, b.params), ("state", a.state, b.state)):
        old, new = _specs(old), _specs(new)
        for name in dict.fromkeys((*old, *new)):
            fields[f"{kind} {name}"] = old.get(name, "none"), new.get(name, "none")
    return {what: pair for what, pair in fields.items() if pair[0] != pair[1]}


def _config(it: Outline) -> str:
    # The same function has another address in another process, or if it is made anew;
    # and the name is shown beside.
    config = re.sub(r" at 0x[0-9a-f]+", "", it.config)
    return re.sub(r",?\s*name='[^']*'", "", config)
