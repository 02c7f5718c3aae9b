"""Families of decoders, by `model_type`.

A family is a table of rules and a few fields of the config. Reading a config that a
family wrote gives the same `DecoderConfig`, which is how `save` finds a family.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from haiku.nets.decoder import Decoder
from haiku.nets.decoder_config import DecoderConfig
from haiku.pretrained import decoder_configs as configs
from haiku.pretrained import decoder_weights as weights
from haiku.pretrained import expert_configs as experts
from haiku.pretrained.family import Family, Head, Net

NET = Net(Decoder, DecoderConfig, lambda c: (jax.ShapeDtypeStruct((1, 1), jnp.int32),))


def _heads(model: str, language_model: str = "") -> dict[str, Head]:
    """The heads of a family whose bare model is called so."""
    return {
        language_model or f"{model}ForCausalLM": Head(
            {"head": "tokens"}, (weights.TOKENS,), tied=("lm_head.weight",)
        ),
        f"{model}Model": Head({"head": None}),
        f"{model}ForSequenceClassification": Head(
            {"head": "classes"}, (weights.CLASSES,)
        ),
    }


# In the order in which `save` tries them for a config made by hand.
DECODERS: dict[str, Family] = {
    "llama": Family(
        NET,
        configs.read_llama,
        configs.write_llama,
        weights.LLAMA,
        _heads("Llama"),
    ),
    "mistral": Family(
        NET,
        configs.read_mistral,
        configs.write_mistral,
        weights.LLAMA,
        _heads("Mistral"),
    ),
    "qwen2": Family(
        NET,
        configs.read_qwen2,
        configs.write_qwen2,
        weights.LLAMA,
        _heads("Qwen2"),
    ),
    "qwen3": Family(
        NET,
        configs.read_qwen3,
        configs.write_qwen3,
        weights.QWEN3,
        _heads("Qwen3"),
    ),
    "gemma": Family(
        NET,
        configs.read_gemma,
        configs.write_with_bias,
        weights.LLAMA,
        _heads("Gemma"),
    ),
    "gemma2": Family(
        NET,
        configs.read_gemma2,
        configs.write_gemma2,
        weights.GEMMA2,
        _heads("Gemma2"),
    ),
    "gemma3_text": Family(
        NET,
        configs.read_gemma3,
        configs.write_gemma3,
        weights.GEMMA3,
        _heads("Gemma3Text", "Gemma3ForCausalLM"),
    ),
    "olmo2": Family(
        NET,
        configs.read_olmo2,
        configs.write_with_bias,
        weights.OLMO2,
        _heads("Olmo2"),
    ),
    "phi3": Family(
        NET,
        configs.read_phi3,
        configs.write_phi3,
        weights.PHI3,
        _heads("Phi3"),
    ),
    "mixtral": Family(
        NET,
        experts.read_mixtral,
        experts.write_mixtral,
        weights.MIXTRAL,
        _heads("Mixtral"),
    ),
    "qwen3_moe": Family(
        NET,
        experts.read_qwen3_moe,
        experts.write_qwen3_moe,
        weights.QWEN3_MOE,
        _heads("Qwen3Moe"),
    ),
    "gpt_oss": Family(
        NET,
        experts.read_gpt_oss,
        experts.write_gpt_oss,
        weights.GPT_OSS,
        _heads("GptOss"),
    ),
    "gpt2": Family(
        NET,
        configs.read_gpt2,
        configs.write_gpt2,
        weights.GPT2,
        _heads("GPT2", "GPT2LMHeadModel"),
        layers={"n_layer": "h"},
        prefix="transformer.",
    ),
}
