"""All functions of surgery: every kind of tree, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

sg = hk.surgery


def unrolled(layers=3):
    def f(x):
        for _ in range(layers):
            x = jax.nn.relu(hk.Linear(4, name="block")(x))
        return hk.Linear(2, name="head")(x)

    return hk.without_apply_rng(hk.transform(f))


X = jnp.arange(8.0).reshape(2, 4)


@pytest.mark.parametrize("kind", ["dict", "flat map", "numpy", "shapes", "traced"])
def test_every_kind_of_tree_works(kind):
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
