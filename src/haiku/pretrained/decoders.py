"""Families of decoders: how each writes its config, and how it names its weights.

A family is a table of rules and a few fields of the config. Reading a config that a
family wrote gives the same `DecoderConfig`, which is how `save` finds a family.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from haiku.nets.decoder import DecoderConfig
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.layouts import LINEAR, PLAIN, Rule
from haiku.pretrained.rope import read_parameters, read_rope, write_rope
from haiku.rotary import LongRoPE

Fields = dict[str, Any]

_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu_squared",
    "quick_gelu": "quick_gelu",
}
_WRITTEN = {
    **{"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"},
    **{"relu": "relu", "relu_squared": "relu2", "quick_gelu": "quick_gelu"},
}
_LAYER_TYPES = ("full_attention", "sliding_attention")


class Family(NamedTuple):
    """Configs and weights of one `model_type`.

    Attributes:
      read: From the keys of a config to fields of `DecoderConfig`, without the head.
      write: From a `DecoderConfig` to keys; reading them gives the same config, if the
        family can express it.
      rules: The weights, without the head's.
      layers: The key of the number of layers.
      prefix: What stands before names of all but the head's; a bare model has none.
      model: The class's name in transformers, without what it is for.
      language_model: The name of the class with a head of tokens.
    """

    read: Callable[[Keys], Fields]
    write: Callable[[DecoderConfig], dict[str, Any]]
    rules: tuple[Rule, ...]
    layers: str
    prefix: str
    model: str
    language_model: str


# ---- Llama and its kin ---------------------------------------------------------------


def _read_llama(
    keys: Keys,
    *,
    model_size: int,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    num_kv_heads: int | None = None,
    head_size: int | None = None,
    vocab_size: int,
    max_length: int,
    norm_eps: float = 1e-6,
    activation: tuple[str, str] = ("hidden_act", "silu"),
    tied: bool = False,
) -> Fields:
    """The keys that Llama's kin share; the arguments are what missing keys mean."""
    heads = keys.size("num_attention_heads", num_heads)
    model_size = keys.size("hidden_size", model_size)
    head_size = keys.size("head_dim", head_size)
    if head_size is None and model_size % heads:
        raise ValueError(
            f"{keys.where}: hidden_size {model_size} must be a multiple of "
            f"num_attention_heads {heads}, or head_dim must be there."
        )
    kv_heads = keys.size("num_key_value_heads", num_kv_heads or heads)
    if heads % kv_heads:
        raise ValueError(
            f"{keys.where}: num_key_value_heads {kv_heads} must divide "
            f"num_attention_heads {heads}."
        )
    return {
        "vocab_size": keys.size("vocab_size", vocab_size),
        "model_size": model_size,
        "num_layers": keys.size("num_hidden_layers", num_layers),
        "num_heads": heads,
        "num_kv_heads": kv_heads,
        "head_size": head_size or model_size // heads,
        "hidden_size": keys.size("intermediate_size", hidden_size),
        "max_length": keys.size("max_position_embeddings", max_length),
        "activation": _ACTIVATIONS[
            keys.choice(activation[0], tuple(_ACTIVATIONS), activation[1])
        ],
        "norm_eps": keys.number("rms_norm_eps", norm_eps),
        "tied": keys.flag("tie_word_embeddings", tied),
    }


def _with_rope(keys: Keys, fields: Fields, partial: bool = False) -> Fields:
    sizes = fields["head_size"], fields["max_length"]
    rope = read_rope(keys, *sizes, partial=partial)
    return fields | {"rotary": rope}


def _write_llama(c: DecoderConfig, activation: str = "hidden_act") -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.model_size,
        "intermediate_size": c.hidden_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "num_key_value_heads": c.num_kv_heads,
        "head_dim": c.head_size,
        "max_position_embeddings": c.max_length,
        activation: _WRITTEN[c.activation],
        "rms_norm_eps": c.norm_eps,
        "tie_word_embeddings": c.tied,
        "rope_parameters": write_rope(c.rotary),
    }


