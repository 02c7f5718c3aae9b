"""Where a loaded model's parameters live, and arrays of parts that are read alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Sharding, SingleDeviceSharding

from haiku._trees.places import Place, nested
from haiku.parallel.placed import current_mesh
from haiku.parallel.placing import shardings_of
from haiku.parallel.rules import Rules

__all__ = ["Shardings", "array_of_parts", "check_shardings", "sharding_of"]

# As `load` takes it.
Shardings = Callable[[str, tuple[int, ...]], Sharding] | Rules | None


def check_shardings(shardings: Any) -> None:
    """Raises TypeError unless it is what `load` takes."""
    if shardings is None or isinstance(shardings, Rules):
        return
    of_rules = getattr(shardings, "__module__", None) == Rules.__module__
    if of_rules or not callable(shardings):
        name = getattr(shardings, "__name__", "fully_sharded")
        raise TypeError(
            "sharding of hk.pretrained.load must be hk.parallel.Rules, or a function "
            "of path and shape that returns a jax.sharding.Sharding, got "
            f"{shardings!r}. Write sharding=hk.parallel.{name}()."
        )


def sharding_of(
    shardings: Shardings,
    names: Mapping[str, Mapping[str, Any]],
    shapes: Mapping[Place, tuple[int, ...]],
) -> Callable[[Place], Sharding | None]:
    """Tells the sharding of each parameter; None for the default device.

    Args:
      shardings: As `load` takes it.
      names: Those of the parameters' axes, see `axis_names`.
      shapes: The parameters' shapes.

    Raises:
      TypeError: The function returns something else.
      ValueError: An axis can't be split as the rules say.
    """
    if isinstance(shardings, Rules):
        if current_mesh().empty:
            return lambda place: None
        structs = {
            place: jax.ShapeDtypeStruct(shape, "float32")
            for place, shape in shapes.items()
        }
        found, _ = shardings_of(shardings, names, nested(structs), {})
        return lambda place: found[place.module][place.name]

    def of_place(place: Place) -> Sharding | None:
        found = shardings and shardings(place.path, shapes[place])
        if found is not None and not isinstance(found, Sharding):
            raise TypeError(
                "sharding of hk.pretrained.load must return a jax.sharding.Sharding "
                f"for {place.path}, got {found!r}. Write "
                "jax.sharding.NamedSharding(mesh, spec)."
            )
        return found

    return of_place


def array_of_parts(
    shape: tuple[int, ...],
    dtype: Any,
    sharding: Sharding,
    read: Callable[[tuple[slice, ...]], Any],
) -> jax.Array:
    """An array whose parts are read one after the other, and put where they live.

    Args:
      shape: The array's.
      dtype: The array's.
      sharding: Where its parts live.
      read: Returns a part; it is called once for each that this process's devices have.
    """
    kind = sharding.memory_kind
    devices_of: dict[Any, tuple[Any, list[Any]]] = {}
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        part = tuple((axis.start, axis.stop) for axis in index or ())
        devices_of.setdefault(part, (index, []))[1].append(device)
    arrays = []
    for index, devices in devices_of.values():
        part = read(index)
        for device in devices:
            place = SingleDeviceSharding(device, memory_kind=kind)
            arrays.append(jax.device_put(part, place))
    dtype = arrays[0].dtype if arrays else jax.dtypes.canonicalize_dtype(dtype)
    return jax.make_array_from_single_device_arrays(
        shape, sharding, arrays, dtype=dtype
    )
