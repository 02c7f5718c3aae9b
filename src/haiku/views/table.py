"""A table of a model: one row per method call, with shapes and sizes."""

from __future__ import annotations

import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from haiku._text import bytes_text, seconds_text, titled
from haiku.data_structures import tree_bytes, tree_size
from haiku.views.calls import Call, MethodInvocation
from haiku.views.costs import costs_of, dtypes_of
from haiku.views.inspection import function_of, inspect


class _Column(NamedTuple):
    """A column of the table."""

    header: str
    text: Callable[[Call], str]  # Writes the cell of a call.
    side: str = "left"
    is_cost: bool = False  # Whether it needs the call's cost.


def _module(call: Call) -> str:
    titles = (titled(it.key[0], it.kind) for it in (call, *call.around))
    return "\n └ ".join(titles)


def _owned_params(call: Call) -> str:
    prefix = f"{call.key[0]}/"
    owned = {
        name.removeprefix(prefix): spec
        for name, spec in call.details.params.items()
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
    }
    order = sorted(owned, key=lambda name: (-owned[name].size, name))
    return "\n".join(f"{name}: {owned[name]}" for name in order)


def _param_count(call: Call) -> str:
    return f"{tree_size(dict(call.details.params)):,}"


def _param_bytes(call: Call) -> str:
    return bytes_text(tree_bytes(dict(call.details.params)))


def _activation_bytes(call: Call) -> str:
    return bytes_text(call.activation_bytes)


def _dtypes(call: Call) -> str:
    kinds = dtypes_of(call).items()
    return "\n".join(f"{kind} {', '.join(dtypes)}" for kind, dtypes in kinds if dtypes)


def _cost(name: str) -> Callable[[Call], str]:
    def text(call: Call) -> str:
        value = getattr(call.cost, name)
        if "seconds" in name:
            return "-" if value is None else seconds_text(value)
        return f"{value:,}"

    return text


_COLUMNS = {
    "module": _Column("Module", _module),
    "config": _Column("Config", lambda call: repr(call.context.module)),
    "owned_params": _Column("Module params", _owned_params),
    "input": _Column("Input", lambda call: call.input_text),
    "output": _Column("Output", lambda call: pprint.pformat(call.output_spec)),
    "params_size": _Column("Param count", _param_count, "right"),
    "params_bytes": _Column("Param bytes", _param_bytes, "right"),
    "flops": _Column("FLOPs", _cost("flops"), "right", True),
    "own_flops": _Column("Own FLOPs", _cost("own_flops"), "right", True),
    "activation_bytes": _Column("Activation bytes", _activation_bytes, "right", True),
    "time": _Column("Time", _cost("seconds"), "right", True),
    "own_time": _Column("Own time", _cost("own_seconds"), "right", True),
    "dtypes": _Column("Dtypes", _dtypes, is_cost=True),
}
_DEFAULT = tuple(name for name, column in _COLUMNS.items() if not column.is_cost)

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
        calls = [
            call
            for call in _calls(f, columns, args, kwargs)
            if all(_FILTERS[name](call) for name in filters)
        ]
        if not calls:
            return "No modules matching filters."
        cells = [[column.text(call) for column in shown] for call in calls]
        headers, sides = [c.header for c in shown], [c.side for c in shown]
        return written(cells, headers, sides, tabulate_kwargs)

    return table


def _calls(
    f: Any, columns: Sequence[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Call]:
    """The calls of a model, with all that the columns show."""
    is_cost = any(_COLUMNS[name].is_cost for name in columns)
    if not is_cost:  # Numbers are traced too, as the reference library does.
        args, kwargs = jax.eval_shape(lambda *args, **kw: (args, kw), *args, **kwargs)
    seen = inspect(f, args, kwargs, received="dtypes" in columns)
    if is_cost:
        costs_of(seen, timed="time" in columns or "own_time" in columns)
    return seen.calls


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
            for it in _calls(f, (), args, kwargs)
        ]

    return summary


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


Rows = Sequence[Sequence[str]]  # Cells of text, which may have several lines.


def written(
    rows: Rows,
    headers: Sequence[str],
    sides: Sequence[str],
    options: Mapping[str, Any],
) -> str:
    """Writes a table with the options of `tabulate.tabulate`.

    Each column is aligned to its side, `left` or `right`. Without the package there is
    only the option `tablefmt`, `grid` or `plain`.
    """
    if not isinstance(options, Mapping):
        raise TypeError(
            "tabulate_kwargs is a dictionary of options for the tabulate package, such "
            f'as {{"tablefmt": "grid"}}, got {type(options).__name__}: {options!r}.'
        )
    try:
        from tabulate import tabulate
    except ModuleNotFoundError as e:
        if set(options) - {"tablefmt"} or options.get("tablefmt") not in _WRITERS:
            raise ModuleNotFoundError(
                f"A table with the options {dict(options)} needs the tabulate "
                "package: pip install 'renga-jax[views]'. Without it there are "
                'tabulate_kwargs={"tablefmt": "grid"} and {"tablefmt": "plain"}.',
                name="tabulate",
            ) from e
        return _WRITERS[options["tablefmt"]](rows, headers, sides)
    if options.get("showindex", "default") not in ("default", "never", False):
        sides = ["right", *sides]
    # Without sides, tabulate would align texts such as `1,000` as numbers.
    return tabulate(rows, **{"headers": headers, "colalign": sides, **options})


def grid(rows: Rows, headers: Sequence[str], sides: Sequence[str]) -> str:
    """Writes a table with a line around each cell, as the `tabulate` package does."""
    widths, (header, *body) = _aligned(rows, headers, sides)

    def rule(mark: str) -> str:
        return "+" + "+".join(mark * (width + 2) for width in widths) + "+"

    def boxed(row: list[tuple[str, ...]]) -> list[str]:
        return ["| " + " | ".join(line) + " |" for line in row]

    out = [rule("-"), *boxed(header), rule("=")]
    for row in body:
        out += [*boxed(row), rule("-")]
    return "\n".join(out)


def plain(rows: Rows, headers: Sequence[str], sides: Sequence[str]) -> str:
    """Writes a table without lines, as the `tabulate` package does."""
    _, lines = _aligned(rows, headers, sides)
    return "\n".join("  ".join(line).rstrip() for row in lines for line in row)


_WRITERS = {"grid": grid, "plain": plain}


def _aligned(
    rows: Rows, headers: Sequence[str], sides: Sequence[str]
) -> tuple[list[int], list[list[tuple[str, ...]]]]:
    """The width of each column; and the lines of each row, the headers first."""
    cells = [[str(cell).split("\n") for cell in row] for row in (headers, *rows)]
    # A header needs two letters more than its text.
    widths = [
        max(len(line) + 2 * (cell is column[0]) for cell in column for line in cell)
        for column in zip(*cells)
    ]

    def line(row: list[list[str]], number: int) -> tuple[str, ...]:
        texts = (cell[number] if number < len(cell) else "" for cell in row)
        return tuple(
            text.rjust(width) if side == "right" else text.ljust(width)
            for text, width, side in zip(texts, widths, sides)
        )

    return widths, [[line(row, i) for i in range(max(map(len, row)))] for row in cells]
