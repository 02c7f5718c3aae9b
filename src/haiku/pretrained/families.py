"""All families, by `model_type`, or by `_class_name` in diffusers' folders."""

from __future__ import annotations

from haiku.pretrained.clip import CLIPS
from haiku.pretrained.convnext import CONVNEXTS
from haiku.pretrained.decoders import DECODERS
from haiku.pretrained.dit import DIT
from haiku.pretrained.encoders import ENCODERS
from haiku.pretrained.family import Family
from haiku.pretrained.mambas import MAMBAS
from haiku.pretrained.t5 import T5
from haiku.pretrained.unets import UNETS
from haiku.pretrained.vision import VISION
from haiku.pretrained.whisper import WHISPER

FAMILIES: dict[str, Family] = {
    **DECODERS,
    **ENCODERS,
    **VISION,
    **CLIPS,
    **CONVNEXTS,
    "t5": T5,
    "whisper": WHISPER,
    **MAMBAS,
    "DiTTransformer2DModel": DIT,
    **UNETS,
}
