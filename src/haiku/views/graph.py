"""A graph of what a function computes, in the language of Graphviz's `dot`.

Boxes are modules and jitted functions, nodes are parameters, inputs, operations and
outputs, arrows are arrays.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import jax

from haiku._core import MethodContext, Module
from haiku.views.jaxprs import (
    Group,
    Inner,
    aval_text,
    branches,
    called,
    grouped,
    is_literal,
    name_of,
    scopes,
    traced,
    watching,
    without_kernels,
)

__all__ = ["abstract_to_dot", "to_dot"]


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
      >>> import graphviz  # doctest: +SKIP
      >>> graphviz.Source(dot)  # doctest: +SKIP
    """
    if not callable(fun):
        raise TypeError(
            f"hk.to_dot takes a function, got {type(fun).__name__}: {fun!r}."
        )

    def dot(*args: Any, **kwargs: Any) -> str:
        modules: dict[tuple[str, ...], Module] = {}

        def seen(path: tuple[str, ...], context: MethodContext) -> None:
            modules[path] = context.module

        jaxpr, out = traced(fun, watching(seen), args, kwargs)
        drawing = _Drawing(modules)
        drawing.draw(jaxpr, _input_titles(fun, args, kwargs), out)
        return drawing.text(name_of(fun))

    return dot


def abstract_to_dot(fun: Callable[..., Any]) -> Callable[..., str]:
    """Makes a function that draws what a function computes, given shapes alone.

    It is `hk.to_dot`, which computes nothing either.

    Args:
      fun: A function of arrays.

    Returns:
      A function of `jax.ShapeDtypeStruct`s or arrays that returns text in Graphviz's
      language.
    """
    return to_dot(fun)


def _input_titles(
    fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, bool]]:
    """A title for each array among the arguments, and whether it is a parameter."""
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    names = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    titles = []
    for path, _ in jax.tree_util.tree_leaves_with_path((args, kwargs)):
        _, first, *rest = [jax.tree_util.keystr((key,), simple=True) for key in path]
        if path[0].idx == 0:
            first = names[int(first)] if int(first) < len(names) else f"args[{first}]"
        inside, is_parameter = "/".join(rest), len(rest) > 1
        if is_parameter and first == "params":
            titles.append((inside, True))
        else:
            titles.append((f"{first}: {inside}" if rest else first, is_parameter))
    return titles


@dataclasses.dataclass
class _Node:
    title: str
    details: list[str]
    kind: str
    tooltip: str = ""


@dataclasses.dataclass
class _Box:
    """What is drawn inside one frame.

    `path` is where it stands: the number of each box around it, and its own.
    """

    title: str
    path: tuple[int, ...]
    module: Module | None = None
    nodes: list[str] = dataclasses.field(default_factory=list)
    boxes: list[_Box] = dataclasses.field(default_factory=list)