def _attention_rules(bias: bool = True) -> tuple[Rule, ...]:
    """Weights of attention under Llama's names, and biases."""
    names = {"query": "q", "key": "k", "value": "v", "output": "o"}
    rules = []
    for ours, theirs in names.items():
        name = f"^layers.{{i}}.self_attn.{theirs}_proj"
        rules.append(Rule(f"{name}.weight", f"block/attention/{ours}/w", LINEAR))
        if bias:
            rules.append(Rule(f"{name}.bias", f"block/attention/{ours}/b", PLAIN))
    return tuple(rules)


_QK_NORM = (
    Rule("^layers.{i}.self_attn.q_norm.weight", "block/attention/query_norm/scale"),
    Rule("^layers.{i}.self_attn.k_norm.weight", "block/attention/key_norm/scale"),
)
_MLP = tuple(
    rule
    for name in ("gate", "up", "down")
    for rule in (
        Rule(f"^layers.{{i}}.mlp.{name}_proj.weight", f"block/mlp/{name}/w", LINEAR),
        Rule(f"^layers.{{i}}.mlp.{name}_proj.bias", f"block/mlp/{name}/b"),
    )
)
_ENDS = (
    Rule("^embed_tokens.weight", "embed/embeddings"),
    Rule("^norm.weight", "norm/scale"),
)
_PRE = (
    Rule("^layers.{i}.input_layernorm.weight", "block/attention_norm/scale"),
    Rule("^layers.{i}.post_attention_layernorm.weight", "block/mlp_norm/scale"),
)
_POST = (
    Rule(
        "^layers.{i}.post_attention_layernorm.weight",
        "block/attention_norm_post/scale",
    ),
    Rule("^layers.{i}.post_feedforward_layernorm.weight", "block/mlp_norm_post/scale"),
)
_BOTH = (
    Rule("^layers.{i}.input_layernorm.weight", "block/attention_norm/scale"),
    *_POST,
    Rule("^layers.{i}.pre_feedforward_layernorm.weight", "block/mlp_norm/scale"),
)
_LLAMA = (*_ENDS, *_PRE, *_attention_rules(), *_MLP)


def _llama(keys: Keys) -> Fields:
    fields = _read_llama(
        keys,
        model_size=4096,
        hidden_size=11008,
        num_layers=32,
        num_heads=32,
        vocab_size=32000,
        max_length=2048,
    )
    bias = keys.flag("attention_bias", False)
    fields |= {"attention_bias": bias, "output_bias": bias}
    return _with_rope(keys, fields | {"mlp_bias": keys.flag("mlp_bias", False)})


def _write_llama_biases(c: DecoderConfig) -> dict[str, Any]:
    biases = {"attention_bias": c.attention_bias, "mlp_bias": c.mlp_bias}
    return _write_llama(c) | biases


def _mistral(keys: Keys) -> Fields:
    fields = _read_llama(
        keys,
        model_size=4096,
        hidden_size=14336,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        vocab_size=32000,
        max_length=131072,
    )
    return _with_rope(keys, fields | {"windows": _one_window(keys, 4096)})


def _one_window(keys: Keys, default: int | None) -> tuple[int] | None:
    """`sliding_window` of all layers; null is none, and a missing key the default."""
    if "sliding_window" in keys.values and keys.values["sliding_window"] is None:
        return None
    window = keys.size("sliding_window", default)
    return None if window is None else (window,)


def _write_window(c: DecoderConfig) -> dict[str, Any]:
    return {"sliding_window": c.window(0)}


def _layer_windows(
    keys: Keys, num_layers: int, window: int | None, usual: Callable[[int], bool]
) -> tuple[int | None, ...]:
    """The window of each layer, by `layer_types` or by the family's habit."""
    types = keys.texts("layer_types", _LAYER_TYPES, num_layers)
    if types is not None:
        slides = [kind == "sliding_attention" for kind in types]
    else:
        slides = [usual(i) for i in range(num_layers)]
    if any(slides) and window is None:
        raise ValueError(
            f"{keys.where}: layers have sliding_attention, but sliding_window is null."
        )
    return tuple(window if slide else None for slide in slides)


