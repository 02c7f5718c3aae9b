"""Draws a graph made by `hk.to_dot` with matplotlib, where Graphviz isn't installed.

    python examples/draw_graph.py demo/graph.dot demo/graph.png

Every box is laid out by itself, layer by layer, and then is one node of the box around
it: so boxes never overlap. It reads what `hk.to_dot` writes, not the whole language.
"""

import argparse
import dataclasses
import html
import re
from collections.abc import Iterable

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

CHARACTER, LINE, GAP_X, GAP_Y, MARGIN = 0.085, 0.19, 0.3, 0.42, 0.18  # Inches.


@dataclasses.dataclass
class Item:
    """A node, or a box with items inside; `x`, `y` is its middle, `y` grows down."""

    name: str
    title: str = ""
    details: tuple[str, ...] = ()
    fill: str = "#FFFFFF"
    border: str = "#5B6B7A"
    items: list["Item"] = dataclasses.field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    def move(self, dx: float, dy: float) -> None:
        """Moves it with all that is inside."""
        self.x, self.y = self.x + dx, self.y + dy
        for item in self.items:
            item.move(dx, dy)

    def names(self) -> set[str]:
        """The nodes inside it, itself included."""
        return {self.name}.union(*(item.names() for item in self.items))


def parsed(dot: str) -> tuple[Item, list[tuple[str, str]]]:
    """The outermost box and the arrows of a graph that `hk.to_dot` wrote."""
    root, arrows = Item("root"), []
    around = [root]
    for line in dot.splitlines():
        if match := re.match(r"subgraph (\w+)", line):
            around[-1].items.append(Item(match[1], border="#A9B4BF"))
            around.append(around[-1].items[-1])
        elif line == "}" and len(around) > 1:
            around.pop()
        elif match := re.match(r"label = <<b>(.*?)</b>(.*)>;", line):
            around[-1].title = html.unescape(match[1] + match[2])
        elif match := re.match(r'fillcolor="(.*?)"', line):
            around[-1].fill = match[1]
        elif match := re.match(
            r'(\w+) \[label=<<b>(.*?)</b>(.*?)>, fillcolor="(.*?)", color="(.*?)"', line
        ):
            name, title, rest, fill, border = match.groups()
            details = tuple(html.unescape(d) for d in rest.split("<br/>") if d)
            node = Item(name, html.unescape(title), details, fill, border)
            around[-1].items.append(node)
        elif match := re.fullmatch(r"(\w+) -> (\w+);", line):
            arrows.append(match.groups())
    return root, arrows


def lay_out(box: Item, arrows: list[tuple[str, str]]) -> None:
    """Places everything inside a box, its top left corner at (0, 0)."""
    if not box.items:
        text = max((box.title, *box.details), key=len)
        box.width = max(0.7, CHARACTER * len(text) + 0.2)
        box.height = LINE * (1 + len(box.details)) + 0.12
        box.x, box.y = box.width / 2, box.height / 2
        return
    for item in box.items:
        lay_out(item, arrows)
    holder = {name: i for i, item in enumerate(box.items) for name in item.names()}
    links = {(holder.get(a), holder.get(b)) for a, b in arrows}
    links = {(a, b) for a, b in links if None not in (a, b) and a != b}
    layers = layered(len(box.items), links)
    order_layers(layers, links)
    top = MARGIN + (LINE if box.title else 0) + 0.04
    bottom = top + place(box, layers, links, top)
    left = min(item.x - item.width / 2 for item in box.items) - MARGIN
    right = max(item.x + item.width / 2 for item in box.items) + MARGIN
    for item in box.items:
        item.move(-left, 0)
    box.width = max(right - left, CHARACTER * len(box.title) + 2 * MARGIN)
    box.height = bottom + MARGIN
    box.x, box.y = box.width / 2, box.height / 2


def layered(count: int, links: set[tuple[int, int]]) -> list[list[int]]:
    """Items in layers, so that arrows point down and are short."""
    before = {i: [a for a, b in links if b == i] for i in range(count)}
    after = {i: [b for a, b in links if a == i] for i in range(count)}
    depth: dict[int, int] = {}

    def visit(i: int, path: tuple[int, ...]) -> int:
        if i not in depth:
            above = [visit(j, (*path, i)) for j in before[i] if j not in path]
            depth[i] = 1 + max(above, default=-1)
        return depth[i]

    for i in range(count):
        visit(i, ())
    for i in sorted(range(count), key=lambda i: -depth[i]):
        if after[i]:  # As far down as its uses allow.
            depth[i] = max(depth[i], min(depth[j] for j in after[i]) - 1)
    layers: list[list[int]] = [[] for _ in range(1 + max(depth.values()))]
    for i in range(count):
        layers[depth[i]].append(i)
    return [layer for layer in layers if layer]


def order_layers(layers: list[list[int]], links: set[tuple[int, int]]) -> None:
    """Sorts each layer by where its neighbours are, to have few crossings."""
    for sweep in range(8):
        order = layers if sweep % 2 == 0 else layers[::-1]
        for layer in order:
            rank = {i: r for row in layers for r, i in enumerate(row)}
            layer.sort(key=lambda i, rank=rank: mean_of(i, links, rank, rank[i]))


def mean_of(i: int, links: set, values: dict[int, float], default: float) -> float:
    """The mean over an item's neighbours."""
    near = [values[b if a == i else a] for a, b in links if i in (a, b)]
    return sum(near) / len(near) if near else default


