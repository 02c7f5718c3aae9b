"""A model as a tree of its modules, with what each holds and costs."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Mapping
from typing import Any

from haiku import _treescope
from haiku._text import count_text, seconds_text, titled
from haiku.views.grid import plain
from haiku.views.outline_page import Entry, page_of
from haiku.views.values import ArrayOutline

__all__ = ["Outline"]


# Columns of the text, and how they are aligned.
_COLUMNS: dict[str, str] = {
    "module": "left",
    "output": "left",
    "params": "right",
    "flops": "right",
    "time": "right",
}


@dataclasses.dataclass(frozen=True, repr=False)
class Outline:
    """A module, or the function as a whole: what it holds, costs, and calls.

    Calls of a module's method from the same place are one outline, and costs their sum.

    Attributes:
      path: The module's path; empty for the function.
      name: The last part of the path; the function's name.
      kind: Its class, with the method unless it is `__call__`.
      config: How it was constructed.
      inputs: Shapes and dtypes of what its first call took.
      output: Of what that returned.
      calls: How many calls there were.
      params: The parameters that it owns itself, by name. Parameters of modules that
        were not called are with the function, by path.
      state: Its state, likewise.
      flops: Floating point operations, those of its parts included.
      own_flops: Those that none of its parts does.
      activation_bytes: Size of the arrays that it and its parts return.
      seconds: Time; None if not measured.
      own_seconds: Time that none of its parts takes.
      parts: The modules called inside it, in the order of their first calls.

    Example:
      >>> outline = hk.experimental.outline(lambda x: hk.Linear(3)(x))(jnp.ones([1, 2]))
      >>> [(depth, it.name, it.output) for depth, it in outline.walk()]
      [(0, '<lambda>', 'f32[1,3]'), (1, 'linear', 'f32[1,3]')]
    """

    path: str
    name: str
    kind: str
    config: str = ""
    inputs: str = ""
    output: str = ""
    calls: int = 1
    params: Mapping[str, ArrayOutline] = dataclasses.field(default_factory=dict)
    state: Mapping[str, ArrayOutline] = dataclasses.field(default_factory=dict)
    flops: int = 0
    own_flops: int = 0
    activation_bytes: int = 0
    seconds: float | None = None
    own_seconds: float | None = None
    parts: tuple[Outline, ...] = ()

    @property
    def param_count(self) -> int:
        """How many numbers the parameters hold, those of its parts included."""
        own = sum(array.spec.size for array in self.params.values())
        return own + sum(part.param_count for part in self.parts)

    @property
    def param_bytes(self) -> int:
        """How much memory those take."""
        own = sum(array.bytes for array in self.params.values())
        return own + sum(part.param_bytes for part in self.parts)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Outline]]:
        """Goes through it and everything inside, outermost first.

        Args:
          depth: That of the outline itself. Default 0.

        Yields:
          Pairs `(depth, outline)`.
        """
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)

    def as_html(self) -> str:
        """A whole web page: modules that fold, their arrays, costs and values.

        Returns:
          HTML that loads nothing, to be written to a file or shown in a notebook.
        """
        return page_of(Entry.of(self), self.name)

    def __str__(self) -> str:
        columns: dict[str, list[str]] = {what: [] for what in _COLUMNS}
        for depth, it in self.walk():
            times = f" x{it.calls}" if it.calls > 1 else ""
            columns["module"].append("  " * depth + titled(it.name, it.kind) + times)
            columns["output"].append(it.output)
            columns["params"].append(f"{it.param_count:,}")
            columns["flops"].append(count_text(it.flops))
            time = "-" if it.seconds is None else seconds_text(it.seconds)
            columns["time"].append(time)
        shown = [what for what, cells in columns.items() if {*cells} - {"", "0", "-"}]
        rows = [*zip(*(columns[what] for what in shown))]
        return plain(rows, shown, [_COLUMNS[what] for what in shown])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # A frame of its own: the page's styles are not the notebook's.
        page = html.escape(self.as_html())
        return (
            f'<iframe srcdoc="{page}" style="width:100%;height:32em;border:0" '
            'title="model"></iframe>'
        )

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        return _rendered(self, 0).drawn(path, subtree_renderer)


def _rendered(it: Outline, depth: int) -> _treescope.Node:
    items: list[tuple[str, Any, str | None]] = []
    for kind, arrays in (("params", it.params), ("state", it.state)):
        items += [
            (f"{name}: ", array, f".{kind}[{name!r}]") for name, array in arrays.items()
        ]
    items += [
        ("", _rendered(part, depth + 1), f".parts[{i}]")
        for i, part in enumerate(it.parts)
    ]
    words = [it.output, f"{it.param_count:,} params"] if it.output else []
    words += [count_text(it.flops, "flops")] if it.flops else []
    words += [seconds_text(it.seconds)] if it.seconds is not None else []
    title = "  ".join([titled(it.name, it.kind), *words])
    return _treescope.Node(f"{title} {{", items, "}", unfolded=depth < 2)
