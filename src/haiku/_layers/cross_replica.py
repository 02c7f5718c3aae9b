"""Means and sums over the replicas of a mapped axis: of pmap, vmap or shard_map."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["replica_mean", "replica_sum"]

AxisNames = str | Sequence[str]
Groups = Sequence[Sequence[int]]


def replica_mean(
    tree: Any, axis: AxisNames, groups: Groups | None = None, where: str = ""
) -> Any:
    """The mean of each array over the replicas along `axis`.

    Args:
      tree: Arrays, of the same shape on all replicas.
      axis: Name of a mapped axis, or several.
      groups: Indices along the axis that share a mean. Default: all do.
      where: Who asks, for messages.

    Raises:
      NameError: No transformation around names the axis.
      ValueError: `groups` leave an index out or name one twice.
    """
    return _reduced(jax.lax.pmean, tree, axis, groups, where)


def replica_sum(tree: Any, axis: AxisNames, where: str = "") -> Any:
    """The sum of each array over the replicas along `axis`; see `replica_mean`."""
    return _reduced(jax.lax.psum, tree, axis, None, where)


def _reduced(
    reduce: Callable[..., Any],
    tree: Any,
    axis: AxisNames,
    groups: Groups | None,
    where: str,
) -> Any:
    axis = axis if isinstance(axis, str) else tuple(axis)
    try:
        if groups is None:
            return reduce(tree, axis)
        # JAX has groups along axes of devices alone, and not where shard_map checks
        # how values vary. A vmap's refusal comes later, if it is around a jit.
        if axis in jax.sharding.get_abstract_mesh().manual_axes:
            with contextlib.suppress(NotImplementedError):
                return reduce(tree, axis, axis_index_groups=groups)
        return _mean_of_group(tree, axis, groups, where)
    except NameError as error:
        raise NameError(_unbound(axis, where)) from error


def _mean_of_group(tree: Any, axis: Any, groups: Groups, where: str) -> Any:
    size = int(jax.lax.psum(1, axis))
    named = sorted(index for group in groups for index in group)
    if named != list(range(size)):
        raise ValueError(
            f"{where}: cross_replica_axis_index_groups={groups} should name each index "
            f"of the axis {axis!r}, which has size {size}, once."
        )
    weights = np.zeros([size, size], np.float32)
    for group in groups:
        weights[np.ix_(group, group)] = 1 / len(group)
    # Row i: how much of each replica goes into the mean that replica i gets.
    own = jnp.asarray(weights)[jax.lax.axis_index(axis)]
    return jax.tree.map(
        lambda x: jnp.tensordot(own.astype(x.dtype), jax.lax.all_gather(x, axis), 1),
        tree,
    )


def _unbound(axis: Any, where: str) -> str:
    names = [axis] if isinstance(axis, str) else axis
    missing = [name for name in names if not _is_bound(name)]
    name = repr(missing[0] if missing else names[0])
    return (
        f"{where} reduces over the axis {name}, which no transformation around it "
        f"names. Run `apply` inside jax.vmap(..., axis_name={name}), jax.pmap(..., "
        f"axis_name={name}), or jax.shard_map over a mesh with an axis {name}, and "
        "`init` likewise: params, state = jax.vmap(net.init, (None, 0), None, "
        f"axis_name={name})(key, x). Where jax.jit alone splits the batch over "
        "devices, statistics are those of the whole batch without a name: leave "
        "`cross_replica_axis` out."
    )


def _is_bound(name: str) -> bool:
    try:
        jax.lax.axis_index(name)
    except NameError:
        return False
    return True
