"""Models to Hugging Face's folders."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from haiku._bound import Bound
from haiku._core import Blueprint
from haiku.nets.decoder import Decoder
from haiku.nets.decoder_config import DecoderConfig
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.decoders import CLASSIFIER, FAMILIES, Family, slots_of_params
from haiku.pretrained.folders import Folder, write_folder
from haiku.pretrained.layouts import tensors
from haiku.pretrained.tokenizer import Tokenizer, tokenizer_files

__all__ = ["save", "to_state_dict"]


def save(
    folder: Folder,
    model: Any,
    tokenizer: Tokenizer | None = None,
    *,
    max_shard_size: int = 5 * 10**9,
) -> None:
    """Writes a model as a Hugging Face folder, which transformers loads.

    The folder is replaced as one: a save that is killed leaves the old or the new one.

    Args:
      folder: Made if it isn't there.
      model: A bound `hk.nets.Decoder`: one that `load` made, in its family; else in the
        simplest family that has its config.
      tokenizer: Written beside it. Default: none.
      max_shard_size: Bytes in one file of weights.

    Raises:
      TypeError: `model` isn't a bound `hk.nets.Decoder`.
      ValueError: No family has its config, or the model holds hooks.

    Example:
      >>> import os, tempfile
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 4], jnp.int32))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     hk.pretrained.save(folder, model)
      ...     print(sorted(os.listdir(folder)))
      ['config.json', 'model.safetensors']
    """
    config = _config_of(model)
    kind, family, written = _family_of(config)
    arrays = _tensors(model, config, family)
    dtypes = {str(x.dtype) for x in arrays.values()}
    about = {
        "architectures": [_architecture(config, family)],
        "model_type": kind,
        "dtype": dtypes.pop() if len(dtypes) == 1 else "float32",
    }
    kept = json.loads(config.source) if config.source else {}
    if kept.get("model_type") != kind:
        kept = {}
    for key in ("rope_theta", "rope_scaling", "rope_local_base_freq", "torch_dtype"):
        kept.pop(key, None)
    texts: dict[str, Any] = {"config.json": kept | written | about}
    if tokenizer is not None:
        texts |= tokenizer_files(tokenizer)
    write_folder(folder, arrays, texts, max_shard_size=max_shard_size)


def to_state_dict(model: Any) -> dict[str, np.ndarray]:
    """The parameters of a model under Hugging Face's names and layouts.

    Args:
      model: A bound `hk.nets.Decoder`, see `save`.

    Returns:
      NumPy arrays by name.

    Raises:
      TypeError: `model` isn't a bound `hk.nets.Decoder`.
      ValueError: No family has its config, or the model holds hooks.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 4], jnp.int32))
      >>> len(hk.pretrained.to_state_dict(model))
      21
    """
    config = _config_of(model)
    _, family, _ = _family_of(config)
    return _tensors(model, config, family)


def _tensors(model, config, family) -> dict[str, np.ndarray]:
    bare = config.head is None
    slots = slots_of_params(model.params, config, family, "" if bare else family.prefix)
    params = {path.partition("/")[2]: named for path, named in model.params.items()}
    return tensors(slots, params)


def _config_of(model: Any) -> DecoderConfig:
    net = getattr(model, "net", None)
    if (
        not isinstance(model, Bound)
        or not isinstance(net, Blueprint)
        or net.module_class is not Decoder
        or model.params is None
    ):
        raise TypeError(
            "hk.pretrained saves bound models of hk.nets.Decoder: hk.bind("
            "hk.nets.Decoder, config).init(key, tokens), or one that `load` made. Got "
            f"{type(model).__name__}."
        )
    if model.hooks:
        raise ValueError(
            f"The model holds {len(model.hooks)} hooks, which a folder can't: save "
            "model.replace(hooks=[]), or what the hooks compute as parameters."
        )
    return net.arguments["config"]


def _family_of(config: DecoderConfig) -> tuple[str, Family, dict[str, Any]]:
    """The family that has a config, and the keys it writes."""
    first = json.loads(config.source).get("model_type") if config.source else None
    head = {"head": config.head, "num_classes": config.num_classes}
    order = sorted(FAMILIES, key=lambda kind: kind != first)
    for kind in order:
        family = FAMILIES[kind]
        try:
            written = family.write(config)
            fields = family.read(Keys(json.loads(json.dumps(written)), kind))
            again = DecoderConfig(**fields, **head, dropout=config.dropout)
        except (ValueError, TypeError, ArithmeticError):
            continue
        if again == config:
            if config.head == "classes":
                written["id2label"] = {
                    str(i): f"LABEL_{i}" for i in range(config.num_classes or 0)
                }
                written["label2id"] = {
                    label: int(i) for i, label in written["id2label"].items()
                }
            return kind, family, written
    raise ValueError(
        f"No family has this config: {config!r}. Families: {', '.join(FAMILIES)}."
    )


def _architecture(config: DecoderConfig, family: Family) -> str:
    if config.head == "tokens":
        return family.language_model
    return f"{family.model}{'Model' if config.head is None else CLASSIFIER}"
