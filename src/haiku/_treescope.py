"""How Treescope shows objects: `__treescope_repr__` returns `Node(...).drawn`.

Only Treescope calls that method, so it is already loaded when a `Node` imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Node:
    """A line that unfolds to show its items.

    Args:
      begin: Text before the items, such as `Blueprint(`.
      items: For each item a label, the value, and the Python code that leads from the
        whole to it, such as `.params`, or None if there is none.
      end: Text after the items.
      note: A remark on the first line of an unfolded node.
      unfolded: Whether to start unfolded, if there is room.
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
        """The result of `__treescope_repr__`, which has the same arguments."""
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
    """A function or class with its arguments: `Blueprint(Linear, 10)`."""
    items = [("", arg, f".args[{i}]") for i, arg in enumerate(args)]
    items += [(f"{k}=", v, f".kwargs[{k!r}]") for k, v in kwargs.items()]
    comma = ", " if items else ""
    return Node(f"{name}({getattr(f, '__name__', f)}{comma}", items)


def modules(values: Mapping[str, Mapping[str, Any]], step: str) -> Node:
    """`{module path: {name: array}}` as nested modules.

    Args:
      values: The arrays.
      step: Python code that leads to `values`.
    """
    root: dict[str, Any] = {}
    for path in values:
        level, parts = root, path.split("/")
        for i, part in enumerate(parts):
            if part != "~" or i == len(parts) - 1:
                child = level.setdefault(part, ({}, "/".join(parts[: i + 1])))
                level = child[0]

    def node(children: dict[str, Any], path: str) -> Node:
        items: list[tuple[str, Any, str | None]] = [
            (f"{name}: ", value, f"{step}[{path!r}][{name!r}]")
            for name, value in values.get(path, {}).items()
        ]
        for part, (grandchildren, child_path) in children.items():
            items.append((f"{part}: ", node(grandchildren, child_path), ""))
        count = _count(values, path)
        return Node("{", items, "}", f"{count:,} numbers", unfolded=not path)

    return node(root, "")


def _count(values: Mapping[str, Mapping[str, Any]], path: str) -> int:
    """Counts the numbers in a module and its submodules."""
    bundles = (
        bundle
        for other, bundle in values.items()
        if not path or other == path or other.startswith(f"{path}/")
    )
    return sum(getattr(x, "size", 1) for bundle in bundles for x in bundle.values())
