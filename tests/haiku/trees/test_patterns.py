"""Patterns of paths."""

import pytest

import haiku as hk
from haiku._trees.patterns import Pattern

sg = hk.surgery


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a/**", "a", True),
        ("a/**", "a/b/c", True),
        ("a/**", "ab/c", False),
        ("**", "a/b", True),
        ("**/w", "w", True),
        ("**/w", "a/b/w", True),
        ("**/w", "a/bw", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/*/b", "a/x/y/b", False),
        ("l*", "l", True),
        ("*/w", "/w", False),
        ("l_{i}/w", "l_12/w", True),
        ("l{_i}/w", "l/w", True),
        ("l{_i}/w", "l_3/w", True),
        ("l{_i}/w", "l_0/w", False),
        ("{a}/{a}", "x/x", True),
        ("{a}/{a}", "x/y", False),
        ("a.c/w", "abc/w", False),
    ],
)
def test_a_pattern_finds_these_paths(pattern, path, matches):
    assert (Pattern(pattern).match(path) is not None) == matches


@pytest.mark.parametrize("text", ["", "/a", "a//b", "a**", "{a", "a}", "{1}", "**/**"])
def test_bad_patterns_are_errors(text):
    with pytest.raises(ValueError, match="pattern|wildcard|twice"):
        sg.select({"a": {"w": 1}}, text)
