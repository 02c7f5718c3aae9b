"""`hk.surgery.stack` and `unstack`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk

sg = hk.surgery


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


@given(st.integers(1, 12), st.booleans(), st.sampled_from([0, 1, -1]))
@settings(max_examples=30, deadline=None)
def test_unstack_undoes_stack(layers, haiku_numbers, axis):
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
    with pytest.raises(ValueError, match="s/w, which exists already"):
        sg.stack({"b_0": layer, "s": layer}, "b_{i}/*", "s/*")
