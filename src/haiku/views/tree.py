"""The tree of a model's modules, by path, before it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from haiku._core import intercept_methods
from haiku._core.modules.name_scope import NameScopeModule
from haiku._core.runs.frame import frames
from haiku._text import array_text, bytes_text, titled
from haiku._trees.patterns import nearest
from haiku.views.arrays import is_array
from haiku.views.calls import Call, recorder
from haiku.views.inspection import Inspection, function_of, name_of
from haiku.views.outline import Outline, nested, summaries


class ModuleTree(Outline):
    """Modules nested by path, as `init` makes them; its text is the drawn tree.

    Parameters and state outside all modules are at the path `~`.

    Example:
      >>> tree = hk.module_tree(lambda x: hk.nets.MLP([5, 3])(x))(jnp.ones([2, 4]))
      >>> tree["mlp/~/linear_0"].signatures, [node.path for node in tree]
      (['f32[2,4] -> f32[2,5]'], ['mlp', 'mlp/~/linear_0', 'mlp/~/linear_1'])
    """

    def __iter__(self) -> Iterator[Outline]:
        return (node for _, node in self.walk() if node is not self)

    def __getitem__(self, path: str) -> Outline:
        for node in self:
            if node.path == path:
                return node
        near = nearest(path, (node.path for node in self)) or "none"
        raise KeyError(f"There is no module {path!r}: the nearest are {near}.")

    def __str__(self) -> str:
        lines: list[str] = []
        for node in self.parts:
            _draw(node, node.path, "", "", lines)
        return "\n".join([*lines, self._total()])

    __repr__ = __str__

    def _total(self) -> str:
        total = f"{_parameters(self.param_count)}, {bytes_text(self.param_bytes)}"
        state = [array.bytes for node in self for array in node.state.values()]
        return total + (f"; state {bytes_text(sum(state))}" if state else "")


def module_tree(f: Callable[..., Any] | Any) -> Callable[..., ModuleTree]:
    """Makes a function that draws the tree of a model's modules before it is run.

    Nothing is computed: the tree is made from shapes and dtypes.

    Args:
      f: A function that uses modules, a blueprint, what `hk.transform` or its kin
        returned, or a bound model.

    Returns:
      A function of the arguments of `f` (of `init` for `hk.multi_transform`), arrays or
      `jax.ShapeDtypeStruct`s; others, such as `True`, are passed on unchanged. It
      returns an `hk.views.Outline` by path that prints the tree, in notebooks too, and
      has its modules by path: `tree["mlp/~/linear_0"].params`.

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
        model = Inspection(function, args, kwargs)
        modules: dict[str, dict[str, Any]] = {}
        run = _noting(modules, len(frames.get()) + 1)
        with intercept_methods(recorder([], run, constructors=True)):
            params, state = jax.eval_shape(model.init, model.key, model.arrays)
        for kind, values in (("params", params), ("state", state)):
            for path, named in values.items():
                arrays = {name: named[name] for name in sorted(named)}
                modules.setdefault(path, {})[kind] = summaries(arrays)
        return ModuleTree("", name_of(function), "", parts=nested(modules))

    return tree


def _noting(modules: dict[str, dict[str, Any]], depth: int) -> Callable[..., Any]:
    """Runs calls, and notes them by the path of their module in the parameters."""

    def run(call: Call, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        out = f(*args, **kwargs)
        frame = frames.get()[-1]
        # Functions transformed inside are only part of this one where it lifts them.
        if len(frames.get()) > depth and frame.lifting.prefix is None:
            return out
        module, method, *_ = call.context
        path = (frame.lifting.prefix or "") + module.module_name
        facts = modules.setdefault(path, {"signatures": []})
        kind = type(module)
        facts["kind"] = "name scope" if kind is NameScopeModule else kind.__name__
        if kind.__module__.startswith("haiku.") and kind.__name__[0] == "_":
            facts["kind"] = ""
        elif method != "__init__":
            given = [_shown(x) for x in args]
            given += [f"{key}={_shown(value)}" for key, value in kwargs.items()]
            text = "" if method == "__call__" else f".{method} "
            text += f"{', '.join(given) or '()'} -> {_shown(out)}"
            if text not in facts["signatures"]:
                facts["signatures"].append(text)
        return out

    return run


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


def _parameters(count: int) -> str:
    return f"{count:,} parameter{'' if count == 1 else 's'}"


def _head(node: Outline, label: str) -> str:
    call = f"  {node.signatures[0]}" if len(node.signatures) == 1 else ""
    size = f"  {_parameters(node.param_count)}" if node.param_count else ""
    return titled(label, node.kind) + call + size


def _rows(node: Outline) -> list[str]:
    rows = list(node.signatures) if len(node.signatures) > 1 else []
    named = [(name, array, "") for name, array in node.params.items()]
    named += [(name, array, "  state") for name, array in node.state.items()]
    width = max((len(name) for name, _, _ in named), default=0)
    return rows + [f"{name:{width}}  {array}{kind}" for name, array, kind in named]


def _draw(node: Outline, label: str, first: str, rest: str, lines: list[str]) -> None:
    lines.append(first + _head(node, label))
    bar = "│ " if node.parts else "  "
    lines.extend(rest + bar + row for row in _rows(node))
    for part in node.parts:
        last = part is node.parts[-1]
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        label = part.path[len(node.path) + 1 :]
        _draw(part, label, rest + branch, rest + below, lines)
