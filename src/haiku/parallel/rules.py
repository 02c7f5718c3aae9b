"""Rules: which axes of a model are split over which axes of a mesh of devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jax.sharding import PartitionSpec

from haiku._trees.patterns import pattern
from haiku.data_structures import to_immutable_dict

MeshAxes = str | tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class Rules:
    """Says which axes of a model are split over which axes of a mesh.

    A *mesh axis* is JAX's. A *logical axis* is what an axis of an array is in the
    model: ``batch``, ``length``, ``embed``, ``heads``, ``mlp``, ``vocab``, ``expert``,
    ``layers``, or any other name that :func:`logical_axes` gives. Within one array a
    mesh axis is used once; the leftmost axis takes it. Mesh axes that the mesh doesn't
    have split nothing, so the same rules serve a laptop.

    ``a | b`` holds both rules; where both say something of one key, ``b`` counts.

    Args:
      axes: From logical axis to mesh axis, a tuple of mesh axes, or None.
      arrays: From patterns of paths, as :mod:`haiku.surgery` has them, to the names of
        an array's axes, without those that `layer_stack`, `vmap` or `ensemble` put in
        front: logical axes, mesh axes or None. A `jax.sharding.PartitionSpec` will do.
        They go before the names that blocks and layers give; the first pattern that
        finds a path counts.
      largest: Mesh axes that split, of every parameter of at least `smallest` elements,
        the largest axis that is not split yet and that they divide, the first of
        equals; never an axis of layers.
      smallest: Parameters with fewer elements are not split by `largest`.

    Raises:
      TypeError: A value isn't a name, a tuple of names or None.
      ValueError: A text isn't a pattern of paths, or `smallest` is negative.

    Example:
      >>> rules = hk.parallel.fully_sharded() | hk.parallel.tensor()
      >>> rules = rules | hk.parallel.Rules({"vocab": None})  # which stays whole
      >>> rules.axes["mlp"], rules.axes["vocab"], rules.largest
      ('model', None, 'data')
    """

    axes: Mapping[str, MeshAxes] = dataclasses.field(default_factory=dict)
    arrays: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    largest: MeshAxes = None
    smallest: int = 1024

    def __post_init__(self):
        for kind in ("axes", "arrays"):
            given = getattr(self, kind)
            if not isinstance(given, Mapping):
                raise TypeError(
                    f"hk.parallel.Rules takes a mapping for {kind}, got "
                    f"{type(given).__name__}: {given!r}. Write "
                    "hk.parallel.Rules({'mlp': 'model'})."
                )
        for name, value in self.axes.items():
            _check_axes(value, f"the logical axis {name!r}")
        for text, names in self.arrays.items():
            pattern(text)
            if not isinstance(names, (tuple, list, PartitionSpec)):
                raise TypeError(
                    f"hk.parallel.Rules takes a name for each axis of {text!r}: a "
                    "tuple such as ('embed', None), or a PartitionSpec; got "
                    f"{names!r}."
                )
            for entry in names:
                _check_axes(entry, f"an axis of {text!r}")
        _check_axes(self.largest, "largest")
        if self.smallest < 0:
            raise ValueError(
                "smallest of hk.parallel.Rules must be at least 0, got "
                f"{self.smallest}."
            )
        arrays = {k: _as_names(v) for k, v in self.arrays.items()}
        axes = {k: _as_tuple(v) for k, v in self.axes.items()}
        object.__setattr__(self, "axes", to_immutable_dict(axes))
        object.__setattr__(self, "arrays", to_immutable_dict(arrays))
        object.__setattr__(self, "largest", _as_tuple(self.largest))

    def __or__(self, other: Rules) -> Rules:
        if not isinstance(other, Rules):
            return NotImplemented
        above = other.arrays
        below = {k: v for k, v in self.arrays.items() if k not in above}
        upper = self if other.largest is None else other
        return Rules(
            {**self.axes, **other.axes},
            {**above, **below},
            upper.largest,
            upper.smallest,
        )

    def __repr__(self) -> str:
        said = []
        if self.axes:
            said.append(f"axes={dict(self.axes)}")
        if self.arrays:
            said.append(f"arrays={dict(self.arrays)}")
        if self.largest is not None:
            said.append(f"largest={self.largest!r}")
            if self.smallest != 1024:
                said.append(f"smallest={self.smallest}")
        return f"Rules({', '.join(said)})"

    def __hash__(self) -> int:
        return hash((self.axes, self.arrays, self.largest, self.smallest))


def data(axis: str = "data") -> Rules:
    """Splits the batch; every device has all parameters.

    Args:
      axis: The mesh axis.

    Example:
      >>> hk.parallel.data()
      Rules(axes={'batch': 'data'})
    """
    return Rules({"batch": axis})


def fully_sharded(axis: str = "data", smallest: int = 1024) -> Rules:
    """Splits the batch and every large parameter, which a step gathers as it needs it.

    Args:
      axis: The mesh axis.
      smallest: Parameters with fewer elements stay whole.

    Source:
      Rajbhandari et al., 2020, ZeRO: Memory Optimizations Toward Training Trillion
      Parameter Models, arXiv:1910.02054 (stage 3); PyTorch has it as FSDP.

    Example:
      >>> hk.parallel.fully_sharded()
      Rules(axes={'batch': 'data'}, largest='data')
    """
    return Rules({"batch": axis}, largest=axis, smallest=smallest)


def tensor(axis: str = "model") -> Rules:
    """Splits heads, hidden units and the vocabulary: each device has a part of a layer.

    Args:
      axis: The mesh axis.

    Source:
      Shoeybi et al., 2019, Megatron-LM: Training Multi-Billion Parameter Language
      Models Using Model Parallelism, arXiv:1909.08053.

    Example:
      >>> hk.parallel.tensor()
      Rules(axes={'heads': 'model', 'mlp': 'model', 'vocab': 'model'})
    """
    return Rules(dict.fromkeys(("heads", "mlp", "vocab"), axis))


def sequence(axis: str = "model") -> Rules:
    """Splits the steps of a sequence.

    With :func:`tensor` over the same axis, norms and residual sums between the parts
    that it splits; alone it is context parallelism: each device has its own queries,
    and gathers keys and values.

    Args:
      axis: The mesh axis.

    Source:
      Korthikanti et al., 2022, Reducing Activation Recomputation in Large Transformer
      Models, arXiv:2205.05198.

    Example:
      >>> rules = hk.parallel.tensor() | hk.parallel.sequence()
      >>> list(rules.axes)
      ['heads', 'mlp', 'vocab', 'length']
    """
    return Rules({"length": axis})


def expert(axis: str = "expert") -> Rules:
    """Splits the experts of a mixture: each device has some.

    Args:
      axis: The mesh axis.

    Source:
      Lepikhin et al., 2020, GShard: Scaling Giant Models with Conditional Computation
      and Automatic Sharding, arXiv:2006.16668.

    Example:
      >>> hk.parallel.expert()
      Rules(axes={'expert': 'expert'})
    """
    return Rules({"expert": axis})


def pipeline(axis: str = "pipe") -> Rules:
    """Splits stacks of layers: each device keeps some.

    This saves memory and nothing else: the devices still work one after the other, and
    each layer's parameters travel to all. :func:`pipelined_stack` overlaps their work.

    Args:
      axis: The mesh axis.

    Example:
      >>> hk.parallel.pipeline()
      Rules(axes={'layers': 'pipe'})
    """
    return Rules({"layers": axis})


def _check_axes(value: Any, what: str) -> None:
    entries = value if isinstance(value, (tuple, list)) else (value,)
    good = all(isinstance(entry, str) and entry for entry in entries)
    if value is not None and not good:
        raise TypeError(
            "hk.parallel.Rules takes the name of an axis, a tuple of names or None for "
            f"{what}, got {value!r}."
        )


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _as_names(names: Any) -> Any:
    return tuple(_as_tuple(entry) for entry in names)
