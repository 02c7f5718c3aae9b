"""The web page of an outline, or of what differs between two of them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from haiku._text import bytes_text, count_text, seconds_text
from haiku.views.arrays import ArrayOutline, ValueSummary
from haiku.views.page import array_table, bar, item, page


def outline_page(compared: Any, title: str, lead: str = "") -> str:
    """The page of a `Comparison`; of one model if it is compared with itself."""
    whole = compared.there
    facts = [
        (f"{whole.param_count:,}", "parameters"),
        (bytes_text(whole.param_bytes), "of parameters"),
    ]
    if whole.flops:
        facts.append((count_text(whole.flops), "FLOPs"))
        facts.append((bytes_text(whole.activation_bytes), "of activations"))
    if whole.seconds is not None:
        facts.append((seconds_text(whole.seconds), "measured"))
    cards = "".join(f"<div><b>{_text(n)}</b> {what}</div>" for n, what in facts)
    above = f"<h1>{_text(title)}</h1>\n" + (f"<p>{_text(lead)}</p>\n" if lead else "")
    above += f'<div class="hk-facts">{cards}</div>\n'
    return page(title, _module(compared, whole, 0), above)


def _module(compared: Any, whole: Any, depth: int) -> str:
    it, status = compared.there, compared.status
    mark = {"added": "+", "removed": "−", "changed": "~"}.get(status, "")
    marked = f'<i class="hk-mark" title="{status}">{mark}</i> ' if mark else ""
    calls = f' <span class="hk-soft">{it.calls} calls</span>' if it.calls > 1 else ""
    bars = [bar(f"{it.param_count:,}", "params", it.param_count, whole.param_count)]
    if whole.flops:
        bars.append(bar(count_text(it.flops), "FLOPs", it.flops, whole.flops))
    if whole.seconds is not None:
        text = "not timed" if it.seconds is None else seconds_text(it.seconds)
        bars.append(bar(text, "time", it.seconds or 0, whole.seconds))
    return item(
        f"{marked}<b>{_text(it.name)}</b> "
        f'<span class="hk-kind">{_text(it.kind)}</span>{calls}',
        it.output,
        bars,
        "".join(_module(part, whole, depth + 1) for part in compared.parts),
        _about(it, compared.notes),
        classes=status,
        # A small model starts unfolded, a large one down to its stages.
        unfolded=depth < 2 or bool(status),
    )


def _about(it: Any, notes: list[str]) -> str:
    lines = [f'<div class="hk-note">{_text(note)}</div>' for note in notes]
    if it.config:
        lines.append(f"<code>{_text(it.config)}</code>")
    soft = [it.path, *it.signatures]
    if it.inputs:
        size = bytes_text(it.activation_bytes)
        soft[0] += f": takes {it.inputs}; {size} of activations"
    if it.parts and it.flops:
        own = [count_text(it.own_flops, "FLOPs")]
        own += [] if it.own_seconds is None else [seconds_text(it.own_seconds)]
        soft.append(f"own: {', '.join(own)}")
    lines += [f'<div class="hk-soft">{_text(line)}</div>' for line in soft if line]
    lines += [_arrays("parameters", it.params), _arrays("state", it.state)]
    return "".join(lines)


def _arrays(title: str, arrays: Mapping[str, ArrayOutline]) -> str:
    rows = (
        (_text(name), str(it.spec), bytes_text(it.bytes), _values(it.values))
        for name, it in arrays.items()
    )
    return array_table(title, rows, unfolded=True)


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


_text = html.escape
