"""Mamba, Mamba-2 and gated delta nets beside transformers, with its weights."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

PATH = pathlib.Path(__file__).parents[1] / "oracle_values/mixers.json"
CASES = json.loads(PATH.read_text())["cases"]


def mamba(config, w):
    layer = hk.bind(
        hk.Mamba1,
        config["state_size"],
        expand=config["expand"],
        conv_size=config.get("conv_kernel", 4),
        time_step_rank=config.get("time_step_rank"),
        with_bias=config.get("use_bias", False),
        conv_bias=config.get("use_conv_bias", True),
    )
    names = {"in": "in_proj", "conv": "conv1d", "selection": "x_proj"}
    names |= {"time_step": "dt_proj", "out": "out_proj"}
    own = {"a_log": w["A_log"], "d": w["D"]}
    return layer, "mamba1", own, {k: affine(w, v) for k, v in names.items()}


def mamba2(config, w):
    layer = hk.bind(
        hk.Mamba2,
        config["state_size"],
        config["num_heads"],
        config["head_dim"],
        config["n_groups"],
        conv_size=config.get("conv_kernel", 4),
        with_bias=config.get("use_bias", False),
        time_step_limit=config.get("time_step_limit", (0.0, np.inf)),
        chunk_size=config.get("chunk_size", 256),
    )
    names = {"in": "in_proj", "conv": "conv1d", "out": "out_proj"}
    own = {"a_log": w["A_log"], "d": w["D"], "time_step_bias": w["dt_bias"]}
    parts = {k: affine(w, v) for k, v in names.items()}
    return layer, "mamba2", own, parts | {"norm": {"scale": w["norm.weight"]}}


def delta(config, w):
    heads, keys = config["linear_num_key_heads"], config["linear_key_head_dim"]
    values = config["linear_value_head_dim"]
    layer = hk.bind(hk.GatedDeltaNet, heads, keys, values, norm_eps=1e-6, chunk_size=3)

    def split(name, sizes):  # by head first, then by kind
        rows = w[f"{name}.weight"].reshape(heads, sum(sizes), -1)
        parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
        return [{"w": part.reshape(-1, rows.shape[-1]).T} for part in parts]

    each = split("in_proj_qkvz", [keys, keys, values, values])
    parts = dict(zip(("query", "key", "value", "gate"), each))
    parts["beta"], parts["decay"] = split("in_proj_ba", [1, 1])
    parts["decay"]["b"] = w["dt_bias"]
    parts |= {"conv": affine(w, "conv1d"), "output": affine(w, "out_proj")}
    parts["norm"] = {"scale": w["norm.weight"]}
    return layer, "gated_delta_net", {"a_log": w["A_log"]}, parts


def affine(w, name):
    """Weights ``[out, in]`` or ``[C, 1, K]``, with the axes in our order."""
    out = {"w": np.transpose(w[f"{name}.weight"])}
    return out | ({"b": w[f"{name}.bias"]} if f"{name}.bias" in w else {})


OURS = {"MambaModel": mamba, "Mamba2Model": mamba2, "Qwen3NextModel": delta}


@pytest.mark.parametrize("number", range(len(CASES)))
def test_outputs_and_gradients_are_those_of_transformers(number):
    case = CASES[number]
    w = {k: np.asarray(v, np.float32) for k, v in case["weights"].items()}
    x, y, gradient = (jnp.asarray(case[k]) for k in ("x", "y", "gradient"))
    layer, name, own, parts = OURS[case["architecture"]](case["config"], w)
    params = {name: own, **{f"{name}/{k}": v for k, v in parts.items()}}
    made = jax.jit(lambda x: layer.init(0, x))(x)
    shapes = jax.tree.map(jnp.shape, dict(made.params))
    assert jax.tree.map(jnp.shape, params) == shapes
    model = made.replace(params=jax.tree.map(jnp.asarray, params))
    np.testing.assert_allclose(jax.jit(model)(x)[0], y, rtol=2e-5, atol=2e-5)
    have = jax.jit(jax.grad(lambda x: jnp.sin(model(x)[0]).sum()))(x)
    np.testing.assert_allclose(have, gradient, rtol=2e-4, atol=2e-4)
