"""T5 and its encoder alone: their weights, configs and heads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.encoder_decoder import EncoderDecoder
from haiku.nets.encoder_decoder_config import EncoderDecoderConfig
from haiku.pretrained.activations import OURS, read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.encoders import NET as ENCODER
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.layouts import LINEAR, Rule

_TEXT = jax.ShapeDtypeStruct((1, 1), jnp.int32)
NET = Net(
    EncoderDecoder,
    EncoderDecoderConfig,
    lambda c: (_TEXT, _TEXT),
    lambda c: {"encoder": c.kinds, "decoder": c.of_decoder.kinds},
)


# ---- Weights -------------------------------------------------------------------------


def _attention(theirs: str, ours: str, norm: str) -> tuple[Rule, ...]:
    names = {"q": "query", "k": "key", "v": "value", "o": "output"}
    maps = (
        Rule(f"{theirs}.{name}.weight", f"{ours}/{own}/w", LINEAR)
        for name, own in names.items()
    )
    norm_of = theirs.rpartition(".")[0]
    return *maps, Rule(f"{norm_of}.layer_norm.weight", f"{norm}/scale")


def _side(theirs: str, ours: str) -> tuple[Rule, ...]:
    """The weights of the encoder or the decoder, without those of the MLP."""
    block = f"{theirs}.block.{{i}}.layer"
    return (
        Rule(
            f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            f"{ours}relative/embeddings",
        ),
        *_attention(
            f"{block}.0.SelfAttention",
            *(f"{ours}block/attention", f"{ours}block/attention_norm"),
        ),
        Rule(f"{theirs}.final_layer_norm.weight", f"{ours}norm/scale"),
    )


def _mlp(theirs: str, ours: str, gated: bool) -> tuple[Rule, ...]:
    names = {"wi_0": "gate", "wi_1": "up"} if gated else {"wi": "up"}
    names |= {"wo": "down"}
    maps = (
        Rule(f"{theirs}.DenseReluDense.{name}.weight", f"{ours}/{own}/w", LINEAR)
        for name, own in names.items()
    )
    return *maps, Rule(f"{theirs}.layer_norm.weight", f"{ours}_norm/scale")


_SHARED = Rule("shared.weight", "embed/embeddings")
_REPEATED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
# The first folders held a bias of the cross attention, which nothing reads.
_OLD = (*_REPEATED, "decoder.block.0.layer.1.*.relative_attention_bias.weight")


_SIDES = (
    *_side("encoder", "encoder/"),
    *_side("decoder", "decoder/"),
    *_attention(
        "decoder.block.{i}.layer.1.EncDecAttention",
        *("decoder/block/cross_attention", "decoder/block/cross_attention_norm"),
    ),
)


def _mlps(config: Any) -> tuple[Rule, ...]:
    return (
        *_mlp("encoder.block.{i}.layer.1", "encoder/block/mlp", config.gated),
        *_mlp("decoder.block.{i}.layer.2", "decoder/block/mlp", config.gated),
    )


def _encoder_mlp(config: Any) -> tuple[Rule, ...]:
    return _mlp("encoder.block.{i}.layer.1", "block/mlp", config.gated)


# ---- Configs -------------------------------------------------------------------------


def _read_sizes(keys: Keys) -> Fields:
    keys.refuse("is_decoder", unless=False, why="A decoder alone isn't known here.")
    names = (*OURS, *(f"gated-{name}" for name in OURS))
    name = keys.choice("feed_forward_proj", names, "relu")
    activation = name.removeprefix("gated-")
    if name == "gated-gelu":  # an exception of transformers
        activation = "gelu_new"
    return {
        "vocab_size": keys.size("vocab_size", 32128),
        "model_size": keys.size("d_model", 512),
        "hidden_size": keys.size("d_ff", 2048),
        "num_layers": keys.size("num_layers", 6),
        "num_heads": keys.size("num_heads", 8),
        "head_size": keys.size("d_kv", 64),
        "activation": read_activation(keys, "dense_act_fn", activation),
        "gated": keys.flag("is_gated_act", name.startswith("gated-")),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-6),
        "relative_buckets": keys.size("relative_attention_num_buckets", 32),
        "relative_distance": keys.size("relative_attention_max_distance", 128),
    }


def _write_sizes(c: Any) -> dict[str, Any]:
    activation = written_activation(c.activation)
    if c.activation == "gelu_tanh":
        activation = "gelu_new"
    gates = "gelu" if activation == "gelu_new" else activation
    return {
        "vocab_size": c.vocab_size,
        "d_model": c.model_size,
        "d_ff": c.hidden_size,
        "num_layers": c.num_layers,
        "num_heads": c.num_heads,
        "d_kv": c.head_size,
        "feed_forward_proj": f"gated-{gates}" if c.gated else activation,
        "dense_act_fn": activation,
        "is_gated_act": c.gated,
        "layer_norm_epsilon": c.norm_eps,
        "relative_attention_num_buckets": c.relative_buckets,
        "relative_attention_max_distance": c.relative_distance,
    }


def read_encoder(keys: Keys) -> Fields:
    """T5's encoder alone."""
    return _read_sizes(keys) | {
        "norm": "rms",
        "norm_position": "pre",
        "embedding_norm": False,
        "position": "relative",
        "attention_bias": False,
        "output_bias": False,
        "mlp_bias": False,
        "scale": 1.0,
    }


def write_encoder(c: Any) -> dict[str, Any]:
    """Keys of T5's encoder alone."""
    return _write_sizes(c) | {"is_encoder_decoder": False, "use_cache": False}


def read_t5(keys: Keys) -> Fields:
    """T5; 1.1 doesn't scale what the head reads, and has gates."""
    fields = _read_sizes(keys)
    tied = keys.flag("tie_word_embeddings", True)  # as folders were written before 5
    scales = keys.flag("scale_decoder_outputs", tied)
    return fields | {
        "num_decoder_layers": keys.size("num_decoder_layers", fields["num_layers"]),
        "head_scale": fields["model_size"] ** -0.5 if scales else None,
        "start_token": keys.count(
            "decoder_start_token_id", keys.count("pad_token_id", 0)
        ),
    }


def write_t5(c: Any) -> dict[str, Any]:
    """Keys of T5."""
    return _write_sizes(c) | {
        "num_decoder_layers": c.num_decoder_layers,
        "scale_decoder_outputs": c.head_scale is not None,
        "tie_word_embeddings": c.tied,
        "decoder_start_token_id": c.start_token,
    }


# ---- Families ------------------------------------------------------------------------

T5_ENCODER = Family(
    ENCODER,
    read_encoder,
    write_encoder,
    (_SHARED, *_side("encoder", "")),
    {"T5EncoderModel": Head({"head": None}, ignored=_REPEATED)},
    layers={"num_layers": "encoder.block"},
    prefix="",
    rules_of=_encoder_mlp,
)

_HEADED = Head(
    {"head": "tokens"},
    (Rule("lm_head.weight", "head/w", LINEAR),),
    tied_to="shared.weight",
    tied=("lm_head.weight",),
    ignored=_OLD,
)
T5 = Family(
    NET,
    read_t5,
    write_t5,
    (_SHARED, *_SIDES),
    {
        "T5ForConditionalGeneration": _HEADED,
        "T5Model": Head({"head": None}, ignored=_OLD),
    },
    layers={"num_layers": "encoder.block", "num_decoder_layers": "decoder.block"},
    prefix="",
    rules_of=_mlps,
    others=(T5_ENCODER,),
)
