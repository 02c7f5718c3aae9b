"""A web page of one file: groups that fold, bars, tables, and a search field.

It loads nothing. It adapts to a phone and to dark mode, and is readable without its
script.
"""

from __future__ import annotations

import html
from collections.abc import Iterable


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
  max-width: 76rem; margin: 0 auto; padding: 1rem; box-sizing: border-box;
}
h1 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.hk-facts { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; margin-bottom: 1rem; }
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
.hk-group > summary .hk-name::before {
  content: "\\25B8"; color: var(--soft); margin-right: .4em;
}
.hk-group[open] > summary .hk-name::before { content: "\\25BE"; }
.hk-name { flex: 1 1 auto; overflow-wrap: anywhere; }
.hk-kind, .hk-line code { color: var(--accent); }
.hk-soft, .hk-arrays > summary, small { color: var(--soft); font-size: .85rem; }
.hk-shape, .hk-group code, .hk-group td { font: .8rem/1.5 ui-monospace, monospace; }
.hk-shape { overflow-wrap: anywhere; max-width: 24rem; }
.hk-about > code { display: block; overflow-wrap: anywhere; white-space: pre-wrap; }
.hk-bars { display: flex; gap: .4rem; }
.hk-bar {
  position: relative; width: 9.5rem; padding: 0 .4rem; text-align: right;
  font-size: .85rem; border-radius: 4px; background: var(--hover); white-space: nowrap;
}
.hk-bar i {
  position: absolute; inset: 0 auto 0 0; background: var(--fill); border-radius: 4px;
}
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
