"""`Family`: what a table of a name in configs says, for whatever net."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from haiku._core import Module
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.layouts import Rule, Slot, slots_of

Fields = dict[str, Any]


class Net(NamedTuple):
    """A net that families have.

    Attributes:
      module: Its class.
      config: The class of its config.
      inputs: From a config to shapes of the inputs with which `init` runs.
      stacks: From a config to the kinds of the layers of each stack of blocks, by the
        path that holds it.
    """

    module: type[Module]
    config: type
    inputs: Callable[[Any], tuple[Any, ...]]
    stacks: Callable[[Any], Mapping[str, Sequence[Any]]] = lambda c: {"": c.kinds}


class Head(NamedTuple):
    """What one class of transformers adds to a family.

    Attributes:
      fields: Of the net's config.
      rules: The weights that only this class has.
      optional: A field, and its values if the folder holds weights of `rules` and if
        it doesn't.
      tied_to: The tensor that is the head's too, if the folder holds none of `rules` or
        the same again; then the field `tied` is true, unless the config says other.
      tied: Names that are left out, or repeat the embeddings, if the head is tied.
      unread: Names that a folder holds though nothing reads them, and the tensor that
        `save` writes under each, if the model has that.
      ignored: Names that mean nothing to this class.
    """

    fields: Mapping[str, Any]
    rules: tuple[Rule, ...] = ()
    optional: tuple[str, Any, Any] | None = None
    tied_to: str | None = None
    tied: tuple[str, ...] = ()
    unread: Mapping[str, str] = {}
    ignored: tuple[str, ...] = ()

    @property
    def of_classes(self) -> bool:
        """Whether it has a number of classes."""
        return self.fields.get("head") in ("classes", "token_classes")


class Library(NamedTuple):
    """How folders of a library name a model's family, and its weights.

    Attributes:
      key: Of the config; its value is the family's name.
      stem: What files of weights are called.
    """

    key: str
    stem: str


TRANSFORMERS = Library("model_type", "model")
DIFFUSERS = Library("_class_name", "diffusion_pytorch_model")


class Family(NamedTuple):
    """Configs and weights of one `model_type`, or of one class of diffusers.

    Attributes:
      net: The net that all its models are.
      read: From the keys of a config to fields of ours, without the head's.
      write: From our config to keys; reading them gives the same config, if the family
        can express it.
      rules: The weights, without the heads'.
      heads: By the class of transformers; the first is that of a config that names
        none.
      layers: For each key of a number of layers, what stands before the layer's number
        in names; with `{i}`, the number of a stage, if the key has a list of them.
      prefix: What stands before names of all but the head's; a bare model has none.
      renamed: Ends of names that older folders have, and those of today.
      rules_of: Weights that lie under other names in some configs.
      others: Families of the same `model_type` with another net.
      repeated: A field, and how names of tensors go on after a layer's number: it is
        true if all layers hold the same tensors there. Rules with `{i}` of a parameter
        that lies in no layer write it for each.
      counts: From our config, by a key of a number of layers, how names of one tensor
        of each end, and how many there must be.
      library: Whose folders its models lie in.
    """

    net: Net
    read: Callable[[Keys], Fields]
    write: Callable[[Any], dict[str, Any]]
    rules: tuple[Rule, ...]
    heads: Mapping[str, Head]
    layers: Mapping[str, str] = {"num_hidden_layers": "layers"}
    prefix: str = "model."
    renamed: Mapping[str, str] = {}
    rules_of: Callable[[Any], tuple[Rule, ...]] = lambda config: ()
    others: tuple[Family, ...] = ()
    repeated: tuple[str, str] | None = None
    counts: Callable[[Any], Mapping[str, tuple[str, int]]] = lambda config: {}
    library: Library = TRANSFORMERS

    def head_of(self, config: Any) -> tuple[str, Head] | None:
        """The class of transformers that a config is, and its head."""
        for name, head in self.heads.items():
            fits = all(getattr(config, k) == v for k, v in head.fields.items())
            if fits and head.optional is not None:
                field, *values = head.optional
                fits = getattr(config, field) in values
            if fits:
                return name, head
        return None

    def slots(self, params: Any, config: Any, head: Head, prefix: str) -> list[Slot]:
        """The tensors that hold a net's parameters, or their shapes."""
        shapes = {
            path.partition("/")[2]: {name: x.shape for name, x in named.items()}
            for path, named in params.items()
        }
        rules = (*self.rules, *self.rules_of(config), *head.rules)
        return slots_of(shapes, rules, self.net.stacks(config), prefix)
