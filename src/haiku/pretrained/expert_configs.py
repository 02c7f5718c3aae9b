"""Configs of the families of decoders whose layers have experts."""

from __future__ import annotations

from typing import Any

from haiku._layers.rotary import Rotary
from haiku.nets.decoder_config import DecoderConfig
from haiku.nets.experts_config import ExpertsConfig
from haiku.pretrained import decoder_configs as shared
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import Fields
from haiku.rotary import YaRN

_MIXTRAL = shared.Missing(32000, 4096, 14336, 32, 32, 8, None, 131072, norm_eps=1e-5)
_QWEN3_MOE = shared.Missing(151936, 2048, 6144, 24, 32, 4, None, 32768)
_GPT_OSS = shared.Missing(201088, 2880, 2880, 36, 64, 8, 64, 131072, norm_eps=1e-5)
_GPT_OSS_BASE = 150000.0


def _experts(keys: Keys, **options: Any) -> ExpertsConfig:
    try:
        return ExpertsConfig(**options)
    except ValueError as error:
        raise ValueError(f"{keys.where}: {error}") from error


def _of(c: DecoderConfig) -> ExpertsConfig:
    if c.experts is None:
        raise ValueError("The config has no experts.")
    return c.experts


def read_mixtral(keys: Keys) -> Fields:
    """Mixtral: experts in all layers, the weights of the chosen sum to 1."""
    fields = shared.read_shared(keys, _MIXTRAL)
    experts = _experts(
        keys,
        num_experts=keys.size("num_local_experts", 8),
        num_selected=keys.size("num_experts_per_tok", 2),
        hidden_size=fields["hidden_size"],
    )
    fields |= {"experts": experts, "windows": shared.one_window(keys, None)}
    return shared.with_rope(keys, fields, base=1e6)


def write_mixtral(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Mixtral."""
    return (
        shared.write_shared(c)
        | shared.write_window(c)
        | {
            "intermediate_size": _of(c).hidden_size,
            "num_local_experts": _of(c).num_experts,
            "num_experts_per_tok": _of(c).num_selected,
        }
    )


def read_qwen3_moe(keys: Keys) -> Fields:
    """Qwen 3 with experts in some layers, norms of queries and keys."""
    fields = shared.read_shared(keys, _QWEN3_MOE) | shared.qwen3_attention(keys)
    if keys.flag("use_sliding_window", False):
        fields["windows"] = shared.one_window(keys, 4096)
    layers = range(fields["num_layers"])
    every = keys.size("decoder_sparse_step", 1)
    dense = keys.values.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not {*dense} <= {*layers}:
        raise ValueError(
            f"{keys.where}: mlp_only_layers must be a list of indices of the "
            f"{len(layers)} layers, and is {dense!r}."
        )
    chosen = tuple(i for i in layers if i not in dense and (i + 1) % every == 0)
    experts = _experts(
        keys,
        num_experts=keys.size("num_experts", keys.size("num_local_experts", 128)),
        num_selected=keys.size("num_experts_per_tok", 8),
        hidden_size=keys.size("moe_intermediate_size", 768),
        renormalise=keys.flag("norm_topk_prob", False),
        layers=None if len(chosen) == len(layers) else chosen,
    )
    return shared.with_rope(keys, fields | {"experts": experts})


def write_qwen3_moe(c: DecoderConfig) -> dict[str, Any]:
    """Keys of Qwen 3 with experts."""
    experts = _of(c)
    chosen = range(c.num_layers) if experts.layers is None else experts.layers
    return (
        shared.write_shared(c)
        | shared.write_window(c)
        | {
            "use_sliding_window": c.windows is not None,
            "attention_bias": c.attention_bias,
            "num_experts": experts.num_experts,
            "num_experts_per_tok": experts.num_selected,
            "moe_intermediate_size": experts.hidden_size,
            "norm_topk_prob": experts.renormalise,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [i for i in range(c.num_layers) if i not in chosen],
        }
    )


def read_gpt_oss(keys: Keys) -> Fields:
    """gpt-oss: clipped gates, sinks, windows in every other layer, biases."""
    fields = shared.read_shared(keys, _GPT_OSS)
    keys.refuse("swiglu_alpha", unless=1.702, why="Another slope isn't known here.")
    experts = _experts(
        keys,
        num_experts=keys.size("num_local_experts", 128),
        num_selected=keys.size("num_experts_per_tok", 4),
        hidden_size=fields["hidden_size"],
        router="softmax_of_selected",
        with_bias=True,
        swiglu_limit=keys.number("swiglu_limit", 7.0),
    )
    bias = keys.flag("attention_bias", True)
    window = (shared.one_window(keys, 128) or (None,))[0]
    windows = shared.layer_windows(
        keys, fields["num_layers"], window, lambda i: i % 2 == 0
    )
    fields |= {
        "experts": experts,
        "windows": windows,
        "sinks": True,
        "attention_bias": bias,
        "output_bias": bias,
    }
    if "rope_parameters" in keys or "rope_scaling" in keys:
        return shared.with_rope(keys, fields, base=_GPT_OSS_BASE)
    yarn = YaRN(32.0, 4096, truncate=False)
    base = keys.number("rope_theta", _GPT_OSS_BASE)
    return fields | {"rotary": Rotary(base, scaling=yarn)}


def write_gpt_oss(c: DecoderConfig) -> dict[str, Any]:
    """Keys of gpt-oss."""
    experts = _of(c)
    return (
        shared.write_shared(c)
        | shared.write_layer_types(c)
        | {
            "intermediate_size": experts.hidden_size,
            "num_local_experts": experts.num_experts,
            "num_experts_per_tok": experts.num_selected,
            "swiglu_limit": experts.swiglu_limit,
            "attention_bias": c.attention_bias,
            # transformers wants one even if no layer has it.
            "sliding_window": next(filter(None, c.windows or ()), 128),
        }
    )
