"""Parameter dictionaries: converting, walking, splitting, joining, measuring."""

import base64
import collections
import copy
import json
import pathlib
import pickle
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import haiku as hk
from haiku import data_structures as ds

NAMES = st.text("abc/~", min_size=1, max_size=3)
STRUCTURES = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.integers(), min_size=1, max_size=3), max_size=4
)


def nested():
    return {"b": {"w": 1, "z": [1, 2]}, "a": 3}


# Converting.


@pytest.mark.parametrize(
    "make",
    [
        dict,
        types.MappingProxyType,
        lambda d: collections.defaultdict(dict, d),
        ds.to_immutable_dict,
    ],
)
@pytest.mark.parametrize("convert", [ds.to_haiku_dict, ds.to_mutable_dict])
def test_plain_dictionaries_whatever_the_mapping(make, convert):
    array = jnp.ones(2)
    given_ = make({"m": make({"w": array, "b": [1, {"c": 2}]})})
    out = convert(given_)
    assert type(out) is dict and type(out["m"]) is dict
    assert out["m"]["w"] is array
    assert out["m"]["b"] == [1, {"c": 2}]
    out["m"]["b"][1]["c"] = out["m"]["new"] = 5
    assert given_["m"]["b"] == [1, {"c": 2}] and "new" not in given_["m"]


def test_to_haiku_dict_copies_what_is_no_mapping():
    given_ = [1, [2]]
    out = ds.to_haiku_dict(given_)
    assert out == given_ and out is not given_
    assert ds.to_haiku_dict(5) == 5


@pytest.mark.parametrize("convert", [ds.to_mutable_dict, ds.to_immutable_dict])
def test_converting_what_is_no_mapping_is_an_error(convert):
    with pytest.raises(TypeError, match=f"{convert.__name__} takes a mapping.*int: 5"):
        convert(5)


def test_order_is_kept():
    assert list(ds.to_haiku_dict(nested())) == ["b", "a"]
    assert list(ds.to_immutable_dict(nested())) == ["b", "a"]


# The immutable mapping.


def test_an_immutable_dict_equals_its_content():
    flat = ds.to_immutable_dict(nested())
    assert flat == nested() == flat and flat != {"b": 1}
    assert flat == ds.to_immutable_dict(nested())
    assert flat == types.MappingProxyType(nested())
    assert (flat == 3) is False
    assert len(flat) == 2 and "a" in flat and "c" not in flat
    assert flat["b"]["w"] == 1 and flat.get("c", 7) == 7
    assert list(flat.values()) == [{"w": 1, "z": [1, 2]}, 3]
    assert list(flat.items()) == list(zip(flat.keys(), flat.values()))
    assert ds.to_immutable_dict(flat) is flat
    with pytest.raises(KeyError):
        flat["c"]


def test_an_immutable_dict_does_not_change():
    source = nested()
    flat = ds.to_immutable_dict(source)
    source["b"]["w"], source["a"] = 8, 9
    source["b"]["z"].append(3)
    assert flat == nested()
    with pytest.raises(TypeError, match="item assignment"):
        flat["a"] = 1
    with pytest.raises(TypeError, match="item assignment"):
        flat["b"]["w"] = 1
    with pytest.raises(TypeError, match="item deletion"):
        del flat["a"]
    with pytest.raises(AttributeError, match="to_mutable_dict"):
        flat.a = 1
    with pytest.raises(AttributeError, match=r"write x\['a'\]"):
        _ = flat.a


def test_hash_of_an_immutable_dict():
    one, two = ds.to_immutable_dict(nested()), ds.to_immutable_dict(nested())
    assert hash(one) == hash(two) == hash(one)
    assert len({one, two}) == 1
    assert hash(one) != hash(ds.to_immutable_dict({"b": {"w": 1}, "a": 3}))
    with pytest.raises(TypeError, match="unhashable"):
        hash(ds.to_immutable_dict({"a": np.ones(2)}))


def test_repr_of_an_immutable_dict():
    flat = ds.to_immutable_dict(nested())
    assert repr(flat) == "FlatMap({'b': FlatMap({'w': 1, 'z': [1, 2]}), 'a': 3})"
    assert str(flat.keys()) == "KeysOnlyKeysView(['b', 'a'])"
    long = ds.to_immutable_dict({"a": {"b": "x" * 70, "c": 1}, "e": 2})
    assert str(long) == (
        "FlatMap({\n"
        "  'a': FlatMap({\n"
        f"         'b': '{'x' * 70}',\n"
        "         'c': 1,\n"
        "       }),\n"
        "  'e': 2,\n"
        "})"
    )


