"""Web pages of one file: items that fold, bars, tables, and a search field.

A page loads nothing, adapts to a phone and to dark mode, and reads without its script.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from haiku._text import bytes_text, count_text, seconds_text
from haiku.views.arrays import ArrayOutline, ValueSummary


def page(title: str, body: str, above: str = "") -> str:
    """A whole page: a title (text), items, and HTML above the search field."""
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n"
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"{above}"
        '<div class="hk-tools"><input id="hk-find" type="search" placeholder="Find a '
        'module, operation, parameter, shape" aria-label="Find"> '
        '<button id="hk-open">Unfold all</button> '
        '<button id="hk-close">Fold all</button> '
        '<span id="hk-found" role="status"></span></div>\n'
        f'<main class="hk-tree">\n{body}</main>\n'
        f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )


def frame(whole_page: str, items: int) -> str:
    """A page in a notebook: in a frame, which keeps its styles from the notebook's."""
    style = f"width:100%;height:{min(16 + 2 * items, 40)}em;border:0"
    text = html.escape(whole_page)
    return f'<iframe srcdoc="{text}" style="{style}" title="model"></iframe>'


def item(
    name: str,
    shape: str = "",
    bars: Iterable[str] = (),
    inside: str | None = None,
    about: str = "",
    classes: str = "",
    unfolded: bool = False,
    tooltip: str = "",
) -> str:
    """A line with a name (HTML), a shape (text) and bars.

    If there is something inside (HTML), it folds; `about` (HTML) comes before that.
    """
    columns = (
        f'<span class="hk-name">{name}</span>'
        f'<span class="hk-shape">{html.escape(shape)}</span>'
        f'<span class="hk-bars">{"".join(bars)}</span>'
    )
    if inside is None:
        tip = html.escape(tooltip)
        return f'<div class="hk-line" title="{tip}">{columns}</div>\n'
    about = about and f'<div class="hk-about">{about}</div>\n'
    classes = f"hk-group {classes}".strip()
    return (
        f'<details class="{classes}"{" open" if unfolded else ""}>'
        f"<summary>{columns}</summary>\n"
        f'<div class="hk-inside">{about}{inside}</div></details>\n'
    )


def bar(text: str, what: str, count: float = 0, total: float = 0) -> str:
    """A number, on a bar as wide as its share if there is a total."""
    share = min(100.0, 100 * count / total) if total else 0
    title = f' title="{share:.1f} % of {what}"' if total else ""
    return (
        f'<span class="hk-bar"{title}><i style="width:{share:.1f}%"></i>'
        f"{html.escape(text)} <small>{what}</small></span>"
    )


def array_table(title: str, rows: Iterable[Iterable[str]], unfolded: bool) -> str:
    """A table of arrays that folds; its cells are HTML."""
    lines = [f"<tr>{''.join(f'<td>{x}</td>' for x in row)}</tr>" for row in rows]
    if not lines:
        return ""
    return (
        f'<details class="hk-arrays"{" open" if unfolded else ""}>'
        f"<summary>{title}</summary><table>{''.join(lines)}</table></details>\n"
    )


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
    cards = "".join(f"<div><b>{html.escape(n)}</b> {what}</div>" for n, what in facts)
    above = f"<h1>{html.escape(title)}</h1>\n" + (
        f"<p>{html.escape(lead)}</p>\n" if lead else ""
    )
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
        f"{marked}<b>{html.escape(it.name)}</b> "
        f'<span class="hk-kind">{html.escape(it.kind)}</span>{calls}',
        it.output,
        bars,
        "".join(_module(part, whole, depth + 1) for part in compared.parts),
        _about(it, compared.notes),
        classes=status,
        # A small model starts unfolded, a large one down to its stages.
        unfolded=depth < 2 or bool(status),
    )


def _about(it: Any, notes: list[str]) -> str:
    lines = [f'<div class="hk-note">{html.escape(note)}</div>' for note in notes]
    if it.config:
        lines.append(f"<code>{html.escape(it.config)}</code>")
    soft = [it.path, *it.signatures]
    if it.inputs:
        size = bytes_text(it.activation_bytes)
        soft[0] += f": takes {it.inputs}; {size} of activations"
    if it.parts and it.flops:
        own = [count_text(it.own_flops, "FLOPs")]
        own += [] if it.own_seconds is None else [seconds_text(it.own_seconds)]
        soft.append(f"own: {', '.join(own)}")
    lines += [
        f'<div class="hk-soft">{html.escape(line)}</div>' for line in soft if line
    ]
    lines += [_arrays("parameters", it.params), _arrays("state", it.state)]
    return "".join(lines)


