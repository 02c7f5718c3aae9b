"""Families of images and texts together, by `model_type`: CLIP and SigLIP.

Classifiers of images have the same `model_type`, and are the tower of images alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.clip import CLIP
from haiku.nets.clip_config import CLIPConfig
from haiku.nets.encoder_config import EncoderConfig
from haiku.nets.vision_transformer_config import VisionTransformerConfig
from haiku.pretrained import vision
from haiku.pretrained.activations import read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.layouts import LINEAR, Layout, Rule, linear, norm

NET = Net(
    CLIP,
    CLIPConfig,
    lambda c: (
        vision.images_of(c.vision),
        jax.ShapeDtypeStruct((1, 1), jnp.int32),
    ),
    lambda c: {"vision": c.vision.kinds, "text": c.text.kinds},
)


# ---- Weights -------------------------------------------------------------------------


def _within(rules: Sequence[Rule], theirs: str, ours: str) -> tuple[Rule, ...]:
    """Rules of a tower that is a part of both models."""
    return tuple(
        Rule(
            rule.theirs.replace("^", theirs),
            tuple(f"{ours}/{part}" for part in rule.parts),
            rule.layout,
        )
        for rule in rules
    )


_TOWERS = (
    *_within(vision.VISION_TOWER, "vision_model.", "vision"),
    *_within(
        (
            Rule("^embeddings.token_embedding.weight", "embed/embeddings"),
            Rule("^embeddings.position_embedding.weight", "positions/embeddings"),
            *vision.TOWER,
            *norm("^final_layer_norm", "norm"),
        ),
        "text_model.",
        "text",
    ),
)
_CLIP = (
    *_TOWERS,
    Rule("visual_projection.weight", "image_projection/w", LINEAR),
    Rule("text_projection.weight", "text_projection/w", LINEAR),
    Rule("logit_scale", "logit_scale", Layout(lead=-1)),
)
_SIGLIP = (
    *_TOWERS,
    *linear("text_model.head", "text_projection"),
    Rule("logit_scale", "logit_scale"),
    Rule("logit_bias", "logit_bias"),
)


# ---- Configs -------------------------------------------------------------------------


def _below(keys: Keys, key: str) -> Keys:
    """The config of a side; the first folders had it whole under another key."""
    first = keys.below(f"{key}_dict") or keys.below(key)
    return first or Keys({}, f"{keys.where}, {key}")


def _made(keys: Keys, kind: type, fields: Fields) -> Any:
    """The config of a side; what it refuses names the file."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise ValueError(f"{keys.where}: {error}") from error


def _read_text(keys: Keys, defaults: Fields, activation: str) -> EncoderConfig:
    """The config of the texts."""
    model_size = keys.size("hidden_size", defaults["model_size"])
    heads = keys.size("num_attention_heads", defaults["num_heads"])
    vision.check_heads(keys, model_size, heads)
    fields = {
        "vocab_size": keys.size("vocab_size", defaults["vocab_size"]),
        "model_size": model_size,
        "num_layers": keys.size("num_hidden_layers", 12),
        "num_heads": heads,
        "hidden_size": keys.size("intermediate_size", 4 * defaults["model_size"]),
        "max_length": keys.size("max_position_embeddings", defaults["max_length"]),
        "activation": read_activation(keys, "hidden_act", activation),
        "norm_position": "pre",
        "norm_eps": keys.number("layer_norm_eps", defaults["norm_eps"]),
        "embedding_norm": False,
        "causal": defaults["causal"],
    }
    return _made(keys, EncoderConfig, fields)


def _write_text(c: EncoderConfig) -> dict[str, object]:
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.model_size,
        "intermediate_size": c.hidden_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "max_position_embeddings": c.max_length,
        "hidden_act": written_activation(c.activation),
        "layer_norm_eps": c.norm_eps,
    }


