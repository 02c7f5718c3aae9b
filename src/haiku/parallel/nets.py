"""`sharded`: a net whose parameters live where rules say."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from haiku._core.transforms.multi_transform import (
    MultiTransformed,
    MultiTransformedWithState,
)
from haiku._core.transforms.pure_functions import Transformed, TransformedWithState
from haiku._core.variables.axis_names import axis_names
from haiku.parallel.placed import Call, Where, current_mesh, placed
from haiku.parallel.placing import shardings_of
from haiku.parallel.rules import Rules
from haiku.parallel.under_rules import UnderRules

__all__ = ["sharded"]

Net = TypeVar("Net")
_WITH_STATE = TransformedWithState, MultiTransformedWithState
_KINDS = Transformed, MultiTransformed, *_WITH_STATE


def sharded(net: Net, rules: Rules) -> Net:
    """A net like `net` over the mesh of `jax.set_mesh`.

    Its `init` makes each parameter where the rules say that it lives, and no device
    ever holds more than its parts; the values are the same as without rules. Its
    `apply` runs under the rules, which :func:`constrain` reads. State is on every
    device, unless a pattern of the rules splits it. Where no mesh is set, both are
    those of `net`.

    On Explicit mesh axes `apply` gathers what `largest` split when a parameter is read.

    Args:
      net: What `hk.transform`, `hk.multi_transform` or their kin returned.
      rules: Which axes are split.

    Returns:
      A net of the same kind.

    Raises:
      TypeError: `net` or `rules` is something else.
      ValueError: At `init`, the mesh axis doesn't divide an axis that the rules split,
        or a pattern of the rules finds nothing.

    Example:
      >>> rules = hk.parallel.fully_sharded()
      >>> auto = (jax.sharding.AxisType.Auto,)
      >>> mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=auto)
      >>> net = hk.parallel.sharded(hk.transform(lambda x: hk.Linear(512)(x)), rules)
      >>> with jax.set_mesh(mesh):
      ...     params = net.init(jax.random.key(0), jnp.ones([8, 16]))
    """
    if not isinstance(net, _KINDS):
        raise TypeError(
            "hk.parallel.sharded takes what hk.transform or its kin returned, got "
            f"{type(net).__name__}: write hk.parallel.sharded(hk.transform(f), rules)."
        )
    if not isinstance(rules, Rules):
        raise TypeError(
            "hk.parallel.sharded takes hk.parallel.Rules, such as "
            f"hk.parallel.fully_sharded(), got {type(rules).__name__}: {rules!r}."
        )
    apply = jax.tree.map(lambda f: _under(rules, f), net.apply)
    return type(net)(placed(net.init, _where(rules, net)), apply)


def _where(rules: Rules, net: Any) -> Where:
    """Where the values live that `init` makes."""

    def where(call: Call) -> tuple[Any, Any] | None:
        if current_mesh().empty:
            return None
        names, shapes = axis_names(call.run, call.arrays)
        if isinstance(net, _WITH_STATE):
            return shardings_of(rules, names, *shapes), shapes
        return shardings_of(rules, names, shapes, {})[0], shapes

    return where


def _under(rules: Rules, f: Callable[..., Any]) -> Callable[..., Any]:
    """`apply` under rules."""

    @functools.wraps(f)
    def apply_fn(*args, **kwargs):
        with UnderRules(rules):
            return f(*args, **kwargs)

    return apply_fn
