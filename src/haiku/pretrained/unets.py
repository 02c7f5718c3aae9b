"""Families of diffusers' U-Nets, by class: their configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.unet import UNet
from haiku.nets.unet_config import UNetConfig
from haiku.pretrained.activations import written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import DIFFUSERS, Family, Fields, Head, Net
from haiku.pretrained.json_files import shown
from haiku.pretrained.unet_weights import ENDS, counts_of, rules_of, stacks_of


def _inputs(c: UNetConfig) -> tuple[Any, ...]:
    side = 2 ** (len(c.sizes) - 1)
    images = jax.ShapeDtypeStruct((1, side, side, c.channels), jnp.float32)
    timesteps = jax.ShapeDtypeStruct((1,), jnp.int32)
    if not c.crosses:
        return images, timesteps
    shape = (1, 1, c.context_size or 0)
    return images, timesteps, jax.ShapeDtypeStruct(shape, jnp.float32)


NET = Net(UNet, UNetConfig, _inputs, stacks_of)


# ---- Configs -------------------------------------------------------------------------

# Keys that change no number: `sample_size` and `num_train_timesteps` only inform,
# `upcast_attention` is of how to compute, `mid_block_only_cross_attention` isn't read
# for the middle that is known here, and `addition_...` and `projection_...` without
# `addition_embed_type` and `class_embed_type` neither.

_UNREAD = (
    *("num_train_timesteps", "addition_time_embed_dim"),
    *("addition_embed_type_num_heads", "projection_class_embeddings_input_dim"),
)
_SELF_KINDS = {"DownBlock2D": None, "AttnDownBlock2D": "self"}
_CROSS_KINDS = {"DownBlock2D": None, "CrossAttnDownBlock2D": "cross"}
_FIXED = {
    "time_embedding_type": "positional",
    "mid_block_scale_factor": 1,
    "class_embed_type": None,
    "num_class_embeds": None,
}
_FIXED_SELF = _FIXED | {"downsample_type": "conv", "upsample_type": "conv"}
_FIXED_CROSS = _FIXED | {
    "num_attention_heads": None,
    "reverse_transformer_layers_per_block": None,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "addition_embed_type": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "time_cond_proj_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "cross_attention_norm": None,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1,
}
_ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu": "gelu", "relu": "relu"}
_CONDITIONS = ("class_embed_type", "num_class_embeds", "addition_embed_type")


def _refuse_others(keys: Keys, fixed: Mapping[str, Any]) -> None:
    for key, value in fixed.items():
        why = "nets without it are known." if value is None else f"{value!r} is known."
        if key in _CONDITIONS:
            why = "nets that read images, timesteps and a context are known."
        keys.refuse(key, unless=value, why=f"Only {why}")


def _read_both(
    keys: Keys, fixed: Mapping[str, Any], channels: int, kinds: Mapping[str, Any]
) -> Fields:
    """Keys of both classes; `channels` and `kinds` stand for those that are missing."""
    _refuse_others(keys, fixed)
    keys.pair("sample_size", None)
    for key in _UNREAD:
        keys.size(key, None)
    sizes = keys.sizes("block_out_channels", _DEFAULT_SIZES[channels])
    groups = keys.size("norm_num_groups", 32)
    if any(size % groups for size in sizes):
        raise ValueError(
            f"{keys.where}: norm_num_groups {groups} must divide each of "
            f"block_out_channels, {shown(list(sizes))}."
        )
    shift = keys.number("freq_shift", 0)
    if shift not in (0, 1):
        raise ValueError(f"{keys.where}: freq_shift must be 0 or 1, and is {shift}.")
    padding = keys.count("downsample_padding", 1)
    keys.refuse("downsample_padding", unless=min(padding, 1), why="Known are 0 and 1.")
    scaled = keys.choice(
        "resnet_time_scale_shift", ("default", "scale_shift"), "default"
    )
    not_there = "flip_sin_to_cos" not in keys.values  # null means false
    return {
        "sizes": sizes,
        "channels": keys.size("in_channels", channels),
        "out_channels": keys.size("out_channels", channels),
        "attention": _read_attention(keys, kinds, len(sizes)),
        "time_size": keys.size("time_embedding_dim", None),
        "scale_shift": scaled == "scale_shift",
        "groups": groups,
        "norm_eps": keys.number("norm_eps", 1e-5),
        "activation": _ACTIVATIONS[keys.choice("act_fn", tuple(_ACTIVATIONS), "silu")],
        "cosines_first": keys.flag("flip_sin_to_cos", not_there),
        "endpoint": shift == 1,
        "downsample_padding": padding,
        "centered": keys.flag("center_input_sample", False),
        "dropout": keys.number("dropout", 0.0),
    }


_DEFAULT_SIZES = {3: (224, 448, 672, 896), 4: (320, 640, 1280, 1280)}


def _read_attention(
    keys: Keys, kinds: Mapping[str, Any], levels: int
) -> tuple[str | None, ...]:
    """What follows residual blocks in each level, the same on the way up."""
    plain, attends = kinds
    crosses = kinds[attends] == "cross"
    missing = [attends] * 3 + [plain] if crosses else [plain] + [attends] * 3
    downs = keys.texts("down_block_types", tuple(kinds), levels) or missing
    names = tuple(x.replace("Down", "Up") for x in kinds)
    ups = keys.texts("up_block_types", names, levels)
    ups = ups or [x.replace("Down", "Up") for x in reversed(missing)]
    wanted = [x.replace("Down", "Up") for x in reversed(downs)]
    if len(downs) != levels or ups != wanted:
        raise ValueError(
            f"{keys.where}: up_block_types must be down_block_types in reverse, one "
            f"for each of the {levels} levels, {shown(wanted)}, and is {shown(ups)}."
        )
    return tuple(kinds[x] for x in downs)


def _write_both(c: UNetConfig, kinds: Mapping[str, Any]) -> dict[str, Any]:
    names = {kind: name for name, kind in kinds.items()}
    if not {*c.attention} <= {*names}:
        raise ValueError(f"Its attention is one of {[*names]}.")
    downs = [names[kind] for kind in c.attention]
    return {
        "block_out_channels": list(c.sizes),
        "in_channels": c.channels,
        "out_channels": c.out_channels,
        "down_block_types": downs,
        "up_block_types": [x.replace("Down", "Up") for x in reversed(downs)],
        "layers_per_block": _of_levels(c.layers_per_block),
        "time_embedding_dim": None if c.time_size == 4 * c.sizes[0] else c.time_size,
        "resnet_time_scale_shift": "scale_shift" if c.scale_shift else "default",
        "norm_num_groups": c.groups,
        "norm_eps": c.norm_eps,
        "act_fn": written_activation(c.activation),
        "flip_sin_to_cos": c.cosines_first,
        "freq_shift": int(c.endpoint),
        "downsample_padding": c.downsample_padding,
        "center_input_sample": c.centered,
        "dropout": c.dropout,
    }


def _of_levels(values: Sequence[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else list(values)


def _check_heads(keys: Keys, fields: Fields, heads: Sequence[int], what: str) -> None:
    """Raises unless heads divide the channels where there is attention."""
    attends = [kind is not None for kind in fields["attention"]]
    attends[-1] |= fields["mid"] in ("self", "cross")
    for one, number, size in zip(attends, heads, fields["sizes"]):
        if one and size % number:
            raise ValueError(
                f"{keys.where}: attention_head_dim, the {what}, is {number}, and must "
                f"divide the {size} of block_out_channels."
            )


def read_self(keys: Keys) -> Fields:
    """UNet2DModel: pixels attend to each other."""
    fields = _read_both(keys, _FIXED_SELF, 3, _SELF_KINDS)
    fields["mid"] = None
    if keys.values.get("mid_block_type", "UNetMidBlock2D") is not None:
        keys.choice("mid_block_type", ("UNetMidBlock2D",), None)
        attends = keys.flag("add_attention", "add_attention" not in keys.values)
        fields["mid"] = "self" if attends else "plain"
    head_size = keys.size("attention_head_dim", None)
    if "attention_head_dim" not in keys.values:
        head_size = 8
    if head_size is not None:
        heads = [head_size] * len(fields["sizes"])
        _check_heads(keys, fields, heads, "size of a head")
    groups, own = fields["groups"], keys.size("attn_norm_num_groups", None)
    known = (groups,) if fields["scale_shift"] else (groups, None)
    if fields["mid"] == "self" and own not in known:
        raise ValueError(
            f"{keys.where}: attn_norm_num_groups is {own}. Only norm_num_groups, "
            f"{groups}, is known{'' if fields['scale_shift'] else ', or none'}."
        )
    return fields | {
        "head_size": head_size,
        "layers_per_block": keys.size("layers_per_block", 2),
        "outer_activation": "silu",
    }


def write_self(c: UNetConfig) -> dict[str, Any]:
    """Keys of UNet2DModel."""
    sizes = {size // heads for size, heads in zip(c.sizes, c.num_heads)}
    one = set(c.num_heads) == {1}
    if not one and len(sizes) > 1:
        raise ValueError("Its heads have one size.")
    return _write_both(c, _SELF_KINDS) | {
        "mid_block_type": None if c.mid is None else "UNetMidBlock2D",
        "add_attention": c.mid != "plain",
        "attention_head_dim": None if one else sizes.pop(),
        "attn_norm_num_groups": c.groups if c.scale_shift else None,
    }


def read_cross(keys: Keys) -> Fields:
    """UNet2DConditionModel: pixels attend to a context."""
    fields = _read_both(keys, _FIXED_CROSS, 4, _CROSS_KINDS)
    levels = len(fields["sizes"])
    fields["mid"] = None
    if keys.values.get("mid_block_type", "UNetMidBlock2DCrossAttn") is not None:
        keys.choice("mid_block_type", ("UNetMidBlock2DCrossAttn",), None)
        fields["mid"] = "cross"
    keys.flag("upcast_attention", False)
    keys.flag("mid_block_only_cross_attention", False)
    heads = keys.per_level("attention_head_dim", levels, 8)
    _check_heads(keys, fields, heads, "number of heads")
    crosses = "cross" in (*fields["attention"], fields["mid"])
    context_sizes = keys.per_level("cross_attention_dim", levels, 1280)
    if len(set(context_sizes)) > 1:
        raise ValueError(
            f"{keys.where}: cross_attention_dim is {shown(list(context_sizes))}. Only "
            "one size for all levels is known, that of the context."
        )
    return fields | {
        "layers_per_block": keys.per_level("layers_per_block", levels, 2),
        "num_heads": heads,
        "context_size": context_sizes[0] if crosses else None,
        "transformer_layers": keys.per_level("transformer_layers_per_block", levels, 1),
        "only_cross": keys.flags("only_cross_attention", levels, False),
        "linear_maps": keys.flag("use_linear_projection", False),
    }


def write_cross(c: UNetConfig) -> dict[str, Any]:
    """Keys of UNet2DConditionModel."""
    return _write_both(c, _CROSS_KINDS) | {
        "mid_block_type": None if c.mid is None else "UNetMidBlock2DCrossAttn",
        "attention_head_dim": _of_levels(c.num_heads),
        "cross_attention_dim": c.context_size or 1280,
        "transformer_layers_per_block": _of_levels(c.transformer_layers),
        "only_cross_attention": _of_levels(c.only_cross),
        "use_linear_projection": c.linear_maps,
    }


# ---- Families ------------------------------------------------------------------------

# Names in folders made before diffusers 0.15.
_OLD_NAMES = {
    f".{old}.{kind}": f".{new}.{kind}"
    for old, new in (
        *(("query", "to_q"), ("key", "to_k"), ("value", "to_v")),
        ("proj_attn", "to_out.0"),
    )
    for kind in ("weight", "bias")
}
UNETS: dict[str, Family] = {
    "UNet2DModel": Family(
        NET,
        read_self,
        write_self,
        ENDS,
        {"UNet2DModel": Head({})},
        layers={},
        prefix="",
        renamed=_OLD_NAMES,
        rules_of=rules_of,
        counts=counts_of,
        library=DIFFUSERS,
    ),
    "UNet2DConditionModel": Family(
        NET,
        read_cross,
        write_cross,
        ENDS,
        {"UNet2DConditionModel": Head({})},
        layers={},
        prefix="",
        rules_of=rules_of,
        counts=counts_of,
        library=DIFFUSERS,
    ),
}
