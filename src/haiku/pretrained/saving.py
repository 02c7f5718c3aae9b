"""Models to Hugging Face's folders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from haiku._bound import Bound
from haiku._core import Blueprint
from haiku.adapt import adaptations
from haiku.parallel.under_rules import UnderRules
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.deferred import Deferred
from haiku.pretrained.families import FAMILIES
from haiku.pretrained.family import DIFFUSERS, Family, Head
from haiku.pretrained.folders import Folder, write_folder
from haiku.pretrained.gathering import spans_processes
from haiku.pretrained.layouts import tensors
from haiku.pretrained.tokenizer import Tokenizer, tokenizer_files

__all__ = ["config_of", "family_of", "save", "to_state_dict"]


# Keys that others stand for now, and would contradict.
_OLD_KEYS = (
    *("rope_theta", "rope_scaling", "rope_local_base_freq", "torch_dtype"),
    *("text_config_dict", "vision_config_dict"),
)
# Keys of backbones, which name layers of the folder that was read.
_STAGES = ("stage_names", "out_features", "out_indices")
_DIFFUSERS = "0.42.1"  # the version whose keys are written


def save(
    folder: Folder,
    model: Any,
    tokenizer: Tokenizer | None = None,
    *,
    max_shard_size: int = 5 * 10**9,
) -> None:
    """Writes a model as a Hugging Face folder, for transformers or diffusers.

    The folder is replaced as one: a save that is killed leaves the old or the new one.

    Of a model that lives on many devices a host holds one tensor at a time. Where it
    lives in several processes, all of them call this together, with a folder that all
    see: process 0 writes, and all return when the folder is whole.

    Args:
      folder: Made if it isn't there.
      model: A bound net, such as `hk.nets.Decoder`: one that `load` made is written in
        its family, another in the simplest family that has its config. Rules that it
        runs under aren't written.
      tokenizer: Written beside it. Default: none.
      max_shard_size: Bytes in one file of weights.

    Raises:
      TypeError: `model` isn't a bound net that has families.
      ValueError: No family has its config, or the model holds hooks or adaptations.
      RuntimeError: Another process failed; what it raised is in the message.

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
    config = config_of(model)
    _check_plain(model)
    found = family_of(config)
    arrays = _tensors(model, config, found)
    library = found.family.library
    kept = json.loads(config.source) if config.source else {}
    if kept.get(library.key) != found.kind:
        kept = {}
    if library == DIFFUSERS:
        about = {"_diffusers_version": kept.get("_diffusers_version", _DIFFUSERS)}
    else:
        dtypes = {str(x.dtype) for x in arrays.values()}
        dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
        about = {"architectures": [found.architecture], "dtype": dtype}
    about[library.key] = found.kind
    layers = {key: found.written.get(key) for key in found.family.layers}
    others = any(kept.get(key, number) != number for key, number in layers.items())
    for key in (*_OLD_KEYS, *(_STAGES if others else ())):
        kept.pop(key, None)
    texts: dict[str, Any] = {"config.json": _joined(kept, found.written) | about}
    if tokenizer is not None:
        texts |= tokenizer_files(tokenizer)
    write_folder(
        *(folder, arrays, texts),
        stem=library.stem,
        max_shard_size=max_shard_size,
        together=spans_processes(model),
    )


def to_state_dict(model: Any) -> dict[str, np.ndarray]:
    """The parameters of a model under Hugging Face's names and layouts.

    Args:
      model: A bound net, see `save`. All processes that it lives in call this together.

    Returns:
      NumPy arrays by name.

    Raises:
      TypeError: `model` isn't a bound net that has families.
      ValueError: No family has its config, or the model holds hooks or adaptations.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 4], jnp.int32))
      >>> len(hk.pretrained.to_state_dict(model))
      21
    """
    config = config_of(model)
    _check_plain(model)
    arrays = _tensors(model, config, family_of(config))
    return {name: array.read() for name, array in arrays.items()}


