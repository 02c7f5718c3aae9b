"""Whisper: its weights, config and heads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.whisper import Whisper
from haiku.nets.whisper_config import WhisperConfig
from haiku.pretrained.activations import read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.encoders import linear, norm
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.layouts import LINEAR, Layout, Rule


def _inputs(c: WhisperConfig) -> tuple[Any, ...]:
    return (
        jax.ShapeDtypeStruct((1, 2 * c.num_positions, c.num_mels), jnp.float32),
        jax.ShapeDtypeStruct((1, 1), jnp.int32),
    )


NET = Net(
    Whisper,
    WhisperConfig,
    _inputs,
    lambda c: {"encoder": c.kinds, "decoder": c.of_decoder.kinds},
)


# ---- Weights -------------------------------------------------------------------------

_CONVOLUTION = Layout((2, 1, 0))  # [out, in, width]


def _attention(theirs: str, ours: str) -> tuple[Rule, ...]:
    names = {"q_proj": "query", "v_proj": "value", "out_proj": "output"}
    maps = (linear(f"{theirs}.{name}", f"{ours}/{own}") for name, own in names.items())
    key = Rule(f"{theirs}.k_proj.weight", f"{ours}/key/w", LINEAR)
    return key, *(rule for pair in maps for rule in pair)


def _side(side: str) -> tuple[Rule, ...]:
    layer, block = f"^{side}.layers.{{i}}", f"{side}/block"
    return (
        Rule(f"^{side}.embed_positions.weight", f"{side}/positions/embeddings"),
        *_attention(f"{layer}.self_attn", f"{block}/attention"),
        *norm(f"{layer}.self_attn_layer_norm", f"{block}/attention_norm"),
        *linear(f"{layer}.fc1", f"{block}/mlp/up"),
        *linear(f"{layer}.fc2", f"{block}/mlp/down"),
        *norm(f"{layer}.final_layer_norm", f"{block}/mlp_norm"),
        *norm(f"^{side}.layer_norm", f"{side}/norm"),
    )


_LAYER = "^decoder.layers.{i}"
_WHISPER = (
    Rule("^encoder.conv1.weight", "encoder/conv_0/w", _CONVOLUTION),
    Rule("^encoder.conv1.bias", "encoder/conv_0/b"),
    Rule("^encoder.conv2.weight", "encoder/conv_1/w", _CONVOLUTION),
    Rule("^encoder.conv2.bias", "encoder/conv_1/b"),
    *_side("encoder"),
    Rule("^decoder.embed_tokens.weight", "embed/embeddings"),
    *_side("decoder"),
    *_attention(f"{_LAYER}.encoder_attn", "decoder/block/cross_attention"),
    *norm(f"{_LAYER}.encoder_attn_layer_norm", "decoder/block/cross_attention_norm"),
)


# ---- Configs -------------------------------------------------------------------------


def read_whisper(keys: Keys) -> Fields:
    """Whisper, the sizes of the smallest if keys are missing."""
    return {
        "vocab_size": keys.size("vocab_size", 51865),
        "model_size": keys.size("d_model", 384),
        "num_mels": keys.size("num_mel_bins", 80),
        "num_positions": keys.size("max_source_positions", 1500),
        "num_layers": keys.size("encoder_layers", 4),
        "num_heads": keys.size("encoder_attention_heads", 6),
        "hidden_size": keys.size("encoder_ffn_dim", 1536),
        "num_decoder_layers": keys.size("decoder_layers", 4),
        "num_decoder_heads": keys.size("decoder_attention_heads", 6),
        "decoder_hidden_size": keys.size("decoder_ffn_dim", 1536),
        "max_length": keys.size("max_target_positions", 448),
        "activation": read_activation(keys, "activation_function", "gelu"),
        "tied": keys.flag("tie_word_embeddings", True),
        "start_token": keys.count("decoder_start_token_id", 50257),
    }


def write_whisper(c: WhisperConfig) -> dict[str, Any]:
    """Keys of Whisper."""
    return {
        "vocab_size": c.vocab_size,
        "d_model": c.model_size,
        "num_mel_bins": c.num_mels,
        "max_source_positions": c.num_positions,
        "encoder_layers": c.num_layers,
        "encoder_attention_heads": c.num_heads,
        "encoder_ffn_dim": c.hidden_size,
        "decoder_layers": c.num_decoder_layers,
        "decoder_attention_heads": c.num_decoder_heads,
        "decoder_ffn_dim": c.decoder_hidden_size,
        "max_target_positions": c.max_length,
        "activation_function": written_activation(c.activation),
        "tie_word_embeddings": c.tied,
        "decoder_start_token_id": c.start_token,
    }


# ---- The family ----------------------------------------------------------------------

WHISPER = Family(
    NET,
    read_whisper,
    write_whisper,
    _WHISPER,
    {
        "WhisperForConditionalGeneration": Head(
            {"head": "tokens"},
            (Rule("proj_out.weight", "head/w", LINEAR),),
            tied_to="model.decoder.embed_tokens.weight",
            tied=("proj_out.weight",),
        ),
        "WhisperModel": Head({"head": None}),
    },
    layers={"encoder_layers": "encoder.layers", "decoder_layers": "decoder.layers"},
)
