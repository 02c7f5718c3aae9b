"""The web page of a function's operations, with sizes and bars."""

from __future__ import annotations

import html

from haiku._text import count_text
from haiku.views.model_info import Expression, Module
from haiku.views.page import array_table, bar, item, page


def as_html_page(module: Module, min_flop: int = 1000) -> str:
    """Writes a whole web page of a model.

    Args:
      module: The result of `make_model_info`.
      min_flop: Operations with fewer counted FLOPs are left out. Default 1000.

    Returns:
      HTML to be written to a file, or to be shown in a notebook.

    Example:
      >>> info = hk.experimental.jaxpr_info.make_model_info(jnp.sin)(jnp.ones(2))
      >>> page = hk.experimental.jaxpr_info.as_html_page(info)
      >>> page.splitlines()[0]
      '<!DOCTYPE html>'
    """
    return page(module.name, as_html(module, min_flop))


def as_html(
    module: Module, min_flop: int = 1000, outvars: str = "", last: bool = False
) -> str:
    """Writes a group of operations as HTML, to be put into a page of your own.

    The page needs `css()`; `js()` serves the buttons of `as_html_page`.

    Args:
      module: The result of `make_model_info`, or a group inside it.
      min_flop: Operations with fewer counted FLOPs are left out. Default 1000.
      outvars: Names of the group's outputs, shown beside it. Default none.
      last: Whether it is the last one in its parent, and so gets the CSS class
        `hk-last`. Default False.

    Returns:
      One HTML element.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> group = info.as_html(info.make_model_info(jnp.sin)(jnp.ones(2)))
      >>> page = f"<style>{info.css()}</style>{group}"
    """
    classes = "hk-last" if last else ""
    total = module.flops or 0
    return _group(module, min_flop, outvars, total, classes, unfolded=True)


def _group(
    module: Module,
    min_flop: int,
    outvars: str,
    total: int,
    classes: str,
    unfolded: bool,
) -> str:
    shown = [e for e in module.expressions if e.flops is None or e.flops >= min_flop]
    inside = "".join(
        _line(e, total)
        if e.submodule is None
        else _group(e.submodule, min_flop, e.outvars, total, "", False)
        for e in shown
    )
    if hidden := len(module.expressions) - len(shown):
        noun = "operation" if hidden == 1 else "operations"
        inside += f'<div class="hk-soft">{hidden} smaller {noun}</div>\n'
    sizes = ((module.total_param_size, "params"), (module.total_state_size, "state"))
    bars = [bar(count_text(size), unit) for size, unit in sizes if size]
    arrays = (("parameters", module.param_info), ("state", module.state_info))
    return item(
        f"{_names(outvars)}<b>{html.escape(module.name)}</b>",
        bars=bars + _flops(module.flops, total),
        inside=inside,
        about="".join(_arrays(title, info) for title, info in arrays),
        classes=classes,
        unfolded=unfolded,
    )


def _line(expression: Expression, total: int) -> str:
    return item(
        f"{_names(expression.outvars)}<code>{html.escape(expression.primitive)}</code> "
        f"{_names(expression.invars)}",
        expression.details,
        _flops(expression.flops, total),
        tooltip=", ".join(f"{k}={v}" for k, v in expression.params.items()),
    )


def _names(names: str) -> str:
    return f'<span class="hk-soft">{html.escape(names)}</span> ' if names else ""


def _flops(count: int | None, total: int) -> list[str]:
    return [bar(count_text(count), "FLOPs", count, total)] if count else []


def _arrays(title: str, info: dict[str, str]) -> str:
    count = f"{len(info)} {'array' if len(info) == 1 else 'arrays'} of {title}"
    rows = (map(html.escape, item) for item in info.items())
    return array_table(count, rows, unfolded=False)
