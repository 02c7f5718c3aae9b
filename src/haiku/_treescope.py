"""What Treescope shows of an object: `__treescope_repr__` returns `Node(...).drawn`.

Treescope calls that method, so it is only imported where it is in use already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Node:
    """A line that folds out to what is inside.

    Args:
      begin: Text before what is inside, `Blueprint(`.
      items: What is inside: a label before each value, the value, and how Python gets
        from the whole to it, `.params`; None if it doesn't.
      end: Text behind.
      note: A remark on the first line, if it is folded out.
      unfolded: Whether it starts folded out, where there is room.
    """

    def __init__(
        self,
        begin: str,
        items: Sequence[tuple[str, Any, str | None]],
        end: str = ")",
        note: str = "",
        unfolded: bool = False,
    ):
        self.begin, self.items, self.end = begin, items, end
        self.note, self.unfolded = note, unfolded

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        return self.drawn(path, subtree_renderer)

    def drawn(self, path: str | None, subtree_renderer: Any) -> Any:
        """What `__treescope_repr__` returns, with the arguments it gets."""
        from treescope import rendering_parts as parts

        children = [
            parts.siblings_with_annotations(
                label,
                subtree_renderer(
                    value, path=None if None in (path, step) else f"{path}{step}"
                ),
            )
            for label, value, step in self.items
        ]
        begin = parts.text(self.begin)
        if not children:
            return parts.build_one_line_tree_node(parts.siblings(begin, self.end), path)
        note = (
            parts.comment_color(parts.text(f"  # {self.note}")) if self.note else None
        )
        state = parts.ExpandState
        return parts.build_foldable_tree_node_from_children(
            prefix=begin,
            children=children,
            suffix=self.end,
            comma_separated=True,
            path=path,
            first_line_annotation=note,
            expand_state=state.EXPANDED if self.unfolded else state.WEAKLY_COLLAPSED,
        )


def called(f: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Node:
    """A function or class and its arguments: `Blueprint(Linear, 10)`."""
    items = [("", arg, f".args[{i}]") for i, arg in enumerate(args)]
    items += [(f"{k}=", v, f".kwargs[{k!r}]") for k, v in kwargs.items()]
    comma = ", " if items else ""
    return Node(f"{name}({getattr(f, '__name__', f)}{comma}", items)


def modules(values: Mapping[str, Mapping[str, Any]], step: str) -> Node:
    """`{module path: {name: array}}`, each module inside the one that its path names.

    Args:
      values: The arrays.
      step: How Python gets to `values`.
    """
    root: dict[str, Any] = {}
    for path in values:
        at, parts = root, path.split("/")
        for i, part in enumerate(parts):
            if part != "~" or i == len(parts) - 1:
                inside = at.setdefault(part, ({}, "/".join(parts[: i + 1])))
                at = inside[0]

    def node(tree: dict[str, Any], path: str) -> Node:
        own = values.get(path, {})
        items: list[tuple[str, Any, str | None]] = [
            (f"{name}: ", value, f"{step}[{path!r}][{name!r}]")
            for name, value in own.items()
        ]
        for part, (inside, inner_path) in tree.items():
            items.append((f"{part}: ", node(inside, inner_path), ""))
        count = _count(values, path)
        return Node("{", items, "}", f"{count:,} numbers", unfolded=not path)

    return node(root, "")


def _count(values: Mapping[str, Mapping[str, Any]], path: str) -> int:
    inside = (
        named
        for other, named in values.items()
        if not path or other == path or other.startswith(f"{path}/")
    )
    return sum(getattr(x, "size", 1) for named in inside for x in named.values())
