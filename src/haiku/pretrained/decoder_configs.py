"""How families of decoders write their configs: readers and writers of the keys.

A reader gives fields of `DecoderConfig` without the head; the writer's keys, read
again, give the same. What a missing key means is the family's default in transformers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from haiku.nets.decoder_config import DecoderConfig
from haiku.pretrained.activations import read_activation, written_activation
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import Fields
from haiku.pretrained.rope import read_parameters, read_rope, write_rope
from haiku.rotary import LongRoPE

LAYER_TYPES = ("full_attention", "sliding_attention")


# ---- Llama and its kin ---------------------------------------------------------------


class Missing(NamedTuple):
    """What keys that a config lacks mean in a family."""

    vocab_size: int
    model_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None  # as many as num_heads
    head_size: int | None  # model_size / num_heads
    max_length: int
    norm_eps: float = 1e-6
    tied: bool = False


_LLAMA = Missing(32000, 4096, 11008, 32, 32, None, None, 2048)
_MISTRAL = Missing(32000, 4096, 14336, 32, 32, 8, None, 131072)
_QWEN2 = Missing(151936, 4096, 22016, 32, 32, 32, None, 32768)
_QWEN3 = _QWEN2._replace(head_size=128)
_GEMMA = Missing(256000, 3072, 24576, 28, 16, 16, 256, 8192, tied=True)
_GEMMA2 = Missing(256000, 2304, 9216, 26, 8, 4, 256, 8192, tied=True)
_GEMMA3 = _GEMMA2._replace(vocab_size=262208, max_length=131072)
_PHI3 = Missing(32064, 3072, 8192, 32, 32, None, None, 4096, norm_eps=1e-5)
_OLMO2 = Missing(50304, 4096, 11008, 32, 32, None, None, 2048, norm_eps=1e-5)


def read_shared(
    keys: Keys,
    missing: Missing,
    activation: tuple[str, str] = ("hidden_act", "silu"),
) -> Fields:
    """The keys that Llama's kin share; `activation` has its key and its default."""
    heads = keys.size("num_attention_heads", missing.num_heads)
    model_size = keys.size("hidden_size", missing.model_size)
    head_size = keys.size("head_dim", missing.head_size)
    if head_size is None and model_size % heads:
        raise ValueError(
            f"{keys.where}: hidden_size {model_size} must be a multiple of "
            f"num_attention_heads {heads}, or head_dim must be there."
        )
    kv_heads = keys.size("num_key_value_heads", missing.num_kv_heads or heads)
    if heads % kv_heads:
        raise ValueError(
            f"{keys.where}: num_key_value_heads {kv_heads} must divide "
            f"num_attention_heads {heads}."
        )
    return {
        "vocab_size": keys.size("vocab_size", missing.vocab_size),
        "model_size": model_size,
        "num_layers": keys.size("num_hidden_layers", missing.num_layers),
        "num_heads": heads,
        "num_kv_heads": kv_heads,
        "head_size": head_size or model_size // heads,
        "hidden_size": keys.size("intermediate_size", missing.hidden_size),
        "max_length": keys.size("max_position_embeddings", missing.max_length),
        "activation": read_activation(keys, *activation),
        "norm_eps": keys.number("rms_norm_eps", missing.norm_eps),
        "tied": keys.flag("tie_word_embeddings", missing.tied),
    }


def with_rope(
    keys: Keys, fields: Fields, partial: bool = False, base: float = 1e4
) -> Fields:
    """The fields and the rotary embedding; `base` if the config has none."""
    sizes = fields["head_size"], fields["max_length"]
    rope = read_rope(keys, *sizes, base, partial)
    return fields | {"rotary": rope}


def write_shared(c: DecoderConfig, activation: str = "hidden_act") -> dict[str, Any]:
    """Keys that Llama's kin share."""
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.model_size,
        "intermediate_size": c.hidden_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "num_key_value_heads": c.num_kv_heads,
        "head_dim": c.head_size,
        "max_position_embeddings": c.max_length,
        activation: written_activation(c.activation),
        "rms_norm_eps": c.norm_eps,
        "tie_word_embeddings": c.tied,
        "rope_parameters": write_rope(c.rotary),
    }


def read_llama(keys: Keys) -> Fields:
    """Llama: biases if the config says so."""
    fields = read_shared(keys, _LLAMA)
    bias = keys.flag("attention_bias", False)
    fields |= {"attention_bias": bias, "output_bias": bias}
    return with_rope(keys, fields | {"mlp_bias": keys.flag("mlp_bias", False)})


