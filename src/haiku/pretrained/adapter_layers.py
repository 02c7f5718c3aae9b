"""Layers as PEFT names them, and their updates in its layout and in ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from haiku.nets.decoder_config import DecoderConfig
from haiku.pretrained.layouts import LINEAR, PLAIN, Part, Slot

BEFORE = "base_model.model."


class Update(NamedTuple):
    """A low-rank update in our layout.

    Attributes:
      a: ``[in, r]``.
      b: ``[r, out]``.
      magnitude: ``[out]``, or None.
    """

    a: Any
    b: Any
    magnitude: Any = None


class Layer(NamedTuple):
    """A layer with one weight, of one or several of our matrices.

    Attributes:
      name: As transformers names it.
      slot: Its weight.
    """

    name: str
    slot: Slot

    @property
    def is_embedding(self) -> bool:
        """Whether it looks rows up."""
        return self.slot.parts[0].name == "embeddings"

    @property
    def is_transposed(self) -> bool:
        """Whether the file has the weight as ``[in, out]``, as GPT-2 does."""
        return self.slot.layout == PLAIN and not self.is_embedding

    @property
    def tensors(self) -> Update:
        """The names of its tensors."""
        ends = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")
        if self.is_embedding:
            ends = ("lora_embedding_A", "lora_embedding_B", ends[2])
        return Update(*(f"{BEFORE}{self.name}.{end}" for end in ends))

    @property
    def base(self) -> str:
        """The name of a copy of its weight."""
        return f"{BEFORE}{self.name}.base_layer.weight"


def layers_of(slots: Sequence[Slot], config: Any) -> list[Layer]:
    """The layers that PEFT can update."""
    return [
        Layer(slot.theirs.removesuffix(".weight"), slot)
        for slot in slots
        if slot.theirs.endswith(".weight") and _is_layer(slot, config)
    ]


def _is_layer(slot: Slot, config: Any) -> bool:
    if slot.layout not in (PLAIN, LINEAR) or any(len(x.shape) != 2 for x in slot.parts):
        return False
    if slot.parts[0].name == "embeddings":
        # Of others the embeddings serve two layers, which PEFT updates apart.
        return isinstance(config, DecoderConfig) and not config.tied
    is_router = slot.parts[0].path.endswith("router")
    return all(part.name == "w" for part in slot.parts) and not is_router


def joined(updates: Sequence[Update]) -> Update:
    """One update of a weight whose columns are those of several matrices.

    They share ``a`` if it is the same; else blocks of ``b`` lie along the diagonal.
    """
    magnitude = None
    if updates[0].magnitude is not None:
        magnitude = np.concatenate([x.magnitude for x in updates])
    first = updates[0].a
    if all(np.array_equal(first, x.a) for x in updates):
        return Update(first, np.concatenate([x.b for x in updates], -1), magnitude)
    a = np.concatenate([x.a for x in updates], axis=-1)
    b = np.zeros((a.shape[1], sum(x.b.shape[1] for x in updates)), a.dtype)
    row = column = 0
    for x in updates:
        rank, size = x.b.shape
        b[row : row + rank, column : column + size] = x.b
        row, column = row + rank, column + size
    return Update(a, b, magnitude)


def split(
    update: Update, parts: Sequence[Part], wanted: int | None
) -> Iterator[tuple[Part, Update]]:
    """The updates of the matrices of a weight: the inverse of `joined`.

    Args:
      update: Of the weight.
      parts: The matrices.
      wanted: The rank that each is to have, if that is known.
    """
    ends = np.cumsum([part.shape[-1] for part in parts])
    columns = [slice(end - part.shape[-1], end) for end, part in zip(ends, parts)]
    rank, number = update.a.shape[1], len(parts)
    own = rank // number
    rows = [slice(None)] * number
    fits = own == wanted if wanted else update.b.any()
    if number > 1 and own * number == rank and fits:
        blocks = [slice(i * own, (i + 1) * own) for i in range(number)]
        rest = np.array(update.b)
        for row, column in zip(blocks, columns):
            rest[row, column] = 0
        rows = rows if rest.any() else blocks
    for part, row, column in zip(parts, rows, columns):
        magnitude = None if update.magnitude is None else update.magnitude[column]
        yield part, Update(update.a[:, row], update.b[row, column], magnitude)
