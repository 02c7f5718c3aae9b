"""`outline`: a model as a tree of its modules, with their arrays and costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from haiku import _treescope
from haiku._bound import Bound
from haiku._packed import unpacked
from haiku._text import count_text, seconds_text, titled
from haiku.data_structures import merge
from haiku.views.arrays import ArrayOutline
from haiku.views.calls import Call
from haiku.views.comparison import Comparison, compared
from haiku.views.costs import costs_of
from haiku.views.inspection import Inspection, function_of, inspect, name_of
from haiku.views.page import frame, outline_page
from haiku.views.table import plain


@dataclasses.dataclass(frozen=True, repr=False)
class Outline:
    """A module, or the function as a whole: its arrays, its costs, and its parts.

    Calls of a module's method from the same place are one outline; their costs are
    summed.

    Attributes:
      path: The module's path; empty for the function.
      name: The last part of the path; the function's name.
      kind: Its class, with the method unless it is `__call__`.
      config: How it was constructed.
      inputs: Shapes and dtypes of the arguments of its first call.
      output: Shapes and dtypes that this call returned.
      calls: How many calls there were.
      signatures: In an `hk.module_tree`, its calls that differ, those of methods other
        than `__call__` with their name: `f32[8,4] -> f32[8,3]`.
      params: The parameters that it owns itself, by name. Parameters of modules that
        were not called are with the function, by path.
      state: Its state, in the same way.
      flops: Floating point operations, those of its parts included.
      own_flops: Floating point operations outside its parts.
      activation_bytes: Size of the arrays that it and its parts return.
      seconds: Time; None if not measured.
      own_seconds: Time outside its parts.
      parts: The modules called inside it, in the order of their first calls.

    Example:
      >>> outline = hk.views.outline(lambda x: hk.Linear(3)(x))(jnp.ones([1, 2]))
      >>> [(depth, it.name, it.output) for depth, it in outline.walk()]
      [(0, '<lambda>', 'f32[1,3]'), (1, 'linear', 'f32[1,3]')]
    """

    path: str
    name: str
    kind: str
    config: str = ""
    inputs: str = ""
    output: str = ""
    calls: int = 1
    signatures: Sequence[str] = ()
    params: Mapping[str, ArrayOutline] = dataclasses.field(default_factory=dict)
    state: Mapping[str, ArrayOutline] = dataclasses.field(default_factory=dict)
    flops: int = 0
    own_flops: int = 0
    activation_bytes: int = 0
    seconds: float | None = None
    own_seconds: float | None = None
    parts: tuple[Outline, ...] = ()

    @classmethod
    def of_params(cls, params: Any, state: Any = None) -> Outline:
        """The outline of parameters without their function, and so without costs.

        Args:
          params: Parameters, `{module path: {name: array}}`, or their shapes.
          state: State in the same form. Default: none.

        Returns:
          An `Outline`; a module is inside the one whose path its own begins with.

        Example:
          >>> params = {"mlp/~/out": {"w": jnp.ones([3, 2])}}
          >>> hk.views.Outline.of_params(params)
          module      params
          params           6
            mlp            6
              out          6
        """
        modules: dict[str, dict[str, Any]] = {}
        for kind, values in (("params", params), ("state", state)):
            for path, arrays in merge(unpacked(values) or {}).items():
                names = path.split("/")
                for i, name in enumerate(names[:-1], 1):
                    if name != "~":
                        modules.setdefault("/".join(names[:i]), {})
                modules.setdefault(path, {})[kind] = summaries(arrays)
        return cls("", "params", "", parts=nested(modules))

    @property
    def param_count(self) -> int:
        """How many numbers the parameters hold, those of its parts included."""
        own = sum(array.spec.size for array in self.params.values())
        return own + sum(part.param_count for part in self.parts)

    @property
    def param_bytes(self) -> int:
        """The size of these parameters in memory."""
        own = sum(array.bytes for array in self.params.values())
        return own + sum(part.param_bytes for part in self.parts)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Outline]]:
        """Pairs `(depth, outline)` of it and everything inside, outermost first."""
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)

    def compare(self, after: Outline) -> Comparison:
        """Compares two models: their modules, shapes and costs.

        Modules are the same if they have the same name inside the same module. Of the
        rest, two of the same class, arrays and output are one module, renamed. To
        compare the numbers in parameters, use `hk.surgery.diff`.

        Args:
          after: The outline of the other model.

        Returns:
          A `Comparison`, which is false if nothing differs.

        Raises:
          TypeError: `after` isn't an outline.

        Example:
          >>> def outline(sizes):
          ...     f = lambda x: hk.nets.MLP(sizes, name="net")(x)
          ...     return hk.views.outline(f)(jnp.ones([8, 28]))
          >>> outline([300, 10]).compare(outline([300, 20, 5]))
          1 added, 2 changed; 11,710 -> 14,825 parameters, 187.3 k -> 237.2 kFLOPs
          ...
        """
        if not isinstance(after, Outline):
            raise TypeError(
                f"Outline.compare takes an outline, got {type(after).__name__}: write "
                "hk.views.outline(f)(x), or hk.views.Outline.of_params(params)."
            )
        return compared(self, after)

    def as_html(self) -> str:
        """A web page of one file: modules that fold, their arrays, costs and values."""
        return outline_page(compared(self, self), self.name)

    def __str__(self) -> str:
        rows = [("module", "output", "params", "flops", "time")]
        for depth, it in self.walk():
            times = f" x{it.calls}" if it.calls > 1 else ""
            name = "  " * depth + titled(it.name, it.kind) + times
            time = "-" if it.seconds is None else seconds_text(it.seconds)
            sizes = f"{it.param_count:,}", count_text(it.flops)
            rows.append((name, it.output, *sizes, time))
        shown = [column for column in zip(*rows) if {*column[1:]} - {"", "0", "-"}]
        sides = ["left" if c[0] in ("module", "output") else "right" for c in shown]
        headers, *cells = zip(*shown)
        return plain(cells, headers, sides)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return frame(self.as_html(), len([*self.walk()]))

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        return self._node(0).drawn(path, subtree_renderer)

    def _node(self, depth: int) -> _treescope.Node:
        items: list[tuple[str, Any, str | None]] = [
            (f"{name}: ", array, f".{kind}[{name!r}]")
            for kind in ("params", "state")
            for name, array in getattr(self, kind).items()
        ]
        for i, part in enumerate(self.parts):
            items.append(("", part._node(depth + 1), f".parts[{i}]"))
        words = [titled(self.name, self.kind)]
        words += [self.output, f"{self.param_count:,} params"] if self.output else []
        words += [count_text(self.flops, "flops")] if self.flops else []
        words += [] if self.seconds is None else [seconds_text(self.seconds)]
        title = f"{'  '.join(words)} {{"
        return _treescope.Node(title, items, "}", unfolded=depth < 2)


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
        costs = costs_of(seen, time, params, state)
        own_params, params_left = _owned(seen, "params", params)
        own_state, state_left = _owned(seen, "state", state)
        inside: dict[int, list[Call]] = {}  # The calls right inside each call.
        for call in seen.calls:
            inside.setdefault(call.parent, []).append(call)

        def with_parts(numbers: list[int], **facts: Any) -> Outline:
            for what in ("flops", "own_flops", "seconds", "own_seconds"):
                each = [getattr(costs[number], what) for number in numbers]
                facts[what] = None if None in each else sum(each)
            groups: dict[tuple[str, str], list[Call]] = {}
            for number in numbers:
                for call in inside.get(number, ()):
                    groups.setdefault(call.key, []).append(call)
            return Outline(parts=tuple(map(module, groups.values())), **facts)

        def module(calls: list[Call]) -> Outline:
            first, path = calls[0], calls[0].key[0]
            return with_parts(
                [call.number for call in calls],
                path=path,
                name=path.rpartition("/")[2],
                kind=first.kind,
                config=repr(first.context.module),
                inputs=first.input_text,
                output=str(first.output_spec),
                calls=len(calls),
                params=own_params.pop(path, {}),
                state=own_state.pop(path, {}),
                activation_bytes=sum(call.activation_bytes for call in calls),
            )

        return with_parts(
            [-1],
            path="",
            name=name_of(function),
            kind="",
            output=str(seen.output),
            params=params_left,
            state=state_left,
            activation_bytes=sum(call.activation_bytes for call in inside.get(-1, ())),
        )

    return outlined


Arrays = dict[str, ArrayOutline]


def _owned(
    seen: Inspection, kind: str, values: Any
) -> tuple[dict[str, Arrays], Arrays]:
    """The arrays of each called module by its path; and the rest by full name."""
    left = merge((getattr(seen, kind) if values is None else values) or {})
    called = {call.key[0] for call in seen.calls}
    owned: dict[str, Arrays] = {}
    for call in seen.calls:
        path = call.key[0]
        if path in owned:
            continue
        own = left.pop(path, None)
        if own is None:
            # Inside `layer_stack` and `lift` modules know only the end of their path.
            longer = [p for p in left.keys() - called if p.endswith(f"/{path}")]
            own = left.pop(longer[0]) if len(longer) == 1 else None
        if own is None:
            # In a function that was transformed by itself, only shapes are known.
            specs = getattr(call.details, kind).items()
            names = {name.rpartition("/")[::2]: x for name, x in specs}
            own = {name: x for (p, name), x in names.items() if p == path}
        owned[path] = summaries(own)
    rest = {f"{path}/{name}": x for path, xs in left.items() for name, x in xs.items()}
    return owned, summaries(rest)


def summaries(arrays: Mapping[str, Any]) -> Arrays:
    """The arrays of an outline."""
    return {name: ArrayOutline.of(array) for name, array in arrays.items()}


def nested(modules: Mapping[str, Mapping[str, Any]]) -> tuple[Outline, ...]:
    """Outlines of modules by path, each inside the nearest around it."""
    inside: dict[str, list[str]] = {}
    for path in modules:
        around = path.rpartition("/")[0]
        while around and around not in modules:
            around = around.rpartition("/")[0]
        inside.setdefault(around, []).append(path)

    def outline(path: str) -> Outline:
        parts = tuple(map(outline, inside.get(path, ())))
        facts = {"kind": "", **modules[path]}
        return Outline(path, path.rpartition("/")[2], parts=parts, **facts)

    return tuple(map(outline, inside.get("", ())))
