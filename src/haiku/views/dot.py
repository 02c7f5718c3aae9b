"""A graph with boxes in boxes, written in Graphviz's language."""

from __future__ import annotations

import dataclasses
import html

_FILLS = ("#F4F6F8", "#E9EDF1", "#DEE4EA")  # Of a box, of one inside it, ...
_COLORS = {  # Fill and border of a node by its kind.
    "operation": ("#FFFFFF", "#5B6B7A"),
    "parameter": ("#FFE3C2", "#D9822B"),
    "input": ("#D3F2DC", "#2E9E5B"),
    "constant": ("#F3E9FB", "#8E5BB5"),
    "output": ("#CFE2FF", "#2A6FDB"),
}


@dataclasses.dataclass
class Node:
    """A node with a title, further lines, its kind, and a text beside the pointer."""

    title: str
    details: list[str]
    kind: str
    tooltip: str = ""

    def line(self, name: str) -> str:
        """The node in Graphviz's language."""
        fill, border = _COLORS[self.kind]
        details = "".join(f"<br/>{html.escape(d)}" for d in self.details)
        tooltip = self.tooltip.replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"{name} [label=<<b>{html.escape(self.title)}</b>{details}>, "
            f'fillcolor="{fill}", color="{border}", tooltip="{tooltip or " "}"];'
        )


@dataclasses.dataclass(eq=False)
class Box:
    """A frame around nodes, by name, and further boxes."""

    title: str
    prefix: str = ""  # The start of the paths of a module's parameters.
    kind: str = ""  # The module's class.
    around: tuple[Box, ...] = ()  # Outermost first.
    number: str = ""  # The places of these boxes and of this one: `_0_2`.
    nodes: list[str] = dataclasses.field(default_factory=list)
    boxes: list[Box] = dataclasses.field(default_factory=list)

    def box(self, title: str, prefix: str = "", kind: str = "") -> Box:
        """Adds a box inside."""
        number = f"{self.number}_{len(self.boxes)}"
        self.boxes.append(Box(title, prefix, kind, (*self.around, self), number))
        return self.boxes[-1]


class Graph:
    """Nodes by name, in the order they came, in boxes inside `root`; and arrows."""

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

    def arrow(self, source: str, to: str, box: Box) -> None:
        """Adds an arrow to a node in `box`."""
        self._arrows[source, to] = None
        self._users.setdefault(source, []).append(box)

    def around_users(self, name: str) -> list[Box]:
        """The boxes around every node that a node's arrows lead to, outermost first."""
        ways = [(*box.around, box) for box in self._users.get(name, ())]
        return [box for box, *rest in zip(*ways) if all(x is box for x in rest)]

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
        lines = [self.nodes[name].line(name) for name in box.nodes]
        fill = _FILLS[len(box.around) % len(_FILLS)]
        for inside in box.boxes:
            kind = f"  {inside.kind}" if inside.kind else ""
            lines += [
                f"subgraph cluster{inside.number} {{",
                'style="rounded,filled";',
                f'fillcolor="{fill}"; color="#A9B4BF";',
                f"label = <<b>{html.escape(inside.title)}</b>{kind}>;",
                "labelloc = t; labeljust = l; fontsize = 14;",
                *self._box_lines(inside),
                "}",
            ]
        return lines
