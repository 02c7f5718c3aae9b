"""Making the outline of a model: of a function, or of parameters alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from haiku._bound import Bound
from haiku._packed import unpacked
from haiku.data_structures import merge
from haiku.views.arrays import ArraySpec
from haiku.views.call_costs import CallCost, Costs, costs_of_calls
from haiku.views.calls import input_text, kind_of
from haiku.views.outline import Outline
from haiku.views.tracing import function_of, name_of
from haiku.views.values import ArrayOutline, summarised

__all__ = ["outline", "outline_of_params"]


def outline(
    f: Callable[..., Any] | Any,
    params: Any = None,
    state: Any = None,
    *,
    time: bool = False,
) -> Callable[..., Outline]:
    """Makes a function that tells what a model is made of, module by module.

    Args:
      f: A function that uses modules, before or after `hk.transform`; an
        `hk.Blueprint`; or a bound model, whose parameters and state are taken. Of
        `hk.multi_transform` it is the function that `init` runs.
      params: Its parameters. With them, values are told: statistics, a histogram.
      state: Its state likewise.
      time: Whether to run the model and time each call of a module, compiled alone;
        else nothing is computed. Default False.

    Returns:
      A function of the arguments of `f` as it was before `hk.transform` that returns
      an `Outline`: text with `print`, a web page with `.as_html()`, foldable in
      notebooks and in treescope, comparable with `hk.experimental.compare`. Arguments
      are arrays or `jax.ShapeDtypeStruct`s; what is none, as `True`, stays as it is.

    Example:
      >>> f = lambda x: hk.nets.MLP([300, 10], name="net")(x)
      >>> hk.experimental.outline(f)(jnp.ones([8, 28]))
      module                 output        params    flops
      <lambda>               f32[8,10]     11,710  187.3 k
        net (MLP)            f32[8,10]     11,710  187.3 k
          linear_0 (Linear)  f32[8,300]     8,700  136.8 k
          linear_1 (Linear)  f32[8,10]      3,010  48.08 k
    """
    if isinstance(f, Bound):
        params, state = f.params, f.state
    params = unpacked(params)
    function = function_of(f)
    name = name_of(getattr(function, "module_class", function))

    def outlined(*args: Any, **kwargs: Any) -> Outline:
        costs = costs_of_calls(function, args, kwargs, time, params, state)
        return _tree(name, costs, params, state)

    return outlined


class _Node:
    """An outline that is being put together."""

    def __init__(self) -> None:
        self.calls: list[CallCost] = []
        self.parts: dict[tuple[str, str], _Node] = {}


def _tree(name: str, costs: Costs, params: Any, state: Any) -> Outline:
    root = _Node()
    nodes: list[_Node] = []
    called: set[str] = set()
    for cost in costs.calls:
        around = root if cost.parent is None else nodes[cost.parent]
        details = cost.invocation.module_details
        key = (details.module.module_name, details.method_name)
        nodes.append(around.parts.setdefault(key, _Node()))
        nodes[-1].calls.append(cost)
        called.add(details.module.module_name)
    arrays = (
        _Arrays(costs.params if params is None else params, called),
        _Arrays(costs.state if state is None else state, called),
    )
    parts = tuple(_outline(node, arrays) for node in root.parts.values())
    top = [cost for cost in costs.calls if cost.parent is None]
    return Outline(
        path="",
        name=name,
        kind="",
        output=costs.output,
        params=arrays[0].rest(),
        state=arrays[1].rest(),
        flops=costs.flops,
        own_flops=costs.own_flops,
        activation_bytes=sum(cost.activation_bytes for cost in top),
        seconds=costs.seconds,
        own_seconds=costs.own_seconds,
        parts=parts,
    )


def _outline(node: _Node, arrays: tuple[_Arrays, _Arrays]) -> Outline:
    first = node.calls[0].invocation
    details = first.module_details
    path = details.module.module_name
    own = [
        store.take(path, specs)
        for store, specs in zip(arrays, (details.params, details.state))
    ]
    return Outline(
        path=path,
        name=path.rpartition("/")[2],
        kind=kind_of(details),
        config=repr(details.module),
        inputs=input_text(first),
        output=str(first.output_spec),
        calls=len(node.calls),
        params=own[0],
        state=own[1],
        flops=sum(cost.flops for cost in node.calls),
        own_flops=sum(cost.own_flops for cost in node.calls),
        activation_bytes=sum(cost.activation_bytes for cost in node.calls),
        seconds=_sum(cost.seconds for cost in node.calls),
        own_seconds=_sum(cost.own_seconds for cost in node.calls),
        parts=tuple(_outline(part, arrays) for part in node.parts.values()),
    )


def _sum(seconds: Any) -> float | None:
    seconds = list(seconds)
    return None if None in seconds else sum(seconds)


def outline_of_params(params: Any, state: Any = None) -> Outline:
    """Tells what parameters are there, module by module, without the function.

    Args:
      params: Parameters, `{module path: {name: array}}`, or their shapes and dtypes.
      state: State likewise.

    Returns:
      An `Outline` without costs. A module is inside the one whose path its own begins
      with.

    Example:
      >>> params = {"mlp/~/out": {"w": jnp.ones([3, 2])}}
      >>> hk.experimental.outline_of_params(params)
      module      params
      params           6
        mlp            6
          out          6
    """
    stores = [merge(unpacked(values) or {}) for values in (params, state)]
    tree: dict[str, Any] = {}
    for path in (*stores[0], *stores[1]):
        at = tree
        parts = path.split("/")
        for i, part in enumerate(parts):
            if part != "~" or i == len(parts) - 1:
                at = at.setdefault("/".join(parts[: i + 1]), {})
    return Outline("", "params", "", parts=_nested(tree, stores))


def _nested(tree: dict[str, Any], stores: Any) -> tuple[Outline, ...]:
    return tuple(
        Outline(
            path=path,
            name=path.rpartition("/")[2],
            kind="",
            params=_summarised(stores[0].get(path, {})),
            state=_summarised(stores[1].get(path, {})),
            parts=_nested(inside, stores),
        )
        for path, inside in tree.items()
    )


class _Arrays:
    """Parameters or state, each told by the first module that they belong to.

    Args:
      values: They.
      called: The paths of the modules that ask for them.
    """

    def __init__(self, values: Any, called: set[str]):
        self._left = merge(values or {})  # Sorted, and a copy.
        self._called = called
        self._taken: set[str] = set()

    def take(
        self, path: str, specs: Mapping[str, ArraySpec]
    ) -> dict[str, ArrayOutline]:
        """The arrays of a module, the first time that they are asked for.

        Args:
          path: The module's path.
          specs: What it had by full name as it ran, where no values are known of it:
            inside a function that was transformed by itself.
        """
        if path in self._taken:
            return {}
        self._taken.add(path)
        if path not in self._left:
            # Inside `layer_stack` and `lift` modules know only the end of their path.
            unknown = self._left.keys() - self._called
            longer = [p for p in unknown if p.endswith(f"/{path}")]
            if len(longer) == 1:
                return self.take(longer[0], specs)
            own = {name.rpartition("/")[::2]: x for name, x in specs.items()}
            return _summarised({name: x for (p, name), x in own.items() if p == path})
        return _summarised(self._left.pop(path))

    def rest(self) -> dict[str, ArrayOutline]:
        """All that is left, by full name."""
        return {
            f"{path}/{name}": summarised(value)
            for path, named in self._left.items()
            for name, value in named.items()
        }


def _summarised(values: Mapping[str, Any]) -> dict[str, ArrayOutline]:
    return {name: summarised(value) for name, value in values.items()}
