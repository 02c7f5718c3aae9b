"""Every program in the documents runs, and prints what stands there."""

import doctest
import importlib.util
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
import rlax

DOCS = pathlib.Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def programs(page):
    """The page's blocks of Python, in order; those of notebooks run in `make docs`."""
    text = page.read_text(encoding="utf-8")
    return [] if "```{code-cell}" in text else BLOCK.findall(text)


PAGES = {
    str(page.relative_to(DOCS.parent).with_suffix("")).removeprefix("docs/"): page
    for page in [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
    if programs(page)
}


def test_every_guide_shows_programs():
    guides = {p.stem for p in DOCS.glob("guide/*.md")} - {"index"}
    assert {f"guide/{name}" for name in guides} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_page(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    blocks = programs(page)
    # One set of names for the whole page: it is read from the top.
    names = {"hk": hk, "jax": jax, "jnp": jnp, "np": np, "rlax": rlax}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    for number, block in enumerate(blocks):
        where = f"{page.stem}[{number}]"
        if ">>>" not in block:
            exec(compile(block, where, "exec"), names)
            continue
        example = doctest.DocTestParser().get_doctest(block, names, where, None, None)
        output: list[str] = []
        failed, tried = runner.run(example, out=output.append, clear_globs=False)
        names.update(example.globs)
        assert tried and not failed, "".join(output)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("y = x w + b", r"y = x\,w + b"),
        ("G[t] = r[t] + γ[t] v[t+1]", r"G_{t} = r_{t} + γ_{t}\,v_{t+1}"),
        ("r + γ max_a q_t[a] - v_tm1", r"r + γ\,\max_{a}\,q_{t}[a] - v_{\text{tm1}}"),
        ("p ~ e^(x / T),  ρ̂ = 2", r"p \sim  e^{x / T},\quad \hat{ρ} = 2"),
        ("sqrt(x²)", r"\sqrt{x^{2}}"),
        ("-Σ_i mean w[i]", r"-\sum_{i}\,\operatorname{mean}\,w_{i}"),
        ("0 where s > 1", r"0\ \text{where}\ s \gt  1"),
    ],
)
def test_equations_in_docstrings(text, wanted):
    path = DOCS / "extension" / "equations.py"
    spec = importlib.util.spec_from_file_location("equations", path)
    equations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(equations)
    assert equations.latex(text) == wanted
