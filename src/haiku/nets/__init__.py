"""Whole networks, made of the layers: MLP, ResNets, MobileNet, vector quantisers.

Each file is one network and reads as its paper does. Nothing here has parameters of its
own that a layer could hold; nothing here trains.
"""

# An error under dm-haiku's `haiku/__init__.py`, which has a file of this name.
from haiku import _foreign as _foreign
from haiku.nets.mlp import MLP
from haiku.nets.mobilenet import MobileNetV1
from haiku.nets.resnet import (
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    ResNet200,
)
from haiku.nets.vqvae import VectorQuantizer, VectorQuantizerEMA

__all__ = [
    "MLP",
    "MobileNetV1",
    "ResNet",
    "ResNet101",
    "ResNet152",
    "ResNet18",
    "ResNet200",
    "ResNet34",
    "ResNet50",
    "VectorQuantizer",
    "VectorQuantizerEMA",
]


def __dir__() -> list[str]:
    return __all__
