"""Families of vision transformers, by `model_type`: weights, configs and heads."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from haiku.nets.vision_transformer import VisionTransformer
from haiku.nets.vision_transformer_config import VisionTransformerConfig
from haiku.pretrained.activations import read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.layouts import CONVOLUTION, LINEAR, Layout, Rule, linear, norm


def images_of(config: VisionTransformerConfig) -> jax.ShapeDtypeStruct:
    """One image of training."""
    sizes = (n * p for n, p in zip(config.grid, config.patch_size))
    return jax.ShapeDtypeStruct((1, *sizes, config.channels), jnp.float32)


NET = Net(VisionTransformer, VisionTransformerConfig, lambda c: (images_of(c),))


# ---- Weights -------------------------------------------------------------------------


def _patches(theirs: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{theirs}.weight", "patch_embed/conv/w", CONVOLUTION),
        Rule(f"{theirs}.bias", "patch_embed/conv/b"),
    )


_LAYER = "^encoder.layer.{i}"
_VIT_EMBEDDINGS = (
    *_patches("^embeddings.patch_embeddings.projection"),
    Rule("^embeddings.cls_token", "class_token", Layout(lead=2)),
    Rule("^embeddings.position_embeddings", "positions/embeddings", Layout(lead=1)),
    *linear(f"{_LAYER}.attention.attention.query", "block/attention/query"),
    *linear(f"{_LAYER}.attention.attention.key", "block/attention/key"),
    *linear(f"{_LAYER}.attention.attention.value", "block/attention/value"),
    *linear(f"{_LAYER}.attention.output.dense", "block/attention/output"),
    *norm("^layernorm", "norm"),
)
_VIT = (
    *_VIT_EMBEDDINGS,
    *norm(f"{_LAYER}.layernorm_before", "block/attention_norm"),
    *norm(f"{_LAYER}.layernorm_after", "block/mlp_norm"),
    *linear(f"{_LAYER}.intermediate.dense", "block/mlp/up"),
    *linear(f"{_LAYER}.output.dense", "block/mlp/down"),
)
_DINOV2 = (
    *_VIT_EMBEDDINGS,
    Rule("^embeddings.mask_token", "mask_token", Layout(lead=1)),
    Rule("^embeddings.register_tokens", "registers", Layout(lead=1)),
    *norm(f"{_LAYER}.norm1", "block/attention_norm"),
    Rule(f"{_LAYER}.layer_scale1.lambda1", "block/attention_scale/scale"),
    *norm(f"{_LAYER}.norm2", "block/mlp_norm"),
    Rule(f"{_LAYER}.layer_scale2.lambda1", "block/mlp_scale/scale"),
)


def _dinov2_mlp(c: VisionTransformerConfig) -> tuple[Rule, ...]:
    if c.gated:
        return (
            *linear(f"{_LAYER}.mlp.weights_in", ("block/mlp/gate", "block/mlp/up")),
            *linear(f"{_LAYER}.mlp.weights_out", "block/mlp/down"),
        )
    return (
        *linear(f"{_LAYER}.mlp.fc1", "block/mlp/up"),
        *linear(f"{_LAYER}.mlp.fc2", "block/mlp/down"),
    )


_ATTENTION = "^encoder.layers.{i}.self_attn"
# The blocks of CLIP and SigLIP, of images and of texts.
TOWER = (
    *norm("^encoder.layers.{i}.layer_norm1", "block/attention_norm"),
    *linear(f"{_ATTENTION}.q_proj", "block/attention/query"),
    *linear(f"{_ATTENTION}.k_proj", "block/attention/key"),
    *linear(f"{_ATTENTION}.v_proj", "block/attention/value"),
    *linear(f"{_ATTENTION}.out_proj", "block/attention/output"),
    *norm("^encoder.layers.{i}.layer_norm2", "block/mlp_norm"),
    *linear("^encoder.layers.{i}.mlp.fc1", "block/mlp/up"),
    *linear("^encoder.layers.{i}.mlp.fc2", "block/mlp/down"),
)
_QUERY_KEY_VALUE = tuple(f"pooler/attention/{x}" for x in ("query", "key", "value"))
VISION_TOWER = (
    *_patches("^embeddings.patch_embedding"),
    Rule("^embeddings.class_embedding", "class_token"),
    Rule("^embeddings.position_embedding.weight", "positions/embeddings"),
    *norm("^pre_layrnorm", "embed_norm"),
    *TOWER,
    *norm("^post_layernorm", "norm"),
    Rule("^head.probe", "pooler/query", Layout(lead=2)),
    Rule(
        "^head.attention.in_proj_weight",
        tuple(f"{x}/w" for x in _QUERY_KEY_VALUE),
        LINEAR,
    ),
    Rule("^head.attention.in_proj_bias", tuple(f"{x}/b" for x in _QUERY_KEY_VALUE)),
    *linear("^head.attention.out_proj", "pooler/attention/output"),
    *norm("^head.layernorm", "pooler/mlp_norm"),
    *linear("^head.mlp.fc1", "pooler/mlp/up"),
    *linear("^head.mlp.fc2", "pooler/mlp/down"),
)


# ---- Heads ---------------------------------------------------------------------------

CLASSES = linear("classifier", "head")
_VIT_HEADS = {
    "ViTModel": Head(
        {"head": None},
        linear("^pooler.dense", "pooler"),
        optional=("pooler", "tanh", None),
    ),
    "ViTForImageClassification": Head(
        {"head": "classes", "pooling": "first", "pooler": None},
        CLASSES,
        ignored=("*pooler.*",),
    ),
}


def _dinov2_heads(model: str) -> dict[str, Head]:
    return {
        f"{model}Model": Head({"head": None}),
        f"{model}ForImageClassification": Head(
            {"head": "classes", "pooling": "both"}, CLASSES
        ),
    }


# ---- Configs -------------------------------------------------------------------------


def check_heads(keys: Keys, model_size: int, heads: int) -> None:
    """Raises unless the heads divide the model's size."""
    if model_size % heads:
        raise ValueError(
            f"{keys.where}: hidden_size {model_size} must be a multiple of "
            f"num_attention_heads {heads}."
        )