def _write_layer_types(c: DecoderConfig) -> dict[str, Any]:
    windows = [c.window(i) for i in range(c.num_layers)]
    sizes = [w for w in windows if w is not None]
    return {
        "sliding_window": sizes[0] if sizes else None,
        "layer_types": [_LAYER_TYPES[w is not None] for w in windows],
    }


def _qwen(keys: Keys, **defaults: Any) -> Fields:
    fields = _read_llama(
        keys,
        model_size=4096,
        hidden_size=22016,
        num_layers=32,
        num_heads=32,
        num_kv_heads=32,
        vocab_size=151936,
        **{"max_length": 32768, **defaults},
    )
    window = None
    if keys.flag("use_sliding_window", False):
        window = (_one_window(keys, 4096) or (None,))[0]
    first = keys.count("max_window_layers", 28)
    if window is not None:
        number = fields["num_layers"]
        fields["windows"] = _layer_windows(keys, number, window, lambda i: i >= first)
    return _with_rope(keys, fields)


def _write_qwen(c: DecoderConfig) -> dict[str, Any]:
    sliding = c.windows is not None
    return _write_llama(c) | _write_layer_types(c) | {"use_sliding_window": sliding}


def _qwen2(keys: Keys) -> Fields:
    return _qwen(keys) | {"attention_bias": True}


def _qwen3(keys: Keys) -> Fields:
    bias = keys.flag("attention_bias", False)
    biases = {"attention_bias": bias, "output_bias": bias}
    return _qwen(keys, head_size=128) | biases | {"qk_norm": "head"}


def _write_qwen3(c: DecoderConfig) -> dict[str, Any]:
    return _write_qwen(c) | {"attention_bias": c.attention_bias}


def _gemma_fields(keys: Keys, activation: tuple[str, str], **sizes: Any) -> Fields:
    keys.refuse(
        *("use_bidirectional_attention",),
        unless=False,
        why="Only causal attention is known here.",
    )
    fields = _read_llama(keys, activation=activation, tied=True, head_size=256, **sizes)
    bias = keys.flag("attention_bias", False)
    return fields | {
        "norm": "rms_offset",
        "embedding_scale": math.sqrt(fields["model_size"]),
        **{"attention_bias": bias, "output_bias": bias},
    }


def _gemma(keys: Keys) -> Fields:
    fields = _gemma_fields(
        keys,
        ("hidden_act", "gelu_pytorch_tanh"),
        model_size=3072,
        hidden_size=24576,
        num_layers=28,
        num_heads=16,
        num_kv_heads=16,
        vocab_size=256000,
        max_length=8192,
    )
    # Its first configs said gelu for what the weights were trained with.
    if fields["activation"] == "gelu":
        fields["activation"] = "gelu_tanh"
    return _with_rope(keys, fields)


def _write_with_bias(c: DecoderConfig) -> dict[str, Any]:
    return _write_llama(c) | {"attention_bias": c.attention_bias}


def _gemma_of_today(keys: Keys, vocab_size: int, max_length: int) -> Fields:
    """Gemma 2 and 3: norms on both sides, soft caps, another scale."""
    fields = _gemma_fields(
        keys,
        ("hidden_activation", "gelu_pytorch_tanh"),
        model_size=2304,
        hidden_size=9216,
        num_layers=26,
        num_heads=8,
        num_kv_heads=4,
        vocab_size=vocab_size,
        max_length=max_length,
    )
    return fields | {
        "norm_position": "both",
        "scale": keys.number("query_pre_attn_scalar", 256.0) ** -0.5,
    }


def _soft_cap(keys: Keys, key: str, default: float | None) -> float | None:
    if key in keys.values and keys.values[key] is None:
        return None
    return keys.number(key, default)


def _gemma2(keys: Keys) -> Fields:
    fields = _gemma_of_today(keys, 256000, 8192)
    window = (_one_window(keys, 4096) or (None,))[0]
    fields |= {
        "attention_soft_cap": _soft_cap(keys, "attn_logit_softcapping", 50.0),
        "final_soft_cap": _soft_cap(keys, "final_logit_softcapping", 30.0),
        "windows": _layer_windows(
            keys, fields["num_layers"], window, lambda i: i % 2 == 0
        ),
    }
    return _with_rope(keys, fields)