def _read_vision(keys: Keys, read: Callable[[Keys], Fields]) -> VisionTransformerConfig:
    inner = _below(keys, "vision_config")
    return _made(inner, VisionTransformerConfig, read(inner))


_CLIP_TEXT = {
    **{"vocab_size": 49408, "model_size": 512, "num_heads": 8, "max_length": 77},
    **{"norm_eps": 1e-5, "causal": True},
}
_SIGLIP_TEXT = {
    **{"vocab_size": 32000, "model_size": 768, "num_heads": 12, "max_length": 64},
    **{"norm_eps": 1e-6, "causal": False},
}
_OLD_END = 2  # stood in configs until end tokens were looked for by their number


def read_clip(keys: Keys) -> Fields:
    """CLIP: causal texts, read at their end token; maps of both sides."""
    inner = _below(keys, "text_config")
    end = inner.count("eos_token_id", 49407)
    return {
        "vision": _read_vision(keys, vision.read_clip_vision),
        "text": _read_text(inner, _CLIP_TEXT, "quick_gelu"),
        "projection_size": keys.size("projection_dim", 512),
        "end_token": None if end == _OLD_END else end,
    }


def write_clip(c: CLIPConfig) -> dict[str, object]:
    """Keys of CLIP."""
    end = _OLD_END if c.end_token is None else c.end_token
    return {
        "vision_config": vision.write_clip_vision(c.vision),
        "text_config": _write_text(c.text) | {"eos_token_id": end},
        "projection_dim": c.projection_size,
    }


def read_siglip(keys: Keys) -> Fields:
    """SigLIP: texts read at their last token; a map of texts alone; a bias."""
    inner = _below(keys, "text_config")
    text = _read_text(inner, _SIGLIP_TEXT, "gelu_pytorch_tanh")
    return {
        "vision": _read_vision(keys, vision.read_siglip_vision),
        "text": text,
        "projection_size": inner.size("projection_size", text.model_size),
        "image_projection": False,
        "projection_bias": True,
        "pooling": "last",
        "logit_bias": True,
    }


def write_siglip(c: CLIPConfig) -> dict[str, object]:
    """Keys of SigLIP."""
    text = _write_text(c.text) | {"projection_size": c.projection_size}
    return {
        "vision_config": vision.write_siglip_vision(c.vision),
        "text_config": text,
    }


# ---- Families ------------------------------------------------------------------------

_LAYERS = {
    "vision_config.num_hidden_layers": "vision_model.encoder.layers",
    "text_config.num_hidden_layers": "text_model.encoder.layers",
}


def _classifier(
    name: str,
    read: Callable[[Keys], Fields],
    write: Callable[[VisionTransformerConfig], dict[str, object]],
) -> Family:
    """The family of a class that reads the mean of the patches."""
    return Family(
        vision.NET,
        lambda keys: read(_below(keys, "vision_config")),
        lambda c: {"vision_config": write(c)},
        vision.VISION_TOWER,
        {name: Head({"head": "classes", "pooling": "mean"}, vision.CLASSES)},
        layers={"vision_config.num_hidden_layers": "encoder.layers"},
        prefix="vision_model.",
    )


# In the order in which `save` tries them for a config made by hand.
CLIPS: dict[str, Family] = {
    "clip": Family(
        NET,
        read_clip,
        write_clip,
        _CLIP,
        {"CLIPModel": Head({})},
        layers=_LAYERS,
        prefix="",
        others=(
            _classifier(
                "CLIPForImageClassification",
                vision.read_clip_vision,
                vision.write_clip_vision,
            ),
        ),
    ),
    "siglip": Family(
        NET,
        read_siglip,
        write_siglip,
        _SIGLIP,
        {"SiglipModel": Head({})},
        layers=_LAYERS,
        prefix="",
        others=(
            _classifier(
                "SiglipForImageClassification",
                vision.read_siglip_vision,
                vision.write_siglip_vision,
            ),
        ),
    ),
}