def _read_sizes(keys: Keys, image_size: int, patch_size: int) -> Fields:
    model_size = keys.size("hidden_size", 768)
    heads = keys.size("num_attention_heads", 12)
    check_heads(keys, model_size, heads)
    return {
        "image_size": keys.pair("image_size", image_size),
        "patch_size": keys.pair("patch_size", patch_size),
        "channels": keys.size("num_channels", 3),
        "model_size": model_size,
        "num_layers": keys.size("num_hidden_layers", 12),
        "num_heads": heads,
    }


def _write_sizes(c: VisionTransformerConfig) -> dict[str, object]:
    return {
        "image_size": _written_pair(c.image_size),
        "patch_size": _written_pair(c.patch_size),
        "num_channels": c.channels,
        "hidden_size": c.model_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
    }


def _written_pair(pair: tuple[int, int]) -> object:
    return pair[0] if pair[0] == pair[1] else list(pair)


def read_vit(keys: Keys) -> Fields:
    """ViT: a class token; a pooler of tanh."""
    keys.refuse("pooler_act", unless="tanh", why="Only a pooler with tanh is known.")
    fields = _read_sizes(keys, 224, 16)
    size = keys.size("pooler_output_size", fields["model_size"])
    return fields | {
        "hidden_size": keys.size("intermediate_size", 3072),
        "activation": read_activation(keys, "hidden_act", "gelu"),
        "norm_eps": keys.number("layer_norm_eps", 1e-12),
        "attention_bias": keys.flag("qkv_bias", True),
        "pooler_size": None if size == fields["model_size"] else size,
    }


def write_vit(c: VisionTransformerConfig) -> dict[str, object]:
    """Keys of ViT."""
    return _write_sizes(c) | {
        "intermediate_size": c.hidden_size,
        "hidden_act": written_activation(c.activation),
        "layer_norm_eps": c.norm_eps,
        "qkv_bias": c.attention_bias,
        "pooler_output_size": c.pooler_size or c.model_size,
    }


def read_dinov2(keys: Keys) -> Fields:
    """DINOv2: scales of the branches, and gates in the largest."""
    fields = _read_sizes(keys, 224, 14)
    ratio = keys.number("mlp_ratio", 4)
    if not 0 < ratio < 1000:
        raise ValueError(
            f"{keys.where}: mlp_ratio must be a number between 0 and 1000, and is "
            f"{ratio}."
        )
    rate = keys.number("drop_path_rate", 0.0)
    if rate is None or not 0 <= rate < 1:
        raise ValueError(
            f"{keys.where}: drop_path_rate must be a number in [0, 1), and is {rate}."
        )
    hidden = int(fields["model_size"] * ratio)
    gated = keys.flag("use_swiglu_ffn", False)
    return fields | {
        "hidden_size": _gated_size(hidden) if gated else hidden,
        "gated": gated,
        "activation": "silu" if gated else read_activation(keys, "hidden_act", "gelu"),
        "norm_eps": keys.number("layer_norm_eps", 1e-6),
        "attention_bias": keys.flag("qkv_bias", True),
        "layer_scale": keys.number("layerscale_value", 1.0),
        "mask_token": keys.flag("use_mask_token", True),
        "stochastic_depth": rate,
        "pooler": "first",
    }


