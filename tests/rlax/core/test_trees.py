"""Functions on whole trees of arrays."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax

TREE = {"a": jnp.arange(6.0).reshape(3, 2), "b": (jnp.ones(3),)}


def test_split_gives_one_tree_for_each_index():
    parts = rlax.tree_split_leaves(TREE)
    assert len(parts) == 3
    np.testing.assert_array_equal(parts[1]["a"], [2, 3])
    kept = rlax.tree_split_leaves({"a": np.ones((3, 2))}, axis=1, keepdim=True)
    assert [x["a"].shape for x in kept] == [(3, 1)] * 2
    assert isinstance(kept[0]["a"], np.ndarray)


def test_zipped_map_takes_a_leaf_of_each_tree():
    summed = rlax.tree_map_zipped(lambda *x: sum(x), [TREE, TREE, TREE])
    np.testing.assert_array_equal(summed["a"], 3 * TREE["a"])
    assert rlax.tree_map_zipped(sum, []) == []


def test_keys_of_leaves_differ():
    key, keys = rlax.tree_split_key(jax.random.key(0), TREE)
    drawn = [jax.random.uniform(k) for k in [key, *jax.tree.leaves(keys)]]
    assert len(set(map(float, drawn))) == 3
    assert jax.tree.structure(keys) == jax.tree.structure(TREE)


def test_function_of_leaves_becomes_one_of_trees():
    add = rlax.tree_fn(lambda x, y, z: x + y + z, z=1)
    assert add({"x": 1}, {"x": 2}) == {"x": 4}


def test_last_axis_moves_to_the_front_and_back():
    moved = rlax.transpose_last_axis_to_first({"x": np.ones((1, 2, 3))})
    assert moved["x"].shape == (3, 1, 2)
    assert rlax.transpose_first_axis_to_last(moved)["x"].shape == (1, 2, 3)


def test_select_takes_one_of_two_trees():
    on, off = {"x": jnp.ones(2)}, {"x": jnp.zeros(2)}
    for pred in (True, False):
        have = jax.jit(lambda p: rlax.tree_select(p, on, off))(pred)
        np.testing.assert_array_equal(have["x"], np.full(2, float(pred)))


def test_replacement_keeps_what_the_mask_leaves():
    data, mask = jnp.arange(4.0).reshape(2, 2) + 1, jnp.array([0, 1])
    out = rlax.tree_replace_masked({"x": data}, {"x": -data}, mask)
    np.testing.assert_array_equal(out["x"], [[1, 2], [-3, -4]])
    out = rlax.tree_replace_masked({"x": data}, None, mask)
    np.testing.assert_array_equal(out["x"], [[1, 2], [0, 0]])
