"""All families, by `model_type`."""

from __future__ import annotations

from haiku.pretrained.clip import CLIPS
from haiku.pretrained.decoders import DECODERS
from haiku.pretrained.encoders import ENCODERS
from haiku.pretrained.family import Family
from haiku.pretrained.vision import VISION

FAMILIES: dict[str, Family] = DECODERS | ENCODERS | VISION | CLIPS
