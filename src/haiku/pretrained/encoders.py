"""Families of text encoders, by `model_type`: their weights, configs and heads."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from haiku._layers.rotary import Rotary
from haiku.nets.encoder import Encoder
from haiku.nets.encoder_config import EncoderConfig
from haiku.pretrained.activations import read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.decoder_configs import LAYER_TYPES, layer_windows
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.layouts import Rule, linear, norm
from haiku.pretrained.rope import read_parameters, write_rope

NET = Net(Encoder, EncoderConfig, lambda c: (jax.ShapeDtypeStruct((1, 1), jnp.int32),))


# ---- Weights -------------------------------------------------------------------------


_LAYER = "^encoder.layer.{i}"
_BERT = (
    Rule("^embeddings.word_embeddings.weight", "embed/embeddings"),
    Rule("^embeddings.position_embeddings.weight", "positions/embeddings"),
    Rule("^embeddings.token_type_embeddings.weight", "segments/embeddings"),
    *norm("^embeddings.LayerNorm", "embed_norm"),
    *linear(f"{_LAYER}.attention.self.query", "block/attention/query"),
    *linear(f"{_LAYER}.attention.self.key", "block/attention/key"),
    *linear(f"{_LAYER}.attention.self.value", "block/attention/value"),
    *linear(f"{_LAYER}.attention.output.dense", "block/attention/output"),
    *norm(f"{_LAYER}.attention.output.LayerNorm", "block/attention_norm_post"),
    *linear(f"{_LAYER}.intermediate.dense", "block/mlp/up"),
    *linear(f"{_LAYER}.output.dense", "block/mlp/down"),
    *norm(f"{_LAYER}.output.LayerNorm", "block/mlp_norm_post"),
)
_MODERNBERT = (
    Rule("^embeddings.tok_embeddings.weight", "embed/embeddings"),
    *norm("^embeddings.norm", "embed_norm"),
    *norm("^layers.{i}.attn_norm", "block/attention_norm"),
    *linear(
        "^layers.{i}.attn.Wqkv",
        tuple(f"block/attention/{x}" for x in ("query", "key", "value")),
    ),
    *linear("^layers.{i}.attn.Wo", "block/attention/output"),
    *norm("^layers.{i}.mlp_norm", "block/mlp_norm"),
    *linear("^layers.{i}.mlp.Wi", ("block/mlp/gate", "block/mlp/up")),
    *linear("^layers.{i}.mlp.Wo", "block/mlp/down"),
    *norm("^final_norm", "norm"),
)


# ---- Heads ---------------------------------------------------------------------------

_POOLER = linear("^pooler.dense", "pooler")
_CLASSES = linear("classifier", "head")
_MASKED = {"head": "tokens", "transform": True}


def _masked_head(
    bias: str, decoder: str
) -> Callable[[EncoderConfig], tuple[Rule, ...]]:
    """A tied head's bias has another name; an untied head leaves that one unread."""

    def rules(c: EncoderConfig) -> tuple[Rule, ...]:
        if c.head != "tokens":
            return ()
        return (Rule(bias, "head/b"),) if c.tied else linear(decoder, "head")

    return rules


