"""Every public name beyond the references' has a line on the page of additions."""

import importlib
import inspect
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs/additions.md").read_text(encoding="utf-8")
LISTED = {
    name.replace("hk.", "haiku.", 1)
    for cell in re.findall(r"^\| (`(?:hk|rlax)\.[^|]*) \|", PAGE, re.MULTILINE)
    for name in re.findall(r"`((?:hk|rlax)(?:\.\w+)+)`", cell)
}


def reference(package):
    """The references' names by module."""
    return json.loads((ROOT / f"tests/surface/{package}_api.json").read_text())


def names_of(module):
    """Pairs of full name and value, of public modules inside too."""
    for name, value in inspect.getmembers(importlib.import_module(module)):
        full = f"{module}.{name}"
        if name.startswith("_"):
            continue
        if not inspect.ismodule(value):
            yield full, value
        elif value.__name__ == full:
            yield from names_of(full)


def additions(package):
    """Full names that no module of the reference has, nor has their value."""
    api = {
        f"{module}.{name}"
        for module, names in reference(package).items()
        for name in names
    }
    public = dict(names_of(package))
    known = {id(value) for name, value in public.items() if name in api}
    return {
        name
        for name, value in public.items()
        if name not in api and id(value) not in known
    }


@pytest.mark.parametrize("package", ["haiku", "rlax"])
def test_the_page_lists_what_was_added(package):
    listed = {name for name in LISTED if name.startswith(f"{package}.")}
    assert listed == additions(package)
