"""diffusers' `DiTTransformer2DModel`: its weights and config."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.dit import DiT
from haiku.nets.dit_config import DiTConfig
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import DIFFUSERS, Family, Fields, Head, Net
from haiku.pretrained.layouts import CONVOLUTION, Rule, linear, norm


def _inputs(config: DiTConfig) -> tuple[jax.ShapeDtypeStruct, ...]:
    """An image of one patch, its timestep and label."""
    return (
        jax.ShapeDtypeStruct((1, *config.patch_size, config.channels), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
    )


# ---- Weights -------------------------------------------------------------------------

_LAYER = "transformer_blocks.{i}"
_RULES = (
    Rule("pos_embed.proj.weight", "patch_embed/conv/w", CONVOLUTION),
    Rule("pos_embed.proj.bias", "patch_embed/conv/b"),
    *linear(
        f"{_LAYER}.norm1.linear",
        tuple(
            f"block/{name}"
            for of in ("attention", "mlp")
            for name in (f"{of}_norm/shift", f"{of}_norm/scale", f"{of}_gate")
        ),
    ),
    *linear(f"{_LAYER}.attn1.to_q", "block/attention/query"),
    *linear(f"{_LAYER}.attn1.to_k", "block/attention/key"),
    *linear(f"{_LAYER}.attn1.to_v", "block/attention/value"),
    *linear(f"{_LAYER}.attn1.to_out.0", "block/attention/output"),
    *norm(f"{_LAYER}.norm3", "block/mlp_affine"),
    *linear(f"{_LAYER}.ff.net.2", "block/mlp/down"),
    *linear("proj_out_1", ("norm/shift", "norm/scale")),
    *linear("proj_out_2", "head"),
)


def _rules_of(config: DiTConfig) -> tuple[Rule, ...]:
    """The MLP's first map, and the condition's embeddings, of all blocks or of each."""
    ups = ("block/mlp/up", "block/mlp/gate") if config.gated else "block/mlp/up"
    ours = "condition" if config.shared_condition else "block/condition"
    theirs = f"{_LAYER}.norm1.emb"
    return (
        *linear(f"{_LAYER}.ff.net.0.proj", ups),
        *linear(f"{theirs}.timestep_embedder.linear_1", f"{ours}/up"),
        *linear(f"{theirs}.timestep_embedder.linear_2", f"{ours}/down"),
        Rule(
            f"{theirs}.class_embedder.embedding_table.weight",
            f"{ours}/labels/embeddings",
        ),
    )


# ---- Configs -------------------------------------------------------------------------

_MLPS = {
    "gelu": ("gelu", False),
    "gelu-approximate": ("gelu_tanh", False),
    "geglu": ("gelu", True),
    "geglu-approximate": ("quick_gelu", False),
    "swiglu": ("silu", True),
    "linear-silu": ("silu", False),
}


def read_dit(keys: Keys) -> Fields:
    """Keys of diffusers. `upcast_attention` and `norm_num_groups` change no number."""
    keys.choice("norm_type", ("ada_norm_zero",), "ada_norm_zero")
    keys.flag("upcast_attention", False)
    keys.size("norm_num_groups", 32)
    heads = keys.size("num_attention_heads", 16)
    head_size = keys.size("attention_head_dim", 72)
    if heads * head_size % 4:
        raise ValueError(
            f"{keys.where}: num_attention_heads * attention_head_dim must be a "
            f"multiple of 4, and is {heads} * {head_size}."
        )
    image_size, patch_size = keys.size("sample_size", 32), keys.size("patch_size", 2)
    if image_size < patch_size:
        raise ValueError(
            f"{keys.where}: sample_size is {image_size}, below patch_size, "
            f"{patch_size}."
        )
    channels = keys.size("in_channels", 4)
    activation = keys.choice("activation_fn", tuple(_MLPS), "gelu-approximate")
    return {
        "image_size": image_size,
        "patch_size": patch_size,
        "model_size": heads * head_size,
        "num_layers": keys.size("num_layers", 28),
        "num_heads": heads,
        "num_classes": keys.size("num_embeds_ada_norm", 1000),
        "channels": channels,
        "out_channels": keys.size("out_channels", channels),
        "norm_eps": keys.number("norm_eps", 1e-5),
        "norm_affine": keys.flag("norm_elementwise_affine", False),
        "attention_bias": keys.flag("attention_bias", True),
        "dropout": keys.number("dropout", 0.0),
        **dict(zip(("activation", "gated"), _MLPS[activation])),
    }


def write_dit(c: DiTConfig) -> dict[str, Any]:
    """Keys of diffusers; without an activation that it has, not those of `c`."""
    activations = {ours: theirs for theirs, ours in _MLPS.items()}
    return {
        "sample_size": c.image_size[0],
        "patch_size": c.patch_size[0],
        "num_attention_heads": c.num_heads,
        "attention_head_dim": c.model_size // c.num_heads,
        "num_layers": c.num_layers,
        "num_embeds_ada_norm": c.num_classes,
        "in_channels": c.channels,
        "out_channels": c.out_channels,
        "norm_type": "ada_norm_zero",
        "norm_eps": c.norm_eps,
        "norm_elementwise_affine": c.norm_affine,
        "attention_bias": c.attention_bias,
        "dropout": c.dropout,
        "activation_fn": activations.get((c.activation, c.gated)),
    }


# ---- The family ----------------------------------------------------------------------

DIT = Family(
    Net(DiT, DiTConfig, _inputs),
    read_dit,
    write_dit,
    _RULES,
    {"DiTTransformer2DModel": Head({})},
    layers={"num_layers": "transformer_blocks"},
    prefix="",
    rules_of=_rules_of,
    repeated=("shared_condition", "norm1.emb."),
    library=DIFFUSERS,
)
