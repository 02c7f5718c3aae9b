"""Every view draws every kind of module."""

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

info = hk.experimental.jaxpr_info
IMAGE = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
ROW = jax.ShapeDtypeStruct((2, 6), jnp.float32)
SERIES = jax.ShapeDtypeStruct((2, 6, 3), jnp.float32)
NUMBERS = jax.ShapeDtypeStruct((2, 6), jnp.int32)
VOLUME = jax.ShapeDtypeStruct((2, 4, 4, 4, 3), jnp.float32)


def attend(x):
    return hk.MultiHeadAttention(2, 3, w_init_scale=1.0)(x, x, x)


def deep():
    return hk.DeepRNN([hk.LSTM(4), jax.nn.relu, hk.GRU(3)])


def recurrent(core):
    def f(x):
        cell = core()
        return hk.dynamic_unroll(cell, x, cell.initial_state(x.shape[1]))[0]

    return f


def stack(x):
    return hk.experimental.layer_stack(3)(lambda x: hk.Linear(6)(x))(x)


def loop(x):
    linear = hk.Linear(6)
    return hk.scan(lambda c, _: (linear(c), None), x, None, length=2)[0]


def branch(x):
    linear = hk.Linear(6)
    if hk.running_init():
        return linear(x)
    return hk.cond(x.sum() > 0, linear, lambda x: x, x)


MODULES = {
    "linear": (lambda x: hk.Linear(3)(x), ROW),
    "embed": (lambda x: hk.Embed(9, 3)(x), NUMBERS),
    "conv1d": (lambda x: hk.Conv1D(3, 3)(x), SERIES),
    "conv2d": (lambda x: hk.Conv2D(3, 3)(x), IMAGE),
    "conv3d": (lambda x: hk.Conv3D(3, 3)(x), VOLUME),
    "conv2d transposed": (lambda x: hk.Conv2DTranspose(3, 3)(x), IMAGE),
    "depthwise": (lambda x: hk.DepthwiseConv2D(2, 3)(x), IMAGE),
    "separable": (lambda x: hk.SeparableDepthwiseConv2D(2, 3)(x), IMAGE),
    "pools": (lambda x: hk.MaxPool(2, 2, "SAME")(hk.AvgPool(2, 2, "SAME")(x)), IMAGE),
    "batch norm": (lambda x: hk.BatchNorm(True, True, 0.9)(x, True), IMAGE),
    "layer norm": (lambda x: hk.LayerNorm(-1, True, True)(x), ROW),
    "group norm": (lambda x: hk.GroupNorm(3)(x), IMAGE),
    "instance norm": (lambda x: hk.InstanceNorm(True, True)(x), IMAGE),
    "rms norm": (lambda x: hk.RMSNorm(-1)(x), ROW),
    "spectral norm": (lambda x: hk.SpectralNorm()(x), ROW),
    "attention": (attend, SERIES),
    "dropout": (lambda x: hk.dropout(hk.next_rng_key(), 0.5, hk.Bias()(x)), ROW),
    "vanilla": (recurrent(lambda: hk.VanillaRNN(4)), SERIES),
    "lstm": (recurrent(lambda: hk.LSTM(4)), SERIES),
    "gru": (recurrent(lambda: hk.GRU(4)), SERIES),
    "deep": (recurrent(deep), SERIES),
    "batch apply": (lambda x: hk.BatchApply(hk.Linear(2))(x), SERIES),
    "sequential": (lambda x: hk.Sequential([hk.Flatten(), hk.Linear(2)])(x), IMAGE),
    "mlp": (lambda x: hk.nets.MLP([3, 2])(x), ROW),
    "quantizer": (lambda x: hk.nets.VectorQuantizer(6, 4, 0.25)(x, True), ROW),
    "layer stack": (stack, ROW),
    "loop": (loop, ROW),
    "branch": (branch, ROW),
    "remat": (lambda x: hk.remat(hk.Linear(2))(x), ROW),
    "vmap": (lambda x: hk.vmap(hk.Linear(2), split_rng=False)(x), ROW),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_every_view_shows_every_module(name):
    f, spec = MODULES[name]
    net = hk.transform_with_state(f)
    key = jax.random.key(0)
    params, state = jax.eval_shape(net.init, key, spec)
    size = hk.data_structures.tree_size(params)

    calls = hk.experimental.eval_summary(f)(spec)
    assert calls or name == "dropout"
    owned = {n: s for call in calls for n, s in call.module_details.params.items()}
    if name not in ("layer stack", "vmap"):  # Inside, a module sees one slice.
        assert sum(spec.size for spec in owned.values()) == size
    assert "+==" in hk.experimental.tabulate(f)(spec)

    dot = hk.experimental.abstract_to_dot(net.apply)(params, state, key, spec)
    lines = dot.splitlines()
    assert "fillcolor" in dot and lines.count("}") == 1 + dot.count("subgraph ")

    module = info.make_model_info(net.apply, compute_flops=hk.views.flops)(
        params, state, key, spec
    )
    assert module.expressions and len(info.format_module(module).splitlines()) > 2
    assert info.as_html_page(module, min_flop=0).count("<details") > 1
