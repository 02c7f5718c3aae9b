"""`AdaptedNet`: a model, its updates, and the tensors that its family has for them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from haiku._trees.places import Place, Values, nested
from haiku.adapt.adaptation import UPDATED, Adaptation
from haiku.adapt.low_rank import DoRA, LoRA, norms_of
from haiku.adapt.models import as_read, weights_of
from haiku.pretrained.adapter_config import Settings
from haiku.pretrained.adapter_layers import BEFORE, Layer, Update, layers_of
from haiku.pretrained.folders import Weights
from haiku.pretrained.gathering import numbers
from haiku.pretrained.json_files import shown
from haiku.pretrained.layouts import Slot, tensors
from haiku.pretrained.saving import config_of, family_of


class AdaptedNet(NamedTuple):
    """A model, its updates, and the tensors that its family has for them.

    Attributes:
      config: Of its net.
      values: All its parameters.
      weights: The net's own, with the adaptations of each.
      top: The first part of paths.
    """

    config: Any
    values: Values
    weights: dict[Place, list[Adaptation]]
    top: str

    @classmethod
    def of(cls, model: Any) -> AdaptedNet:
        """Of a bound net that families have; TypeError for others."""
        config = config_of(model)
        values, weights = weights_of(model)
        top = next(iter(weights)).module.partition("/")[0]
        return cls(config, values, weights, top)

    def updates(self) -> dict[Place, LoRA]:
        """The update of each weight that has one."""
        return {
            place: adaptation
            for place, of_weight in self.weights.items()
            for adaptation in of_weight
            if isinstance(adaptation, LoRA)
        }

    def layers(self, weights: Weights | None = None) -> list[Layer]:
        """The layers that PEFT can update, under the names that a file has."""
        return layers_of(self.slots(weights), self.config)

    def slots(self, weights: Weights | None = None) -> list[Slot]:
        """All tensors, under the names that a file has."""
        found = family_of(self.config)
        has = found.head.fields.get("head") is not None
        if weights is not None:
            start = BEFORE + found.family.prefix
            has = any(name.startswith(start) for name in weights.arrays)
        own = nested({place: self.values[place] for place in self.weights})
        prefix = found.family.prefix if has else ""
        return found.family.slots(own, self.config, found.head, prefix)

    def head_slots(self) -> list[Slot]:
        """The tensors of a head of classes, which PEFT keeps beside the adapters."""
        head = family_of(self.config).head
        own = {rule.theirs for rule in head.rules if head.of_classes}
        return [slot for slot in self.slots() if slot.theirs in own]

    def tensors(self, slots: list[Slot]) -> dict[str, np.ndarray]:
        """Whole tensors, under PEFT's names."""
        places = {self.place(part) for slot in slots for part in slot.parts}
        read = nested({x: as_read(self.values, x, self.weights[x]) for x in places})
        below = {path.partition("/")[2]: named for path, named in read.items()}
        found = tensors(slots, below)
        return {BEFORE + name: array.read() for name, array in found.items()}

    def whole_tensors(self, weights: Weights, settings: Settings, left: Any) -> Values:
        """Parameters that a folder has in place of the model's."""
        found: dict[Place, np.ndarray] = {}
        for slot in self.slots(weights):
            name, layer = BEFORE + slot.theirs, slot.theirs.rpartition(".")[0]
            if name not in left or layer.rpartition(".")[2] not in settings.whole:
                continue
            del left[name]
            start, view = 0, slot.layout.read(checked(name, slot.shape, weights))
            for part in slot.parts:
                place, size = self.place(part), part.shape[-1]
                if self.weights[place]:
                    raise ValueError(
                        f"{weights.files[name]}, tensor {shown(name)}: it stands for "
                        f"{place.path}, which has {self.weights[place][0]!r}. Load "
                        "the adapters first, then add others."
                    )
                ours = found.setdefault(place, np.array(numbers(self.values[place])))
                ours[part.index] = slot.layout.part(view, start, size, len(slot.parts))
                start += size
        return {place: jnp.asarray(x) for place, x in found.items()}

    def place(self, part: Any) -> Place:
        """The place of a part of a tensor."""
        return Place(f"{self.top}/{part.path}" if part.path else self.top, part.name)

    def norms(self, place: Place) -> np.ndarray:
        """The length of each column of a weight."""
        of_weight = [x for x in self.weights[place] if x.kind != UPDATED]
        return numbers(norms_of(as_read(self.values, place, of_weight)))

    def update_of(self, place, index, adaptation, factor, kinds) -> Update:
        """The update of one matrix, which is nothing without an adaptation."""
        if adaptation is None:
            size, output_size = self.values[place].shape[len(index) :]
            nothing = np.zeros((size, 0)), np.zeros((0, output_size))
            if DoRA not in kinds:
                return Update(*nothing)
            return Update(*nothing, self.norms(place)[index])
        names = adaptation._shapes(self.values[place].shape, place.name)
        own = (self.values[Place(place.module, name)] for name in names)
        update = Update(*(numbers(x, index) for x in own))
        if adaptation.factor == factor:
            return update
        return update._replace(b=update.b * (adaptation.factor / factor))

    def stacked(self, place: Place, adaptation: LoRA, by_index: Mapping) -> Values:
        """The parameters of an update; a layer without one gets none."""
        shape = self.values[place].shape
        names = adaptation._shapes(shape, place.name)
        arrays = [np.zeros(names[name], np.float32) for name in names]
        if len(arrays) > 2:
            arrays[2][...] = self.norms(place)
        for index in itertools.product(*map(range, shape[:-2])):
            if index in by_index:
                for array, own in zip(arrays, by_index[index][0]):
                    array[index] = own
        made = map(jnp.asarray, arrays)
        return {Place(place.module, name): x for name, x in zip(names, made)}


def checked(name: str, shape: Any, weights: Weights, by: str = "its config") -> Any:
    """A tensor of floats of a shape; ValueError if it isn't there or is another."""
    if name not in weights.arrays:
        file = next(iter(weights.files.values()))
        raise ValueError(f"{file}, tensor {shown(name)}: it is missing.")
    array, where = weights.arrays[name], f"{weights.files[name]}, tensor {shown(name)}"
    if array.shape != shape:
        raise ValueError(
            f"{where}: its shape is {list(array.shape)}, and by the model and {by} "
            f"must be {list(shape)}."
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{where}: must be floats, and is {array.dtype}.")
    return array
