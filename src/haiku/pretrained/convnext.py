"""Families of ConvNeXt, by `model_type`: their weights, configs and heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.convnext import ConvNeXt
from haiku.nets.convnext_config import ConvNeXtConfig
from haiku.pretrained.activations import read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.json_files import shown
from haiku.pretrained.layouts import CONVOLUTION, Layout, Rule, linear, norm


def images_of(config: ConvNeXtConfig) -> jax.ShapeDtypeStruct:
    """The smallest image."""
    shape = (1, *config.smallest_image, config.channels)
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def stacks_of(config: ConvNeXtConfig) -> dict[str, tuple[int, ...]]:
    """The blocks of each stage, which are alike."""
    return {f"stage_{i}": (0,) * n for i, n in enumerate(config.num_layers)}


NET = Net(ConvNeXt, ConvNeXtConfig, lambda c: (images_of(c),), stacks_of)


# ---- Weights -------------------------------------------------------------------------


def _convolution(theirs: str, ours: str) -> tuple[Rule, Rule]:
    weights = Rule(f"{theirs}.weight", f"{ours}/w", CONVOLUTION)
    return weights, Rule(f"{theirs}.bias", f"{ours}/b")


_AROUND = (
    *_convolution("^embeddings.patch_embeddings", "patch_embed"),
    *norm("^embeddings.layernorm", "embed_norm"),
    *norm("^layernorm", "norm"),
)
_RESPONSE = Layout(lead=3)


def _stages(config: ConvNeXtConfig) -> tuple[Rule, ...]:
    return tuple(rule for i in range(len(config.num_layers)) for rule in _stage(i))


def _stage(i: int) -> tuple[Rule, ...]:
    stage, block = f"^encoder.stages.{i}", f"stage_{i}/block"
    layer = f"{stage}.layers.{{i}}"
    return (
        *norm(f"{stage}.downsampling_layer.0", f"stage_{i}/downsample_norm"),
        *_convolution(f"{stage}.downsampling_layer.1", f"stage_{i}/downsample"),
        *_convolution(f"{layer}.dwconv", f"{block}/conv"),
        *norm(f"{layer}.layernorm", f"{block}/norm"),
        *linear(f"{layer}.pwconv1", f"{block}/mlp/up"),
        Rule(f"{layer}.grn.weight", f"{block}/mlp/norm/scale", _RESPONSE),
        Rule(f"{layer}.grn.bias", f"{block}/mlp/norm/offset", _RESPONSE),
        *linear(f"{layer}.pwconv2", f"{block}/mlp/down"),
        Rule(f"{layer}.layer_scale_parameter", f"{block}/scale/scale"),
    )


# ---- Configs -------------------------------------------------------------------------

# `image_size` is checked, and means nothing to a net that takes any; `stage_names`,
# `out_features` and `out_indices` are of backbones, `initializer_range` of first
# values.


def _read_both(keys: Keys) -> Fields:
    keys.pair("image_size", 224)
    rate = _number(keys, "drop_path_rate", 0.0, "in [0, 1)", lambda x: 0 <= x < 1)
    return {
        "model_sizes": _of_stages(keys, "hidden_sizes", [96, 192, 384, 768]),
        "num_layers": _of_stages(keys, "depths", [3, 3, 9, 3]),
        "patch_size": keys.pair("patch_size", 4),
        "channels": keys.size("num_channels", 3),
        "activation": read_activation(keys, "hidden_act", "gelu"),
        "pooled_norm_eps": _number(
            keys, "layer_norm_eps", 1e-12, "of at least 0", lambda x: x >= 0
        ),
        "stochastic_depth": rate,
    }


def _of_stages(keys: Keys, key: str, default: list[int]) -> tuple[int, ...]:
    values, stages = keys.sizes(key, default), keys.size("num_stages", 4)
    if len(values) != stages:
        raise ValueError(
            f"{keys.where}: {key} must have one entry for each of the num_stages "
            f"{shown(stages)}, and is {shown(values)}."
        )
    return tuple(values)


def _number(
    keys: Keys, key: str, default: float, wanted: str, fits: Callable[[float], bool]
) -> float:
    value = keys.number(key, default)
    if not fits(value):
        raise ValueError(
            f"{keys.where}: {key} must be a number {wanted}, and is {shown(value)}."
        )
    return value


def _write_both(c: ConvNeXtConfig) -> dict[str, Any]:
    height, width = c.patch_size
    return {
        "num_channels": c.channels,
        "patch_size": height if height == width else [height, width],
        "num_stages": len(c.num_layers),
        "hidden_sizes": list(c.model_sizes),
        "depths": list(c.num_layers),
        "hidden_act": written_activation(c.activation),
        "layer_norm_eps": c.pooled_norm_eps,
        "drop_path_rate": c.stochastic_depth,
    }


def read_convnext(keys: Keys) -> Fields:
    """ConvNeXt: a scale at the end of each block, unless it begins at 0."""
    scale = keys.number("layer_scale_init_value", 1e-6)
    return _read_both(keys) | {"layer_scale": scale if scale > 0 else None}


def write_convnext(c: ConvNeXtConfig) -> dict[str, Any]:
    """Keys of ConvNeXt."""
    return _write_both(c) | {"layer_scale_init_value": float(c.layer_scale or 0)}


def read_convnextv2(keys: Keys) -> Fields:
    """ConvNeXt V2: the units of the MLPs are normalised, and nothing is scaled."""
    return _read_both(keys) | {"layer_scale": None, "response_norm": True}


def write_convnextv2(c: ConvNeXtConfig) -> dict[str, Any]:
    """Keys of ConvNeXt V2."""
    return _write_both(c)


# ---- Families ------------------------------------------------------------------------

_CLASSES = linear("classifier", "head")


def _heads(model: str) -> dict[str, Head]:
    return {
        f"{model}Model": Head({"head": None}),
        f"{model}ForImageClassification": Head({"head": "classes"}, _CLASSES),
    }


_LAYERS = {"depths": "encoder.stages.{i}.layers"}
CONVNEXTS: dict[str, Family] = {
    "convnext": Family(
        NET,
        read_convnext,
        write_convnext,
        _AROUND,
        _heads("ConvNext"),
        layers=_LAYERS,
        prefix="convnext.",
        rules_of=_stages,
    ),
    "convnextv2": Family(
        NET,
        read_convnextv2,
        write_convnextv2,
        _AROUND,
        _heads("ConvNextV2"),
        layers=_LAYERS,
        prefix="convnextv2.",
        rules_of=_stages,
    ),
}
