"""cond and switch: run one of several functions."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core.runs.frame import Contents, Frame, changes, current_frame
from haiku._lifted.pure import pure, settle_keys, without_running

_NOT_GIVEN = object()


def cond(
    pred: Any,
    true_fun: Any,
    false_fun: Any,
    *operands: Any,
    operand: Any = _NOT_GIVEN,
) -> Any:
    """`jax.lax.cond` for functions that use modules.

    Args:
      pred: A scalar: which function runs.
      true_fun: Runs where `pred` holds.
      false_fun: Runs otherwise. `init` makes the parameters and state of both, and both
        share those of the same name; at `apply` neither makes any.
      *operands: Arguments of both functions. The old form `cond(pred, true_operand,
        true_fun, false_operand, false_fun)` works too.
      operand: A single argument of both, by keyword.

    Returns:
      The output of the function that ran.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.cond`; or a parameter
        is new at `apply`.
      TypeError: The two return different structures.

    Example:
      >>> def f(x, wide):
      ...     return hk.cond(wide, hk.nets.MLP([64, 3]), hk.Linear(3), x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]), True)
      >>> list(params)  # Of both functions.
      ['mlp/~/linear_0', 'mlp/~/linear_1', 'linear']
    """
    frame = current_frame("hk.cond")
    if operand is not _NOT_GIVEN:
        if operands:
            raise ValueError(
                "hk.cond was given `operand` and operands by position: if you pass "
                "`operand` you cannot pass others positionally. Pass all by position: "
                "`hk.cond(pred, true_fun, false_fun, x, y)`."
            )
        operands = (operand,)
    if not callable(true_fun) and len(operands) == 2 and callable(operands[1]):
        return cond(
            pred,
            lambda x, _: false_fun(x),
            lambda _, x: operands[1](x),
            true_fun,
            operands[0],
        )
    return _branch(
        frame,
        "hk.cond",
        {"true_fun": true_fun, "false_fun": false_fun},
        lambda branches: jax.lax.cond(pred, *branches, *operands),
        operands,
    )


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`jax.lax.switch` for functions that use modules.

    Args:
      index: An integer scalar: which function runs; clamped to the range.
      branches: The functions. `init` makes the parameters and state of all, and they
        share those of the same name; at `apply` none makes any.
      *operands: Arguments of each.

    Returns:
      The output of the function that ran.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.switch`; or a
        parameter is new at `apply`; or there are no branches.
      TypeError: The functions return different structures.

    Example:
      >>> def f(x, task):
      ...     heads = [hk.Linear(3, name=f"head_{i}") for i in range(4)]
      ...     return hk.switch(task, heads, x)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]), 0)
    """
    frame = current_frame("hk.switch")
    return _branch(
        frame,
        "hk.switch",
        {f"branches[{i}]": branch for i, branch in enumerate(branches)},
        lambda branches: jax.lax.switch(index, branches, *operands),
        operands,
    )


class _DifferentValues(Exception):
    """The branches make different parameters or state."""


def _branch(
    frame: Frame,
    what: str,
    branches: dict[str, Callable[..., Any]],
    run: Callable[[list[Callable[..., Any]]], Any],
    operands: tuple[Any, ...],
) -> Any:
    for name, branch in branches.items():
        if not callable(branch):
            raise TypeError(f"`{name}` of {what} is not a function: {branch!r}.")
    if frame.keys is not None:
        frame.keys.reserve_up_to_full()
    functions = list(branches.values())
    try:
        out, after = run(_with_all_state(frame, what, functions))
    except _DifferentValues:
        # Each branch makes its values, one after the other; then all find theirs.
        arrays = jax.tree.map(jnp.asarray, operands)
        for branch in functions:
            without_running(frame, branch, *arrays)
        if frame.keys is not None:
            frame.keys.reserve_up_to_full()
        out, after = run(_with_all_state(frame, what, functions, made=True))
    frame.absorb(after)
    return out


def _with_all_state(
    frame: Frame, what: str, branches: list[Callable[..., Any]], made: bool = False
) -> list[Callable[..., Any]]:
    """Branches that also return new values and all state, so that outputs agree.

    Args:
      frame: The running frame.
      what: The public name, for errors.
      branches: The functions.
      made: Whether all values exist; a `layer_stack` makes them again anyway.
    """
    before, usage = frame.snapshot(), frame.usage
    structures: list[Any] = []

    def wrapped(branch: Callable[..., Any]) -> Callable[..., Any]:
        def run(*operands: Any) -> Any:
            out = branch(*operands)
            settle_keys(frame, before)
            return out

        def pure_branch(*operands: Any) -> tuple[Any, Contents]:
            by = f"this branch of {what}"
            sealed = (
                contextlib.nullcontext() if frame.initialising else usage.sealed(by)
            )
            with sealed:
                out, after = pure(run)(before, *operands)
            changed = changes(before, after)
            if made:
                changed = changed._replace(params={}, initial_state={})
            structures.append(
                jax.tree.structure((changed.params, changed.initial_state))
            )
            if structures[-1] != structures[0]:
                raise _DifferentValues
            return out, changed._replace(state=after.state, keys=after.keys)

        return pure_branch

    # JAX traces the same object once.
    by_identity = {id(branch): wrapped(branch) for branch in branches}
    return [by_identity[id(branch)] for branch in branches]
