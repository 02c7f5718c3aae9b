"""cond and switch: one of several functions runs."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core.frame import Contents, Frame, changes, current_frame
from haiku._lifted.pure import pure, settle_keys

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
      false_fun: Runs otherwise. At `init` both must ask for the same new parameters and
        state; at `apply` neither makes any.
      *operands: Arguments of both. The old form `cond(pred, true_operand, true_fun,
        false_operand, false_fun)` works too.
      operand: A single argument of both, by keyword.

    Returns:
      What the function that ran returns.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.cond`; or a parameter
        is new at `apply`.
      TypeError: The two return different structures, or make different parameters.
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
    )


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`jax.lax.switch` for functions that use modules.

    Args:
      index: An integer scalar: which function runs; clamped to the range.
      branches: The functions. At `init` all must ask for the same new parameters and
        state; at `apply` none makes any.
      *operands: Arguments of each.

    Returns:
      What the function that ran returns.

    Raises:
      ValueError: No transformed function is running: use `jax.lax.switch`; or a
        parameter is new at `apply`; or there are no branches.
      TypeError: The functions return different structures, or make different
        parameters.
    """
    frame = current_frame("hk.switch")
    return _branch(
        frame,
        "hk.switch",
        {f"branches[{i}]": branch for i, branch in enumerate(branches)},
        lambda branches: jax.lax.switch(index, branches, *operands),
    )


def _branch(
    frame: Frame,
    what: str,
    branches: dict[str, Callable[..., Any]],
    run: Callable[[list[Callable[..., Any]]], Any],
) -> Any:
    for name, branch in branches.items():
        if not callable(branch):
            raise TypeError(f"`{name}` of {what} is not a function: {branch!r}.")
    if frame.keys is not None:
        frame.keys.reserve_up_to_full()
    before = frame.snapshot()
    made: dict[str, set[str]] = {}
    wrapped: dict[int, Callable[..., Any]] = {}  # JAX traces the same object once.
    for name, branch in branches.items():
        if id(branch) not in wrapped:
            wrapped[id(branch)] = _with_all_state(
                frame, what, name, branch, before, made
            )
    out, after = run([wrapped[id(branch)] for branch in branches.values()])
    frame.absorb(after)
    return out


def _with_all_state(frame, what, name, branch, before, made):
    """`branch` returning new parameters and all state, so that all branches agree."""

    def run(*operands: Any) -> Any:
        out = branch(*operands)
        settle_keys(frame, before)
        return out

    def pure_branch(*operands: Any) -> tuple[Any, Contents]:
        sealed = frame.sealed
        if not frame.initialising:
            frame.sealed = f"this branch of {what}"
        try:
            out, after = pure(run)(before, *operands)
        finally:
            frame.sealed = sealed
        changed = changes(before, after)
        made[name] = {
            f"{path}/{key}"
            for values in (changed.params, changed.initial_state)
            for path, named in values.items()
            for key in named
        }
        for other, paths in made.items():
            if paths != made[name]:
                raise TypeError(
                    f"{what} branch outputs must have the same pytree structure, and "
                    "its branches make different parameters or state at `init`: "
                    f"{other} makes {sorted(paths - made[name])} that {name} does "
                    f"not, {name} {sorted(made[name] - paths)} that {other} does not. "
                    "Let `init` see them all: "
                    "`if hk.running_init(): ...` call every branch's modules there."
                )
        return out, changed._replace(state=after.state, keys=after.keys)

    return pure_branch
