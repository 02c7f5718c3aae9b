"""A web page of what a function computes: groups that fold, with sizes and bars."""

from __future__ import annotations

import html

from haiku._text import count_text
from haiku.views.model_info import Expression, Module
from haiku.views.page import document

__all__ = ["as_html", "as_html_page", "css", "js"]


def as_html_page(module: Module, min_flop: int = 1000) -> str:
    """Writes a whole web page of a model.

    Args:
      module: What `make_model_info` gave.
      min_flop: Operations with fewer counted FLOPs are left out. Default 1000.

    Returns:
      HTML to be written to a file, or to be shown in a notebook.

    Example:
      >>> info = hk.experimental.jaxpr_info.make_model_info(jnp.sin)(jnp.ones(2))
      >>> page = hk.experimental.jaxpr_info.as_html_page(info)
      >>> page.splitlines()[0]
      '<!DOCTYPE html>'
    """
    tools = (
        '<div class="hk-tools"><button id="hk-open">Unfold all</button> '
        '<button id="hk-close">Fold all</button> '
        '<input id="hk-find" type="search" placeholder="Find…" '
        'aria-label="Find a module or operation"></div>\n'
    )
    tree = f'<div class="hk-tree">\n{as_html(module, min_flop)}</div>\n'
    return document(module.name, css(), tools + tree, js())


def as_html(
    module: Module, min_flop: int = 1000, outvars: str = "", last: bool = False
) -> str:
    """Writes a group of operations as HTML, to be put into a page of your own.

    The page needs `css()`, and `js()` for the buttons.

    Args:
      module: What `make_model_info` gave, or a group inside it.
      min_flop: Operations with fewer counted FLOPs are left out. Default 1000.
      outvars: Names of what the group returns, shown beside it. Default none.
      last: Whether it is the last one in its parent, and so starts folded out. Default
        False.

    Returns:
      One HTML element.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> group = info.as_html(info.make_model_info(jnp.sin)(jnp.ones(2)))
      >>> page = f"<style>{info.css()}</style>{group}"
    """
    return _group(module, min_flop, outvars, module.flops or 0, True, last)


def _group(
    module: Module, min_flop: int, outvars: str, total: int, unfolded: bool, last: bool
) -> str:
    shown = [e for e in module.expressions if not _is_small(e, min_flop)]
    hidden = len(module.expressions) - len(shown)
    body = "".join(_row(e, min_flop, total, e is module.expressions[-1]) for e in shown)
    if hidden:
        noun = "operation" if hidden == 1 else "operations"
        body += f'<div class="hk-more">{hidden} smaller {noun}</div>\n'
    classes = "hk-group hk-last" if last else "hk-group"
    return (
        f'<details class="{classes}"{" open" if unfolded else ""}>'
        f"<summary>{_names(outvars)}<b>{html.escape(module.name)}</b>"
        f"{_counts(module, total)}</summary>\n"
        f"{_arrays('parameters', module.param_info)}"
        f"{_arrays('state', module.state_info)}{body}</details>\n"
    )


def _row(expression: Expression, min_flop: int, total: int, last: bool) -> str:
    if expression.submodule is not None:
        return _group(
            expression.submodule, min_flop, expression.outvars, total, False, last
        )
    options = ", ".join(f"{k}={v}" for k, v in expression.params.items())
    return (
        f'<div class="hk-row" title="{html.escape(options)}">'
        f"{_names(expression.outvars)}<code>{html.escape(expression.primitive)}</code> "
        f"{_names(expression.invars)}"
        f'<span class="hk-shape">{html.escape(expression.details)}</span>'
        f"{_flops(expression.flops, total)}</div>\n"
    )


def _is_small(expression: Expression, min_flop: int) -> bool:
    return expression.flops is not None and expression.flops < min_flop


def _names(names: str) -> str:
    return f'<span class="hk-names">{html.escape(names)}</span> ' if names else ""


def _counts(module: Module, total: int) -> str:
    sizes = ((module.total_param_size, "params"), (module.total_state_size, "state"))
    badges = (
        f'<span class="hk-badge hk-{unit}">{count_text(size, unit)}</span>'
        for size, unit in sizes
        if size
    )
    return "".join(badges) + _flops(module.flops, total)


