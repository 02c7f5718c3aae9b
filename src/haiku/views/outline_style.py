"""How the page of a model looks, and how it answers: CSS and JavaScript."""

STYLE = """\
:root {
  color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #5f6772;
  --line: #d8dde3; --fill: #2a6fdb2e; --hover: #f2f5f8; --accent: #1d5fc4;
  --added: #17803d; --removed: #b3261e; --changed: #93640a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e6e9ed; --soft: #9aa4b0; --line: #333a43;
    --fill: #5b9bff3d; --hover: #1d2228; --accent: #7fb2ff;
    --added: #5ccf86; --removed: #ff8f86; --changed: #e3b45c;
  }
}
* { box-sizing: border-box; }
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 0 auto; padding: 1rem;
}
h1 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; margin-bottom: 1rem; }
.facts b { font-size: 1.1rem; }
.tools {
  position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .5rem;
  align-items: center; padding: .5rem 0; background: var(--paper);
}
.tools input { flex: 1 1 14rem; min-width: 0; }
.tools input, .tools button {
  font: inherit; color: inherit; background: var(--hover); padding: .35rem .7rem;
  border: 1px solid var(--line); border-radius: 6px;
}
summary {
  display: flex; flex-wrap: wrap; gap: .1rem .8rem; align-items: baseline;
  padding: .25rem .4rem; border-radius: 6px; cursor: pointer; list-style: none;
}
summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--hover); }
summary .name::before { content: "\\25B8"; color: var(--soft); margin-right: .4em; }
details[open] > summary .name::before { content: "\\25BE"; }
.name { flex: 1 1 auto; overflow-wrap: anywhere; }
.kind { color: var(--accent); }
.soft, small, caption { color: var(--soft); font-size: .85rem; }
.shape, code, td { font-family: ui-monospace, monospace; font-size: .8rem; }
.shape { overflow-wrap: anywhere; max-width: 24rem; }
code { display: block; overflow-wrap: anywhere; white-space: pre-wrap; }
.costs { display: flex; gap: .4rem; }
.bar {
  position: relative; width: 9.5rem; padding: 0 .4rem; text-align: right;
  font-size: .85rem; border-radius: 4px; background: var(--hover); white-space: nowrap;
}
.bar i {
  position: absolute; inset: 0 auto 0 0; background: var(--fill); border-radius: 4px;
}
.inside {
  margin-left: .75rem; padding-left: .75rem; border-left: 1px solid var(--line);
}
.about { padding: .2rem .4rem .5rem; }
table {
  border-collapse: collapse; margin-top: .3rem; display: block; overflow-x: auto;
}
caption { text-align: left; }
td { padding: .1rem 1.2rem .1rem 0; white-space: nowrap; vertical-align: middle; }
svg { width: 6rem; height: 1.5rem; fill: var(--accent); vertical-align: middle; }
.mark { font-style: normal; font-weight: bold; }
.added > summary .mark, .added > summary b { color: var(--added); }
.removed > summary .mark, .removed > summary b { color: var(--removed); }
.removed > summary b { text-decoration: line-through; }
.changed > summary .mark, .note { color: var(--changed); }
.missed { display: none; }
mark { background: #ffd54a; color: #1b1f24; }
@media (max-width: 45rem) {
  body { font-size: 14px; padding: .6rem; }
  .costs { width: 100%; flex-wrap: wrap; }
  .bar { flex: 1 1 7rem; width: auto; }
  .inside { margin-left: .3rem; padding-left: .5rem; }
}
"""

SCRIPT = """\
(() => {
  const modules = [...document.querySelectorAll("details.module")];
  const start = modules.map((module) => module.open);
  const fold = (open) => modules.forEach((module) => { module.open = open; });
  document.getElementById("open").onclick = () => fold(true);
  document.getElementById("close").onclick = () => fold(false);
  const own = (module) => [module.querySelector("summary"),
    module.querySelector(":scope > .inside > .about")]
    .map((part) => (part ? part.textContent.toLowerCase() : "")).join(" ");
  const texts = modules.map(own);
  document.getElementById("find").oninput = (event) => {
    const words = event.target.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const found = document.getElementById("found");
    if (!words.length) {
      found.textContent = "";
      modules.forEach((module, i) => {
        module.classList.remove("missed");
        module.open = start[i];
      });
      return;
    }
    const hits = modules.filter((_, i) => words.every((w) => texts[i].includes(w)));
    const shown = new Set();
    hits.forEach((hit) => {
      for (let at = hit; at; at = at.parentElement.closest("details.module")) {
        if (at !== hit) at.open = true;
        shown.add(at);
      }
      hit.querySelectorAll("details.module").forEach((inside) => shown.add(inside));
    });
    modules.forEach((module) => module.classList.toggle("missed", !shown.has(module)));
    found.textContent = `${hits.length} of ${modules.length}`;
  };
})();
"""
