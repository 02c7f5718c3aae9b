"""Surgery on trees of parameters by patterns of paths: rename, stack, slice, merge."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk
from haiku._trees.patterns import Pattern

sg = hk.surgery
NAMES = st.sampled_from(["a", "b", "enc", "dec", "linear", "linear_1", "~"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(
    PATHS,
    st.dictionaries(st.sampled_from("wbg"), st.integers(0, 99), min_size=1),
    min_size=1,
)


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
def test_patterns(pattern, path, matches):
    assert (Pattern(pattern).match(path) is not None) == matches


@pytest.mark.parametrize("text", ["", "/a", "a//b", "a**", "{a", "a}", "{1}", "**/**"])
def test_bad_patterns(text):
    with pytest.raises(ValueError, match="pattern|wildcard|twice"):
        sg.select({"a": {"w": 1}}, text)


def unrolled(layers=3):
    def f(x):
        for _ in range(layers):
            x = jax.nn.relu(hk.Linear(4, name="block")(x))
        return hk.Linear(2, name="head")(x)

    return hk.without_apply_rng(hk.transform(f))


def stacked(layers=3):
    def f(x):
        block = lambda x: jax.nn.relu(hk.Linear(4, name="block")(x))  # noqa: E731
        x = hk.layer_stack(layers, name="stack")(block)(x)
        return hk.Linear(2, name="head")(x)

    return hk.without_apply_rng(hk.transform(f))


X = jnp.arange(8.0).reshape(2, 4)


def test_unrolled_layers_run_as_a_stack_and_back():  # The program of thread #670.
    params = unrolled().init(jax.random.key(0), X)
    into_stack = sg.stack(params, "block{_i}/*", "stack/block/*")
    assert into_stack["stack/block"]["w"].shape == (3, 4, 4)
    shapes = jax.eval_shape(stacked().init, jax.random.key(0), X)
    assert not sg.diff(shapes, into_stack)
    want = unrolled().apply(params, X)
    np.testing.assert_allclose(stacked().apply(into_stack, X), want, rtol=1e-6)
    back = sg.unstack(into_stack, "stack/block/*", "block{_i}/*")
    assert not sg.diff(params, back)
    # A deep model from a shallow one: its first two layers.
    layers, head = sg.split(into_stack, "stack/**")
    two = sg.merge(jax.tree.map(lambda x: x[:2], layers), head)
    assert stacked(2).apply(two, X).shape == (2, 2)


@pytest.mark.parametrize("kind", ["dict", "flat map", "numpy", "shapes", "traced"])
def test_every_kind_of_tree(kind):
    def surgery(params):
        params = sg.stack(params, "block{_i}/*", "stack/block/*")
        params = sg.rename(params, {"head/*": "tail/*"})
        return sg.merge(*sg.split(params, "**/w"))

    params = unrolled().init(jax.random.key(0), X)
    want = jax.tree.map(jnp.shape, surgery(params))
    given_ = {
        "dict": lambda: params,
        "flat map": lambda: hk.data_structures.to_immutable_dict(params),
        "numpy": lambda: jax.tree.map(np.asarray, params),
        "shapes": lambda: jax.eval_shape(lambda: params),
        "traced": lambda: params,
    }[kind]()
    out = (jax.jit(surgery) if kind == "traced" else surgery)(given_)
    assert jax.tree.map(lambda x: x.shape, out) == want
    leaf = out["stack/block"]["w"]
    types = {"numpy": np.ndarray, "shapes": jax.ShapeDtypeStruct}
    assert isinstance(leaf, types.get(kind, jax.Array)), type(leaf)


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_renames_come_back(tree):
    there = sg.rename(tree, {"**/{name}": "outer/**/x_{name}"})
    assert set(there) == {f"outer/{module}" for module in tree}
    assert sg.rename(there, {"outer/**/x_{name}": "**/{name}"}) == tree


@given(TREES, st.sampled_from(["**/w", "a/**", "*/*", "**"]))
@settings(max_examples=60, deadline=None)
def test_splits_merge(tree, pattern):
    try:
        chosen, rest = sg.split(tree, pattern)
    except ValueError:
        assert not any(Pattern(pattern).match(p) for p in sg.paths(tree))
        return
    assert sg.merge(chosen, rest) == tree
    assert sg.select(tree, pattern) == chosen
    assert sg.paths(tree, pattern) == sg.paths(chosen)


@given(st.integers(1, 12), st.booleans(), st.sampled_from([0, 1, -1]))
@settings(max_examples=30, deadline=None)
def test_stacks_come_apart(layers, haiku_numbers, axis):
    number = "{_i}" if haiku_numbers else "_{i}"
    name = lambda i: f"b_{i}" if i or not haiku_numbers else "b"  # noqa: E731
    tree = {
        f"net/{name(i)}/x": {"w": np.full([2, 3], i), "b": np.full([2], -i)}
        for i in range(layers)
    } | {"other": {"w": np.zeros([1])}}
    stack = sg.stack(tree, f"net/b{number}/**", "net/s/**", axis=axis)
    assert set(stack) == {"net/s/x", "other"}
    assert np.take(stack["net/s/x"]["w"], layers - 1, axis).tolist() == (
        tree[f"net/{name(layers - 1)}/x"]["w"].tolist()
    )
    back = sg.unstack(stack, "net/s/**", f"net/b{number}/**", axis=axis)
    assert not sg.diff(tree, back)


def test_paths_change_places():
    tree = {"a": {"w": 1}, "b": {"w": 2}}
    assert sg.rename(tree, {"a/w": "b/w", "b/w": "a/w"}) == {
        "a": {"w": 2},
        "b": {"w": 1},
    }


def test_state_that_is_a_tree():
    state = {"ema_0": {"s": {"x": np.ones(2)}}, "ema_1": {"s": {"x": np.zeros(2)}}}
    out = sg.stack(state, "ema_{i}/*", "ema/*")
    assert out["ema"]["s"]["x"].tolist() == [[1, 1], [0, 0]]
    assert not sg.diff(sg.unstack(out, "ema/s", "ema_{i}/s"), state)


TREE = {"enc/linear": {"w": np.ones([2]), "b": np.ones([3])}, "head": {"w": np.ones(1)}}


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: sg.select(TREE, "enc/liner/w"), "nearest paths are enc/linear/w"),
        (lambda: sg.select(TREE, "enc/linear"), r"write 'enc/linear/\*'"),
        (lambda: sg.select({}, "**"), "tree is empty"),
        (lambda: sg.select(TREE), "at least one pattern"),
        (lambda: sg.select(TREE, ["head/w"]), "got list: .*one by one"),
        (lambda: sg.select(TREE, 3), "got int: 3.$"),
        (lambda: sg.mask(TREE, "x/*"), "'x/\\*' finds no path"),
        (lambda: sg.rename(TREE, {"**/w": "x/w"}), "the same path, x/w"),
        (lambda: sg.rename(TREE, {"head/w": "enc/*/w"}), "can't be made of"),
        (lambda: sg.rename(TREE, {"head/w": "w"}), "`~/name` outside"),
        (lambda: sg.rename(TREE, "head/w"), "takes a mapping"),
        (lambda: sg.labels(TREE, ["head/w"]), "takes a mapping.*'frozen'"),
        (lambda: sg.merge(TREE, {"head": {"w": 1}}), "head/w: f64.1. in tree 0, int 1"),
        (lambda: sg.labels(TREE, {"enc/**": "a"}), "no label for head/w"),
        (lambda: sg.stack(TREE, "enc/**", "x/**"), "exactly one"),
        (lambda: sg.stack(TREE, "{i}/w", "x/w"), "'head' as the number of a layer"),
        (lambda: sg.unstack(TREE, "**/w", "x_{i}/**/w"), "different|stacks of"),
        (lambda: sg.unstack({"a": {"w": 1}}, "a/w", "b_{i}/w"), "no axis 0"),
        (lambda: sg.map_like(lambda t: t, {"m": 1}, TREE), "no part of the tree"),
    ],
)
def test_errors_say_what_to_write(act, says):
    with pytest.raises((ValueError, TypeError), match=says):
        act()


def test_stacking_says_what_is_missing():
    layer = {"w": np.ones([2])}
    with pytest.raises(ValueError, match=r"misses layers \[1\] of s/w"):
        sg.stack({"b_0": layer, "b_2": layer}, "b_{i}/*", "s/*")
    with pytest.raises(ValueError, match=r"write 'b{_i}/\*'"):
        sg.stack({"b": layer, "b_1": layer}, "b_{i}/*", "s/*")
    with pytest.raises(ValueError, match=r"misses layers \[1\] of s/b"):
        sg.stack({"b_0": {**layer, "b": np.ones([1])}, "b_1": layer}, "b_{i}/*", "s/*")
    with pytest.raises(ValueError, match=r"b_0/w is f64\[2\], b_1/w is f64\[3\]"):
        sg.stack({"b_0": layer, "b_1": {"w": np.ones([3])}}, "b_{i}/*", "s/*")
    with pytest.raises(ValueError, match="s/w, which is there already"):
        sg.stack({"b_0": layer, "s": layer}, "b_{i}/*", "s/*")


# Training a part, the programs of thread #372.


def loss(params):
    return jnp.mean(unrolled().apply(params, X) ** 2)


def test_frozen_parameters_stay_to_the_bit():
    params = unrolled().init(jax.random.key(0), X)
    labels = sg.labels(params, {"block*/**": "frozen"}, default="trained")
    optimizer = optax.multi_transform(
        {"trained": optax.adam(1e-2), "frozen": optax.set_to_zero()}, labels
    )
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    new = params
    for _ in range(5):
        new, state = step(new, state)
    changed = [change.path for change in sg.diff(params, new).changed]
    assert changed == ["head/b", "head/w"]
    assert loss(new) < loss(params)


def test_masked_decay_reaches_matrices_alone():
    params = unrolled().init(jax.random.key(0), X)
    params = hk.data_structures.to_immutable_dict(params)
    mask = sg.mask(params, "**/w")
    decay = optax.add_decayed_weights(0.5, mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = decay.update(zeros, decay.init(params), params)
    assert jnp.array_equal(updates["head"]["w"], 0.5 * params["head"]["w"])
    assert not updates["head"]["b"].any()
    assert jax.tree.structure(mask) == jax.tree.structure(params)


def test_gradients_of_one_part():
    params = unrolled().init(jax.random.key(0), X)
    fixed, trained = sg.split(params, "block*/**")
    grads = jax.grad(lambda trained: loss(sg.merge(fixed, trained)))(trained)
    assert not sg.diff(grads, sg.select(jax.grad(loss)(params), "head/*"), rtol=1e-6)


def test_an_optimizers_state_goes_with_the_parameters():
    params = unrolled().init(jax.random.key(0), X)
    optimizer = optax.chain(
        optax.masked(optax.adam(1e-2), lambda p: sg.mask(p, "**")), optax.trace(0.9)
    )
    state = optimizer.init(params)
    _, state = optimizer.update(jax.grad(loss)(params), state, params)

    def surgery(tree):
        return sg.stack(tree, "block{_i}/*", "stack/block/*")

    moved = sg.map_like(surgery, state, params)
    wanted = jax.eval_shape(optimizer.init, surgery(params))
    assert jax.tree.structure(moved) == jax.tree.structure(wanted)
    same = jax.tree.map(lambda a, b: a.shape == b.shape, moved, wanted)
    assert all(jax.tree.leaves(same))
    grads = surgery(jax.grad(loss)(params))
    updates, _ = optimizer.update(grads, moved, surgery(params))
    unmoved, _ = optimizer.update(jax.grad(loss)(params), state, params)
    assert not sg.diff(surgery(unmoved), updates, rtol=1e-6)


def test_renaming_for_fine_tuning():
    """A checkpoint of one model, loaded into another that has a head of its own."""
    old = unrolled().init(jax.random.key(0), X)
    net = hk.transform(lambda x: hk.nets.MLP([4, 4, 4, 7], name="net")(x))
    fresh = net.init(jax.random.key(1), X)
    body, _ = sg.split(old, "block*/*")
    body = sg.rename(
        body, {"block/*": "net/~/linear_0/*", "block_{i}/*": "net/~/linear_{i}/*"}
    )
    params = sg.merge(body, sg.select(fresh, "net/~/linear_3/*"))
    assert not [c for c in sg.diff(fresh, params).changed if c.shape]
    assert net.apply(params, None, X).shape == (2, 7)


# Differences in words.


def test_differences_in_words():
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


def test_differences_of_dtypes_shapes_and_tolerances():
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
