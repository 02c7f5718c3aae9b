"""Families of decoders, by `model_type`.

A family is a table of rules and a few fields of the config. Reading a config that a
family wrote gives the same `DecoderConfig`, which is how `save` finds a family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from haiku.nets.decoder_config import DecoderConfig
from haiku.pretrained import decoder_configs as configs
from haiku.pretrained import decoder_weights as weights
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.layouts import Rule, Slot, slots_of

CLASSIFIER = "ForSequenceClassification"


class Family(NamedTuple):
    """Configs and weights of one `model_type`.

    Attributes:
      read: From the keys of a config to fields of `DecoderConfig`, without the head.
      write: From a `DecoderConfig` to keys; reading them gives the same config, if the
        family can express it.
      rules: The weights, without the head's.
      model: The class's name in transformers, without what it is for.
      language_model: The name of the class with a head of tokens.
      layers: The key of the number of layers.
      prefix: What stands before names of all but the head's; a bare model has none.
    """

    read: Callable[[Keys], dict[str, Any]]
    write: Callable[[DecoderConfig], dict[str, Any]]
    rules: tuple[Rule, ...]
    model: str
    language_model: str
    layers: str = "num_hidden_layers"
    prefix: str = "model."


# In the order in which `save` tries them for a config made by hand.
FAMILIES: dict[str, Family] = {
    "llama": Family(
        configs.read_llama,
        configs.write_llama,
        weights.LLAMA,
        "Llama",
        "LlamaForCausalLM",
    ),
    "mistral": Family(
        configs.read_mistral,
        configs.write_mistral,
        weights.LLAMA,
        "Mistral",
        "MistralForCausalLM",
    ),
    "qwen2": Family(
        configs.read_qwen2,
        configs.write_qwen2,
        weights.LLAMA,
        "Qwen2",
        "Qwen2ForCausalLM",
    ),
    "qwen3": Family(
        configs.read_qwen3,
        configs.write_qwen3,
        weights.QWEN3,
        "Qwen3",
        "Qwen3ForCausalLM",
    ),
    "gemma": Family(
        configs.read_gemma,
        configs.write_with_bias,
        weights.LLAMA,
        "Gemma",
        "GemmaForCausalLM",
    ),
    "gemma2": Family(
        configs.read_gemma2,
        configs.write_gemma2,
        weights.GEMMA2,
        "Gemma2",
        "Gemma2ForCausalLM",
    ),
    "gemma3_text": Family(
        configs.read_gemma3,
        configs.write_gemma3,
        weights.GEMMA3,
        "Gemma3Text",
        "Gemma3ForCausalLM",
    ),
    "olmo2": Family(
        configs.read_olmo2,
        configs.write_with_bias,
        weights.OLMO2,
        "Olmo2",
        "Olmo2ForCausalLM",
    ),
    "phi3": Family(
        configs.read_phi3,
        configs.write_phi3,
        weights.PHI3,
        "Phi3",
        "Phi3ForCausalLM",
    ),
    "gpt2": Family(
        configs.read_gpt2,
        configs.write_gpt2,
        weights.GPT2,
        "GPT2",
        "GPT2LMHeadModel",
        layers="n_layer",
        prefix="transformer.",
    ),
}


def slots_of_params(
    params: Any, config: DecoderConfig, family: Family, prefix: str
) -> list[Slot]:
    """The tensors of a family that hold a decoder's parameters, or their shapes."""
    shapes = {
        path.partition("/")[2]: {name: x.shape for name, x in named.items()}
        for path, named in params.items()
    }
    rules: tuple[Rule, ...] = family.rules
    if config.head is not None:
        rules = (*rules, weights.HEADS[config.head])
    kinds = [config.window(i) for i in range(config.num_layers)]
    return slots_of(shapes, rules, kinds, prefix)
