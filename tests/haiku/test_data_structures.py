"""Walking, splitting, merging and measuring dictionaries of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haiku import data_structures as ds

NAMES = st.text("abc/~", min_size=1, max_size=3)
STRUCTURES = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.integers(), min_size=1, max_size=3), max_size=4
)


def test_traverse_is_sorted():
    structure = {"b": {"y": 1, "x": [2]}, "a": {"z": {"q": 3}}, "empty": {}}
    assert list(ds.traverse(structure)) == [
        ("a", "z", {"q": 3}),
        ("b", "x", [2]),
        ("b", "y", 1),
    ]


@given(STRUCTURES)
def test_merge_reverses_partition(structure):
    yes, no = ds.partition(lambda m, n, v: v % 2, structure)
    assert all(v % 2 for _, _, v in ds.traverse(yes))
    assert not any(v % 2 for _, _, v in ds.traverse(no))
    assert ds.merge(yes, no) == structure
    assert yes == ds.filter(lambda m, n, v: v % 2, structure)
    parts = ds.partition_n(lambda m, n, v: v % 3, structure, 3)
    assert len(parts) == 3 and ds.merge(*parts) == structure
    assert all(ds.is_subset(subset=part, superset=structure) for part in parts)


@given(STRUCTURES)
def test_map_applies_to_each_parameter(structure):
    out = ds.map(lambda m, n, v: (m, n, v + 1), structure)
    assert list(ds.traverse(out)) == [
        (m, n, (m, n, v + 1)) for m, n, v in ds.traverse(structure)
    ]


@pytest.mark.parametrize("number", [-1, 2])
def test_partition_n_names_a_number_out_of_range(number):
    with pytest.raises(AssertionError, match=rf"\[0, 2\), got {number} for a/x"):
        ds.partition_n(lambda *_: number, {"a": {"x": 1}}, 2)


def test_merge_keeps_the_last_value():
    a, b = {"m": {"x": 1, "y": 2}}, {"m": {"x": 3}, "n": {"z": 4}}
    assert ds.merge(a, b) == {"m": {"x": 3, "y": 2}, "n": {"z": 4}}
    assert ds.merge(b, a)["m"]["x"] == 1
    assert a == {"m": {"x": 1, "y": 2}}
    assert ds.merge() == {}


def test_merge_checks_duplicates():
    def array(shape, dtype):
        return {"a": {"b": np.ones(shape, dtype)}}

    one = array(2, np.float32)
    assert ds.merge(one, one, check_duplicates=True) == one
    for other, text in (
        (array(3, np.float32), r"a.b: f32\[2\] vs f32\[3\]"),
        (array(2, np.int8), r"a.b: f32\[2\] vs s8\[2\]"),
        ({"a": {"b": "foo"}}, r"a.b: f32\[2\] vs 'foo'"),
    ):
        assert ds.merge(one, other) == other
        with pytest.raises(ValueError, match=text):
            ds.merge(one, other, check_duplicates=True)
    ds.merge({"a": {"b": 1}}, {"a": {"b": "text"}}, check_duplicates=True)


def test_is_subset_compares_only_paths():
    small, large = {"a": {"x": 1}}, {"a": {"x": 2, "y": 3}, "b": {"z": 4}}
    assert ds.is_subset(subset=small, superset=large)
    assert not ds.is_subset(subset=large, superset=small)
    assert ds.is_subset(subset={"c": {}}, superset={})


@pytest.mark.parametrize(
    "walk",
    [
        lambda s: list(ds.traverse(s)),
        lambda s: ds.map(lambda *_: 0, s),
        lambda s: ds.merge(s),
        lambda s: ds.is_subset(subset={"a": {"x": 1}}, superset=s),
    ],
)
def test_a_structure_of_another_form_raises(walk):
    with pytest.raises(TypeError, match="takes a mapping.*list"):
        walk([1])


def test_a_flat_dictionary_of_arrays_raises():
    with pytest.raises(TypeError, match="at 'w' it holds int: 1"):
        list(ds.traverse({"w": 1}))


def test_sizes_and_bytes_add_up():
    tree = {
        "a": np.ones((2, 3), np.float32),
        "b": [jax.ShapeDtypeStruct((5,), jnp.bfloat16), np.int8(1)],
    }
    assert ds.tree_size(tree) == 12 and type(ds.tree_size(tree)) is int
    assert ds.tree_bytes(tree) == 24 + 10 + 1
    assert ds.tree_size({}) == ds.tree_bytes({}) == 0
    assert ds.tree_bytes(jax.random.key(0)) == 8
    for measure in (ds.tree_size, ds.tree_bytes):
        with pytest.raises(AttributeError, match=r"int at \['a'\]: 1"):
            measure({"a": 1})
