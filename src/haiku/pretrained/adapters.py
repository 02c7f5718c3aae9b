"""Low-rank updates as PEFT's folders: `adapter_config.json`, `adapter_model`."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from haiku._bound import Bound
from haiku._trees.places import Place
from haiku.adapt.adaptation import UPDATED
from haiku.adapt.low_rank import LoRA
from haiku.adapt.models import adaptations, holding
from haiku.pretrained.adapted_net import AdaptedNet, checked
from haiku.pretrained.adapter_config import Scale, Settings, read_settings, written
from haiku.pretrained.adapter_layers import Layer, Update, joined, split
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.folders import (
    Folder,
    Weights,
    read_config,
    read_weights,
    write_folder,
)
from haiku.pretrained.gathering import numbers, spans_processes
from haiku.pretrained.json_files import shown
from haiku.pretrained.saving import family_of

__all__ = ["load_adapters", "save_adapters"]

_CONFIG, _STEM = "adapter_config.json", "adapter_model"


def save_adapters(folder: Folder, model: Any) -> None:
    """Writes a model's low-rank updates alone, as a folder that PEFT loads.

    The files are `adapter_config.json` and `adapter_model.safetensors`. They take their
    places at once, as those of `save`. All processes that the model lives in call this
    together.

    Args:
      folder: Made if it isn't there.
      model: A bound net that has families, with :class:`hk.adapt.LoRA` or
        :class:`hk.adapt.DoRA`. Other adaptations aren't written.

    Raises:
      TypeError: `model` isn't a bound net that has families.
      ValueError: It has no updates, or both kinds, or updates of weights that PEFT has
        no layers for.

    Example:
      >>> import os, tempfile
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 4], jnp.int32))
      >>> lora = hk.adapt.LoRA("**/attention/*/w", rank=4)
      >>> model = hk.adapt.add(model, lora, rng_key=0)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     hk.pretrained.save_adapters(folder, model)
      ...     print(sorted(os.listdir(folder)))
      ['adapter_config.json', 'adapter_model.safetensors']
    """
    net = AdaptedNet.of(model)
    updates = net.updates()
    if not updates:
        raise ValueError(
            "hk.pretrained.save_adapters writes low-rank updates, and the model has "
            "none: add hk.adapt.LoRA or hk.adapt.DoRA, or write all of it with save."
        )
    kinds = {type(x) for x in updates.values()}
    if len(kinds) > 1:
        raise ValueError(
            "The model has hk.adapt.LoRA and hk.adapt.DoRA, and a folder of PEFT has "
            "one of them: use one, or merge the model and save it whole."
        )
    layers = net.layers()
    known = {net.place(part) for layer in layers for part in layer.slot.parts}
    for place, update in updates.items():
        if place not in known:
            raise ValueError(
                f"hk.adapt.{update!r} updates {place.path}, for which PEFT has no "
                "layer: that is so of experts, kernels, and embeddings that are the "
                "head's too. Save hk.adapt.merge(model) with hk.pretrained.save."
            )
    arrays: dict[str, Any] = {}
    scales: dict[str, Scale] = {}
    for layer in layers:
        own = [net.place(part) for part in layer.slot.parts]
        if not any(place in updates for place in own):
            continue
        factor = next(updates[place].factor for place in own if place in updates)
        parts = [
            net.update_of(place, part.index, updates.get(place), factor, kinds)
            for place, part in zip(own, layer.slot.parts)
        ]
        update = joined(parts)
        rank = update.a.shape[1]
        scales[layer.name] = Scale(rank, factor * rank)
        for name, array in zip(layer.tensors, update):
            if array is not None:
                arrays[name] = np.ascontiguousarray(array.T)
    heads = [x for x in net.head_slots() if x.theirs.rpartition(".")[0] not in scales]
    arrays |= net.tensors(heads)
    architecture = family_of(net.config).architecture
    keys = written(architecture, layers, scales, next(iter(updates.values())))
    if heads:
        ends = {slot.theirs.split(".")[-2] for slot in heads}
        keys["modules_to_save"] = sorted(ends)
    together = spans_processes(model)
    write_folder(folder, arrays, {_CONFIG: keys}, stem=_STEM, together=together)


def load_adapters(folder: Folder, model: Any) -> Bound:
    """A model with low-rank updates from a folder as PEFT writes it.

    Args:
      folder: Holds `adapter_config.json` and `adapter_model.safetensors`.
      model: A bound net that has families, the one that the adapters were trained on.
        If it has updates already, those of the folder take their places, and must be of
        the same weights, kind, rank and alpha.

    Returns:
      The model with :class:`hk.adapt.LoRA` or :class:`hk.adapt.DoRA` of each weight, in
      single precision at least.

    Raises:
      FileNotFoundError: The folder or a file isn't there.
      TypeError: `model` isn't a bound net that has families.
      ValueError: A file is damaged; the adapters are of another kind or of another
        model; a tensor is missing, left over, or of another shape. Pickles
        (`adapter_model.bin`) are never read.

    Example:
      >>> import tempfile
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=32, model_size=16, num_layers=2, num_heads=2)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, jnp.ones([1, 4], jnp.int32))
      >>> lora = hk.adapt.LoRA("**/query/w", rank=4)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     hk.pretrained.save_adapters(folder, hk.adapt.add(model, lora, rng_key=0))
      ...     adapted = hk.pretrained.load_adapters(folder, model)
      >>> hk.adapt.adaptations(adapted)
      (LoRA('decoder/blocks/attention/query/w', rank=4),)
    """
    net = AdaptedNet.of(model)
    where = str(pathlib.Path(folder) / _CONFIG)
    settings = read_settings(Keys(read_config(folder, _CONFIG), where))
    weights = read_weights(folder, (_STEM,))
    file = next(iter(weights.files.values()), pathlib.Path(folder))
    left, have = dict.fromkeys(weights.arrays), net.updates()
    found: dict[Place, dict[tuple[int, ...], tuple[Update, Scale]]] = {}
    for layer in net.layers(weights):
        update = _read(layer, weights, settings, left)
        if update is None:
            continue
        scale = settings.of_layer(layer.name)
        _check_base(net, layer, weights, left)
        known = [have.get(net.place(part)) for part in layer.slot.parts]
        wanted = next((x.rank for x in known if x is not None), None)
        for part, own in split(update, layer.slot.parts, wanted):
            rank = own.a.shape[1]
            own_scale = Scale(rank, scale.alpha * rank / scale.rank)
            found.setdefault(net.place(part), {})[part.index] = own, own_scale
    whole = net.whole_tensors(weights, settings, left)
    if left:
        name = next(iter(left))
        raise ValueError(
            f"{file}, tensor {shown(name)}: it is left over, since the model has no "
            "layer for it. Load the adapters into the model that they were trained on."
        )
    if not found:
        raise ValueError(f"{file} holds no adapters.")
    if have:
        found = _as_had(have, found, settings)
    values, added = net.values | whole, []
    for place, by_index in found.items():
        (scale, *others) = {scale for _, scale in by_index.values()}
        if others:
            raise ValueError(
                f"{where}: layers that are one stack here, {place.path}, have the "
                f"ranks and alphas {tuple(scale)} and {tuple(others[0])}: they must "
                "have one."
            )
        adaptation = have.get(place) or settings.adaptation(place.path, scale)
        values |= net.stacked(place, adaptation, by_index)
        added += [] if place in have else [adaptation]
    return holding(model, values, [*adaptations(model), *added])


def _read(
    layer: Layer, weights: Weights, settings: Settings, left: dict[str, None]
) -> Update | None:
    """The update of a layer, in our layout; None without one."""
    names = layer.tensors
    if f"{names.magnitude}.weight" in weights.arrays:  # as older folders have it
        names = names._replace(magnitude=f"{names.magnitude}.weight")
    if not any(name in weights.arrays for name in names):
        return None
    rank = settings.of_layer(layer.name).rank
    size = layer.slot.parts[0].shape[0]
    output_size = sum(part.shape[1] for part in layer.slot.parts)
    shapes = Update((rank, size), (output_size, rank))
    if settings.with_magnitudes:
        shapes = shapes._replace(magnitude=(output_size,))
    arrays = []
    for name, shape in zip(names, shapes):
        if shape is None:
            continue  # One that is there all the same is left over.
        array = checked(name, shape, weights, f"the rank {rank} of {settings.where}")
        del left[name]
        arrays.append(np.asarray(array).astype(np.float32).T)
    return Update(*arrays)


def _check_base(net: AdaptedNet, layer: Layer, weights: Weights, left: dict) -> None:
    """Raises ValueError if the folder has another base weight than the model."""
    name = layer.base
    if name not in weights.arrays:
        return
    del left[name]
    theirs = checked(name, layer.slot.shape, weights)
    start, view = 0, layer.slot.layout.read(theirs)
    for part in layer.slot.parts:
        place = net.place(part)
        ours = numbers(net.values[place], part.index)
        own = view[:, start : start + part.shape[1]]
        start += part.shape[1]
        if any(x.kind != UPDATED for x in net.weights[place]):
            continue  # Quantised weights aren't equal.
        narrow = min(ours.dtype, own.dtype, key=lambda x: x.itemsize)
        if not np.array_equal(ours.astype(narrow), own.astype(narrow)):
            raise ValueError(
                f"{weights.files[name]}, tensor {shown(name)}: the adapters come with "
                f"another weight than {place.path} of the model. Load them into the "
                "model that they were trained on."
            )


def _as_had(have: Mapping[Place, LoRA], found: Any, settings: Settings) -> Any:
    """The updates for a model that has some; ValueError unless they are alike."""
    kept = {}
    for place, by_index in found.items():
        if place not in have:
            if all(not own.b.any() for own, _ in by_index.values()):
                continue  # A part of a fused weight, without an update.
            raise ValueError(
                f"{settings.where}: the adapters update {place.path}, and those of the "
                "model don't. Load them into a model without updates."
            )
        kept[place] = by_index
    for place, adaptation in have.items():
        if place not in kept:
            raise ValueError(
                f"{settings.where}: the adapters don't update {place.path}, and the "
                f"model does, by hk.adapt.{adaptation!r}. Load them into a model "
                "without updates."
            )
        for _, scale in kept[place].values():
            theirs = settings.adaptation(place.path, scale)
            same = type(theirs) is type(adaptation) and scale.rank == adaptation.rank
            if not same or abs(theirs.factor - adaptation.factor) > 1e-6:
                raise ValueError(
                    f"{settings.where}: the adapters are hk.adapt.{theirs!r}, and the "
                    f"model has hk.adapt.{adaptation!r}. Load them into a model "
                    "without updates."
                )
    return kept
