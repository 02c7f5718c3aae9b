"""Plain and immutable dictionaries."""

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

import haiku as hk
from haiku import data_structures as ds


def nested():
    return {"b": {"w": 1, "z": [1, 2]}, "a": 3}


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
def test_every_mapping_becomes_plain_dictionaries(make, convert):
    array = jnp.ones(2)
    source = make({"m": make({"w": array, "b": [1, {"c": 2}]})})
    out = convert(source)
    assert type(out) is dict and type(out["m"]) is dict
    assert out["m"]["w"] is array
    assert out["m"]["b"] == [1, {"c": 2}]
    out["m"]["b"][1]["c"] = out["m"]["new"] = 5
    assert source["m"]["b"] == [1, {"c": 2}] and "new" not in source["m"]


def test_to_haiku_dict_copies_other_values():
    source = [1, [2]]
    out = ds.to_haiku_dict(source)
    assert out == source and out is not source
    assert ds.to_haiku_dict(5) == 5


@pytest.mark.parametrize("convert", [ds.to_mutable_dict, ds.to_immutable_dict])
def test_converting_another_value_raises(convert):
    with pytest.raises(TypeError, match=f"{convert.__name__} takes a mapping.*int: 5"):
        convert(5)


def test_conversions_keep_the_order():
    assert list(ds.to_haiku_dict(nested())) == ["b", "a"]
    assert list(ds.to_immutable_dict(nested())) == ["b", "a"]


def test_an_immutable_dict_equals_its_contents():
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


def test_equal_immutable_dicts_have_equal_hashes():
    one, two = ds.to_immutable_dict(nested()), ds.to_immutable_dict(nested())
    assert hash(one) == hash(two) == hash(one)
    assert len({one, two}) == 1
    assert hash(one) != hash(ds.to_immutable_dict({"b": {"w": 1}, "a": 3}))
    with pytest.raises(TypeError, match="unhashable"):
        hash(ds.to_immutable_dict({"a": np.ones(2)}))


def test_a_long_repr_is_broken_into_lines():
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
