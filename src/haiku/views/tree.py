"""The tree of a model's modules, by path, before it is run."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from haiku._core import intercept_methods
from haiku._core.modules.name_scope import NameScopeModule
from haiku._core.runs.frame import frames
from haiku._patterns import nearest
from haiku._text import array_text, bytes_text, titled
from haiku.data_structures import tree_bytes, tree_size
from haiku.views.arrays import is_array
from haiku.views.calls import Call, recorder
from haiku.views.inspection import Model, function_of
from haiku.views.page import frame, item, page

__all__ = ["ModuleNode", "ModuleTree", "module_tree"]


@dataclasses.dataclass
class ModuleNode:
    """One module.

    Attributes:
      path: Its path; `~` is outside all modules.
      label: The part of its path behind that of the module around it.
      class_name: Its class; None if only parameters of that path are known.
      calls: Its methods as they ran: `f32[8,4] -> f32[8,3]`, those other than
        `__call__` with their name.
      params: Its own parameters by name, as `jax.ShapeDtypeStruct`.
      state: Its own state by name, as `jax.ShapeDtypeStruct`.
      children: The modules inside.
    """

    path: str
    label: str
    class_name: str | None = None
    calls: list[str] = dataclasses.field(default_factory=list)
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    state: dict[str, Any] = dataclasses.field(default_factory=dict)
    children: list[ModuleNode] = dataclasses.field(default_factory=list)

    @property
    def size(self) -> int:
        """How many numbers its parameters hold, those of modules inside included."""
        return tree_size(self.params) + sum(child.size for child in self.children)


@dataclasses.dataclass(repr=False)
class ModuleTree:
    """The modules of a model, nested by path; its text is the drawn tree.

    Attributes:
      roots: The outermost modules, in the order in which they were built.
      params: The parameters of `init`, as `jax.ShapeDtypeStruct`.
      state: The state of `init`, as `jax.ShapeDtypeStruct`.

    Example:
      >>> tree = hk.module_tree(lambda x: hk.nets.MLP([5, 3])(x))(jnp.ones([2, 4]))
      >>> tree["mlp/~/linear_0"].calls, [node.path for node in tree.roots]
      (['f32[2,4] -> f32[2,5]'], ['mlp'])
    """

    roots: list[ModuleNode]
    params: Mapping[str, Mapping[str, Any]]
    state: Mapping[str, Mapping[str, Any]]

    def __iter__(self) -> Iterator[ModuleNode]:
        waiting = list(self.roots)
        while waiting:
            node = waiting.pop(0)
            yield node
            waiting = node.children + waiting

    def __getitem__(self, path: str) -> ModuleNode:
        for node in self:
            if node.path == path:
                return node
        near = nearest(path, (node.path for node in self)) or "none"
        raise KeyError(f"There is no module {path!r}: the nearest are {near}.")

    def __repr__(self) -> str:
        lines: list[str] = []
        for node in self.roots:
            _draw(node, "", "", lines)
        return "\n".join([*lines, self._total()])

    def _repr_html_(self) -> str:
        nodes = "".join(_html(node, 0) for node in self.roots)
        return frame(page("modules", nodes, f"<p>{html.escape(self._total())}</p>"))

    def _total(self) -> str:
        total = f"{_parameters(tree_size(self.params))}, "
        total += bytes_text(tree_bytes(self.params))
        if self.state:
            total += f"; state {bytes_text(tree_bytes(self.state))}"
        return total


def module_tree(f: Callable[..., Any] | Any) -> Callable[..., ModuleTree]:
    """Makes a function that draws the tree of a model's modules before it is run.

    Nothing is computed: the tree is made from shapes and dtypes.

    Args:
      f: A function that uses modules, a blueprint, what `hk.transform` or its kin
        returned, or a bound model.

    Returns:
      A function of the arguments of `f` (of `init` for `hk.multi_transform`), arrays or
      `jax.ShapeDtypeStruct`s; others, such as `True`, are passed on unchanged. It
      returns a `ModuleTree`, which prints itself, in notebooks too, has its nodes by
      path, and the shapes of parameters and state.

    Raises:
      TypeError: `f` is something else.

    Example:
      >>> print(hk.module_tree(hk.Blueprint(hk.nets.MLP, [5, 3]))(jnp.ones([2, 4])))
      mlp (MLP)  f32[2,4] -> f32[2,3]  43 parameters
      ├─ ~/linear_0 (Linear)  f32[2,4] -> f32[2,5]  25 parameters
      │    b  f32[5]
      │    w  f32[4,5]
      └─ ~/linear_1 (Linear)  f32[2,5] -> f32[2,3]  18 parameters
           b  f32[3]
           w  f32[5,3]
      43 parameters, 172.00 B
    """
    function = function_of(f)

    def tree(*args: Any, **kwargs: Any) -> ModuleTree:
        model = Model(function, args, kwargs)
        nodes: dict[str, ModuleNode] = {}
        run = _noting(nodes, len(frames.get()) + 1)
        with intercept_methods(recorder([], run, constructors=True)):
            params, state = jax.eval_shape(model.init, model.key, model.arrays)
        for kind, values in (("params", params), ("state", state)):
            for path, named in values.items():
                node = nodes.setdefault(path, ModuleNode(path, path))
                setattr(node, kind, {name: named[name] for name in sorted(named)})
        return ModuleTree(_nested(nodes), params, state)

    return tree


def _noting(nodes: dict[str, ModuleNode], depth: int) -> Callable[..., Any]:
    """Runs calls, and notes them with their module, by its path in the parameters."""

    def run(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        out = f(*args, **kwargs)
        frame = frames.get()[-1]
        # Functions transformed inside are only part of this one where it lifts them.
        if len(frames.get()) > depth and frame.lifted_prefix is None:
            return out
        module, method, *_ = call.context
        path = (frame.lifted_prefix or "") + module.module_name
        node = nodes.setdefault(path, ModuleNode(path, path))
        kind = type(module)
        node.class_name = "name scope" if kind is NameScopeModule else kind.__name__
        if kind.__module__.startswith("haiku.") and kind.__name__[0] == "_":
            node.class_name = None
        elif method != "__init__":
            given = [_shown(x) for x in args]
            given += [f"{key}={_shown(value)}" for key, value in kwargs.items()]
            text = "" if method == "__call__" else f".{method} "
            text += f"{', '.join(given) or '()'} -> {_shown(out)}"
            if text not in node.calls:
                node.calls.append(text)
        return out

    return run


def _nested(nodes: dict[str, ModuleNode]) -> list[ModuleNode]:
    """The outermost nodes; the others become children of the nearest around them."""
    roots = []
    for path, node in nodes.items():
        around = path
        while "/" in around:
            around = around.rpartition("/")[0]
            if around in nodes:
                node.label = path[len(around) + 1 :]
                nodes[around].children.append(node)
                break
        else:
            roots.append(node)
    return roots


def _shown(value: Any) -> str:
    """Shapes of arrays, inside tuples and the like too; other values if short."""
    if is_array(value):
        return array_text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(_shown(item) for item in value)})"
    text = repr(value)
    return text if len(text) <= 20 and "\n" not in text else type(value).__name__


# ---- Drawing ----------------------------------------------------------------------


def _parameters(count: int) -> str:
    return f"{count:,} parameter{'' if count == 1 else 's'}"


def _head(node: ModuleNode) -> str:
    call = f"  {node.calls[0]}" if len(node.calls) == 1 else ""
    size = f"  {_parameters(node.size)}" if node.size else ""
    return titled(node.label, node.class_name) + call + size


def _rows(node: ModuleNode) -> list[str]:
    rows = list(node.calls) if len(node.calls) > 1 else []
    named = [(name, _shown(value), "") for name, value in node.params.items()]
    named += [(name, _shown(value), "  state") for name, value in node.state.items()]
    width = max((len(name) for name, _, _ in named), default=0)
    return rows + [f"{name:{width}}  {shown}{kind}" for name, shown, kind in named]


def _draw(node: ModuleNode, first: str, rest: str, lines: list[str]) -> None:
    lines.append(first + _head(node))
    bar = "│ " if node.children else "  "
    lines.extend(rest + bar + row for row in _rows(node))
    for i, child in enumerate(node.children):
        last = i == len(node.children) - 1
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        _draw(child, rest + branch, rest + below, lines)


def _html(node: ModuleNode, depth: int) -> str:
    inside = "".join(_html(child, depth + 1) for child in node.children)
    rows = "".join(f"<code>{html.escape(row)}</code>" for row in _rows(node))
    return item(html.escape(_head(node)), "", (), inside, rows, unfolded=depth < 2)
