"""Models from Hugging Face's folders."""

from __future__ import annotations

import fnmatch
import json
import pathlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku._bound import Bound, bind
from haiku._core import Blueprint, transform
from haiku._core.variables.axis_names import axis_names
from haiku._trees.places import Place, nested
from haiku.adapt import Int4, Int8
from haiku.adapt.models import holding
from haiku.parallel.rules import Rules
from haiku.parallel.under_rules import UnderRules
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.families import FAMILIES
from haiku.pretrained.family import (
    DIFFUSERS,
    TRANSFORMERS,
    Family,
    Fields,
    Head,
)
from haiku.pretrained.folders import (
    Folder,
    Weights,
    has_file,
    read_config,
    read_weights,
)
from haiku.pretrained.json_files import shown
from haiku.pretrained.layouts import Source, check_tensors, sources
from haiku.pretrained.placement import Shardings, check_shardings, sharding_of
from haiku.pretrained.quantised_sources import adaptations_of, integers
from haiku.pretrained.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Pretrained", "from_state_dict", "load"]

_BUFFERS = (
    *("*.attn.bias", "*.attn.masked_bias", "*.inv_freq", "*position_ids"),
    *("*.rotary_emb.*",),
)
_SIZES = (
    *("_size", "_dim", "_heads", "n_embd", "n_head", "n_inner"),
    *("expand", "_groups", "time_step_rank", "conv_kernel"),
    *("d_model", "d_kv", "d_ff", "_buckets"),
    *("num_mel_bins", "source_positions", "target_positions"),
    *("_channels", "num_register_tokens", "hidden_sizes", "num_stages"),
    *("_per_block", "_embeds", "num_embeds_ada_norm"),
)


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
    sharding: Shardings = None,
    adaptations: Sequence[Int8 | Int4] = (),
) -> Pretrained:
    """Loads a model and its tokenizer from a Hugging Face folder.

    The weights are mapped from the files, not read into memory twice; all of the folder
    is checked before anything is made.

    Args:
      folder: Holds `config.json`, and `model.safetensors` or shards with an index (in
        diffusers' folders `diffusion_pytorch_model` instead of `model`);
        `tokenizer.json` if there is one.
      dtype: Dtype of all parameters. Default: that of the files.
      tokenizer: Whether to load the tokenizer too.
      sharding: :class:`hk.parallel.Rules`: parameters live where they say on the mesh
        of `jax.set_mesh`, and the model runs under them; without a mesh they change
        nothing. Or a function from a parameter's path (`decoder/embed/embeddings`) and
        shape to the `jax.sharding.Sharding` that it gets. Each process reads the parts
        of its own devices alone. Default: none.
      adaptations: :class:`haiku.adapt.Int8` or ``Int4`` of the weights that their
        patterns find. The model is that of :func:`haiku.adapt.add` after loading, but
        the weights are made integers layer by layer, so that memory never holds more
        of the others than one layer's.

    Returns:
      `(model, tokenizer)`: a bound `hk.nets` model, and None without a tokenizer.

    Raises:
      FileNotFoundError: The folder or a file isn't there, or it is a pipeline of
        diffusers, whose models lie in subfolders.
      TypeError: `sharding` is something else, or returns something else.
      ValueError: A file is damaged; the config isn't of a known family, or has a key
        or size that can't be; a tensor is missing, left over, or of another shape; an
        adaptation is of another kind, finds nothing, or finds what it can't adapt; the
        mesh doesn't divide an axis that the rules split.

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
    check_shardings(sharding)
    config = _read_config(folder)
    weights = read_weights(folder)
    where = str(pathlib.Path(folder) / "config.json")
    model = _model(config, where, weights, folder, dtype, sharding, adaptations)
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
    return _model(dict(config), "config", Weights(held, {}), "arrays", None, None, ())


def _model(config, where, weights, folder, dtype, sharding, adaptations) -> Bound:
    keys = Keys(config, where)
    if "quantization_config" in keys:
        raise ValueError(
            f"{where}: quantization_config is there, and quantised weights can't be "
            "read: load a folder with float weights."
        )
    named = DIFFUSERS.key in config or "_diffusers_version" in config
    library = DIFFUSERS if named else TRANSFORMERS
    known = tuple(kind for kind, x in FAMILIES.items() if x.library == library)
    kind = keys.choice(library.key, known)
    family, architecture = _class_of(keys, FAMILIES[kind])
    weights = _renamed(weights, family)
    _check_sizes(keys, family, weights)
    fields = family.read(keys)
    if family.repeated is not None:
        field, part = family.repeated
        (before,) = family.layers.values()
        fields[field] = _repeats(weights.arrays, before, part)
    head, of_head = _head_of(keys, family, architecture, weights, fields)
    fields |= of_head
    try:
        config = family.net.config(**fields, source=json.dumps(config))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    for key, (end, wanted) in family.counts(config).items():
        held = sum(name.endswith(end) for name in weights.arrays)
        if held != wanted:
            raise ValueError(
                f"{where}: by {key} the model has {wanted} tensors whose names end in "
                f"{end}, and the files hold {held}."
            )
    net = Blueprint(family.net.module, config)
    names, shapes = _axes_and_shapes(net, family)
    top = next(iter(shapes)).partition("/")[0]

    def file_of(name: str | None) -> Any:
        return weights.files.get(name, folder) if name else folder

    has = any(name.startswith(family.prefix) for name in weights.arrays)
    slots = family.slots(shapes, config, head, family.prefix if has else "")
    check_tensors(slots, weights.arrays, _ignored(config, head), file_of)
    found = {
        Place(f"{top}/{path}" if path else top, name): source
        for path, named in sources(slots, weights.arrays, dtype, file_of).items()
        for name, source in named.items()
    }
    quantised = adaptations_of(found, adaptations)
    place_of = sharding_of(sharding, *_stored(found, quantised, names))
    values = {}
    for place, source in found.items():
        if place in quantised:
            values |= integers(place, source, quantised[place], place_of)
        else:
            values[place] = source.array(place_of(place))
    hooks = [UnderRules(sharding)] if isinstance(sharding, Rules) else []
    model = bind(net).to(nested(values)).replace(hooks=hooks)
    return holding(model, values, adaptations)


def _read_config(folder: Folder) -> dict[str, Any]:
    """The config; of a pipeline, an error that says which of its models to load."""
    if has_file(folder, "config.json") or not has_file(folder, "model_index.json"):
        return read_config(folder)
    index = read_config(folder, "model_index.json")
    known = [kind for kind, x in FAMILIES.items() if x.library == DIFFUSERS]
    found = [
        f"load({str(pathlib.Path(folder) / name)!r}), its {value[1]}"
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[1] in known
    ]
    way = f"Load one of them: {'; '.join(found[:4])}."
    if not found:
        way = f"None of them is known here, which are {', '.join(known)}."
    raise FileNotFoundError(
        f"{folder} has no config.json: by its model_index.json it is a pipeline of "
        f"diffusers, whose models lie in subfolders. {way}"
    )


def _class_of(keys: Keys, family: Family) -> tuple[Family, str]:
    """The class by `architectures`, and its family among those of a `model_type`."""
    names = keys.values.get("architectures")
    if names is None:
        return family, next(iter(family.heads))
    known = {name: one for one in (family, *family.others) for name in one.heads}
    if names not in [[name] for name in known]:
        raise ValueError(
            f"{keys.where}: architectures must be one of {sorted(known)} in a list, "
            f"and is {shown(names)}."
        )
    return known[names[0]], names[0]


def _renamed(weights: Weights, family: Family) -> Weights:
    """The weights under the names of today."""
    if not family.renamed:
        return weights

    def today(name: str) -> str:
        for old, new in family.renamed.items():
            if name.endswith(old):
                return name.removesuffix(old) + new
        return name

    arrays = {today(name): x for name, x in weights.arrays.items()}
    if len(arrays) < len(weights.arrays):
        twice = next(
            x for x in weights.arrays if today(x) != x and today(x) in weights.arrays
        )
        raise ValueError(
            f"{weights.files.get(twice, 'arrays')}: tensor {shown(twice)} is there, "
            f"and {shown(today(twice))}, which is the same."
        )
    return Weights(arrays, {today(name): x for name, x in weights.files.items()})


def _check_sizes(keys: Keys, family: Family, weights: Weights) -> None:
    """Raises if the config has other layers than the files, or absurd sizes."""
    for path, before in family.layers.items():
        *outer, key = path.split(".")
        inner = keys
        for name in outer:
            inner = inner.below(name) or Keys({}, f"{inner.where}, {name}")
        held = _layers_held(before, weights.arrays)
        if "{i}" in before:
            layers = list(inner.sizes(key, []))
            in_files = [held.get(i, 0) for i in range(len(layers))]
        else:
            in_files = held.get(0, 0)
            layers = inner.size(key, in_files or 1)
        if layers != in_files:
            raise ValueError(
                f"{inner.where}: {key} is {shown(layers)}, and the files hold "
                f"{shown(in_files)} layers."
            )
    _check_values(keys, sum(array.size for array in weights.arrays.values()))


def _layers_held(before: str, names: Collection[str]) -> dict[int, int]:
    """How many layers the files hold, by stage; all are of stage 0 without `{i}`."""
    stage, number = re.escape("{i}"), r"(\d{1,9})"
    pattern = re.escape(before).replace(stage, number)
    numbers = re.compile(rf"(?:^|\.){pattern}\.{number}\.")
    held: dict[int, int] = {}
    for found in filter(None, map(numbers.search, names)):
        *stages, layer = map(int, found.groups())
        i = stages[0] if stages else 0
        held[i] = max(held.get(i, 0), layer + 1)
    return {i: min(n, len(names)) for i, n in held.items()}  # each has a tensor


def _check_values(keys: Keys, total: int) -> None:
    for key, value in keys.values.items():
        if isinstance(value, dict):
            _check_values(Keys(value, f"{keys.where}, {key}"), total)
            continue
        sizes = value if isinstance(value, list) else [value]
        too_large = any(type(x) is int and x > total for x in sizes)
        if key.endswith(_SIZES) and too_large:
            raise ValueError(
                f"{keys.where}: {key} is {shown(value)}, and the files hold only "
                f"{total} numbers."
            )


def _head_of(
    keys: Keys, family: Family, architecture: str, weights: Weights, of_family: Fields
) -> tuple[Head, Fields]:
    """The head of a class, and its fields of the config."""
    head = family.heads[architecture]
    fields = dict(head.fields)
    for name, value in fields.items():
        if of_family.get(name, value) != value:
            raise ValueError(
                f"{keys.where}: {architecture} is known here only with {name}={value}, "
                f"and the config says {of_family[name]}."
            )
    if head.optional is not None:
        own = {rule.theirs.replace("^", "") for rule in head.rules}
        held = {name.removeprefix(family.prefix) for name in weights.arrays}
        field, there, missing = head.optional
        fields[field] = there if own & held else missing
    if head.tied_to is not None:
        embeddings = weights.arrays.get(head.tied_to)
        own = [weights.arrays.get(rule.theirs) for rule in head.rules]
        repeated = all(x is None or _equal(x, embeddings) for x in own)
        fields["tied"] = repeated and of_family.get("tied", True)
    if head.of_classes:
        labels = keys.below("id2label")
        number = 2 if labels is None else len(labels.values)
        fields["num_classes"] = keys.size("num_labels", number)
    return head, fields


def _repeats(arrays: Mapping[str, Any], before: str, part: str) -> bool:
    """Whether layers hold the same tensors under the names that go on with `part`."""
    names = re.compile(rf"{re.escape(before)}\.\d+\.({re.escape(part)}.*)")
    found = ((names.fullmatch(name), x) for name, x in arrays.items())
    first: dict[str, Any] = {}
    return all(_equal(x, first.setdefault(name[1], x)) for name, x in found if name)


def _equal(x: Any, y: Any) -> bool:
    return y is not None and x.dtype == y.dtype and np.array_equal(x, y)


def _ignored(config: Any, head: Head) -> Callable[[str], bool]:
    """Tells names that no parameter stands for: buffers, and a tied head."""
    patterns = (
        *_BUFFERS,
        *(*head.ignored, *head.unread),
        *(head.tied if getattr(config, "tied", False) else ()),
    )
    return lambda name: any(fnmatch.fnmatchcase(name, x) for x in patterns)


def _axes_and_shapes(net: Blueprint, family: Family) -> Any:
    """The names of the parameters' axes, and the parameters' shapes."""
    inputs = family.net.inputs(net.arguments["config"])
    init = transform(lambda *x: net(*x)).init
    return axis_names(init, jax.ShapeDtypeStruct((2,), jnp.uint32), *inputs)


def _stored(found: Mapping[Place, Source], quantised: Any, names: Any) -> Any:
    """The names of all arrays' axes, those beside quantised weights too, and shapes."""
    named = {path: dict(of_path) for path, of_path in names.items()}
    shapes = {}
    for place, source in found.items():
        shapes[place] = source.shape
        if place not in quantised:
            continue
        layers = len(source.shape) - len(named[place.module][place.name])
        for name, shape in quantised[place]._shapes(source.shape, place.name).items():
            shapes[Place(place.module, name)] = shape
            named[place.module][name] = (None,) * (len(shape) - layers)
    return named, shapes