def test_an_immutable_dict_is_a_pytree():
    flat = ds.to_immutable_dict({"b": {"w": jnp.ones(2)}, "a": 3.0})
    leaves, treedef = jax.tree.flatten(flat)
    assert leaves[0] == 3.0
    rebuilt = jax.tree.unflatten(treedef, leaves)
    assert type(rebuilt) is type(flat) and list(rebuilt) == ["a", "b"]
    doubled = jax.jit(lambda f: jax.tree.map(lambda x: 2 * x, f))(flat)
    assert type(doubled["b"]) is type(flat)
    np.testing.assert_array_equal(doubled["b"]["w"], [2, 2])
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(flat)]
    assert paths == ["['a']", "['b']['w']"]


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))]
)
def test_copies_and_pickles_are_plain_dictionaries(clone):
    flat = ds.to_immutable_dict(nested())
    assert clone(flat) == nested() and type(clone(flat)) is dict
    with hk.config.context(restore_flatmap=True):
        assert type(clone(flat)) is type(flat) and clone(flat) == flat


CLONES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda f: pickle.loads(pickle.dumps(f)),
}


@pytest.mark.parametrize("clone", CLONES.values(), ids=CLONES)
def test_copies_and_pickles_keep_the_tree_structure(clone):
    content = {**nested(), "empty": {}, "rest": [None, (1, {"x": 2})]}
    flat = ds.to_immutable_dict(content)
    assert jax.tree.structure(clone(flat)) == jax.tree.structure(content)
    assert clone(jax.tree.structure(flat)) == jax.tree.structure(flat)
    with hk.config.context(restore_flatmap=True):
        assert jax.tree.structure(clone(flat)) == jax.tree.structure(flat)


def test_old_pickles_load():
    file = pathlib.Path(__file__).parents[1] / "golden" / "pickles.json"
    pickles = json.loads(file.read_text())
    (key,) = (key for key in pickles if key.startswith("FlatMapping"))
    for protocol, data in pickles[key].items():
        loaded = pickle.loads(base64.b64decode(data))
        assert type(loaded) is dict and type(loaded["linear"]) is dict, protocol
        np.testing.assert_array_equal(loaded["linear"]["w"], np.arange(6).reshape(2, 3))
        np.testing.assert_array_equal(loaded["linear"]["b"], np.zeros(3))


# Walking, splitting and joining.


def test_traverse_is_sorted():
    structure = {"b": {"y": 1, "x": [2]}, "a": {"z": {"q": 3}}, "empty": {}}
    assert list(ds.traverse(structure)) == [
        ("a", "z", {"q": 3}),
        ("b", "x", [2]),
        ("b", "y", 1),
    ]


@given(STRUCTURES)
def test_partition_and_merge_undo_each_other(structure):
    yes, no = ds.partition(lambda m, n, v: v % 2, structure)
    assert all(v % 2 for _, _, v in ds.traverse(yes))
    assert not any(v % 2 for _, _, v in ds.traverse(no))
    assert ds.merge(yes, no) == structure
    assert yes == ds.filter(lambda m, n, v: v % 2, structure)
    parts = ds.partition_n(lambda m, n, v: v % 3, structure, 3)
    assert len(parts) == 3 and ds.merge(*parts) == structure
    assert all(ds.is_subset(subset=part, superset=structure) for part in parts)


@given(STRUCTURES)
def test_map_applies_to_each(structure):
    out = ds.map(lambda m, n, v: (m, n, v + 1), structure)
    assert list(ds.traverse(out)) == [
        (m, n, (m, n, v + 1)) for m, n, v in ds.traverse(structure)
    ]


@pytest.mark.parametrize("number", [-1, 2])
def test_partition_n_names_what_is_out_of_range(number):
    with pytest.raises(AssertionError, match=rf"\[0, 2\), got {number} for a/x"):
        ds.partition_n(lambda *_: number, {"a": {"x": 1}}, 2)


def test_merge_keeps_the_last():
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


def test_is_subset_asks_for_paths_only():
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
def test_a_structure_of_another_form_is_an_error(walk):
    with pytest.raises(TypeError, match="takes a mapping.*list"):
        walk([1])


def test_a_flat_dictionary_of_arrays_is_an_error():
    with pytest.raises(TypeError, match="at 'w' it holds int: 1"):
        list(ds.traverse({"w": 1}))


# Measuring.


def test_tree_size_and_bytes():
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
