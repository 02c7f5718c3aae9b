"""Whole networks, made of the layers: MLP, ResNets, MobileNet, vector quantisers.

Each file is one network and reads as its paper does. Nothing here has parameters of its
own that a layer could hold; nothing here trains.
"""

# An error under dm-haiku's `haiku/__init__.py`, which has a file of this name.
from haiku import _foreign as _foreign
from haiku.nets.mlp import MLP as MLP
from haiku.nets.mobilenet import MobileNetV1 as MobileNetV1
from haiku.nets.resnet import ResNet as ResNet
from haiku.nets.resnet import ResNet18 as ResNet18
from haiku.nets.resnet import ResNet34 as ResNet34
from haiku.nets.resnet import ResNet50 as ResNet50
from haiku.nets.resnet import ResNet101 as ResNet101
from haiku.nets.resnet import ResNet152 as ResNet152
from haiku.nets.resnet import ResNet200 as ResNet200
from haiku.nets.vqvae import VectorQuantizer as VectorQuantizer
from haiku.nets.vqvae import VectorQuantizerEMA as VectorQuantizerEMA