def _write_gemma_of_today(c: DecoderConfig) -> dict[str, Any]:
    size = c.head_size or 1
    scalar = float(size) if c.scale is None else c.scale**-2
    if round(scalar) ** -0.5 == c.scale:  # the square of a root, rounded
        scalar = round(scalar)
    return {
        **_write_llama(c, "hidden_activation"),
        **_write_layer_types(c),
        "attention_bias": c.attention_bias,
        "attn_logit_softcapping": c.attention_soft_cap,
        "final_logit_softcapping": c.final_soft_cap,
        "query_pre_attn_scalar": scalar,
    }


def _gemma3(keys: Keys) -> Fields:
    fields = _gemma_of_today(keys, 262208, 131072)
    window = (_one_window(keys, 4096) or (None,))[0]
    every = keys.size("sliding_window_pattern", 6)
    fields |= {
        "qk_norm": "head",  # and no soft cap of attention, whatever the config says
        "final_soft_cap": _soft_cap(keys, "final_logit_softcapping", None),
        "windows": _layer_windows(
            keys, fields["num_layers"], window, lambda i: (i + 1) % every != 0
        ),
    }
    sizes = fields["head_size"], fields["max_length"]
    parameters = keys.below("rope_parameters")
    if parameters is not None:
        ropes = [
            parameters.below(kind) or Keys({}, keys.where) for kind in _LAYER_TYPES
        ]
        of_all = read_parameters(ropes[0], keys, *sizes, 1e6)
        local = read_parameters(ropes[1], keys, *sizes, 1e4)
    else:
        of_all = read_rope(keys, *sizes, 1e6)
        local = type(of_all)(keys.number("rope_local_base_freq", 1e4))
    return fields | {"rotary": of_all, "local_rotary": local}


def _write_gemma3(c: DecoderConfig) -> dict[str, Any]:
    local = c.rotary if c.local_rotary is None else c.local_rotary
    ropes = {
        "full_attention": write_rope(c.rotary),
        "sliding_attention": write_rope(local),
    }
    return _write_gemma_of_today(c) | {"rope_parameters": ropes}


def _phi3(keys: Keys) -> Fields:
    fields = _read_llama(
        keys,
        model_size=3072,
        hidden_size=8192,
        num_layers=32,
        num_heads=32,
        vocab_size=32064,
        max_length=4096,
        norm_eps=1e-5,
    )
    return _with_rope(keys, fields | {"windows": _one_window(keys, None)}, partial=True)


def _write_phi3(c: DecoderConfig) -> dict[str, Any]:
    found = _write_llama(c) | _write_window(c)
    if isinstance(c.rotary.scaling, LongRoPE):
        original = c.rotary.scaling.original_length
        found["original_max_position_embeddings"] = original
    return found


def _olmo2(keys: Keys) -> Fields:
    fields = _read_llama(
        keys,
        model_size=4096,
        hidden_size=11008,
        num_layers=32,
        num_heads=32,
        vocab_size=50304,
        max_length=2048,
        norm_eps=1e-5,
    )
    bias = keys.flag("attention_bias", False)
    fields |= {"attention_bias": bias, "output_bias": bias}
    fields |= {"norm_position": "post", "qk_norm": "all"}
    return _with_rope(keys, fields)


# ---- GPT-2 ---------------------------------------------------------------------------


def _gpt2(keys: Keys) -> Fields:
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
        "activation": _ACTIVATIONS[
            keys.choice("activation_function", tuple(_ACTIVATIONS), "gelu_new")
        ],
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "tied": keys.flag("tie_word_embeddings", True),
        "scale": None if keys.flag("scale_attn_weights", True) else 1.0,
        **{"gated": False, "norm": "layer", "position": "learned"},
        **{"attention_bias": True, "output_bias": True, "mlp_bias": True},
    }


def _write_gpt2(c: DecoderConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "n_embd": c.model_size,
        "n_layer": c.num_layers,
        "n_head": c.num_heads,
        "n_inner": c.hidden_size,
        "n_positions": c.max_length,
        "activation_function": _WRITTEN[c.activation],
        "layer_norm_epsilon": c.norm_eps,
        "scale_attn_weights": c.scale is None,
        "tie_word_embeddings": c.tied,
    }


