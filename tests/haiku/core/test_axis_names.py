"""Names for the axes of parameters: given in blocks, read by an abstract run."""

import jax
import jax.numpy as jnp
import pytest

import haiku as hk
from haiku._core.variables.axis_names import axis_names, logical_axes

KEY = jax.random.key(0)
X = jnp.ones([2, 4])


class Attention(hk.Module):
    """A layer that names its own axes."""

    _own_axes = {"query/w": ("embed", "heads"), "query/b": ("heads",)}

    def __call__(self, x):
        return hk.Linear(6, name="query")(x)


def transformer(x):
    x = Attention()(x)
    with logical_axes(w=(None, "mlp"), b=("mlp",)):
        x = hk.Linear(8, name="up")(x)
        with logical_axes(w=("mlp", "embed")):
            x = hk.Linear(4, name="down")(x)
    return hk.Linear(4, name="plain")(x)


def test_the_innermost_block_names_axes_and_layers_name_their_own():
    names, shapes = axis_names(hk.transform(transformer).init, KEY, X)
    assert names == {
        "attention/query": {"w": ("embed", "heads"), "b": ("heads",)},
        "up": {"w": (None, "mlp"), "b": ("mlp",)},
        "down": {"w": ("mlp", "embed"), "b": ("mlp",)},
        "plain": {"w": (None, None), "b": (None,)},
    }
    assert shapes["up"]["w"].shape == (6, 8)


def test_a_block_around_a_layer_goes_before_its_own_names():
    def f(x):
        with logical_axes(w=("length", None)):
            return Attention()(x)

    names, _ = axis_names(hk.transform(f).init, KEY, X)
    assert names["attention/query"] == {"w": ("length", None), "b": ("heads",)}


def test_parameters_stay_plain_arrays():
    named = hk.transform(transformer).init(KEY, X)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(named))
    layers = jax.tree.structure(named)
    assert layers == jax.tree.structure(jax.eval_shape(lambda: named))


def test_nothing_is_computed_and_shapes_are_enough():
    def f(x):
        if not isinstance(x, jax.core.Tracer):
            raise AssertionError("ran on numbers")
        return transformer(x)

    shape = jax.ShapeDtypeStruct([2, 4], jnp.float32)
    assert len(axis_names(hk.transform(f).init, KEY, shape)[0]) == 4


@pytest.mark.parametrize("wrap", ["stack", "ensemble", "lift"])
def test_axes_in_front_have_no_names(wrap):
    def block(x):
        with logical_axes(w=("embed", "mlp")):
            return hk.Linear(4, name="dense")(x)

    def f(x):
        if wrap == "stack":
            return hk.layer_stack(3, name="inner")(block)(x)
        if wrap == "lift":
            init = hk.transform(block).init
            return hk.lift(init, name="inner")(hk.next_rng_key(), x)
        return hk.ensemble(block, 3)(x)

    net = hk.transform(f)
    path = "dense" if wrap == "ensemble" else "inner/dense"
    names, _ = axis_names(net.init, KEY, X)
    assert names == {path: {"w": ("embed", "mlp"), "b": (None,)}}
    rank = len(net.init(KEY, X)[path]["w"].shape)
    assert rank == (2 if wrap == "lift" else 3)


def test_names_for_another_number_of_axes_are_an_error():
    def f(x):
        with logical_axes(w=("embed",)):
            return hk.Linear(4)(x)

    with pytest.raises(ValueError, match=r"linear/w has 2 axes, \[4, 4\].*for 1"):
        hk.transform(f).init(KEY, X)


def test_the_same_init_is_read_anew_each_time():
    chosen = {"w": ("a", "b")}

    def f(x):
        with logical_axes(**chosen):
            return hk.Linear(4)(x)

    init = hk.transform(f).init
    assert axis_names(init, KEY, X)[0]["linear"]["w"] == ("a", "b")
    chosen["w"] = ("c", None)
    assert axis_names(init, KEY, X)[0]["linear"]["w"] == ("c", None)
