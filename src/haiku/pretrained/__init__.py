"""Pretrained weights and tokenizers: Hugging Face's folders, and .safetensors files.

    arrays = hk.pretrained.read("model.safetensors")      # mapped, not loaded
    hk.pretrained.write("copy.safetensors", arrays)
    tokens, mask = hk.pretrained.load_tokenizer("folder")(["The sea", "Once"])

Everything in a file is checked before anything is made of it, and an error names the
file, the tensor or key, and what was wanted. No code of a file is ever run. Writing
leaves the old files or the new ones, whenever the process is killed.
"""

from haiku.pretrained.safetensors import read, write
from haiku.pretrained.tokenizer import Tokenizer, Tokens, load_tokenizer

__all__ = ["Tokenizer", "Tokens", "load_tokenizer", "read", "write"]


def __dir__() -> list[str]:
    return __all__