class _Drawing:
    """A graph as it grows: boxes with nodes, and arrows between nodes."""

    def __init__(self, modules: dict[tuple[str, ...], Module]):
        self._modules = modules
        self._root = _Box("", ())
        self._nodes: dict[str, _Node] = {}
        self._arrows: list[tuple[str, str]] = []
        self._users: dict[str, list[_Box]] = {}
        self._numbers = itertools.count()

    def draw(self, jaxpr: Any, inputs: list[tuple[str, bool]], out: Any) -> None:
        """Draws a whole program, from its inputs to its outputs."""
        sources: dict[Any, str] = {}
        for variable, (title, is_parameter) in zip(jaxpr.invars, inputs):
            kind = "parameter" if is_parameter else "input"
            sources[variable] = self._node(_Node(title, [aval_text(variable)], kind))
        for variable in jaxpr.constvars:
            node = _Node("constant", [aval_text(variable)], "constant")
            sources[variable] = self._node(node)
        self._program(jaxpr, self._root, (), sources)
        paths = jax.tree_util.tree_leaves_with_path(out)
        for variable, (path, _) in zip(jaxpr.outvars, paths):
            title = "output" + jax.tree_util.keystr(path)
            node = self._node(_Node(title, [aval_text(variable)], "output"))
            self._root.nodes.append(node)
            self._arrow(variable, node, self._root, sources)
        self._place_inputs(set(sources.values()))

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
            *self._box_lines(self._root),
            *(f"{a} -> {b};" for a, b in dict.fromkeys(self._arrows)),
            "}",
        ]
        return "\n".join(lines) + "\n"

    # How the graph grows.

    def _node(self, node: _Node) -> str:
        name = f"n{next(self._numbers)}"
        self._nodes[name] = node
        return name

    def _arrow(self, variable: Any, to: str, box: _Box, sources: dict) -> None:
        source = None if is_literal(variable) else sources.get(variable)
        if source is not None:
            self._arrows.append((source, to))
            self._users.setdefault(source, []).append(box)

    def _box(self, title: str, around: _Box, module: Module | None = None) -> _Box:
        box = _Box(title, (*around.path, len(around.boxes)), module)
        around.boxes.append(box)
        return box

    def _program(
        self, jaxpr: Any, box: _Box, scope: tuple[str, ...], sources: dict
    ) -> None:
        self._items(grouped(jaxpr), box, scope, sources)

    def _items(
        self, items: list[Any], box: _Box, scope: tuple[str, ...], sources: dict
    ) -> None:
        for item in items:
            if isinstance(item, Group):
                path = (*scope, *item.path)
                inside = self._box(item.name, box, self._modules.get(path))
                self._items(item.items, inside, scope, sources)
            else:
                self._equation(item, box, scope, sources)

    def _equation(
        self, eqn: Any, box: _Box, scope: tuple[str, ...], sources: dict
    ) -> None:
        inner = called(eqn)
        choices = branches(eqn)
        if inner is not None and _is_wrapper(inner):
            self._call(inner, eqn, box, scope, sources)
        elif inner is not None and not _is_simple(inner, eqn):
            self._call(inner, eqn, self._box(inner.title, box), scope, sources)
        elif any(c.jaxpr.eqns for c in choices):
            self._choice(choices, eqn, box, scope, sources)
        else:
            self._operation(inner.title if inner else "", eqn, box, sources)

    def _call(
        self, inner: Inner, eqn: Any, box: _Box, scope: tuple[str, ...], sources: dict
    ) -> None:
        """Draws a program that an equation runs in place of the equation."""
        own = self._entered(inner, box, sources)
        self._program(inner.jaxpr, box, (*scope, *scopes(eqn)), own)
        for outer, variable in zip(eqn.outvars, inner.jaxpr.outvars):
            if not is_literal(variable) and variable in own:
                sources[outer] = own[variable]

    def _choice(
        self,
        choices: list[Inner],
        eqn: Any,
        box: _Box,
        scope: tuple[str, ...],
        sources: dict,
    ) -> None:
        """Draws every branch, and a node that takes the result of one of them."""
        chosen = self._operation("", eqn, box, sources, arrows=False)
        self._arrow(eqn.invars[0], chosen, box, sources)
        for inner in choices:
            inside = self._box(inner.title, box)
            own = self._entered(inner, inside, sources)
            self._program(inner.jaxpr, inside, (*scope, *scopes(eqn)), own)
            for variable in inner.jaxpr.outvars:
                self._arrow(variable, chosen, inside, own)

    def _entered(self, inner: Inner, box: _Box, sources: dict) -> dict:
        own = {
            variable: sources[outer]
            for variable, outer in zip(inner.jaxpr.invars, inner.invars)
            if not is_literal(outer) and outer in sources
        }
        for variable in inner.jaxpr.constvars:
            node = self._node(_Node("constant", [aval_text(variable)], "constant"))
            box.nodes.append(node)
            own[variable] = node
        return own

    def _operation(
        self, title: str, eqn: Any, box: _Box, sources: dict, arrows: bool = True
    ) -> str:
        shapes = [aval_text(v) for v in eqn.outvars]
        options = "" if title else _options(eqn)
        title = title or eqn.primitive.name
        node = self._node(_Node(title, shapes, "operation", options))
        box.nodes.append(node)
        if arrows:
            for variable in eqn.invars:
                self._arrow(variable, node, box, sources)
        for variable in eqn.outvars:
            sources[variable] = node
        return node

    def _place_inputs(self, drawn: set[str]) -> None:
        """Puts each parameter into the innermost box that holds all of its users."""
        for name in sorted(drawn, key=lambda n: int(n[1:])):
            node, users = self._nodes[name], self._users.get(name, [])
            if node.kind not in ("parameter", "input", "constant") or not users:
                continue
            box, title = self._root, node.title
            if node.kind != "input":
                for step in _common([user.path for user in users]):
                    box = box.boxes[step]
                    # The boxes around it say where it belongs.
                    if box.module is not None:
                        prefix = box.module.module_name + "/"
                        title = node.title.replace(prefix, "", 1)
                node.title = title
            box.nodes.append(name)

    # How it is written.

    def _box_lines(self, box: _Box) -> list[str]:
        lines = [self._node_line(name) for name in box.nodes]
        for inside in box.boxes:
            number = "_".join(str(step) for step in inside.path)
            kind = f"  {type(inside.module).__name__}" if inside.module else ""
            fill = ("#F4F6F8", "#E9EDF1", "#DEE4EA")[(len(inside.path) - 1) % 3]
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

    def _node_line(self, name: str) -> str:
        node = self._nodes[name]
        fill, border = _COLORS[node.kind]
        details = "".join(f"<br/>{html.escape(d)}" for d in node.details)
        tooltip = node.tooltip.replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"{name} [label=<<b>{html.escape(node.title)}</b>{details}>, "
            f'fillcolor="{fill}", color="{border}", tooltip="{tooltip or " "}"];'
        )


# Fill and border.
_COLORS = {
    "operation": ("#FFFFFF", "#5B6B7A"),
    "parameter": ("#FFE3C2", "#D9822B"),
    "input": ("#D3F2DC", "#2E9E5B"),
    "constant": ("#F3E9FB", "#8E5BB5"),
    "output": ("#CFE2FF", "#2A6FDB"),
}


def _is_wrapper(inner: Inner) -> bool:
    """Whether a call only says how to differentiate what it holds."""
    return inner.title in ("custom_jvp", "custom_vjp", "call")


def _is_simple(inner: Inner, eqn: Any) -> bool:
    """Whether a jitted function is one operation under a name: `relu`."""
    if eqn.primitive.name not in ("jit", "pjit"):
        return False
    return len(list(without_kernels(inner.jaxpr.eqns))) <= 1


def _options(eqn: Any) -> str:
    return ", ".join(f"{k}={_short(v)}" for k, v in eqn.params.items())


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _common(paths: list[tuple[int, ...]]) -> tuple[int, ...]:
    shortest = min(paths, key=len)
    for i, step in enumerate(shortest):
        if any(path[i] != step for path in paths):
            return shortest[:i]
    return shortest
