"""Which of JAX's transformations run around here, and what to write instead.

Read from Python's stack, for checks and messages: JAX has no public way to ask.
"""

import sys
from types import FrameType

# The functions of JAX that are on the stack while they trace the user's function.
_NAMES = {
    "cache_miss": "jax.jit",
    "_cached_shard_map.<locals>._fun": "jax.pmap",
    "vmap_f": "jax.vmap",
    "grad_f": "jax.grad",
    "value_and_grad_f": "jax.value_and_grad",
    "jacfwd.<locals>.jacfun": "jax.jacfwd",
    "jacrev.<locals>.jacfun": "jax.jacrev",
    "fun_remat": "jax.remat",
    "scan": "jax.lax.scan",
    "map": "jax.lax.map",
    "fori_loop": "jax.lax.fori_loop",
    "while_loop": "jax.lax.while_loop",
    "cond": "jax.lax.cond",
    "_cond": "jax.lax.cond",
    "switch": "jax.lax.switch",
    "eval_shape": "jax.eval_shape",
    "make_jaxpr_f": "jax.make_jaxpr",
    "jvp": "jax.jvp",
    "vjp": "jax.vjp",
    "linearize": "jax.linearize",
    "custom_vjp.__call__": "jax.custom_vjp",
    "custom_jvp.__call__": "jax.custom_jvp",
    "_shard_map_staging": "jax.shard_map",
    "ShardMapPrimitive.bind_with_trace": "jax.shard_map",
}
UNKNOWN = "a JAX transformation"
# Those whose function runs once, with values that may outlive it.
NOT_STAGING = (
    "jax.vmap",
    "jax.grad",
    "jax.value_and_grad",
    "jax.jvp",
    "jax.vjp",
    "jax.linearize",
    "jax.jacfwd",
    "jax.jacrev",
)
# Those whose function runs once as it is traced, and then as often as is found.
CONTROL_FLOW = (
    "jax.lax.scan",
    "jax.lax.map",
    "jax.lax.fori_loop",
    "jax.lax.while_loop",
    "jax.lax.cond",
    "jax.lax.switch",
)
_MADE_OF = {
    "jax.grad": ("jax.value_and_grad", "jax.linearize", "jax.jvp", "jax.vjp"),
    "jax.value_and_grad": ("jax.linearize", "jax.jvp", "jax.vjp"),
    "jax.vjp": ("jax.linearize",),
    "jax.jacfwd": ("jax.vmap", "jax.jvp"),
    "jax.jacrev": ("jax.vjp", "jax.linearize"),
    "jax.lax.fori_loop": ("jax.lax.scan", "jax.lax.while_loop"),
    "jax.lax.map": ("jax.lax.scan",),
}
_MAKES = {"jax.pmap": ("jax.shard_map", "jax.jit")}
# Where a transformation begins that knows of parameters, state and keys.
_KNOWING = ("run_in_frame", "pure_f")
_OURS_AND_JAX = ("jax", "haiku", "contextlib", "functools")


def running_transformations(outside: bool = False) -> list[str]:
    """The plain JAX transformations around here, innermost first.

    Args:
      outside: Whether those are wanted that are around the transformed function.
    """
    names: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in _KNOWING:
            if not outside:
                break
            names.clear()
        name = _name(frame)
        if name and not (names and name in _MAKES.get(names[-1], ())):
            while names and names[-1] in (name, *_MADE_OF.get(name, ())):
                names.pop()
            names.append(name)
        frame = frame.f_back
    return names


def _name(frame: FrameType) -> str | None:
    if not frame.f_globals.get("__name__", "").startswith("jax."):
        return None
    code = frame.f_code
    return _NAMES.get(code.co_qualname) or _NAMES.get(code.co_name)


def users_line() -> str:
    """Where the program is, in the code of neither Haiku nor JAX: `file:line`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _OURS_AND_JAX:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown line"


_IN_HK = (
    "inside a transformed function write `hk.{}`, which knows of parameters, state "
    "and keys"
)
_AROUND = "put `{}` around `init` or `apply` instead"
_LIFTED = {name: name.rpartition(".")[2] for name in _NAMES.values() if name}
_NOT_LIFTED = ("jax.pmap", "jax.make_jaxpr")


def advice_against(transformation: str) -> str:
    """What to write instead of a JAX transformation, as a clause."""
    if transformation in _NOT_LIFTED:
        return _AROUND.format(transformation)
    if transformation not in _LIFTED:
        return "put it around `init` or `apply` instead"
    clause = _IN_HK.format(_LIFTED[transformation])
    if transformation == "jax.jit":
        clause += f", or {_AROUND.format(transformation)}"
    return clause
