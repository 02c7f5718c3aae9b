"""A graph of what a function computes, in the language of Graphviz's `dot`.

Boxes are modules and jitted functions, nodes are parameters, inputs, operations and
outputs, arrows are arrays.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from haiku._core import Module
from haiku.views.inspection import check_callable, name_of, traced
from haiku.views.jaxprs import (
    Group,
    Inner,
    aval_text,
    branches,
    called,
    grouped,
    is_literal,
    scopes,
)


def to_dot(fun: Callable[..., Any]) -> Callable[..., str]:
    """Makes a function that draws what a function computes as a graph.

    Args:
      fun: A function of arrays: `apply` of what `hk.transform` returned, a loss, a
        gradient, jitted or not.

    Returns:
      A function of the arguments of `fun` that returns text in Graphviz's language.
      Nothing is computed, so `jax.ShapeDtypeStruct`s do as well as arrays.

    Raises:
      TypeError: `fun` can't be called.

    Example:
      >>> dot = hk.to_dot(lambda x: jax.nn.relu(x) + 1)(jnp.ones(3))
      >>> # In a notebook `graphviz.Source(dot)` draws it.
      >>> dot.splitlines()[0]
      'digraph G {'
    """
    check_callable("hk.to_dot", fun)

    def dot(*args: Any, **kwargs: Any) -> str:
        program, out, calls = traced(fun, args, kwargs)
        drawing = _Drawing({path: it.context.module for path, it in calls.items()})
        drawing.draw(program, _input_titles(fun, args, kwargs), out)
        return drawing.text(name_of(fun))

    return dot


def abstract_to_dot(fun: Callable[..., Any]) -> Callable[..., str]:
    """Is `hk.to_dot`, which computes nothing either: shapes are enough.

    Args:
      fun: A function of arrays.

    Returns:
      A function of arrays or `jax.ShapeDtypeStruct`s that returns the graph as text.

    Example:
      >>> dot = hk.experimental.abstract_to_dot(jnp.sin)
      >>> dot(jax.ShapeDtypeStruct([3], jnp.float32)).partition(" ")[0]
      'digraph'
    """
    return to_dot(fun)


def _input_titles(
    fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, str]]:
    """A title for each array among the arguments, and its kind of node."""
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    others = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)
    names = [p.name for p in parameters if p.kind not in others]
    titles = []
    for path, _ in jax.tree_util.tree_leaves_with_path((args, kwargs)):
        _, first, *rest = [jax.tree_util.keystr((key,), simple=True) for key in path]
        if path[0].idx == 0:
            first = names[int(first)] if int(first) < len(names) else f"args[{first}]"
        title = ": ".join([first, "/".join(rest)] if rest else [first])
        is_parameter = len(rest) > 1
        if is_parameter and first == "params":
            title = "/".join(rest)
        titles.append((title, "parameter" if is_parameter else "input"))
    return titles


_IN_PLACE = ("custom_jvp", "custom_vjp", "call")  # Calls without a box.
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


class _At(NamedTuple):
    """The place where a program is drawn."""

    box: Box
    scope: tuple[str, ...]  # The named scopes around.
    sources: dict[Any, str]  # The node that each variable comes from; grows.


class _Drawing(Graph):
    """A graph as it grows, program by program."""

    def __init__(self, modules: dict[tuple[str, ...], Module]):
        super().__init__()
        self._modules = modules

    def draw(self, jaxpr: Any, inputs: list[tuple[str, str]], out: Any) -> None:
        """Draws a whole program, from its inputs to its outputs."""
        at = _At(self.root, (), {})
        for variable, (title, kind) in zip(jaxpr.invars, inputs):
            at.sources[variable] = self.node(_node(title, variable, kind))
        for variable in jaxpr.constvars:
            node = _node("constant", variable, "constant")
            at.sources[variable] = self.node(node)
        given = list(self.nodes)
        self._items(grouped(jaxpr), at)
        paths = jax.tree_util.tree_leaves_with_path(out)
        for variable, (path, _) in zip(jaxpr.outvars, paths):
            title = "output" + jax.tree_util.keystr(path)
            node = self.node(_node(title, variable, "output"), at.box)
            self._arrow(variable, node, at)
        for name in given:
            self._place(name)

    def _place(self, name: str) -> None:
        """Puts a parameter into the innermost box around all of its users."""
        boxes, node = self.around_users(name), self.nodes[name]
        if node.kind == "input":
            boxes = boxes[:1]
        # The boxes around it show where it belongs.
        prefixes = [box.prefix for box in boxes if box.prefix]
        if prefixes:
            node.title = node.title.replace(prefixes[-1], "", 1)
        if boxes:
            boxes[-1].nodes.append(name)

    def _arrow(self, variable: Any, to: str, at: _At) -> None:
        source = None if is_literal(variable) else at.sources.get(variable)
        if source is not None:
            self.arrow(source, to, at.box)

    def _items(self, items: list[Any], at: _At) -> None:
        for item in items:
            if isinstance(item, Group):
                module = self._modules.get((*at.scope, *item.path))
                prefix = f"{module.module_name}/" if module else ""
                kind = type(module).__name__ if module else ""
                box = at.box.box(item.path[-1], prefix, kind)
                self._items(item.items, at._replace(box=box))
            else:
                self._equation(item, at)

    def _equation(self, eqn: Any, at: _At) -> None:
        inner, choices = called(eqn), branches(eqn)
        if inner is not None and (inner.is_kernel or inner.title in _IN_PLACE):
            self._call(inner, eqn, at)
        elif inner is not None and not _is_simple(inner, eqn):
            self._call(inner, eqn, at._replace(box=at.box.box(inner.title)))
        elif any(c.jaxpr.eqns for c in choices):
            # Every branch, and a node that takes the result of one of them.
            chosen = self._operation("", eqn, at)
            self._arrow(eqn.invars[0], chosen, at)
            for choice in choices:
                box = at.box.box(choice.title)
                own = self._program(choice, eqn, at._replace(box=box))
                for variable in choice.jaxpr.outvars:
                    self._arrow(variable, chosen, own)
        else:
            node = self._operation(inner.title if inner else "", eqn, at)
            for variable in eqn.invars:
                self._arrow(variable, node, at)

    def _call(self, inner: Inner, eqn: Any, at: _At) -> None:
        """Draws the program that an equation runs in the place of the equation."""
        own = self._program(inner, eqn, at)
        for outer, variable in zip(eqn.outvars, inner.jaxpr.outvars):
            if not is_literal(variable) and variable in own.sources:
                at.sources[outer] = own.sources[variable]

    def _program(self, inner: Inner, eqn: Any, at: _At) -> _At:
        """Draws a program inside an equation; returns the place."""
        own = {
            variable: at.sources[outer]
            for variable, outer in zip(inner.jaxpr.invars, inner.invars)
            if not is_literal(outer) and outer in at.sources
        }
        for variable in inner.jaxpr.constvars:
            node = _node("constant", variable, "constant")
            own[variable] = self.node(node, at.box)
        inside = _At(at.box, (*at.scope, *scopes(eqn)), own)
        steps = inner.jaxpr.eqns if inner.is_kernel else grouped(inner.jaxpr)
        self._items(steps, inside)
        return inside

    def _operation(self, title: str, eqn: Any, at: _At) -> str:
        shapes = [aval_text(v) for v in eqn.outvars]
        options = "" if title else _options(eqn)
        title = title or eqn.primitive.name
        node = self.node(Node(title, shapes, "operation", options), at.box)
        at.sources.update(dict.fromkeys(eqn.outvars, node))
        return node


def _node(title: str, variable: Any, kind: str) -> Node:
    return Node(title, [aval_text(variable)], kind)


def _is_simple(inner: Inner, eqn: Any) -> bool:
    """Whether a jitted function is one operation under a name: `relu`."""
    if eqn.primitive.name != "jit" or len(inner.jaxpr.eqns) > 1:
        return False
    kernels = (called(step) for step in inner.jaxpr.eqns)
    return all(k is None or not k.is_kernel or _is_simple(k, eqn) for k in kernels)


def _options(eqn: Any) -> str:
    texts = ((k, " ".join(str(v).split())) for k, v in eqn.params.items())
    return ", ".join(f"{k}={t if len(t) <= 80 else t[:77] + '...'}" for k, t in texts)
