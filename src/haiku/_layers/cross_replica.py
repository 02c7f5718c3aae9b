"""Means and sums over the replicas along a mapped axis of pmap, vmap or shard_map."""

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
    """Averages each array over the replicas along `axis`.

    Args:
      tree: Arrays, with the same shape on all replicas.
      axis: Name of a mapped axis, or several.
      groups: Groups of indices along the axis that share a mean. Default: one group.
      where: Name of the module, for messages.

    Raises:
      NameError: No surrounding transformation names the axis.
      ValueError: `groups` omit or repeat an index.
    """
    return _reduce(jax.lax.pmean, tree, axis, groups, where)


def replica_sum(tree: Any, axis: AxisNames, where: str = "") -> Any:
    """Sums each array over the replicas along `axis`; see `replica_mean`."""
    return _reduce(jax.lax.psum, tree, axis, None, where)


def _reduce(
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
        # JAX supports groups only along axes of devices, and not if shard_map checks
        # how values vary. A vmap around a jit refuses them later.
        if axis in jax.sharding.get_abstract_mesh().manual_axes:
            with contextlib.suppress(NotImplementedError):
                return reduce(tree, axis, axis_index_groups=groups)
        return _mean_of_group(tree, axis, groups, where)
    except NameError as error:
        raise NameError(_unbound_axis_message(axis, where)) from error


def _mean_of_group(tree: Any, axis: Any, groups: Groups, where: str) -> Any:
    size = int(jax.lax.psum(1, axis))
    indices = sorted(index for group in groups for index in group)
    if indices != list(range(size)):
        raise ValueError(
            f"{where}: cross_replica_axis_index_groups={groups} must contain each "
            f"index of axis {axis!r}, which has size {size}, once."
        )
    weights = np.zeros([size, size], np.float32)
    for group in groups:
        weights[np.ix_(group, group)] = 1 / len(group)
    # Row i: the weight of each replica in the mean for replica i.
    own = jnp.asarray(weights)[jax.lax.axis_index(axis)]
    return jax.tree.map(
        lambda x: jnp.tensordot(own.astype(x.dtype), jax.lax.all_gather(x, axis), 1),
        tree,
    )


def _unbound_axis_message(axis: Any, where: str) -> str:
    names = [axis] if isinstance(axis, str) else axis
    missing = [name for name in names if not _is_bound(name)]
    name = repr(missing[0] if missing else names[0])
    return (
        f"{where} reduces over axis {name}, but no surrounding transformation names "
        f"it. Run `apply` inside jax.vmap(..., axis_name={name}), jax.pmap(..., "
        f"axis_name={name}), or jax.shard_map over a mesh with an axis {name}, and "
        "`init` too: params, state = jax.vmap(net.init, (None, 0), None, "
        f"axis_name={name})(key, x). If jax.jit alone splits the batch over devices, "
        "statistics cover the whole batch without a name: leave `cross_replica_axis` "
        "out."
    )


def _is_bound(name: str) -> bool:
    try:
        jax.lax.axis_index(name)
    except NameError:
        return False
    return True
