"""`python -m haiku compare`: its output and its exit status."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.__main__ import main
from haiku._compare.reading import by_path

SAME = ["a.npz", "colons.npz", "jax.pkl", "immutable.pkl", "state.pkl#params"]


@pytest.mark.parametrize("other", [*SAME, "its_model:params"])
def test_all_forms_of_the_same_parameters_are_equal(written, capsys, other):
    assert main(["compare", "a.npz", other]) == 0
    output = capsys.readouterr().out
    assert f"second: {other}, 4 values, 23 numbers" in output
    assert "No difference in 4 values." in output
    assert ("A model has no numbers" in output) == (":" in other)


def test_each_difference_is_listed(written, params, capsys):
    other = hk.data_structures.to_mutable_dict(params)
    other["head"] = other.pop("mlp/~/linear_1")
    other["mlp/~/linear_0"]["b"] = jnp.ones([3]).at[1].set(5.0)
    other["mlp/~/linear_0"]["w"] = jnp.ones([4, 5], jnp.bfloat16)
    other["new"] = {"scale": jnp.ones([7])}
    np.savez("b.npz", **by_path(other))
    assert main(["compare", "a.npz", "b.npz"]) == 1
    output = capsys.readouterr().out
    for line in (
        "first:  a.npz, 4 values, 23 numbers",
        "second: b.npz, 5 values, 38 numbers",
        "1 with another shape; 1 with another dtype; 1 with other numbers.",
        "The largest difference is 5, at mlp/~/linear_0/b.",
        "  w: f32[4,3] -> bf16[4,5]",
        "  w: likely renamed: head/w",
        "  scale: only in the second",
    ):
        assert line in output, line


def test_a_tolerance_ignores_small_differences(written, params):
    np.savez("b.npz", **jax.tree.map(lambda x: x + 1e-4, by_path(params)))
    assert main(["compare", "a.npz", "b.npz"]) == 1
    assert main(["compare", "a.npz", "b.npz", "--atol", "1e-3"]) == 0


def test_a_hint_names_the_path_with_the_same_parameters(written, capsys):
    assert main(["compare", "state.pkl", "a.npz"]) == 1
    output = capsys.readouterr().out
    assert "The first holds all paths of the second below 'params'" in output
    assert "append #params to the first" in output


def test_a_model_is_compared_by_shapes(written, capsys):
    assert main(["compare", "a.npz", "its_model:wider"]) == 1
    output = capsys.readouterr().out
    assert "A model has no numbers" in output
    assert "3 with another shape." in output and "  w: f32[4,3] -> f32[4,5]" in output
