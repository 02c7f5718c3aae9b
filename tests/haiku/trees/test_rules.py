"""Rules by path: one table, tables on top of each other, and what finds nothing."""

import pickle

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import haiku as hk
from haiku._trees.patterns import pattern
from haiku._trees.rules import Rules

PATHS = ["encoder/linear/w", "encoder/linear/b", "encoder/norm/scale", "head/w"]


def values(rules):
    return {p: m.value for p in PATHS if (m := rules.match(p)) is not None}


def test_within_a_table_the_first_pattern_counts():
    rules = Rules({"encoder/norm/*": "norm", "encoder/**": "encoder", "**/w": "w"})
    assert values(rules) == {
        "encoder/linear/w": "encoder",
        "encoder/linear/b": "encoder",
        "encoder/norm/scale": "norm",
        "head/w": "w",
    }


def test_of_two_tables_the_upper_one_counts():
    lower = Rules({"encoder/**": 1, "head/*": 2})
    upper = Rules({"**/w": 3})
    assert values(upper | lower) == {
        "encoder/linear/w": 3,
        "encoder/linear/b": 1,
        "encoder/norm/scale": 1,
        "head/w": 3,
    }
    assert values(lower | upper) == values(lower)


def test_surgery_and_precision_use_their_two_precedences():
    # In one mapping the first pattern counts ...
    tree = {"encoder": {"w": 1.0, "b": 2.0}}
    by_pattern = {"**/w": "matrix", "encoder/**": "rest"}
    assert hk.surgery.labels(tree, by_pattern) == {
        "encoder": {"w": "matrix", "b": "rest"}
    }
    # ... and of policies the one that was set last, which lies on top.
    policies = hk.mixed_precision
    with policies.push_policy("encoder/**", "float16"):  # noqa: SIM117
        with policies.push_policy("**/linear", "bfloat16"):
            read = lambda: hk.transform(_encoder).init(None)  # noqa: E731
            assert read()["encoder/linear"]["w"].dtype == "bfloat16"
            with policies.push_policy("encoder/**", "float32"):
                assert read()["encoder/linear"]["w"].dtype == "float32"
            assert read()["encoder/linear"]["w"].dtype == "bfloat16"


def _encoder():
    with hk.name_scope("encoder"):
        return hk.Linear(2, w_init=hk.initializers.Constant(1.0))(jnp.ones([1, 3]))


def test_a_table_without_some_patterns():
    rules = Rules({"**/w": 1, "**/b": 2})
    assert values(rules.without(pattern("**/w"))) == {"encoder/linear/b": 2}


def test_wildcards_come_with_the_match():
    match = Rules({"encoder/{layer}/*": "x"}).match("encoder/linear/w")
    assert match is not None
    assert match.found.named == {"layer": "linear"} and match.found.stars == ("w",)


def test_find_gives_each_path_its_first_rule():
    found = Rules({"**/w": 1, "encoder/**": 2}).find("hk.test", PATHS)
    assert {path: match.value for path, match in found.items()} == {
        "encoder/linear/w": 1,
        "head/w": 1,
        "encoder/linear/b": 2,
        "encoder/norm/scale": 2,
    }


def test_a_pattern_that_finds_nothing_is_an_error_with_the_nearest_paths():
    with pytest.raises(ValueError, match=r"hk.test: 'heads/w' finds.*nearest.*head/w"):
        Rules({"heads/w": 1}).find("hk.test", PATHS)
    with pytest.raises(ValueError, match=r"all that a module holds, write 'head/\*'"):
        Rules({"head": 1}).find("hk.test", PATHS)
    with pytest.raises(ValueError, match="tree is empty"):
        Rules({"head": 1}).find("hk.test", [])


def test_equal_tables_are_equal_and_pickle():
    rules = Rules({"**/w": 1, "**/b": 2})
    assert rules == Rules([("**/w", 1), ("**/b", 2)]) != Rules({"**/b": 2, "**/w": 1})
    assert hash(rules) == hash(pickle.loads(pickle.dumps(rules)))
    assert len(rules) == 2 and repr(rules) == "Rules({'**/w': 1, '**/b': 2})"


texts = st.sampled_from(["**", "**/w", "encoder/**", "*/w", "head/*", "encoder/*/b"])
tables = st.lists(st.tuples(texts, st.integers(0, 9)), max_size=4).map(Rules)


@given(tables, tables, tables)
def test_tables_on_top_of_each_other_are_associative(a, b, c):
    assert (a | b) | c == a | (b | c)
    assert values(a | b) == {**values(b), **values(a)}
