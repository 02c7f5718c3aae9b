"""What a case of the parity table says, whatever net it is of.

`make_folders.py` makes a folder of each. A case has an option's other value in
`others`, if its weights can stay as they are: its output must differ there.
"""

from dataclasses import dataclass, field
from typing import Any

T = 12  # the length of the texts
SMALL = {
    **{"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"max_position_embeddings": 64},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
# Config keys of transformers 5, which a folder of 4.x lacks.
NEW_KEYS = ("rope_parameters", "layer_types", "dtype")


OLD = {"torch_dtype": "float32", "transformers_version": "4.40.0"}


@dataclass
class Case:
    """A folder: a class of transformers, its config, and how the folder is written.

    Args:
      name: ``FAMILY-VARIATION``.
      varies: What differs from the family's defaults, in a few words.
      net: The net: `decoder`, `encoder`, ...
      architecture: The class.
      config: Keyword arguments of its config, beside the small sizes.
      written: Keys that config.json gets by hand.
      unwritten: Keys that config.json lacks.
      others: Other values in config.json that must change the output; `...` drops one.
      dtype: Of the weights in the file.
      shards: Whether the weights lie in several files.
      renamed: What is cut from the names of tensors.
      added: What is put before the names of tensors.
      old_names: Ends of names, and what older folders have there.
      buffers: Tensors that old folders hold and no model reads: shapes by name.
      embeddings: Standard deviation of the embeddings. Small ones make a norm's epsilon
        count.
      repeated: Names under which the file has the embeddings again.
      untied: Whether the head gets weights of its own.
      parts: How many tokens the calls of a cached run get. None: the frequencies
        depend on the length, or there is one output for each text.
      masked: Whether texts beside images are padded on the right, under a mask.
      alike: A part of names; tensors that have it are the same in all layers.
      sizes: Height and width of the images. None: those of the config.
    """

    name: str
    varies: str
    architecture: str
    config: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Any] = field(default_factory=dict)
    unwritten: tuple[str, ...] = ()
    others: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    shards: bool = False
    renamed: str = ""
    added: str = ""
    old_names: dict[str, str] = field(default_factory=dict)
    net: str = "decoder"
    buffers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    embeddings: float = 1.0
    repeated: tuple[str, ...] = ()
    untied: bool = False
    parts: tuple[int, ...] | None = (5, 7)
    masked: bool = False
    alike: str = ""
    sizes: tuple[int, int] | None = None

    @property
    def by_length(self):
        """Whether the longest text of the batch changes the others' frequencies."""
        return "dynamic" in self.name or self.name == "phi3-longrope"


def rope(kind="default", theta=100.0, **options):
    return {"rope_theta": theta, "rope_type": kind, **options}
