"""Models from Hugging Face's folders, and back."""

from __future__ import annotations

import fnmatch
import json
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku._bound import Bound, bind
from haiku._core import Blueprint, transform
from haiku.nets.decoder import Decoder
from haiku.nets.decoder_config import DecoderConfig
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.decoder_weights import HEADS
from haiku.pretrained.decoders import FAMILIES, Family
from haiku.pretrained.folders import (
    Folder,
    Weights,
    has_file,
    read_config,
    read_weights,
    write_folder,
)
from haiku.pretrained.json_files import shown
from haiku.pretrained.layouts import (
    Rule,
    check_tensors,
    slots_of,
    sources,
    tensors,
)
from haiku.pretrained.tokenizer import Tokenizer, load_tokenizer, tokenizer_files

__all__ = ["Pretrained", "from_state_dict", "load", "save", "to_state_dict"]

_BUFFERS = (
    *("*.attn.bias", "*.attn.masked_bias", "*.inv_freq", "*position_ids"),
    *("*.rotary_emb.*",),
)
_CLASSIFIER = "ForSequenceClassification"
_SIZES = ("_size", "_dim", "_heads", "n_embd", "n_head", "n_inner")


class Pretrained(NamedTuple):
    """What `load` returns.

    Attributes:
      model: A bound model: it calls like its net.
      tokenizer: The folder's `Tokenizer`, or None.

    Example:
      >>> model, tokenizer = hk.pretrained.Pretrained(model=None, tokenizer=None)
    """

    model: Any
    tokenizer: Tokenizer | None


def load(
    folder: Folder,
    *,
    dtype: Any = None,
    tokenizer: bool = True,
    sharding: Callable[[str, tuple[int, ...]], jax.sharding.Sharding] | None = None,
) -> Pretrained:
    """Loads a model and its tokenizer from a Hugging Face folder.

    The weights are mapped from the files, not read into memory twice; all of the folder
    is checked before anything is made.

    Args:
      folder: Holds `config.json`, and `model.safetensors` or shards with an index;
        `tokenizer.json` if there is one.
      dtype: Dtype of all parameters. Default: that of the files.
      tokenizer: Whether to load the tokenizer too.
      sharding: From a parameter's path (`decoder/embed/embeddings`) and shape to the
        sharding that it gets; each device reads its part alone. Default: none.

    Returns:
      `(model, tokenizer)`: a bound `hk.nets` model, and None without a tokenizer.

    Raises:
      FileNotFoundError: The folder or a file isn't there.
      ValueError: A file is damaged; the config isn't of a known family, or has a key
        or size that can't be; a tensor is missing, left over, or of another shape.

    Example:
      >>> import tempfile
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> tokens = jnp.ones([1, 4], jnp.int32)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, tokens)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     hk.pretrained.save(folder, model)
      ...     loaded, _ = hk.pretrained.load(folder)
      >>> bool((loaded(tokens) == model(tokens)).all())
      True
    """
    config = read_config(folder)
    weights = read_weights(folder)
    where = str(pathlib.Path(folder) / "config.json")
    model = _model(config, where, weights, folder, dtype, sharding)
    wanted = tokenizer and has_file(folder, "tokenizer.json")
    return Pretrained(model, load_tokenizer(folder) if wanted else None)


def from_state_dict(config: Mapping[str, Any], arrays: Mapping[str, Any]) -> Bound:
    """Makes a model of arrays under Hugging Face's names.

    Args:
      config: What `config.json` would hold.
      arrays: By name, as in the files: NumPy or JAX arrays.

    Returns:
      A bound `hk.nets` model.

    Raises:
      ValueError: As in `load`.

    Example:
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2, tied=True)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 4], jnp.int32))
      >>> arrays = hk.pretrained.to_state_dict(model)
      >>> arrays["model.layers.1.self_attn.q_proj.weight"].shape
      (16, 16)
    """
    held = {name: np.asarray(array) for name, array in arrays.items()}
    return _model(dict(config), "config", Weights(held, {}), "arrays", None, None)


