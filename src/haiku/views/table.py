"""A table of a model: one row per method call, with shapes and sizes."""

from __future__ import annotations

import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from haiku._text import bytes_text, seconds_text, titled
from haiku.data_structures import tree_bytes, tree_size
from haiku.views.call_costs import CallCost, costs_of_calls
from haiku.views.call_dtypes import CallDtypes, dtypes_of_calls
from haiku.views.calls import (
    MethodInvocation,
    ModuleDetails,
    input_text,
    kind_of,
)
from haiku.views.grid import written
from haiku.views.summary import eval_summary

__all__ = ["tabulate"]


def tabulate(
    f: Callable[..., Any] | Any,
    *,
    columns: Sequence[str] | None = (
        "module",
        "config",
        "owned_params",
        "input",
        "output",
        "params_size",
        "params_bytes",
    ),
    filters: Sequence[str] | None = ("has_output",),
    tabulate_kwargs: Mapping[str, Any] | None = {"tablefmt": "grid"},
) -> Callable[..., str]:
    """Makes a function that writes a table of every module call in a function.

    Args:
      f: A function that uses modules, before or after `hk.transform`; see
        `hk.experimental.eval_summary`.
      columns: Which columns, in order: `module` (path, class, and the modules around
        it), `config` (the constructor's arguments), `owned_params` (the module's own
        parameters, largest first), `input`, `output`, `params_size` and `params_bytes`
        (of the module and those inside it): these if None. Of what a call costs:
        `flops`, `own_flops` (without the calls inside it), `activation_bytes` (of the
        arrays that it and the calls inside it return), `time` and `own_time` (of the
        call compiled alone: asking for it runs the model). And `dtypes`: in which ones
        parameters are stored, which ones operations took, what the caller got.
      filters: Which calls: those that `has_output`, those of a module that
        `has_params`. Several must all hold; empty is every call, None the default.
      tabulate_kwargs: Options for the `tabulate` package: `{"tablefmt": "html"}`. The
        formats `grid` and `plain` work without that package.

    Returns:
      A function of the arguments of `f` as it was before `hk.transform`, arrays or
      `jax.ShapeDtypeStruct`s, that returns the table as text.

    Raises:
      ValueError: An unknown column or filter.
      TypeError: `f` is no function, or `tabulate_kwargs` no mapping.
      ModuleNotFoundError: A format that needs the `tabulate` package, without it.

    Example:
      >>> f = lambda x: hk.nets.MLP([300, 100])(x)
      >>> table = hk.experimental.tabulate(f, columns=["module", "output"])
      >>> print(table(jnp.ones([8])))
      +-------------------------+----------+
      | Module                  | Output   |
      +=========================+==========+
      | mlp (MLP)               | f32[100] |
      +-------------------------+----------+
      | mlp/~/linear_0 (Linear) | f32[300] |
      |  └ mlp (MLP)            |          |
      +-------------------------+----------+
      | mlp/~/linear_1 (Linear) | f32[100] |
      |  └ mlp (MLP)            |          |
      +-------------------------+----------+
    """
    columns = _known("column", columns, _COLUMNS, default=_DEFAULT)
    filters = _known("filter", filters, _FILTERS, default=("has_output",))
    if tabulate_kwargs is None:
        tabulate_kwargs = {"tablefmt": "grid"}
    shown = [_COLUMNS[name] for name in columns]

    def table(*args: Any, **kwargs: Any) -> str:
        rows = [
            row
            for row in _rows(f, columns, args, kwargs)
            if all(_FILTERS[name](row.call) for name in filters)
        ]
        if not rows:
            return "No modules matching filters."
        cells = [[c.text(getattr(row, c.part)) for c in shown] for row in rows]
        headers, sides = [c.header for c in shown], [c.side for c in shown]
        return written(cells, headers, sides, tabulate_kwargs)

    return table


