"""Where arrays live: one program for a laptop, eight devices and a pod.

    rules = hk.parallel.fully_sharded()
    jax.set_mesh(jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,)))
    net = hk.parallel.sharded(hk.transform(forward), rules)
    params = net.init(key, example)                        # made where they will live
    opt_state = hk.parallel.follow(optimizer.init)(params)

Rules say which axes of a model are split over which axes of JAX's mesh; layers and nets
name the axes of their parameters. Everything else is JAX's own: `jax.make_mesh`,
`jax.set_mesh`, `jax.jit`, `jax.distributed`. Parameters stay plain dicts of arrays, and
without a mesh nothing here changes a number.
"""

from haiku._core.variables.axis_names import logical_axes
from haiku._layers.constrain import constrain
from haiku._lifted.pipelined_stack import pipelined_stack
from haiku.parallel.batches import batch_shard, global_batch
from haiku.parallel.following import follow, shardings
from haiku.parallel.nets import sharded
from haiku.parallel.placed import eval_shape
from haiku.parallel.planning import Plan, plan
from haiku.parallel.rules import (
    Rules,
    data,
    expert,
    fully_sharded,
    pipeline,
    sequence,
    tensor,
)

__all__ = [
    "Plan",
    "Rules",
    "batch_shard",
    "constrain",
    "data",
    "eval_shape",
    "expert",
    "follow",
    "fully_sharded",
    "global_batch",
    "logical_axes",
    "pipeline",
    "pipelined_stack",
    "plan",
    "sequence",
    "sharded",
    "shardings",
    "tensor",
]


def __dir__() -> list[str]:
    return __all__
