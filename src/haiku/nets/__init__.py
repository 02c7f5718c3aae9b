"""Whole networks made of the layers: transformers, MLP, ResNets, MobileNet and others.

Each file is one network and follows its paper. Networks leave parameters to layers
where a layer can hold them, and training to the user.
"""

# Raises under dm-haiku's `haiku/__init__.py`: dm-haiku has a file of this name too.
from haiku import _foreign as _foreign
from haiku.nets.clip import CLIP, CLIPOutput
from haiku.nets.clip_config import CLIPConfig
from haiku.nets.convnext import ConvNeXt
from haiku.nets.convnext_config import ConvNeXtConfig
from haiku.nets.decoder import Decoder
from haiku.nets.decoder_config import DecoderConfig
from haiku.nets.dit import DiT
from haiku.nets.dit_config import DiTConfig
from haiku.nets.encoder import Encoder
from haiku.nets.encoder_config import EncoderConfig
from haiku.nets.encoder_decoder import EncoderDecoder
from haiku.nets.encoder_decoder_config import EncoderDecoderConfig
from haiku.nets.experts_config import ExpertsConfig
from haiku.nets.mamba import Mamba
from haiku.nets.mamba_config import MambaConfig
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
from haiku.nets.unet import UNet
from haiku.nets.unet_config import UNetConfig
from haiku.nets.vision_transformer import VisionTransformer
from haiku.nets.vision_transformer_config import VisionTransformerConfig
from haiku.nets.vqvae import VectorQuantizer, VectorQuantizerEMA
from haiku.nets.whisper import Whisper
from haiku.nets.whisper_config import WhisperConfig

__all__ = [
    "CLIP",
    "CLIPConfig",
    "CLIPOutput",
    "ConvNeXt",
    "ConvNeXtConfig",
    "Decoder",
    "DecoderConfig",
    "DiT",
    "DiTConfig",
    "Encoder",
    "EncoderConfig",
    "ExpertsConfig",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "MLP",
    "Mamba",
    "MambaConfig",
    "MobileNetV1",
    "ResNet",
    "ResNet101",
    "ResNet152",
    "ResNet18",
    "ResNet200",
    "ResNet34",
    "ResNet50",
    "UNet",
    "UNetConfig",
    "VectorQuantizer",
    "VectorQuantizerEMA",
    "Whisper",
    "WhisperConfig",
    "VisionTransformer",
    "VisionTransformerConfig",
]


def __dir__() -> list[str]:
    return __all__