_BERT_HEADS = {
    "BertModel": Head({"head": None}, _POOLER, optional=("pooler", True, False)),
    "BertForMaskedLM": Head(
        _MASKED,
        (
            *linear("cls.predictions.transform.dense", "transform/dense"),
            *norm("cls.predictions.transform.LayerNorm", "transform/norm"),
        ),
        tied=("cls.predictions.decoder.*",),
        unread={"cls.predictions.bias": "cls.predictions.decoder.bias"},
        # The first folders held the pair of losses of pretraining.
        ignored=("cls.seq_relationship.*", "*pooler.*"),
    ),
    "BertForSequenceClassification": Head(
        {"head": "classes", "pooler": True}, (*_POOLER, *_CLASSES)
    ),
    "BertForTokenClassification": Head({"head": "token_classes"}, _CLASSES),
}
_ROBERTA_HEADS = {
    "RobertaModel": Head({"head": None}, _POOLER, optional=("pooler", True, False)),
    "RobertaForMaskedLM": Head(
        _MASKED,
        (
            *linear("lm_head.dense", "transform/dense"),
            *norm("lm_head.layer_norm", "transform/norm"),
        ),
        tied=("lm_head.decoder.*",),
        unread={"lm_head.bias": "lm_head.decoder.bias"},
        ignored=("*pooler.*",),
    ),
    "RobertaForSequenceClassification": Head(
        {"head": "classes", "pooler": True},
        (
            *linear("classifier.dense", "pooler"),
            *linear("classifier.out_proj", "head"),
        ),
    ),
    "RobertaForTokenClassification": Head({"head": "token_classes"}, _CLASSES),
}
_TRANSFORM = (
    *linear("head.dense", "transform/dense"),
    *norm("head.norm", "transform/norm"),
)
_MODERNBERT_HEADS = {
    "ModernBertModel": Head({"head": None}),
    "ModernBertForMaskedLM": Head(
        _MASKED,
        (*_TRANSFORM, *linear("decoder", "head")),
        tied=("decoder.weight",),
    ),
    "ModernBertForSequenceClassification": Head(
        {"head": "classes", "transform": True}, (*_TRANSFORM, *_CLASSES)
    ),
    "ModernBertForTokenClassification": Head(
        {"head": "token_classes", "transform": True}, (*_TRANSFORM, *_CLASSES)
    ),
}


# ---- Configs -------------------------------------------------------------------------


def _read_sizes(
    keys: Keys, vocab_size: int, sizes: tuple[int, int, int, int]
) -> Fields:
    """Sizes, with those of the model, its MLP, layers and heads if keys are missing."""
    model_size = keys.size("hidden_size", sizes[0])
    heads = keys.size("num_attention_heads", sizes[3])
    if model_size % heads:
        raise ValueError(
            f"{keys.where}: hidden_size {model_size} must be a multiple of "
            f"num_attention_heads {heads}."
        )
    return {
        "vocab_size": keys.size("vocab_size", vocab_size),
        "model_size": model_size,
        "hidden_size": keys.size("intermediate_size", sizes[1]),
        "num_layers": keys.size("num_hidden_layers", sizes[2]),
        "num_heads": heads,
        "tied": keys.flag("tie_word_embeddings", True),
    }


def _write_sizes(c: EncoderConfig) -> dict[str, object]:
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.model_size,
        "intermediate_size": c.hidden_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "tie_word_embeddings": c.tied,
    }


def read_bert(keys: Keys) -> Fields:
    """BERT: norms of sums, learned positions, token types."""
    why = "Only BERT as an encoder with learned positions is known here."
    keys.refuse("is_decoder", unless=False, why=why)
    keys.refuse("add_cross_attention", unless=False, why=why)
    keys.refuse("position_embedding_type", unless="absolute", why=why)
    return _read_sizes(keys, 30522, (768, 3072, 12, 12)) | {
        "max_length": keys.size("max_position_embeddings", 512),
        "token_types": keys.size("type_vocab_size", 2),
        "activation": read_activation(keys, "hidden_act", "gelu"),
        "norm_eps": keys.number("layer_norm_eps", 1e-12),
    }


def write_bert(c: EncoderConfig) -> dict[str, object]:
    """Keys of BERT."""
    return _write_sizes(c) | {
        "max_position_embeddings": c.max_length,
        "type_vocab_size": c.token_types,
        "hidden_act": written_activation(c.activation),
        "layer_norm_eps": c.norm_eps,
    }


def read_roberta(keys: Keys) -> Fields:
    """RoBERTa: positions stand after that of padding."""
    fields = read_bert(keys)
    fields["vocab_size"] = keys.size("vocab_size", 50265)
    offset = keys.count("pad_token_id", 1) + 1
    if fields["max_length"] <= offset:
        raise ValueError(
            f"{keys.where}: max_position_embeddings {fields['max_length']} must be "
            f"more than pad_token_id + 1, {offset}, where positions begin."
        )
    fields["max_length"] -= offset
    return fields | {"position_offset": offset}


def write_roberta(c: EncoderConfig) -> dict[str, object]:
    """Keys of RoBERTa."""
    return write_bert(c) | {
        "max_position_embeddings": c.max_length + c.position_offset,
        "pad_token_id": c.position_offset - 1,
    }