def write_llama(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Llama."""
    biases = {"attention_bias": c.attention_bias, "mlp_bias": c.mlp_bias}
    return write_shared(c) | biases


def read_mistral(keys: Keys) -> Fields:
    """Mistral: one window for all layers."""
    fields = read_shared(keys, _MISTRAL)
    return with_rope(keys, fields | {"windows": one_window(keys, 4096)})


def one_window(keys: Keys, default: int | None) -> tuple[int] | None:
    """`sliding_window` of all layers; null is none, and a missing key the default."""
    if "sliding_window" in keys.values and keys.values["sliding_window"] is None:
        return None
    window = keys.size("sliding_window", default)
    return None if window is None else (window,)


def write_window(c: DecoderConfig) -> dict[str, Any]:
    """The key of one window for all layers."""
    return {"sliding_window": c.window(0)}


def write_mistral(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Mistral."""
    return write_shared(c) | write_window(c)


def layer_windows(
    keys: Keys, num_layers: int, window: int | None, usual: Callable[[int], bool]
) -> tuple[int | None, ...]:
    """The window of each layer, by `layer_types` or by the family's habit."""
    types = keys.texts("layer_types", LAYER_TYPES, num_layers)
    if types is not None:
        slides = [kind == "sliding_attention" for kind in types]
    else:
        slides = [usual(i) for i in range(num_layers)]
    if any(slides) and window is None:
        raise ValueError(
            f"{keys.where}: layers have sliding_attention, but sliding_window is null."
        )
    return tuple(window if slide else None for slide in slides)


def write_layer_types(c: DecoderConfig) -> dict[str, Any]:
    """Keys of layers with and without windows."""
    windows = [c.window(i) for i in range(c.num_layers)]
    sizes = [w for w in windows if w is not None]
    return {
        "sliding_window": sizes[0] if sizes else None,
        "layer_types": [LAYER_TYPES[w is not None] for w in windows],
    }


def _qwen(keys: Keys, missing: Missing) -> Fields:
    fields = read_shared(keys, missing)
    window = None
    if keys.flag("use_sliding_window", False):
        window = (one_window(keys, 4096) or (None,))[0]
    first = keys.count("max_window_layers", 28)
    if window is not None:
        number = fields["num_layers"]
        fields["windows"] = layer_windows(keys, number, window, lambda i: i >= first)
    return with_rope(keys, fields)


def write_qwen2(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Qwen 2."""
    sliding = c.windows is not None
    return write_shared(c) | write_layer_types(c) | {"use_sliding_window": sliding}


def read_qwen2(keys: Keys) -> Fields:
    """Qwen 2: biases of queries, keys and values; windows in later layers."""
    return _qwen(keys, _QWEN2) | {"attention_bias": True}


def read_qwen3(keys: Keys) -> Fields:
    """Qwen 3: norms of queries and keys."""
    return _qwen(keys, _QWEN3) | qwen3_attention(keys)


def qwen3_attention(keys: Keys) -> Fields:
    """The attention of Qwen 3."""
    bias = keys.flag("attention_bias", False)
    return {"attention_bias": bias, "output_bias": bias, "qk_norm": "head"}


def write_qwen3(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Qwen 3."""
    return write_qwen2(c) | {"attention_bias": c.attention_bias}


def _gemma_fields(keys: Keys, missing: Missing, activation: str) -> Fields:
    keys.refuse(
        "use_bidirectional_attention",
        unless=False,
        why="Only causal attention is known here.",
    )
    fields = read_shared(keys, missing, (activation, "gelu_pytorch_tanh"))
    bias = keys.flag("attention_bias", False)
    return fields | {
        "norm": "rms_offset",
        "embedding_scale": math.sqrt(fields["model_size"]),
        **{"attention_bias": bias, "output_bias": bias},
    }


def read_gemma(keys: Keys) -> Fields:
    """Gemma: norms that scale by 1 plus the parameter, scaled embeddings."""
    fields = _gemma_fields(keys, _GEMMA, "hidden_act")
    # Its first configs said gelu for what the weights were trained with.
    if fields["activation"] == "gelu":
        fields["activation"] = "gelu_tanh"
    return with_rope(keys, fields)


def write_with_bias(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Gemma, and of OLMo 2."""
    return write_shared(c) | {"attention_bias": c.attention_bias}


def _gemma_of_today(keys: Keys, missing: Missing) -> Fields:
    """Gemma 2 and 3: norms on both sides, soft caps, another scale."""
    fields = _gemma_fields(keys, missing, "hidden_activation")
    return fields | {
        "norm_position": "both",
        "scale": keys.number("query_pre_attn_scalar", 256.0) ** -0.5,
    }


def _soft_cap(keys: Keys, key: str, default: float | None) -> float | None:
    if key in keys.values and keys.values[key] is None:
        return None
    return keys.number(key, default)


def read_gemma2(keys: Keys) -> Fields:
    """Gemma 2: every other layer has a window; soft caps."""
    fields = _gemma_of_today(keys, _GEMMA2)
    window = (one_window(keys, 4096) or (None,))[0]
    fields |= {
        "attention_soft_cap": _soft_cap(keys, "attn_logit_softcapping", 50.0),
        "final_soft_cap": _soft_cap(keys, "final_logit_softcapping", 30.0),
        "windows": layer_windows(
            keys, fields["num_layers"], window, lambda i: i % 2 == 0
        ),
    }
    return with_rope(keys, fields)


def write_gemma2(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Gemma 2."""
    size = c.head_size or 1
    scalar = float(size) if c.scale is None else c.scale**-2
    if round(scalar) ** -0.5 == c.scale:  # the square of a root, rounded
        scalar = round(scalar)
    return {
        **write_shared(c, "hidden_activation"),
        **write_layer_types(c),
        "attention_bias": c.attention_bias,
        "attn_logit_softcapping": c.attention_soft_cap,
        "final_logit_softcapping": c.final_soft_cap,
        "query_pre_attn_scalar": scalar,
    }


def read_gemma3(keys: Keys) -> Fields:
    """Gemma 3: layers with a window turn by another base."""
    fields = _gemma_of_today(keys, _GEMMA3)
    window = (one_window(keys, 4096) or (None,))[0]
    every = keys.size("sliding_window_pattern", 6)
    fields |= {
        "qk_norm": "head",  # and no soft cap of attention, whatever the config says
        "final_soft_cap": _soft_cap(keys, "final_logit_softcapping", None),
        "windows": layer_windows(
            keys, fields["num_layers"], window, lambda i: (i + 1) % every != 0
        ),
    }
    sizes = fields["head_size"], fields["max_length"]
    parameters = keys.below("rope_parameters")
    if parameters is not None:
        ropes = [parameters.below(kind) or Keys({}, keys.where) for kind in LAYER_TYPES]
        of_all = read_parameters(ropes[0], keys, *sizes, 1e6)
        local = read_parameters(ropes[1], keys, *sizes, 1e4)
    else:
        of_all = read_rope(keys, *sizes, 1e6)
        local = type(of_all)(keys.number("rope_local_base_freq", 1e4))
    local = None if local == of_all else local
    return fields | {"rotary": of_all, "local_rotary": local}


def write_gemma3(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Gemma 3."""
    local = c.rotary if c.local_rotary is None else c.local_rotary
    ropes = {
        "full_attention": write_rope(c.rotary),
        "sliding_attention": write_rope(local),
    }
    return write_gemma2(c) | {"rope_parameters": ropes}


def read_phi3(keys: Keys) -> Fields:
    """Phi-3: a part of each head may be turned."""
    fields = read_shared(keys, _PHI3)
    return with_rope(keys, fields | {"windows": one_window(keys, None)}, partial=True)


def write_phi3(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Phi-3."""
    found = write_shared(c) | write_window(c)
    if isinstance(c.rotary.scaling, LongRoPE):
        original = c.rotary.scaling.original_length
        found["original_max_position_embeddings"] = original
    return found


def read_olmo2(keys: Keys) -> Fields:
    """OLMo 2: norms after attention and MLP."""
    fields = read_shared(keys, _OLMO2)
    bias = keys.flag("attention_bias", False)
    fields |= {"attention_bias": bias, "output_bias": bias}
    fields |= {"norm_position": "post", "qk_norm": "all"}
    return with_rope(keys, fields)


# ---- GPT-2 ---------------------------------------------------------------------------


def read_gpt2(keys: Keys) -> Fields:
    """GPT-2: learned positions, layer norms, no gates."""
    why = "Only GPT-2's usual attention is known here."
    keys.refuse("scale_attn_by_inverse_layer_idx", unless=False, why=why)
    keys.refuse("add_cross_attention", unless=False, why=why)
    size, heads = keys.size("n_embd", 768), keys.size("n_head", 12)
    if size % heads:
        raise ValueError(f"{keys.where}: n_embd {size} must be a multiple of {heads}.")
    return {
        "vocab_size": keys.size("vocab_size", 50257),
        "model_size": size,
        "num_layers": keys.size("n_layer", 12),
        "num_heads": heads,
        "hidden_size": keys.size("n_inner", 4 * size),
        "max_length": keys.size("n_positions", 1024),
        "activation": read_activation(keys, "activation_function", "gelu_new"),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "tied": keys.flag("tie_word_embeddings", True),
        "scale": None if keys.flag("scale_attn_weights", True) else 1.0,
        **{"gated": False, "norm": "layer", "position": "learned"},
        **{"attention_bias": True, "output_bias": True, "mlp_bias": True},
    }


def write_gpt2(c: DecoderConfig) -> dict[str, Any]:
    """Keys of GPT-2."""
    return {
        "vocab_size": c.vocab_size,
        "n_embd": c.model_size,
        "n_layer": c.num_layers,
        "n_head": c.num_heads,
        "n_inner": c.hidden_size,
        "n_positions": c.max_length,
        "activation_function": written_activation(c.activation),
        "layer_norm_epsilon": c.norm_eps,
        "scale_attn_weights": c.scale is None,
        "tie_word_embeddings": c.tied,
    }