def _model(config, where, weights, folder, dtype, sharding) -> Bound:
    keys = Keys(config, where)
    if "quantization_config" in keys:
        raise ValueError(
            f"{where}: quantization_config is there, and quantised weights can't be "
            "read: load a folder with float weights."
        )
    kind = keys.choice("model_type", tuple(FAMILIES))
    family = FAMILIES[kind]
    _check_sizes(keys, family, weights)
    head, fields = _head_of(keys, family, weights), family.read(keys)
    try:
        config = DecoderConfig(**fields, **head, source=json.dumps(config))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    net = Blueprint(Decoder, config)

    def file_of(name: str | None) -> Any:
        return weights.files.get(name, folder) if name else folder

    slots = _slots(net, config, family, _prefix_of(family, weights))
    check_tensors(slots, weights.arrays, _ignored(config), file_of)
    params = {
        f"decoder/{path}": {
            name: source.array(
                sharding and sharding(f"decoder/{path}/{name}", source.shape)
            )
            for name, source in named.items()
        }
        for path, named in sources(slots, weights.arrays, dtype, file_of).items()
    }
    return bind(net).to(params)


def _check_sizes(keys: Keys, family: Family, weights: Weights) -> None:
    """Raises if the config has other layers than the files, or absurd sizes."""
    held = 0
    numbers = re.compile(r"(?:^|\.)(?:layers|h)\.(\d{1,9})\.")
    for name in weights.arrays:
        found = numbers.search(name)
        held = max(held, int(found[1]) + 1) if found else held
    layers = keys.size(family.layers, held or 1)
    if layers != held:
        raise ValueError(
            f"{keys.where}: {family.layers} is {shown(layers)}, and the files hold "
            f"{held} layers."
        )
    total = sum(array.size for array in weights.arrays.values())
    for key, value in keys.values.items():
        if key.endswith(_SIZES) and type(value) is int and value > total:
            raise ValueError(
                f"{keys.where}: {key} is {shown(value)}, and the files hold only "
                f"{total} numbers."
            )


def _head_of(keys: Keys, family: Family, weights: Weights) -> dict[str, Any]:
    """The head's fields, by `architectures`."""
    names = keys.values.get("architectures")
    known = {
        family.language_model: {"head": "tokens"},
        f"{family.model}Model": {"head": None},
        f"{family.model}{_CLASSIFIER}": {"head": "classes"},
    }
    if names is None:
        return {"head": "tokens"}
    if not isinstance(names, list) or len(names) != 1 or names[0] not in known:
        raise ValueError(
            f"{keys.where}: architectures must be one of {sorted(known)} in a list, "
            f"and is {shown(names)}."
        )
    head = known[names[0]]
    if head["head"] != "classes":
        return head
    labels = keys.below("id2label")
    number = keys.size("num_labels", 2 if labels is None else len(labels.values))
    return head | {"num_classes": number}


def _prefix_of(family: Family, weights: Weights) -> str:
    """The prefix, or nothing if the names lack it, as those of a bare model may."""
    has = any(name.startswith(family.prefix) for name in weights.arrays)
    return family.prefix if has else ""


def _ignored(config: DecoderConfig) -> Callable[[str], bool]:
    """Tells names that no parameter stands for: buffers, and a tied head."""
    patterns = _BUFFERS
    if config.tied and config.head == "tokens":
        patterns = (*patterns, "lm_head.weight")
    return lambda name: any(fnmatch.fnmatchcase(name, x) for x in patterns)


def _slots(net: Blueprint, config: DecoderConfig, family: Family, prefix: str):
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    init = transform(lambda x: net(x)).init
    params = jax.eval_shape(init, jax.ShapeDtypeStruct((2,), jnp.uint32), tokens)
    return _slots_of(params, config, family, prefix)


def _slots_of(params: Any, config: DecoderConfig, family: Family, prefix: str):
    shapes = {
        path.partition("/")[2]: {name: x.shape for name, x in named.items()}
        for path, named in params.items()
    }
    rules: tuple[Rule, ...] = family.rules
    if config.head is not None:
        rules = (*rules, HEADS[config.head])
    kinds = [config.window(i) for i in range(config.num_layers)]
    return slots_of(shapes, rules, kinds, prefix)


# ---- Writing -------------------------------------------------------------------------


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
    slots = _slots_of(model.params, config, family, "" if bare else family.prefix)
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
    return f"{family.model}{'Model' if config.head is None else _CLASSIFIER}"