class Found(NamedTuple):
    """The family and class of transformers that a config is, and the keys it gets."""

    kind: str
    family: Family
    architecture: str
    head: Head
    written: dict[str, Any]


def _tensors(model, config, found: Found) -> dict[str, Deferred]:
    prefix = "" if found.head.fields.get("head") is None else found.family.prefix
    slots = found.family.slots(model.params, config, found.head, prefix)
    params = {path.partition("/")[2]: named for path, named in model.params.items()}
    found_tensors = tensors(slots, params)
    for name, source in found.head.unread.items():
        if source in found_tensors:
            found_tensors[name] = found_tensors[source]
    return found_tensors


def config_of(model: Any) -> Any:
    """The config of a bound net that has families; TypeError for others."""
    net = getattr(model, "net", None)
    known = {family.net.module for _, family in _families()}
    if (
        not isinstance(model, Bound)
        or not isinstance(net, Blueprint)
        or net.module_class not in known
        or model.params is None
    ):
        raise TypeError(
            "hk.pretrained saves bound models of "
            f"{', '.join(sorted(f'hk.nets.{x.__name__}' for x in known))}: hk.bind("
            "hk.nets.Decoder, config).init(key, tokens), or one that `load` made. Got "
            f"{type(model).__name__}."
        )
    return net.arguments["config"]


def _check_plain(model: Bound) -> None:
    found = adaptations(model)
    if found:
        raise ValueError(
            f"The model has adaptations that aren't merged, {found[0]!r}"
            f"{', ...' if found[1:] else ''}: save hk.adapt.merge(model), or low-rank "
            "updates alone with hk.pretrained.save_adapters(folder, model)."
        )
    hooks = [hook for hook in model.hooks if not isinstance(hook, UnderRules)]
    if hooks:
        raise ValueError(
            f"The model holds {len(hooks)} hooks, which a folder can't: save "
            "model.replace(hooks=[]), or what the hooks compute as parameters."
        )


def family_of(config: Any) -> Found:
    """The family that has a config: the one it was read from, or the first."""
    source = json.loads(config.source) if config.source else {}
    own = [(kind, x) for kind, x in _families() if x.net.config is type(config)]
    for kind, family in sorted(own, key=lambda x: source.get(x[1].library.key) != x[0]):
        found = family.head_of(config)
        if found is None:
            continue
        architecture, head = found
        free = {"dropout", "remat", "unroll", "stochastic_depth", "num_classes"}
        free |= {*(head.optional or ())[:1]}
        free |= {"tied"} if head.tied_to else set()
        free |= {*(family.repeated or ())[:1]}
        free &= {field.name for field in dataclasses.fields(config)}
        kept = {name: getattr(config, name) for name in free} | dict(head.fields)
        try:
            written = family.write(config)
            fields = family.read(Keys(json.loads(json.dumps(written)), kind))
            again = type(config)(**fields | kept)
        except (ValueError, TypeError, ArithmeticError):
            continue
        if again == config:
            labels = _labels(config.num_classes) if head.of_classes else {}
            return Found(kind, family, architecture, head, written | labels)
    raise ValueError(
        f"No family has this config: {config!r}. Families: "
        f"{', '.join(dict.fromkeys(kind for kind, _ in own))}."
    )


def _families() -> Iterator[tuple[str, Family]]:
    for kind, family in FAMILIES.items():
        for one in (family, *family.others):
            yield kind, one


def _joined(kept: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Both, also of configs in them; `written` stands over `kept`."""
    joined = {**kept, **written}
    for key, inner in written.items():
        if key.endswith("_config") and isinstance(kept.get(key), dict):
            joined[key] = _joined(kept[key], inner)
    return joined


def _labels(number: int) -> dict[str, Any]:
    names = {str(i): f"LABEL_{i}" for i in range(number)}
    return {"id2label": names, "label2id": {x: int(i) for i, x in names.items()}}
