"""The tools that draw the code: they find circles, and journeys that lead nowhere."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


house, journeys = tool("house"), tool("journeys")


@pytest.mark.parametrize(
    ("imports", "circle"),
    [
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, set()),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, {"b", "c"}),
        ({"a": {"a"}}, {"a"}),
    ],
)
def test_circles_are_found(imports, circle):
    assert set(house.circle_in(imports)) == circle


def test_a_circle_ends_the_check(monkeypatch):
    circle = {"haiku.a": {"haiku.b"}, "haiku.b": {"haiku.a"}}
    monkeypatch.setattr(house, "imports_of", lambda package: circle)
    with pytest.raises(SystemExit, match="in a circle: haiku.a -> haiku.b|haiku.b ->"):
        house.checked_imports("haiku")


def test_a_house_stands_above_what_it_imports():
    floors = house.floors({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert floors == {"a": 2, "b": 1, "c": 0}


def test_a_journey_that_no_longer_runs_is_an_error(monkeypatch):
    def broken():
        raise KeyError("gone")

    monkeypatch.setitem(journeys.JOURNEYS, "input", broken)
    with pytest.raises(KeyError, match="gone"):
        journeys.journey("input")
    monkeypatch.setitem(journeys.JOURNEYS, "input", lambda: lambda: None)
    with pytest.raises(RuntimeError, match="'input' passes no function"):
        journeys.journey("input")


def test_a_journey_names_files_and_functions_in_order():
    lines = journeys.journey("input").splitlines()
    called = [tuple(line.split()) for line in lines]
    build = called.index(("haiku/_layers/linear.py", "Linear.__init__"))
    assert ("haiku/_layers/linear.py", "Linear.__call__") in called[build:]
