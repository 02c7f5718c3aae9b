"""A graph with boxes in boxes, and how it is written in Graphviz's language."""

from __future__ import annotations

import dataclasses
import html

__all__ = ["Box", "Graph", "Node"]


@dataclasses.dataclass
class Node:
    """What an arrow can lead to.

    Attributes:
      title: Its first line.
      details: Further lines.
      kind: `operation`, `parameter`, `input`, `constant` or `output`: its color.
      tooltip: What is shown beside the pointer.
    """

    title: str
    details: list[str]
    kind: str
    tooltip: str = ""


@dataclasses.dataclass
class Box:
    """What is drawn inside one frame.

    Attributes:
      title: What it is called.
      path: Where it stands: the number of each box around it, and its own.
      prefix: What paths of parameters inside a module begin with; empty if it is none.
      kind: The module's class.
      nodes: The names of the nodes in it, those in boxes inside left out.
      boxes: The boxes inside.
    """

    title: str
    path: tuple[int, ...] = ()
    prefix: str = ""
    kind: str = ""
    nodes: list[str] = dataclasses.field(default_factory=list)
    boxes: list[Box] = dataclasses.field(default_factory=list)


class Graph:
    """Boxes with nodes, and arrows between nodes.

    Attributes:
      root: The outermost box, which has no frame.
      nodes: All nodes by name, in the order in which they came.
    """

    def __init__(self) -> None:
        self.root = Box("")
        self.nodes: dict[str, Node] = {}
        self._arrows: dict[tuple[str, str], None] = {}
        self._users: dict[str, list[Box]] = {}

    def node(self, node: Node, box: Box | None = None) -> str:
        """Adds a node, and returns its name; without a box it is not drawn yet."""
        name = f"n{len(self.nodes)}"
        self.nodes[name] = node
        if box is not None:
            box.nodes.append(name)
        return name

    def box(self, title: str, around: Box, prefix: str = "", kind: str = "") -> Box:
        """Adds a box."""
        box = Box(title, (*around.path, len(around.boxes)), prefix, kind)
        around.boxes.append(box)
        return box

    def arrow(self, source: str, to: str, box: Box) -> None:
        """Adds an arrow between two nodes, of which the second stands in `box`."""
        self._arrows[source, to] = None
        self._users.setdefault(source, []).append(box)

    def around_users(self, name: str) -> list[Box]:
        """The boxes that hold all to which a node's arrows lead, outermost first."""
        if name not in self._users:
            return []
        found = [self.root]
        for step in _common([user.path for user in self._users[name]]):
            found.append(found[-1].boxes[step])
        return found

    def text(self, title: str) -> str:
        """The graph in Graphviz's language."""
        lines = [
            "digraph G {",
            "rankdir = TB;",
            "compound = true;",
            f"label = <<b>{html.escape(title)}</b>>;",
            "labelloc = t;",
            "fontsize = 22;",
            'fontname = "Helvetica";',
            'node [fontname="Helvetica", fontsize=12, shape=box, '
            'style="filled,rounded", penwidth=1.2, margin="0.14,0.06"];',
            'edge [color="#7A8794", arrowsize=0.7];',
            *self._box_lines(self.root),
            *(f"{a} -> {b};" for a, b in self._arrows),
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _box_lines(self, box: Box) -> list[str]:
        lines = [_node_line(name, self.nodes[name]) for name in box.nodes]
        for inside in box.boxes:
            number = "_".join(str(step) for step in inside.path)
            kind = f"  {inside.kind}" if inside.kind else ""
            fill = _FILLS[(len(inside.path) - 1) % len(_FILLS)]
            lines += [
                f"subgraph cluster_{number} {{",
                'style="rounded,filled";',
                f'fillcolor="{fill}"; color="#A9B4BF";',
                f"label = <<b>{html.escape(inside.title)}</b>{kind}>;",
                "labelloc = t; labeljust = l; fontsize = 14;",
                *self._box_lines(inside),
                "}",
            ]
        return lines


_FILLS = ("#F4F6F8", "#E9EDF1", "#DEE4EA")  # Of a box, of one inside it, ...

# Fill and border.
_COLORS = {
    "operation": ("#FFFFFF", "#5B6B7A"),
    "parameter": ("#FFE3C2", "#D9822B"),
    "input": ("#D3F2DC", "#2E9E5B"),
    "constant": ("#F3E9FB", "#8E5BB5"),
    "output": ("#CFE2FF", "#2A6FDB"),
}


def _node_line(name: str, node: Node) -> str:
    fill, border = _COLORS[node.kind]
    details = "".join(f"<br/>{html.escape(d)}" for d in node.details)
    tooltip = node.tooltip.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"{name} [label=<<b>{html.escape(node.title)}</b>{details}>, "
        f'fillcolor="{fill}", color="{border}", tooltip="{tooltip or " "}"];'
    )


def _common(paths: list[tuple[int, ...]]) -> tuple[int, ...]:
    shortest = min(paths, key=len)
    for i, step in enumerate(shortest):
        if any(path[i] != step for path in paths):
            return shortest[:i]
    return shortest
