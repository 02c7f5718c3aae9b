"""`hk.surgery.diff`."""

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk

sg = hk.surgery


def unrolled(layers=3):
    def f(x):
        for _ in range(layers):
            x = jax.nn.relu(hk.Linear(4, name="block")(x))
        return hk.Linear(2, name="head")(x)

    return hk.without_apply_rng(hk.transform(f))


X = jnp.arange(8.0).reshape(2, 4)


def test_a_difference_reads_as_text():
    old = {
        "enc/linear": {"w": np.arange(6.0).reshape(2, 3), "b": np.zeros([3])},
        "head": {"w": np.ones([4]), "scale": np.array([1.0, np.nan])},
        "gone": {"x": np.ones([7])},
    }
    new = {
        "encoder/linear": {"w": np.arange(6.0).reshape(2, 3), "b": np.zeros([3])},
        "head": {
            "w": np.array([1.0, 1.5, np.nan, 1.0]),
            "scale": np.array([1.0, np.nan]),
        },
        "come": {"y": np.ones([2])},
    }
    found = sg.diff(old, new)
    assert found and found.count == 6
    assert found.removed == ("gone/x",) and found.added == ("come/y",)
    assert found.renamed == (
        ("enc/linear/b", "encoder/linear/b"),
        ("enc/linear/w", "encoder/linear/w"),
    )
    (change,) = found.changed
    assert (change.path, change.differing, change.size) == ("head/w", 2, 4)
    assert change.max_abs == 0.5 and change.nan == (0, 1)
    assert str(found).splitlines() == [
        "5 of 6 differ.",
        "come",
        "  y: only in the second",
        "enc/linear",
        "  b: likely renamed: encoder/linear/b",
        "  w: likely renamed: encoder/linear/w",
        "gone",
        "  x: only in the first",
        "head",
        "  w: f64[4], 2 of 4 values differ, by up to 0.5, 1 NaN in the second alone",
    ]
    same = sg.diff(old, old)
    assert not same and str(same) == "No difference in 5 values."


def test_equal_values_tell_a_rename_whatever_the_path():
    w = np.arange(3.0)
    old = {"aaaa": {"w": w}, "bbbb": {"w": w + 1}}
    new = {"zzzz": {"kernel": w + 1}, "yyyy": {"kernel": w}}
    assert sg.diff(old, new).renamed == (
        ("aaaa/w", "yyyy/kernel"),
        ("bbbb/w", "zzzz/kernel"),
    )


def test_dtypes_shapes_and_tolerances_count():
    old = {"a": {"w": jnp.ones([2]), "k": jax.random.key(0), "i": jnp.arange(3)}}
    new = {
        "a": {
            "w": jnp.ones([2], jnp.bfloat16),
            "k": jax.random.key(1),
            "i": jnp.arange(4),
        }
    }
    by_path = {change.path: change for change in sg.diff(old, new).changed}
    assert by_path["a/w"].dtype and not by_path["a/w"].differing
    assert str(by_path["a/w"]) == "f32[2] -> bf16[2]"
    assert by_path["a/i"].shape and by_path["a/i"].differing is None
    assert by_path["a/k"].differing == 1
    near = {"a": {"w": jnp.ones([2]) + 1e-4}}
    assert sg.diff({"a": {"w": jnp.ones([2])}}, near)
    assert not sg.diff({"a": {"w": jnp.ones([2])}}, near, atol=1e-3)
    assert not sg.diff({"a": {"w": jnp.ones([2])}}, near, rtol=1e-3)
    eight = {"a": {"w": jnp.array([0.5, 2.0], jnp.float8_e4m3fn)}}
    assert sg.diff(eight, {"a": {"w": eight["a"]["w"] * 0}}).changed[0].max_abs == 2


def test_shapes_and_traced_values_are_compared_as_far_as_they_go():
    params = unrolled().init(jax.random.key(0), X)
    shapes = jax.eval_shape(lambda: params)
    assert not sg.diff(params, shapes)
    seen = []
    jax.jit(lambda p: seen.append(bool(sg.diff(params, p))))(
        jax.tree.map(jnp.zeros_like, params)
    )
    assert seen == [False]
    shorter = jax.eval_shape(lambda p: jax.tree.map(lambda x: x[:1], p), shapes)
    assert sg.diff(shapes, shorter).changed[0].shape


def test_many_differences_are_cut_off_and_found_soon():
    rng = np.random.default_rng(0)
    old = {f"old/m{i}": {"w": rng.normal(size=[64])} for i in range(300)}
    moved = {f"new/n{i}": {"k": old[f"old/m{i}"]["w"]} for i in range(300)}
    found = sg.diff(old, moved)
    assert dict(found.renamed) == {f"old/m{i}/w": f"new/n{i}/k" for i in range(300)}
    assert str(found).endswith("... and 240 more")
    # Too many that could be each other, and none that is.
    other = {f"new/m{i}": {"w": rng.normal(size=[64])} for i in range(300)}
    found = sg.diff(old, other)
    assert not found.renamed and len(found.removed) == len(found.added) == 300