def _gated_size(hidden: int) -> int:
    """Two thirds, rounded up to a multiple of 8."""
    return (int(hidden * 2 / 3) + 7) // 8 * 8


def write_dinov2(c: VisionTransformerConfig) -> dict[str, object]:
    """Keys of DINOv2, whose configs have no size of the MLP, but an integer ratio."""
    size, hidden = c.model_size, c.hidden_size or 0
    ratio = hidden // size
    if c.gated:
        wanted = range(1, 2 * ratio + 3)
        ratio = next(n for n in wanted if _gated_size(n * size) >= hidden)
    return _write_sizes(c) | {
        "mlp_ratio": ratio,
        "use_swiglu_ffn": c.gated,
        "hidden_act": written_activation("gelu" if c.gated else c.activation),
        "layer_norm_eps": c.norm_eps,
        "qkv_bias": c.attention_bias,
        "layerscale_value": c.layer_scale,
        "drop_path_rate": c.stochastic_depth,
        "use_mask_token": c.mask_token,
    }


def read_registers(keys: Keys) -> Fields:
    """DINOv2 with registers: a mask token always, antialiased positions."""
    return read_dinov2(keys) | {
        "patch_size": keys.pair("patch_size", 16),
        "registers": keys.size("num_register_tokens", 4),
        "mask_token": True,
        "antialias": True,
    }


def write_registers(c: VisionTransformerConfig) -> dict[str, object]:
    """Keys of DINOv2 with registers."""
    keys = write_dinov2(c) | {"num_register_tokens": c.registers}
    del keys["use_mask_token"]
    return keys


def _read_tower(keys: Keys, patch_size: int, activation: str, eps: float) -> Fields:
    return _read_sizes(keys, 224, patch_size) | {
        "hidden_size": keys.size("intermediate_size", 3072),
        "activation": read_activation(keys, "hidden_act", activation),
        "norm_eps": keys.number("layer_norm_eps", eps),
    }


def read_clip_vision(keys: Keys) -> Fields:
    """CLIP's images: a norm of the embeddings, and one of the pooled token."""
    return _read_tower(keys, 32, "quick_gelu", 1e-5) | {
        **{"patch_bias": False, "embedding_norm": True},
        **{"pooler": "first", "pooled_norm": True},
    }


def read_siglip_vision(keys: Keys) -> Fields:
    """SigLIP's images: no class token; a learned query reads the patches."""
    return _read_tower(keys, 16, "gelu_pytorch_tanh", 1e-6) | {
        "class_token": False,
        "pooler": "attention" if keys.flag("vision_use_head", True) else None,
    }


def write_clip_vision(c: VisionTransformerConfig) -> dict[str, object]:
    """Keys of CLIP's images."""
    return _write_sizes(c) | {
        "intermediate_size": c.hidden_size,
        "hidden_act": written_activation(c.activation),
        "layer_norm_eps": c.norm_eps,
    }


def write_siglip_vision(c: VisionTransformerConfig) -> dict[str, object]:
    """Keys of SigLIP's images."""
    return write_clip_vision(c) | {"vision_use_head": c.pooler is not None}


# ---- Families ------------------------------------------------------------------------

# In the order in which `save` tries them for a config made by hand.
VISION: dict[str, Family] = {
    "vit": Family(
        NET,
        read_vit,
        write_vit,
        _VIT,
        _VIT_HEADS,
        layers={"num_hidden_layers": "encoder.layer"},
        prefix="vit.",
    ),
    "dinov2": Family(
        NET,
        read_dinov2,
        write_dinov2,
        _DINOV2,
        _dinov2_heads("Dinov2"),
        layers={"num_hidden_layers": "encoder.layer"},
        prefix="dinov2.",
        rules_of=_dinov2_mlp,
    ),
    "dinov2_with_registers": Family(
        NET,
        read_registers,
        write_registers,
        _DINOV2,
        _dinov2_heads("Dinov2WithRegisters"),
        layers={"num_hidden_layers": "encoder.layer"},
        prefix="dinov2_with_registers.",
        rules_of=_dinov2_mlp,
    ),
    "clip_vision_model": Family(
        NET,
        read_clip_vision,
        write_clip_vision,
        VISION_TOWER,
        {"CLIPVisionModel": Head({"head": None})},
        layers={"num_hidden_layers": "encoder.layers"},
        prefix="vision_model.",
    ),
    "siglip_vision_model": Family(
        NET,
        read_siglip_vision,
        write_siglip_vision,
        VISION_TOWER,
        {"SiglipVisionModel": Head({"head": None})},
        layers={"num_hidden_layers": "encoder.layers"},
        prefix="vision_model.",
    ),
}
