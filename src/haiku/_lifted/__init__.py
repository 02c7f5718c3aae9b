"""JAX's transformations for use inside a transformed function.

Each takes a snapshot of the running frame, gives JAX's own transformation a pure
function of it, and absorbs what comes out: see `pure.py`. No parameter is named here,
and no transformation of JAX's is written again.
"""

from haiku._lifted.associative import associative_scan as associative_scan
from haiku._lifted.branches import cond as cond
from haiku._lifted.branches import switch as switch
from haiku._lifted.custom_derivatives import custom_jvp as custom_jvp
from haiku._lifted.custom_derivatives import custom_vjp as custom_vjp
from haiku._lifted.derivatives import hessian as hessian
from haiku._lifted.derivatives import jacfwd as jacfwd
from haiku._lifted.derivatives import jacrev as jacrev
from haiku._lifted.derivatives import jvp as jvp
from haiku._lifted.derivatives import linearize as linearize
from haiku._lifted.derivatives import vjp as vjp
from haiku._lifted.fast_eval_shape import fast_eval_shape as fast_eval_shape
from haiku._lifted.functions import eval_shape as eval_shape
from haiku._lifted.functions import grad as grad
from haiku._lifted.functions import remat as remat
from haiku._lifted.functions import value_and_grad as value_and_grad
from haiku._lifted.jit import jit as jit
from haiku._lifted.key_planning import optimize_rng_use as optimize_rng_use
from haiku._lifted.layer_stack import (
    LayerStackTransparencyMapping as LayerStackTransparencyMapping,
)
from haiku._lifted.layer_stack import layer_stack as layer_stack
from haiku._lifted.lift import LiftWithStateUpdater as LiftWithStateUpdater
from haiku._lifted.lift import lift as lift
from haiku._lifted.lift import lift_with_state as lift_with_state
from haiku._lifted.lift import transparent_lift as transparent_lift
from haiku._lifted.lift import (
    transparent_lift_with_state as transparent_lift_with_state,
)
from haiku._lifted.loops import fori_loop as fori_loop
from haiku._lifted.loops import map as map
from haiku._lifted.loops import scan as scan
from haiku._lifted.loops import while_loop as while_loop
from haiku._lifted.shard_map import shard_map as shard_map
from haiku._lifted.vmap import ensemble as ensemble
from haiku._lifted.vmap import vmap as vmap