class _Row(NamedTuple):
    """What is known of a call, as far as columns ask for it."""

    call: MethodInvocation
    cost: CallCost | None = None
    dtypes: CallDtypes | None = None


def _rows(
    f: Any, columns: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[_Row]:
    parts = {_COLUMNS[name].part for name in columns}
    if "cost" in parts:
        time = "time" in columns or "own_time" in columns
        costs = costs_of_calls(f, args, kwargs, time).calls
        rows = [_Row(cost.invocation, cost) for cost in costs]
    else:
        rows = [_Row(call) for call in eval_summary(f)(*args, **kwargs)]
    if "dtypes" in parts:
        dtypes = dtypes_of_calls(f, args, kwargs)
        rows = [row._replace(dtypes=d) for row, d in zip(rows, dtypes, strict=True)]
    return rows


def _known(
    kind: str,
    names: Sequence[str] | None,
    known: Mapping[str, Any],
    default: tuple[str, ...],
) -> tuple[str, ...]:
    """The names that are given; ValueError if one of them is not known."""
    if names is None:
        return default
    if isinstance(names, str):
        raise ValueError(f"{kind}s are a list of names, got {names!r}: [{names!r}].")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"Invalid {kind}(s) {unknown}, valid {kind}s are {list(known)}."
        )
    return tuple(names)


def _module(call: MethodInvocation) -> str:
    around = (f"\n └ {_title(details)}" for details in call.call_stack[1:])
    return _title(call.module_details) + "".join(around)


def _title(details: ModuleDetails) -> str:
    return titled(details.module.module_name, kind_of(details))


def _owned_params(call: MethodInvocation) -> str:
    prefix = call.module_details.module.module_name + "/"
    params = call.module_details.params
    owned = {
        name.removeprefix(prefix): spec
        for name, spec in params.items()
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
    }
    order = sorted(owned, key=lambda name: (-owned[name].size, name))
    return "\n".join(f"{name}: {owned[name]}" for name in order)


def _seconds(value: float | None) -> str:
    return "-" if value is None else seconds_text(value)


class _Column(NamedTuple):
    """A column.

    Attributes:
      header: The text above it.
      part: What of a row it is about: `call`, `cost` or `dtypes`.
      text: Writes that.
      side: Where its text stands.
    """

    header: str
    part: str
    text: Callable[[Any], str]
    side: str = "left"


_COLUMNS = {
    "module": _Column("Module", "call", _module),
    "config": _Column("Config", "call", lambda it: repr(it.module_details.module)),
    "owned_params": _Column("Module params", "call", _owned_params),
    "input": _Column("Input", "call", input_text),
    "output": _Column("Output", "call", lambda it: pprint.pformat(it.output_spec)),
    "params_size": _Column(
        "Param count",
        "call",
        lambda it: f"{tree_size(dict(it.module_details.params)):,}",
        "right",
    ),
    "params_bytes": _Column(
        "Param bytes",
        "call",
        lambda it: bytes_text(tree_bytes(dict(it.module_details.params))),
        "right",
    ),
    "flops": _Column("FLOPs", "cost", lambda it: f"{it.flops:,}", "right"),
    "own_flops": _Column("Own FLOPs", "cost", lambda it: f"{it.own_flops:,}", "right"),
    "activation_bytes": _Column(
        "Activation bytes", "cost", lambda it: bytes_text(it.activation_bytes), "right"
    ),
    "time": _Column("Time", "cost", lambda it: _seconds(it.seconds), "right"),
    "own_time": _Column(
        "Own time", "cost", lambda it: _seconds(it.own_seconds), "right"
    ),
    "dtypes": _Column("Dtypes", "dtypes", str),
}
_DEFAULT = tuple(name for name, column in _COLUMNS.items() if column.part == "call")

_FILTERS: dict[str, Callable[[MethodInvocation], bool]] = {
    "has_output": lambda call: call.output_spec is not None,
    "has_params": lambda call: bool(call.module_details.params),
}
