"""Families of state space models, by `model_type`: their weights, configs and heads."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from haiku.nets.mamba import Mamba
from haiku.nets.mamba_config import MambaConfig
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.family import Family, Fields, Head, Net
from haiku.pretrained.json_files import shown
from haiku.pretrained.layouts import LINEAR, Layout, Rule

NET = Net(Mamba, MambaConfig, lambda c: (jax.ShapeDtypeStruct((1, 1), jnp.int32),))


# ---- Weights -------------------------------------------------------------------------

_MIXER = "^layers.{i}.mixer"
_CONVOLUTION = Layout((2, 1, 0))  # [channels, 1, steps]
_BOTH = (
    Rule("^embeddings.weight", "embed/embeddings"),
    Rule("^layers.{i}.norm.weight", "block/norm/scale"),
    Rule(f"{_MIXER}.in_proj.weight", "block/mixer/in/w", LINEAR),
    Rule(f"{_MIXER}.in_proj.bias", "block/mixer/in/b"),
    Rule(f"{_MIXER}.conv1d.weight", "block/mixer/conv/w", _CONVOLUTION),
    Rule(f"{_MIXER}.conv1d.bias", "block/mixer/conv/b"),
    Rule(f"{_MIXER}.A_log", "block/mixer/a_log"),
    Rule(f"{_MIXER}.D", "block/mixer/d"),
    Rule(f"{_MIXER}.out_proj.weight", "block/mixer/out/w", LINEAR),
    Rule(f"{_MIXER}.out_proj.bias", "block/mixer/out/b"),
    Rule("^norm_f.weight", "norm/scale"),
)
_MAMBA = (
    *_BOTH,
    Rule(f"{_MIXER}.x_proj.weight", "block/mixer/selection/w", LINEAR),
    Rule(f"{_MIXER}.dt_proj.weight", "block/mixer/time_step/w", LINEAR),
    Rule(f"{_MIXER}.dt_proj.bias", "block/mixer/time_step/b"),
)
_MAMBA2 = (
    *_BOTH,
    Rule(f"{_MIXER}.dt_bias", "block/mixer/time_step_bias"),
    Rule(f"{_MIXER}.norm.weight", "block/mixer/norm/scale"),
)


def _heads(model: str) -> dict[str, Head]:
    return {
        f"{model}ForCausalLM": Head(
            {"head": "tokens"},
            (Rule("lm_head.weight", "head/w", LINEAR),),
            tied=("lm_head.weight",),
        ),
        f"{model}Model": Head({"head": None}),
    }


# ---- Configs -------------------------------------------------------------------------

# Keys that mean nothing to a model whose weights are there: `time_step_scale`,
# `time_step_init_scheme`, `rescale_prenorm_residual` and `initializer_range` are of
# first values, `use_mambapy`, `use_associative_scan` and `use_cache` of how to compute.
# Folders of mamba2 say `norm_before_gate` and `rms_norm`; transformers reads neither,
# and its gate always stands before the norm.

_LONGEST_CONVOLUTION = 256


def _read_both(keys: Keys, vocab_size: int, sizes: tuple[int, int, int]) -> Fields:
    """What both have; sizes of the model, a state and layers if keys are missing."""
    keys.choice("hidden_act", ("silu", "swish"), "silu")
    model_size = keys.size("hidden_size", sizes[0])
    expand = keys.size("expand", 2)
    why = f"It must be expand * hidden_size, {expand * model_size}."
    keys.refuse("intermediate_size", unless=expand * model_size, why=why)
    conv_size = keys.size("conv_kernel", 4)
    if conv_size > _LONGEST_CONVOLUTION:
        raise ValueError(
            f"{keys.where}: conv_kernel must be at most {_LONGEST_CONVOLUTION}, and is "
            f"{shown(conv_size)}."
        )
    return {
        "vocab_size": keys.size("vocab_size", vocab_size),
        "model_size": model_size,
        "num_layers": keys.size("num_hidden_layers", sizes[2]),
        "state_size": keys.size("state_size", sizes[1]),
        "expand": expand,
        "conv_size": conv_size,
        "time_step_min": keys.number("time_step_min", 0.001),
        "time_step_max": keys.number("time_step_max", 0.1),
        "time_step_floor": keys.number("time_step_floor", 1e-4),
        "with_bias": keys.flag("use_bias", False),
        "conv_bias": keys.flag("use_conv_bias", True),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "wide_residual": keys.flag("residual_in_fp32", True),
    }


def _write_both(c: MambaConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.model_size,
        "intermediate_size": c.inner_size,
        "num_hidden_layers": c.num_layers,
        "state_size": c.state_size,
        "expand": c.expand,
        "conv_kernel": c.conv_size,
        "hidden_act": "silu",
        "time_step_min": c.time_step_min,
        "time_step_max": c.time_step_max,
        "time_step_floor": c.time_step_floor,
        "use_bias": c.with_bias,
        "use_conv_bias": c.conv_bias,
        "layer_norm_epsilon": c.norm_eps,
        "residual_in_fp32": c.wide_residual,
        "tie_word_embeddings": c.tied,
    }


def read_mamba(keys: Keys) -> Fields:
    """Mamba: a state for each inner feature."""
    fields = _read_both(keys, 50280, (768, 16, 32))
    rank = None
    if keys.values.get("time_step_rank") != "auto":
        rank = keys.size("time_step_rank", None)
    return fields | {
        "version": 1,
        "time_step_rank": rank,
        "tied": keys.flag("tie_word_embeddings", True),
    }


def write_mamba(c: MambaConfig) -> dict[str, Any]:
    """Keys of Mamba."""
    return _write_both(c) | {"time_step_rank": c.time_step_rank}


def read_mamba2(keys: Keys) -> Fields:
    """Mamba-2: heads and groups."""
    fields = _read_both(keys, 32768, (4096, 128, 64))
    inner = fields["expand"] * fields["model_size"]
    heads, head_size = keys.size("num_heads", 128), keys.size("head_dim", 64)
    if heads * head_size != inner:
        raise ValueError(
            f"{keys.where}: num_heads * head_dim must be expand * hidden_size, "
            f"{inner}, and is {heads} * {head_size}."
        )
    return fields | {
        "version": 2,
        "head_size": head_size,
        "num_groups": keys.size("n_groups", 8),
        "chunk_size": keys.size("chunk_size", 256),
        "time_step_limit": _read_limit(keys),
        "tied": keys.flag("tie_word_embeddings", False),
    }


def write_mamba2(c: MambaConfig) -> dict[str, Any]:
    """Keys of Mamba-2."""
    return _write_both(c) | {
        "num_heads": c.num_heads,
        "head_dim": c.head_size,
        "n_groups": c.num_groups,
        "chunk_size": c.chunk_size,
        "time_step_limit": [_written(x) for x in c.time_step_limit or ()],
    }


# JSON has no infinity. Files of transformers 4 hold the word all the same, those of
# transformers 5 an object.
_INFINITY = {"__float__": "Infinity"}


def _read_limit(keys: Keys) -> tuple[float, ...]:
    values = keys.values.get("time_step_limit")
    if values is None:
        return (0.0, math.inf)
    if isinstance(values, list) and values and values[-1] in (math.inf, _INFINITY):
        lowest = Keys({"time_step_limit": values[:-1]}, keys.where)
        return (*lowest.numbers("time_step_limit", 1), math.inf)
    return keys.numbers("time_step_limit", 2)


def _written(x: float) -> Any:
    return _INFINITY if x == math.inf else x


# ---- Families ------------------------------------------------------------------------

MAMBAS: dict[str, Family] = {
    "mamba": Family(
        NET,
        read_mamba,
        write_mamba,
        _MAMBA,
        _heads("Mamba"),
        prefix="backbone.",
    ),
    "mamba2": Family(
        NET,
        read_mamba2,
        write_mamba2,
        _MAMBA2,
        _heads("Mamba2"),
        prefix="backbone.",
    ),
}
