"""Every program in the documents runs, and prints what stands there."""

import doctest
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
import rlax

DOCS = pathlib.Path(__file__).parent.parent / "docs"
PAGES = sorted(p for p in DOCS.glob("guide/*.md") if p.stem != "index")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def programs(page):
    """The page's blocks of Python, in order."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page(page):
    blocks = programs(page)
    assert blocks, f"{page.name} shows no program"
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
        told: list[str] = []
        failed, tried = runner.run(example, out=told.append, clear_globs=False)
        names.update(example.globs)
        assert tried and not failed, "".join(told)