def read_modernbert(keys: Keys) -> Fields:
    """ModernBERT: rotary positions, gates, windows in two of three layers."""
    fields = _read_sizes(keys, 50368, (768, 1152, 22, 12))
    activation = read_activation(keys, "hidden_activation", "gelu")
    if read_activation(keys, "classifier_activation", "gelu") != activation:
        raise ValueError(
            f"{keys.where}: classifier_activation must be hidden_activation; another "
            "isn't known here."
        )
    keys.refuse("decoder_bias", unless=True, why="Only a head with a bias is known.")
    every = keys.size("global_attn_every_n_layers", 3)
    window = keys.size("local_attention", 128)
    norms_shift = keys.flag("norm_bias", False)
    biases = keys.flag("attention_bias", False)
    rotary, local = _modern_ropes(keys, fields)
    return fields | {
        "max_length": keys.size("max_position_embeddings", 8192),
        "activation": activation,
        "gated": True,
        "norm_position": "pre",
        "norm_eps": keys.number("norm_eps", 1e-5),
        "norm_offset": norms_shift,
        "first_norm": False,
        "position": "rotary",
        "rotary": rotary,
        "local_rotary": local,
        "windows": layer_windows(
            keys, fields["num_layers"], window, lambda i: i % every != 0
        ),
        "attention_bias": biases,
        "output_bias": biases,
        "mlp_bias": keys.flag("mlp_bias", False),
        "transform_bias": keys.flag("classifier_bias", False),
        "pooling": {"cls": "first", "mean": "mean"}[
            keys.choice("classifier_pooling", ("cls", "mean"), "cls")
        ],
    }


def _modern_ropes(keys: Keys, fields: Fields) -> tuple[Rotary, Rotary | None]:
    size = fields["model_size"] // fields["num_heads"]
    bases = (
        keys.number("global_rope_theta", 160000.0),
        keys.number("local_rope_theta", 10000.0),
    )
    parameters = keys.below("rope_parameters") or Keys({}, keys.where)
    length = keys.size("max_position_embeddings", 8192)
    of_all, local = (
        read_parameters(
            parameters.below(kind) or Keys({}, keys.where), keys, size, length, base
        )
        for kind, base in zip(LAYER_TYPES, bases)
    )
    return of_all, None if local == of_all else local


def write_modernbert(c: EncoderConfig) -> dict[str, object]:
    """Keys of ModernBERT."""
    windows = [c.window(i) for i in range(c.num_layers)]
    ropes = c.rotary, c.rotary if c.local_rotary is None else c.local_rotary
    return _write_sizes(c) | {
        "max_position_embeddings": c.max_length,
        "hidden_activation": written_activation(c.activation),
        "classifier_activation": written_activation(c.activation),
        "norm_eps": c.norm_eps,
        "norm_bias": c.norm_offset,
        "attention_bias": c.attention_bias,
        "mlp_bias": c.mlp_bias,
        "classifier_bias": c.transform_bias,
        "classifier_pooling": "cls" if c.pooling == "first" else "mean",
        "local_attention": next(filter(None, windows), 128),
        "layer_types": [LAYER_TYPES[w is not None] for w in windows],
        "rope_parameters": dict(zip(LAYER_TYPES, map(write_rope, ropes))),
    }


# ---- Families ------------------------------------------------------------------------

_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

# In the order in which `save` tries them for a config made by hand.
ENCODERS: dict[str, Family] = {
    "bert": Family(
        NET,
        read_bert,
        write_bert,
        _BERT,
        _BERT_HEADS,
        layers={"num_hidden_layers": "encoder.layer"},
        prefix="bert.",
        renamed=_OLD_NAMES,
        rules_of=_masked_head("cls.predictions.bias", "cls.predictions.decoder"),
    ),
    "roberta": Family(
        NET,
        read_roberta,
        write_roberta,
        _BERT,
        _ROBERTA_HEADS,
        layers={"num_hidden_layers": "encoder.layer"},
        prefix="roberta.",
        renamed=_OLD_NAMES,
        rules_of=_masked_head("lm_head.bias", "lm_head.decoder"),
    ),
    "modernbert": Family(
        NET, read_modernbert, write_modernbert, _MODERNBERT, _MODERNBERT_HEADS
    ),
}
