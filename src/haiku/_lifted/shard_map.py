"""shard_map: a function that runs on each device's part of the data."""

import functools
import math
from collections.abc import Callable, Mapping, Set
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from haiku._core.runs.frame import current_frame
from haiku._lifted.parallel_runs import (
    Layout,
    join,
    placement,
    run_one,
    split_keys,
)

Specs = PartitionSpec | Mapping[str, PartitionSpec | None] | None


def shard_map(
    f: Callable[..., Any],
    *,
    mesh: Any,
    in_specs: Any,
    out_specs: Any,
    axis_names: Set[Any] = frozenset(),
    check_vma: bool = True,
    split_rng: bool = False,
    params_specs: Specs = None,
    state_specs: Specs = None,
) -> Callable[..., Any]:
    """`jax.shard_map` for a function that uses modules.

    Every device has all parameters and all state, unless `params_specs` or
    `state_specs` splits them. State that isn't split must be written alike on all
    devices: average it first, with `jax.lax.pmean(x, axis_name)`, as
    `hk.BatchNorm(..., cross_replica_axis=axis_name)` does.

    Args:
      f: A function of one device's parts of the arguments.
      mesh: The devices.
      in_specs: How each argument is split: a pytree of `jax.sharding.PartitionSpec`.
      out_specs: How the outputs are joined.
      axis_names: The axes of the mesh that `f` works on; all by default.
      check_vma: Whether JAX checks that replicated values are equal on all devices.
      split_rng: Whether each device gets its own random keys, or all the same.
        Must be False where shared parameters are made: write `split_rng=not
        hk.running_init()`.
      params_specs: How parameters are split; None gives every device all of them. A
        `PartitionSpec` is for the parameters that `f` is the first to use; those that
        were used before stay whole. A mapping gives specs by path, `{"experts/**":
        P("i")}`. Paths count from the module around the call, or, with `/` before
        them, from the root. Inside, a module sees its device's part.
      state_specs: How state is split, given in the same way.

    Returns:
      A function like `f` of whole arrays.

    Raises:
      ValueError: No transformed function is running: use `jax.shard_map`; or state or
        parameters would differ between devices.

    Example:
      >>> P = jax.sharding.PartitionSpec("i")
      >>> mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), "i")
      >>> split = dict(mesh=mesh, in_specs=P, out_specs=P)
      >>> f = lambda x: hk.shard_map(hk.Linear(3), **split)(x)
      >>> hk.bind(f).init(0, jnp.ones([2, 5]))(jnp.ones([2, 5])).shape
      (2, 3)
    """
    current_frame("hk.shard_map")

    @functools.wraps(f)
    def shard_map_f(*args: Any) -> Any:
        frame = current_frame("hk.shard_map")
        axes = tuple(axis_names) or tuple(mesh.axis_names)
        size = math.prod(mesh.shape[name] for name in axes)
        keys = split_keys(frame, size) if split_rng else None
        layout = Layout(placement(frame, params_specs), placement(frame, state_specs))

        def fits(value: Any, spec: PartitionSpec) -> bool:
            return all(_divides(mesh, spec, x) for x in jax.tree.leaves(value))

        shared, own = layout.split(frame, frame.snapshot(), fits)

        def part(shared: Any, own: Any, keys: Any, args: Any) -> Any:
            key = None if keys is None else keys[0]
            return run_one(f, frame, layout, shared, own, key, args, {})

        everywhere = PartitionSpec()
        specs = in_specs if isinstance(in_specs, tuple) else (in_specs,) * len(args)

        def sharded(part: Callable[..., Any], out_specs: Any) -> Any:
            return jax.shard_map(
                part,
                mesh=mesh,
                in_specs=(everywhere, layout.places, PartitionSpec(axes), specs),
                out_specs=out_specs,
                axis_names=set(axis_names),
                check_vma=check_vma,
            )

        parts = shared, own, keys, args
        try:
            whole = sharded(part, (out_specs, everywhere, layout.places))
            out, changed, own = whole(*parts)
        except ValueError as error:
            _explain(error, sharded(lambda *parts: part(*parts)[0], out_specs), parts)
            raise
        frame.absorb(join(changed, own))
        layout.check_found(frame, "hk.shard_map, params_specs")
        return out

    return shard_map_f


def _explain(error: ValueError, alone: Callable[..., Any], parts: Any) -> None:
    """Raises a better error if `f` alone, without the values it keeps, has none."""
    try:
        jax.eval_shape(alone, *parts)
    except ValueError:
        return
    raise ValueError(
        "hk.shard_map can't keep shared parameters or state that differ between "
        "devices. Average state first, with `jax.lax.pmean(x, axis_name)`, or split it "
        "with `state_specs`; make parameters with `split_rng=not hk.running_init()`."
    ) from error


def _divides(mesh: Any, spec: PartitionSpec, x: Any) -> bool:
    """Whether an array can be split like this."""
    groups = [axis if isinstance(axis, tuple) else (axis,) for axis in spec]
    sizes = [math.prod(mesh.shape[n] for n in group if n) for group in groups]
    shape = jnp.shape(x)
    return len(sizes) <= len(shape) and all(
        n % size == 0 for n, size in zip(shape, sizes)
    )