def _arrays(title: str, arrays: Mapping[str, ArrayOutline]) -> str:
    rows = (
        (
            html.escape(name),
            str(it.spec),
            bytes_text(it.bytes),
            _values(it.values),
        )
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
    label = html.escape(f"Histogram: {values}")
    return (
        f'<svg viewBox="0 0 96 24" role="img" aria-label="{label}"><title>{label}'
        f"</title>{bars}</svg> {html.escape(str(values))}"
    )


STYLE = """\
:root {
  color-scheme: light dark;
  --paper: light-dark(#fff, #14171b); --ink: light-dark(#1b1f24, #e6e9ed);
  --soft: light-dark(#5f6772, #9aa4b0); --line: light-dark(#d8dde3, #333a43);
  --fill: light-dark(#2a6fdb2e, #5b9bff3d); --hover: light-dark(#f2f5f8, #1d2228);
  --accent: light-dark(#1d5fc4, #7fb2ff);
}
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere;
}
h1 { font-size: 1.4rem; margin: 0 0 .5rem; }
.hk-facts { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; }
.hk-tools {
  position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .5rem;
  align-items: center; padding: .5rem 0; background: var(--paper);
}
.hk-tools input { flex: 1 1 14rem; min-width: 0; }
.hk-tools input, .hk-tools button {
  font: inherit; color: inherit; background: var(--hover); padding: .35rem .7rem;
  border: 1px solid var(--line); border-radius: 6px;
}
.hk-group > summary, .hk-line {
  display: flex; flex-wrap: wrap; gap: .1rem .8rem; align-items: baseline;
  padding: .25rem .4rem; border-radius: 6px; list-style: none;
}
.hk-group > summary::-webkit-details-marker { display: none; }
.hk-group > summary:hover, .hk-line:hover { background: var(--hover); }
.hk-group > summary .hk-name::before { content: "\\25B8"; margin-right: .4em; }
.hk-group[open] > summary .hk-name::before { content: "\\25BE"; }
.hk-name { flex: 1 1 auto; }
.hk-kind, .hk-line code { color: var(--accent); }
.hk-soft, .hk-arrays > summary, small { color: var(--soft); font-size: .85rem; }
.hk-shape, .hk-group code, .hk-group td { font: .8rem/1.5 ui-monospace, monospace; }
.hk-shape { max-width: 24rem; }
.hk-about > code { display: block; white-space: pre-wrap; }
.hk-bars { display: flex; gap: .4rem; }
.hk-bar {
  position: relative; width: 9.5rem; padding: 0 .4rem; text-align: right;
  font-size: .85rem; border-radius: 4px; background: var(--hover); white-space: nowrap;
}
.hk-bar i { position: absolute; inset: 0 auto 0 0; background: var(--fill); }
.hk-inside {
  margin-left: .75rem; padding-left: .75rem; border-left: 1px solid var(--line);
}
.hk-about { padding: .2rem .4rem .5rem; }
.hk-arrays table { border-collapse: collapse; display: block; overflow-x: auto; }
.hk-arrays td { padding: .1rem 1.2rem .1rem 0; white-space: nowrap; }
.hk-arrays svg { width: 6rem; height: 1.5rem; fill: var(--accent); }
.added > summary { --mark: light-dark(#17803d, #5ccf86); }
.removed > summary { --mark: light-dark(#b3261e, #ff8f86); }
.changed > summary, .hk-note { --mark: light-dark(#93640a, #e3b45c); }
.hk-mark, .hk-mark + b, .hk-note { color: var(--mark); font-style: normal; }
.removed > summary b { text-decoration: line-through; }
.hk-missed { display: none; }
@media (max-width: 45rem) {
  body { font-size: 14px; padding: .6rem; }
  .hk-bars { width: 100%; flex-wrap: wrap; }
  .hk-bar { flex: 1 1 7rem; width: auto; }
  .hk-inside { margin-left: .3rem; padding-left: .5rem; }
}
"""

# A search shows the groups and lines that have all words, what is inside them, and the
# groups around them, unfolded.
SCRIPT = """\
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const [any, about] = [".hk-group, .hk-line", ":scope > .hk-inside > .hk-about"];
  const [groups, items] = [all(".hk-group"), all(any)];
  const start = groups.map((group) => group.open);
  const fold = (open) => groups.forEach((group) => { group.open = open; });
  document.getElementById("hk-open").onclick = () => fold(true);
  document.getElementById("hk-close").onclick = () => fold(false);
  const parts = (item) => (
    item.matches(".hk-line") ? [item] : all(`:scope > summary, ${about}`, item));
  const texts = items.map(
    (item) => parts(item).map((part) => part.textContent).join(" ").toLowerCase());
  document.getElementById("hk-find").oninput = (event) => {
    const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const hits = items.filter((_, i) => words.every((w) => texts[i].includes(w)));
    const shown = new Set(hits.flatMap((hit) => [hit, ...all(any, hit)]));
    groups.forEach((group, i) => {
      const isAround = words.length > 0 && hits.some(
        (hit) => hit !== group && group.contains(hit));
      if (isAround) shown.add(group);
      group.open = isAround || (words.length > 0 ? group.open : start[i]);
    });
    items.forEach((item) => item.classList.toggle("hk-missed", !shown.has(item)));
    const count = words.length > 0 ? `${hits.length} of ${items.length}` : "";
    document.getElementById("hk-found").textContent = count;
  };
})();
"""
