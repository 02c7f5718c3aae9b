"""shard_map: a function of one device's part of the data."""

import functools
import math
from collections.abc import Callable, Set
from typing import Any

import jax
from jax.sharding import PartitionSpec

from haiku._core.runs.frame import Contents, current_frame
from haiku._lifted.parallel_runs import keys_of_lanes, run_lane


def shard_map(
    f: Callable[..., Any],
    *,
    mesh: Any,
    in_specs: Any,
    out_specs: Any,
    axis_names: Set[Any] = frozenset(),
    check_vma: bool = True,
    split_rng: bool = False,
) -> Callable[..., Any]:
    """`jax.shard_map` for a function that uses modules.

    Every device has all parameters and all state; what `f` writes to state must be the
    same on all of them: average it first, with `jax.lax.pmean(x, axis_name)`, as
    `hk.BatchNorm(..., cross_replica_axis=axis_name)` does.

    Args:
      f: A function of the parts that one device has.
      mesh: The devices.
      in_specs: How each argument is cut: a pytree of `jax.sharding.PartitionSpec`.
      out_specs: How the outputs are put together.
      axis_names: The axes of the mesh that `f` works on; all by default.
      check_vma: Whether JAX checks that what is said to be alike on all devices is.
      split_rng: Whether each device gets random keys of its own, or all the same ones.
        Must be False where parameters are made: `split_rng=not hk.running_init()`.

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
        keys = keys_of_lanes(frame, size) if split_rng else None
        before = frame.snapshot()

        def part(before: Contents, keys: Any, args: Any) -> Any:
            key = None if keys is None else keys[0]
            return run_lane(f, before, key, args, {})

        everywhere = PartitionSpec()
        specs = in_specs if isinstance(in_specs, tuple) else (in_specs,) * len(args)

        def sharded(part: Callable[..., Any], out_specs: Any) -> Any:
            return jax.shard_map(
                part,
                mesh=mesh,
                in_specs=(everywhere, PartitionSpec(axes), specs),
                out_specs=out_specs,
                axis_names=set(axis_names),
                check_vma=check_vma,
            )

        try:
            whole = sharded(part, (out_specs, everywhere))
            out, changed = whole(before, keys, args)
        except ValueError as error:
            try:  # Without what is kept, is there an error still?
                alone = sharded(lambda *args: part(*args)[0], out_specs)
                jax.eval_shape(alone, before, keys, args)
            except ValueError:
                raise error from None
            raise ValueError(
                "hk.shard_map can't keep parameters or state that differ between "
                "devices. Average state first, with `jax.lax.pmean(x, axis_name)`; "
                "make parameters with `split_rng=not hk.running_init()`."
            ) from error
        frame.absorb(changed)
        return out

    return shard_map_f
