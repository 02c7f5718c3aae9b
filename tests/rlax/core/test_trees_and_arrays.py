"""Trees, arrays, records and gradients."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax


def test_tree_functions():
    tree = {"a": jnp.arange(6.0).reshape(3, 2), "b": (jnp.ones(3),)}
    parts = rlax.tree_split_leaves(tree)
    assert len(parts) == 3
    np.testing.assert_array_equal(parts[1]["a"], [2, 3])
    kept = rlax.tree_split_leaves({"a": np.ones((3, 2))}, axis=1, keepdim=True)
    assert [x["a"].shape for x in kept] == [(3, 1)] * 2
    assert isinstance(kept[0]["a"], np.ndarray)
    summed = rlax.tree_map_zipped(lambda *x: sum(x), [tree, tree, tree])
    np.testing.assert_array_equal(summed["a"], 3 * tree["a"])
    assert rlax.tree_map_zipped(sum, []) == []
    key, keys = rlax.tree_split_key(jax.random.key(0), tree)
    drawn = [jax.random.uniform(k) for k in [key, *jax.tree.leaves(keys)]]
    assert len(set(map(float, drawn))) == 3
    assert jax.tree.structure(keys) == jax.tree.structure(tree)
    add = rlax.tree_fn(lambda x, y, z: x + y + z, z=1)
    assert add({"x": 1}, {"x": 2}) == {"x": 4}
    moved = rlax.transpose_last_axis_to_first({"x": np.ones((1, 2, 3))})
    assert moved["x"].shape == (3, 1, 2)
    assert rlax.transpose_first_axis_to_last(moved)["x"].shape == (1, 2, 3)


def test_select_and_replace():
    on, off = {"x": jnp.ones(2)}, {"x": jnp.zeros(2)}
    for pred in (True, False):
        have = jax.jit(lambda p: rlax.tree_select(p, on, off))(pred)
        np.testing.assert_array_equal(have["x"], np.full(2, float(pred)))
    data, mask = jnp.arange(4.0).reshape(2, 2) + 1, jnp.array([0, 1])
    out = rlax.tree_replace_masked({"x": data}, {"x": -data}, mask)
    np.testing.assert_array_equal(out["x"], [[1, 2], [-3, -4]])
    out = rlax.tree_replace_masked({"x": data}, None, mask)
    np.testing.assert_array_equal(out["x"], [[1, 2], [0, 0]])


def test_indexing():
    values = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(
        rlax.batched_index(values, jnp.array([1, -1])), [2, 4]
    )
    kept = rlax.batched_index(values, jnp.array([1, 0]), keepdims=True)
    np.testing.assert_array_equal(kept, [[2], [3]])
    assert jnp.isnan(rlax.batched_index(values, jnp.array([0, 2]))[1])
    hot = rlax.one_hot(jnp.array([2, -1, 3]), 3, jnp.int32)
    np.testing.assert_array_equal(hot, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert rlax.one_hot(1, 3).shape == (3,)
    assert rlax.lhs_broadcast(np.ones(2), np.ones((2, 3, 4))).shape == (2, 1, 1)


def test_all_sum():
    x = jnp.arange(6.0).reshape(2, 3)
    assert rlax.AllSum()(x) == 15
    np.testing.assert_array_equal(rlax.AllSum()(x, axis=1), [3, 12])
    spread = jax.vmap(rlax.AllSum("i"), axis_name="i")(x)
    np.testing.assert_array_equal(spread, [15, 15])


def test_clip_gradient():
    def f(x):
        return jnp.sum(3 * rlax.clip_gradient(x, -0.5, gradient_max=0.25))

    x = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(rlax.clip_gradient(x, -1.0, 1.0), x)
    np.testing.assert_allclose(jax.grad(f)(x), [0.25, 0.25])
    tree = jax.grad(lambda t: -9 * rlax.clip_gradient(t, -0.5, 0.5)["a"])({"a": 2.0})
    assert tree == {"a": -0.5}
    with pytest.raises(TypeError, match="gradient_min"):
        rlax.clip_gradient(x)


def test_records():
    moments = rlax.EmaMoments(mean=1.0, variance=2.0)
    assert dict(moments) == {"mean": 1.0, "variance": 2.0}
    assert dict(**moments) == dict(moments)
    assert (moments["mean"], len(moments), moments.to_tuple()) == (1.0, 2, (1.0, 2.0))
    assert rlax.EmaMoments({"mean": 1.0}, variance=2.0) == moments
    assert rlax.EmaMoments.from_tuple((1.0, 2.0)) == moments
    assert moments.replace(mean=3.0).mean == 3.0
    assert copy.deepcopy(moments) == moments
    assert hash(moments) == hash(copy.copy(moments))
    assert repr(moments) == "EmaMoments(mean=1.0, variance=2.0)"
    with pytest.raises(AttributeError):
        moments.mean = 2.0
    with pytest.raises(KeyError):
        moments["sum"]
    with pytest.raises(TypeError, match="variance"):
        rlax.EmaMoments(mean=1.0)
    paths = [
        path[0].name for path, _ in jax.tree_util.tree_flatten_with_path(moments)[0]
    ]
    assert paths == ["mean", "variance"]
    doubled = jax.jit(lambda m: jax.tree.map(lambda x: 2 * x, m))(moments)
    assert isinstance(doubled, rlax.EmaMoments)
    assert doubled.variance == 4.0
