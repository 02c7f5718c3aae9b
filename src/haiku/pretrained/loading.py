"""Models from Hugging Face's folders."""

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
from haiku.pretrained.decoders import CLASSIFIER, FAMILIES, Family, slots_of_params
from haiku.pretrained.folders import (
    Folder,
    Weights,
    has_file,
    read_config,
    read_weights,
)
from haiku.pretrained.json_files import shown
from haiku.pretrained.layouts import (
    check_tensors,
    sources,
)
from haiku.pretrained.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Pretrained", "from_state_dict", "load"]

_BUFFERS = (
    *("*.attn.bias", "*.attn.masked_bias", "*.inv_freq", "*position_ids"),
    *("*.rotary_emb.*",),
)
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
        f"{family.model}{CLASSIFIER}": {"head": "classes"},
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
    return slots_of_params(params, config, family, prefix)