_GPT2 = (
    Rule("^wte.weight", "embed/embeddings"),
    Rule("^wpe.weight", "positions/embeddings"),
    Rule("^ln_f.weight", "norm/scale"),
    Rule("^ln_f.bias", "norm/offset"),
    *(
        Rule(f"^h.{{i}}.{theirs}.{of_theirs}", f"block/{ours}/{of_ours}")
        for theirs, ours in (("ln_1", "attention_norm"), ("ln_2", "mlp_norm"))
        for of_theirs, of_ours in (("weight", "scale"), ("bias", "offset"))
    ),
    *(
        Rule(
            f"^h.{{i}}.attn.c_attn.{theirs}",
            tuple(f"block/attention/{x}/{ours}" for x in ("query", "key", "value")),
            layout,
        )
        for theirs, ours, layout in (("weight", "w", PLAIN), ("bias", "b", PLAIN))
    ),
    *(
        Rule(f"^h.{{i}}.{theirs}.{of_theirs}", f"block/{ours}/{of_ours}", layout)
        for theirs, ours in (
            ("attn.c_proj", "attention/output"),
            ("mlp.c_fc", "mlp/up"),
            ("mlp.c_proj", "mlp/down"),
        )
        for of_theirs, of_ours, layout in (
            ("weight", "w", PLAIN),
            ("bias", "b", PLAIN),
        )
    ),
)

# ---- The table -----------------------------------------------------------------------


def _family(read, write, rules, model, language_model=None, prefix="model."):
    layers = "n_layer" if model == "GPT2" else "num_hidden_layers"
    name = language_model or f"{model}ForCausalLM"
    return Family(read, write, rules, layers, prefix, model, name)


_PHI3 = (
    *(*_ENDS, *_PRE),
    Rule(
        "^layers.{i}.self_attn.qkv_proj.weight",
        tuple(f"block/attention/{x}/w" for x in ("query", "key", "value")),
        LINEAR,
    ),
    Rule("^layers.{i}.self_attn.o_proj.weight", "block/attention/output/w", LINEAR),
    Rule(
        "^layers.{i}.mlp.gate_up_proj.weight",
        ("block/mlp/gate/w", "block/mlp/up/w"),
        LINEAR,
    ),
    Rule("^layers.{i}.mlp.down_proj.weight", "block/mlp/down/w", LINEAR),
)
# In the order in which `save` tries them for a config made by hand.
HEADS = {
    "tokens": Rule("lm_head.weight", "head/w", LINEAR),
    "classes": Rule("score.weight", "head/w", LINEAR),
}
FAMILIES: dict[str, Family] = {
    "llama": _family(_llama, _write_llama_biases, _LLAMA, "Llama"),
    "mistral": _family(
        _mistral, lambda c: _write_llama(c) | _write_window(c), _LLAMA, "Mistral"
    ),
    "qwen2": _family(_qwen2, _write_qwen, _LLAMA, "Qwen2"),
    "qwen3": _family(_qwen3, _write_qwen3, (*_LLAMA, *_QK_NORM), "Qwen3"),
    "gemma": _family(_gemma, _write_with_bias, _LLAMA, "Gemma"),
    "gemma2": _family(
        *(_gemma2, _write_gemma_of_today),
        (*_ENDS, *_BOTH, *_attention_rules(), *_MLP),
        "Gemma2",
    ),
    "gemma3_text": _family(
        *(_gemma3, _write_gemma3),
        (*_ENDS, *_BOTH, *_attention_rules(), *_QK_NORM, *_MLP),
        *("Gemma3Text", "Gemma3ForCausalLM"),
    ),
    "olmo2": _family(
        *(_olmo2, _write_with_bias),
        (*_ENDS, *_POST, *_attention_rules(), *_QK_NORM, *_MLP),
        "Olmo2",
    ),
    "phi3": _family(_phi3, _write_phi3, _PHI3, "Phi3"),
    "gpt2": _family(
        _gpt2, _write_gpt2, _GPT2, "GPT2", "GPT2LMHeadModel", "transformer."
    ),
}