def _flops(count: int | None, total: int) -> str:
    if not count:
        return ""
    share = 100 * count / total if total else 0
    return (
        f'<span class="hk-flops"><i style="width:{share:.1f}%"></i>'
        f"{count_text(count, 'flops')}</span>"
    )


def _arrays(title: str, info: dict[str, str]) -> str:
    if not info:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(path)}</td><td>{html.escape(text)}</td></tr>"
        for path, text in info.items()
    )
    return (
        f'<details class="hk-arrays"><summary>{len(info)} '
        f"{'array' if len(info) == 1 else 'arrays'} of {title}</summary>"
        f"<table>{rows}</table></details>\n"
    )


def css() -> str:
    """The style sheet of `as_html`'s elements.

    Returns:
      CSS, to be put into a `<style>` element.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> page = f"<style>{info.css()}</style>"
      >>> ".hk-group" in page  # the class of a module's element
      True
    """
    return _CSS


def js() -> str:
    """The script of `as_html_page`'s buttons and search field.

    Returns:
      JavaScript, to be put into a `<script>` element after the page's body.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> page = f"<script>{info.js()}</script>"
      >>> "hk-open" in page  # the button that unfolds all
      True
    """
    return _JS


_CSS = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2a6fdb; }
body { font: 14px/1.5 system-ui, sans-serif; margin: 1.5rem; }
.hk-tools { margin-bottom: 1rem; }
.hk-tools button, .hk-tools input {
  font: inherit; padding: .2em .7em; border: 1px solid var(--line); border-radius: 6px;
  background: var(--soft); color: inherit;
}
.hk-group, .hk-arrays { padding-left: 1.2em; border-left: 1px solid var(--line); }
.hk-tree > .hk-group { border-left: none; padding-left: 0; }
.hk-group > summary, .hk-arrays > summary, .hk-row {
  display: flex; gap: .6em; align-items: baseline; padding: .1em .4em;
  border-radius: 4px; cursor: pointer;
}
details > summary::before { content: "\\25B8"; color: #888; }
details[open] > summary::before { content: "\\25BE"; }
.hk-group > summary:hover, .hk-row:hover { background: var(--soft); }
.hk-row { margin-left: 2.4em; cursor: default; }
.hk-names { font: 12px/1.5 ui-monospace, monospace; color: #888; }
.hk-row code { font: 13px/1.5 ui-monospace, monospace; color: var(--accent); }
.hk-shape { font: 12px/1.5 ui-monospace, monospace; opacity: .8; }
.hk-badge {
  font-size: 12px; padding: 0 .6em; border-radius: 1em; background: #2a6fdb22;
}
.hk-badge.hk-state { background: #c9861a33; }
.hk-flops {
  position: relative; margin-left: auto; min-width: 11em; padding: 0 .5em;
  text-align: right; font-size: 12px; background: var(--soft); border-radius: 3px;
}
.hk-flops i {
  position: absolute; inset: 0 auto 0 0; background: #2a6fdb44; border-radius: 3px;
}
.hk-arrays > summary { font-size: 12px; opacity: .8; }
.hk-arrays td { font: 12px/1.5 ui-monospace, monospace; padding-right: 2em; }
.hk-more { margin-left: 3.2em; font-size: 12px; opacity: .6; }
.hk-found { background: #ffd54a66; }
"""

_JS = """\
(() => {
  const groups = () => document.querySelectorAll(".hk-group");
  const fold = (open) => groups().forEach((group) => { group.open = open; });
  document.getElementById("hk-open").onclick = () => fold(true);
  document.getElementById("hk-close").onclick = () => fold(false);
  document.getElementById("hk-find").oninput = (event) => {
    const word = event.target.value.trim().toLowerCase();
    const rows = document.querySelectorAll(".hk-row, .hk-group > summary");
    rows.forEach((row) => {
      const found = word !== "" && row.textContent.toLowerCase().includes(word);
      row.classList.toggle("hk-found", found);
      if (!found) return;
      let group = row.parentElement.closest(".hk-group");
      for (; group; group = group.parentElement.closest(".hk-group")) group.open = true;
    });
  };
})();
"""
