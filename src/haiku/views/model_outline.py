"""`outline`: the outline of a model, made from its inspected calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from haiku._bound import Bound
from haiku._packed import unpacked
from haiku.data_structures import merge
from haiku.views.arrays import ArraySpec
from haiku.views.calls import Call
from haiku.views.costs import Cost, costs_of
from haiku.views.inspection import function_of, inspect, name_of
from haiku.views.outline import Outline
from haiku.views.values import ArrayOutline

__all__ = ["outline"]


def outline(
    f: Callable[..., Any] | Any,
    params: Any = None,
    state: Any = None,
    *,
    time: bool = False,
) -> Callable[..., Outline]:
    """Makes a function that outlines a model, module by module.

    Args:
      f: A function that uses modules, before or after `hk.transform`; an
        `hk.Blueprint`; or a bound model, whose parameters and state are taken. For
        `hk.multi_transform` it outlines the function that `init` runs.
      params: Its parameters. With them, arrays have statistics and a histogram.
      state: Its state, for the same.
      time: Whether to run the model and time each call of a module, compiled alone;
        otherwise nothing is computed. Default False.

    Returns:
      A function of the arguments of `f` as it was before `hk.transform` that returns
      an `Outline`: text with `print`, a web page with `.as_html()`, foldable in
      notebooks and in treescope. Arguments are arrays or `jax.ShapeDtypeStruct`s;
      others, such as `True`, are passed on unchanged.

    Example:
      >>> f = lambda x: hk.nets.MLP([300, 10], name="net")(x)
      >>> hk.views.outline(f)(jnp.ones([8, 28]))
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

    def outlined(*args: Any, **kwargs: Any) -> Outline:
        seen = inspect(function, args, kwargs, params, state)
        return _Outlining(
            seen.calls,
            costs_of(seen, time, params, state),
            seen.params if params is None else params,
            seen.state if state is None else state,
        ).whole(
            name_of(getattr(function, "module_class", function)),
            str(jax.tree.map(ArraySpec.from_array, seen.output)),
        )

    return outlined


class _Outlining:
    """Puts calls, their costs and the model's arrays together."""

    def __init__(self, calls: list[Call], costs: list[Cost], params: Any, state: Any):
        self._costs = costs
        self._inside: dict[int, list[Call]] = {}  # The calls right inside a call.
        for call in calls:
            self._inside.setdefault(call.parent, []).append(call)
        called = {call.key[0] for call in calls}
        self._params, self._state = _Arrays(params, called), _Arrays(state, called)

    def whole(self, name: str, output: str) -> Outline:
        """The outline of the function."""
        parts = self._parts([-1])
        return Outline(
            path="",
            name=name,
            kind="",
            output=output,
            params=self._params.rest(),
            state=self._state.rest(),
            activation_bytes=sum(part.activation_bytes for part in parts),
            parts=parts,
            **self._sums([-1]),
        )

    def _parts(self, numbers: list[int]) -> tuple[Outline, ...]:
        groups: dict[tuple[str, str], list[Call]] = {}
        for number in numbers:
            for call in self._inside.get(number, ()):
                groups.setdefault(call.key, []).append(call)
        return tuple(self._part(calls) for calls in groups.values())

    def _part(self, calls: list[Call]) -> Outline:
        first, details = calls[0], calls[0].details
        path = details.module.module_name
        numbers = [call.number for call in calls]
        return Outline(
            path=path,
            name=path.rpartition("/")[2],
            kind=first.kind,
            config=repr(details.module),
            inputs=first.input_text,
            output=str(first.output_spec),
            calls=len(calls),
            params=self._params.take(path, details.params),
            state=self._state.take(path, details.state),
            activation_bytes=sum(call.activation_bytes for call in calls),
            parts=self._parts(numbers),
            **self._sums(numbers),
        )

    def _sums(self, numbers: list[int]) -> dict[str, Any]:
        sums: dict[str, Any] = {}
        for what in ("flops", "own_flops", "seconds", "own_seconds"):
            each = [getattr(self._costs[number], what) for number in numbers]
            sums[what] = None if None in each else sum(each)
        return sums


class _Arrays:
    """Parameters or state, from which each module takes its own.

    Args:
      values: Parameters or state, or their shapes and dtypes.
      called: The paths of the modules that were called.
    """

    def __init__(self, values: Any, called: set[str]):
        self._left = merge(values or {})  # Sorted, and a copy.
        self._called = called
        self._taken: set[str] = set()

    def take(
        self, path: str, specs: Mapping[str, ArraySpec]
    ) -> dict[str, ArrayOutline]:
        """The arrays of a module; empty if they were taken before.

        Args:
          path: The module's path.
          specs: Its arrays by full name as it ran: all that is known of them inside a
            function that was transformed by itself.
        """
        if path in self._taken:
            return {}
        self._taken.add(path)
        own = self._left.pop(path, None)
        if own is None:
            # Inside `layer_stack` and `lift` modules know only the end of their path.
            unknown = self._left.keys() - self._called
            longer = [p for p in unknown if p.endswith(f"/{path}")]
            if len(longer) == 1:
                return self.take(longer[0], specs)
            names = {name.rpartition("/")[::2]: x for name, x in specs.items()}
            own = {name: x for (p, name), x in names.items() if p == path}
        return {name: ArrayOutline.of(x) for name, x in own.items()}

    def rest(self) -> dict[str, ArrayOutline]:
        """The arrays that no module took, by full name."""
        return {
            f"{path}/{name}": ArrayOutline.of(value)
            for path, named in self._left.items()
            for name, value in named.items()
        }
