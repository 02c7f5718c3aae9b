"""Pretrained weights and tokenizers: Hugging Face's folders, and .safetensors files.

    model, tokenizer = hk.pretrained.load("folder")
    hk.pretrained.save("copy", model, tokenizer)
    arrays = hk.pretrained.read("model.safetensors")      # mapped, not loaded

Everything in a file is checked before anything is made of it, and an error names the
file, the tensor or key, and what was wanted. No code of a file is ever run. Writing
leaves the old files or the new ones, whenever the process is killed.
"""

from haiku.pretrained.adapters import load_adapters, save_adapters
from haiku.pretrained.loading import Pretrained, from_state_dict, load
from haiku.pretrained.safetensors import read, write
from haiku.pretrained.saving import save, to_state_dict
from haiku.pretrained.tokenizer import Tokenizer, Tokens, load_tokenizer

__all__ = [
    "Pretrained",
    "Tokenizer",
    "Tokens",
    "from_state_dict",
    "load",
    "load_adapters",
    "load_tokenizer",
    "read",
    "save",
    "save_adapters",
    "to_state_dict",
    "write",
]


def __dir__() -> list[str]:
    return __all__