def place(box: Item, layers: list[list[int]], links: set, top: float) -> float:
    """Gives items their places below `top`; returns the height that they take."""
    items, y = box.items, top
    for layer in layers:
        tallest, x = max(items[i].height for i in layer), 0.0
        for i in layer:
            item = items[i]
            item.move(x + item.width / 2 - item.x, y + tallest / 2 - item.y)
            x += item.width + GAP_X
        y += tallest + GAP_Y
    for sweep in range(30):
        order = layers if sweep % 2 == 0 else layers[::-1]
        for layer in order:
            places = {i: item.x for i, item in enumerate(items)}
            wanted = [mean_of(i, links, places, items[i].x) for i in layer]
            for i, x in zip(layer, apart(wanted, [items[i].width for i in layer])):
                items[i].move(x - items[i].x, 0)
    return y - GAP_Y - top


def apart(wanted: list[float], widths: list[float]) -> list[float]:
    """The places closest to those wanted at which nothing overlaps."""
    groups: list[list] = []  # [sum of offsets from wanted, count, first, end of group]
    offsets, x = [], 0.0
    for k, width in enumerate(widths):
        x += (widths[k - 1] + width) / 2 + GAP_X if k else 0.0
        offsets.append(x)
    for k, place_ in enumerate(wanted):
        groups.append([place_ - offsets[k], 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > (
            groups[-1][0] / groups[-1][1]
        ):
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    starts = [total / count for total, count in groups for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets)]


def draw(dot: str, path: str, dpi: int = 130) -> None:
    """Writes a picture of a graph.

    Args:
      dot: What `hk.to_dot` wrote.
      path: Where to write; its ending says the format.
      dpi: Dots per inch.
    """
    root, arrows = parsed(dot)
    title, root.title = root.title, ""
    if not root.items:
        root.items.append(Item("empty", "nothing to draw"))
    lay_out(root, arrows)
    figure = plt.figure(figsize=(root.width, root.height + 0.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, root.width)
    axes.set_ylim(root.height, -0.4)
    axes.axis("off")
    axes.text(root.width / 2, -0.12, title, ha="center", size=15, weight="bold")
    nodes: dict[str, Item] = {}
    draw_item(axes, root, 0, nodes)
    for a, b in arrows:
        arrow = FancyArrowPatch(
            path=route(nodes[a], nodes[b], nodes.values()),
            arrowstyle="-|>",
            mutation_scale=9,
            color="#7A8794",
            linewidth=0.9,
            zorder=50,
        )
        axes.add_patch(arrow)
    figure.savefig(path, dpi=dpi, facecolor="white")
    plt.close(figure)


def route(start: Item, end: Item, nodes: Iterable[Item]) -> Path:
    """A curve between two nodes, beside those that stand in its way."""
    a = np.array([start.x, start.y + start.height / 2])
    b = np.array([end.x, end.y - end.height / 2])
    between = [n for n in nodes if a[1] < n.y < b[1]]

    def hits(x0: float, x1: float, node: Item) -> bool:
        across = x0 + (x1 - x0) * (node.y - a[1]) / (b[1] - a[1])
        return abs(across - node.x) < node.width / 2 + 0.04

    blocking = [n for n in between if hits(a[0], b[0], n)]
    if not blocking:
        return Path([a, b])
    for _ in between:  # Beside those, further ones may stand.
        left = min(n.x - n.width / 2 for n in blocking) - 0.14
        right = max(n.x + n.width / 2 for n in blocking) + 0.14
        lane = (
            left
            if abs(2 * left - a[0] - b[0]) < abs(2 * right - a[0] - b[0])
            else right
        )
        more = [n for n in between if n not in blocking and hits(lane, lane, n)]
        if not more:
            break
        blocking += more
    first = min(n.y - n.height / 2 for n in blocking)
    last = max(n.y + n.height / 2 for n in blocking)
    points = [a, (a[0], first), (lane, a[1]), (lane, first)]
    points += [(lane, last), (lane, b[1]), (b[0], last), b]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3]
    return Path(points, codes)


def draw_item(axes, item: Item, depth: int, nodes: dict[str, Item]) -> None:
    """Draws a node, or a box and all that is inside."""
    left, top = item.x - item.width / 2, item.y - item.height / 2
    if depth:
        patch = FancyBboxPatch(
            (left, top),
            item.width,
            item.height,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=item.fill,
            edgecolor=item.border,
            linewidth=1.0,
            zorder=depth,
        )
        axes.add_patch(patch)
    if item.items:
        axes.text(
            left + 0.1, top + 0.17, item.title, size=9.5, weight="bold", zorder=60
        )
        for inside in item.items:
            draw_item(axes, inside, depth + 1, nodes)
        return
    nodes[item.name] = item
    middle = item.y - LINE * len(item.details) / 2
    for k, text in enumerate((item.title, *item.details)):
        axes.text(
            item.x,
            middle + LINE * k,
            text,
            size=8.5 if k == 0 else 8,
            weight="bold" if k == 0 else "normal",
            ha="center",
            va="center",
            zorder=60,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dot", help="a file that hk.to_dot wrote")
    parser.add_argument("picture", help="where to draw it: graph.png, graph.svg")
    arguments = parser.parse_args()
    with open(arguments.dot) as file:
        draw(file.read(), arguments.picture)
