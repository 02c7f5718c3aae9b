"""A table of a model: one row per method call, with shapes and sizes."""

from __future__ import annotations

import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from haiku._text import bytes_text, seconds_text, titled
from haiku.data_structures import tree_bytes, tree_size
from haiku.views.calls import Call, MethodInvocation
from haiku.views.costs import CallDtypes, Cost, costs_of, dtypes_of_calls
from haiku.views.inspection import function_of, inspect
from haiku.views.text_table import written


class _Row(NamedTuple):
    """A call, its cost and its dtypes; None if no column shows them."""

    call: Call
    cost: Cost | None = None
    dtypes: CallDtypes | None = None


class _Column(NamedTuple):
    """A column of the table."""

    header: str
    text: Callable[[Any], str]  # Writes the cell of a row.
    side: str = "left"
    shows: str = "call"  # The part of a row that must be known.


def _owned_params(row: _Row) -> str:
    prefix = f"{row.call.key[0]}/"
    owned = {
        name.removeprefix(prefix): spec
        for name, spec in row.call.details.params.items()
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
    }
    order = sorted(owned, key=lambda name: (-owned[name].size, name))
    return "\n".join(f"{name}: {owned[name]}" for name in order)


def _module(row: _Row) -> str:
    titles = (titled(it.key[0], it.kind) for it in (row.call, *row.call.around))
    return "\n └ ".join(titles)


def _param_count(row: _Row) -> str:
    return f"{tree_size(dict(row.call.details.params)):,}"


def _param_bytes(row: _Row) -> str:
    return bytes_text(tree_bytes(dict(row.call.details.params)))


def _seconds(value: float | None) -> str:
    return "-" if value is None else seconds_text(value)


_COLUMNS = {
    "module": _Column("Module", _module),
    "config": _Column("Config", lambda row: repr(row.call.context.module)),
    "owned_params": _Column("Module params", _owned_params),
    "input": _Column("Input", lambda row: row.call.input_text),
    "output": _Column("Output", lambda row: pprint.pformat(row.call.output_spec)),
    "params_size": _Column("Param count", _param_count, "right"),
    "params_bytes": _Column("Param bytes", _param_bytes, "right"),
    "flops": _Column("FLOPs", lambda row: f"{row.cost.flops:,}", "right", "cost"),
    "own_flops": _Column(
        "Own FLOPs", lambda row: f"{row.cost.own_flops:,}", "right", "cost"
    ),
    "activation_bytes": _Column(
        "Activation bytes",
        lambda row: bytes_text(row.call.activation_bytes),
        "right",
        "cost",
    ),
    "time": _Column("Time", lambda row: _seconds(row.cost.seconds), "right", "cost"),
    "own_time": _Column(
        "Own time", lambda row: _seconds(row.cost.own_seconds), "right", "cost"
    ),
    "dtypes": _Column("Dtypes", lambda row: str(row.dtypes), shows="dtypes"),
}
_DEFAULT = tuple(name for name, column in _COLUMNS.items() if column.shows == "call")

_FILTERS: dict[str, Callable[[Call], bool]] = {
    "has_output": lambda call: call.output_spec is not None,
    "has_params": lambda call: bool(call.details.params),
}


def tabulate(
    f: Callable[..., Any] | Any,
    *,
    columns: Sequence[str] | None = _DEFAULT,
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
        (of the module and those inside it): these if None. Costs of a call: `flops`,
        `own_flops` (without the calls inside it), `activation_bytes` (of the arrays
        that it and the calls inside it return), `time` and `own_time` (of the call
        compiled alone; either runs the model). And `dtypes`: those of the parameters,
        of the numbers that operations took, and of the output.
      filters: Which calls: those that `has_output`, those of a module that
        `has_params`. Several must all hold; empty is every call, None the default.
      tabulate_kwargs: Options for the `tabulate` package: `{"tablefmt": "html"}`. The
        formats `grid` and `plain` work without that package.

    Returns:
      A function of the arguments of `f` as it was before `hk.transform`, arrays or
      `jax.ShapeDtypeStruct`s, that returns the table as text.

    Raises:
      ValueError: An unknown column or filter.
      TypeError: `f` isn't a function, or `tabulate_kwargs` isn't a mapping.
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
    columns = _known("column", _DEFAULT if columns is None else columns, _COLUMNS)
    filters = _known("filter", ["has_output"] if filters is None else filters, _FILTERS)
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
        cells = [[column.text(row) for column in shown] for row in rows]
        headers, sides = [c.header for c in shown], [c.side for c in shown]
        return written(cells, headers, sides, tabulate_kwargs)

    return table


def _rows(
    f: Any, columns: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[_Row]:
    shown = {_COLUMNS[name].shows for name in columns}
    if shown <= {"call"}:
        return [_Row(call) for call in _calls(f, args, kwargs)]
    seen = inspect(f, args, kwargs, received="dtypes" in shown)
    costs = costs_of(seen, "time" in columns or "own_time" in columns)
    dtypes = dtypes_of_calls(seen) if "dtypes" in shown else [None] * len(seen.calls)
    return [_Row(*row) for row in zip(seen.calls, costs, dtypes)]


def eval_summary(
    f: Callable[..., Any] | Any,
) -> Callable[..., Sequence[MethodInvocation]]:
    """Makes a function that lists every method call of modules in a function.

    Nothing is computed: the list is made from shapes and dtypes.

    Args:
      f: A function that uses modules, before or after `hk.transform`: the function
        itself, what `hk.transform` returned, its `init` or `apply`, jitted or not; or
        any function that calls one of those.

    Returns:
      A function of the arguments of `f` as it was before `hk.transform`, arrays or
      `jax.ShapeDtypeStruct`s, that returns one `MethodInvocation` per method run, in
      the order in which they began. Constructors are left out.

    Raises:
      TypeError: `f` isn't a function.

    Example:
      >>> f = lambda x: hk.nets.MLP([300, 100])(x)
      >>> for i in hk.experimental.eval_summary(f)(jnp.ones([8, 28])):
      ...     print(i.module_details.module.module_name, i.output_spec)
      mlp f32[8,100]
      mlp/~/linear_0 f32[8,300]
      mlp/~/linear_1 f32[8,100]
    """
    f = function_of(f)

    def summary(*args: Any, **kwargs: Any) -> Sequence[MethodInvocation]:
        return [
            MethodInvocation(
                *(it.details, it.args_spec, it.kwargs_spec, it.output_spec, it.context),
                call_stack=tuple(call.details for call in (it, *it.around)),
            )
            for it in _calls(f, args, kwargs)
        ]

    return summary


def _calls(f: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Call]:
    # Numbers are traced too, as the reference library does.
    args, kwargs = jax.eval_shape(lambda *args, **kw: (args, kw), *args, **kwargs)
    return inspect(f, args, kwargs).calls


def _known(kind: str, names: Sequence[str], known: Mapping[str, Any]) -> Sequence[str]:
    """The names; ValueError if one of them is not known."""
    if isinstance(names, str):
        raise ValueError(f"{kind}s are a list of names, got {names!r}: [{names!r}].")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"Invalid {kind}(s) {unknown}, valid {kind}s are {list(known)}."
        )
    return names
