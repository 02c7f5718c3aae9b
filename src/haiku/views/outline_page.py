"""A web page of a model's modules, or of what differs between two models.

The page stands alone: it loads nothing. It is read on a phone as on a desk, in the
light and in the dark, and without its script.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

from haiku._text import bytes_text, count_text, seconds_text
from haiku.views.outline_style import SCRIPT, STYLE
from haiku.views.page import document
from haiku.views.values import ArrayOutline, ValueSummary

__all__ = ["Entry", "page_of"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A module on the page.

    Attributes:
      outline: The module, an `Outline`: a page shows it, and it knows how it is shown.
      status: `added`, `removed`, `changed`, or empty.
      notes: What to say of it, a line each.
      parts: The modules inside it.
    """

    outline: Any
    status: str = ""
    notes: Sequence[str] = ()
    parts: Sequence[Entry] = ()

    @classmethod
    def of(cls, outline: Any) -> Entry:
        """The entry of a module that is compared with none."""
        return cls(outline, parts=[cls.of(part) for part in outline.parts])


def page_of(entry: Entry, title: str, lead: str = "") -> str:
    """The page of a tree of modules.

    Args:
      entry: The tree.
      title: The page's title.
      lead: A sentence above the tree.

    Returns:
      HTML.
    """
    whole = entry.outline
    facts = [
        (f"{whole.param_count:,}", "parameters"),
        (bytes_text(whole.param_bytes), "of parameters"),
        (count_text(whole.flops), "FLOPs"),
        (bytes_text(whole.activation_bytes), "of activations"),
    ]
    if whole.seconds is not None:
        facts.append((seconds_text(whole.seconds), "measured"))
    cards = "".join(f"<div><b>{_text(n)}</b> {what}</div>" for n, what in facts)
    body = (
        f"<h1>{_text(title)}</h1>\n"
        + (f"<p>{_text(lead)}</p>\n" if lead else "")
        + f'<div class="facts">{cards}</div>\n'
        '<div class="tools"><input id="find" type="search" placeholder="Find a module, '
        'class, parameter, shape" aria-label="Find"> <button id="open">Unfold all'
        '</button> <button id="close">Fold all</button> <span id="found" role="status">'
        f'</span></div>\n<main class="tree">\n{_module(entry, whole, 0)}</main>\n'
    )
    return document(title, STYLE, body, SCRIPT)


def _module(entry: Entry, whole: Any, depth: int) -> str:
    it = entry.outline
    inside = "".join(_module(part, whole, depth + 1) for part in entry.parts)
    mark = {"added": "+", "removed": "−", "changed": "~"}.get(entry.status, "")
    marked = f'<i class="mark" title="{entry.status}">{mark}</i> ' if mark else ""
    calls = f' <span class="soft">{it.calls} calls</span>' if it.calls > 1 else ""
    # A small model lies open, a large one down to its stages.
    unfolded = " open" if depth < 2 or entry.status else ""
    return (
        f'<details class="module {entry.status}"{unfolded}><summary>'
        f'<span class="name">{marked}<b>{_text(it.name)}</b> '
        f'<span class="kind">{_text(it.kind)}</span>{calls}</span>'
        f'<span class="shape">{_text(it.output)}</span>'
        f'<span class="costs">{_costs(it, whole)}</span></summary>\n'
        f'<div class="inside">{_facts(entry)}{inside}</div></details>\n'
    )


def _costs(it: Any, whole: Any) -> str:
    bars = [
        _bar("params", it.param_count, whole.param_count, f"{it.param_count:,}"),
        _bar("FLOPs", it.flops, whole.flops, count_text(it.flops)),
    ]
    if whole.seconds is not None:
        text = "not timed" if it.seconds is None else seconds_text(it.seconds)
        bars.append(_bar("time", it.seconds or 0, whole.seconds, text))
    return "".join(bars)


def _bar(what: str, count: float, total: float, text: str) -> str:
    share = min(100.0, 100 * count / total) if total else 0
    return (
        f'<span class="bar" title="{share:.1f} % of {what}">'
        f'<i style="width:{share:.1f}%"></i>{_text(text)} <small>{what}</small></span>'
    )


def _facts(entry: Entry) -> str:
    it = entry.outline
    lines = [f'<div class="note">{_text(note)}</div>' for note in entry.notes]
    if it.config:
        lines.append(f"<code>{_text(it.config)}</code>")
    if it.path:
        lines.append(f'<div class="soft">{_text(it.path)}: takes {_text(it.inputs)}')
        lines[-1] += f"; {bytes_text(it.activation_bytes)} of activations</div>"
    own = [f"{count_text(it.own_flops, 'FLOPs')} of its own"] if it.parts else []
    if it.parts and it.own_seconds is not None:
        own.append(f"{seconds_text(it.own_seconds)} of its own")
    if own:
        lines.append(f'<div class="soft">{_text(", ".join(own))}</div>')
    if it.params:
        lines.append(_arrays("parameters", it.params))
    if it.state:
        lines.append(_arrays("state", it.state))
    return "".join(lines) and f'<div class="about">{"".join(lines)}</div>\n'


def _arrays(title: str, arrays: Mapping[str, ArrayOutline]) -> str:
    rows = "".join(
        f"<tr><td>{_text(name)}</td><td>{_text(str(array.spec))}</td>"
        f"<td>{bytes_text(array.bytes)}</td><td>{_values(array.values)}</td></tr>"
        for name, array in arrays.items()
    )
    return (
        f'<table><caption>{title}</caption><tbody class="arrays">{rows}</tbody></table>'
    )


def _values(values: ValueSummary | None) -> str:
    if values is None:
        return ""
    most = max(values.histogram) or 1
    bars = "".join(
        f'<rect x="{4 * i}" y="{24 * (1 - n / most):.1f}" width="3.4" '
        f'height="{24 * n / most:.1f}"/>'
        for i, n in enumerate(values.histogram)
        if n
    )
    label = _text(f"Histogram: {values}")
    return (
        f'<svg viewBox="0 0 96 24" role="img" aria-label="{label}"><title>{label}'
        f"</title>{bars}</svg> {_text(str(values))}"
    )


def _text(text: str) -> str:
    return html.escape(text)
