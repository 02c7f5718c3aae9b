"""The errors of ops, and checks that need no device.

Shapes and dtypes are static, and always checked. Values are checked where they come as
Python or NumPy numbers: reading a JAX array would wait for the device.
"""

import operator
import re
import sys
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

_SLACK = 1e-5  # a softmax may round to a little above one


class ContractError(AssertionError, ValueError):
    """An argument whose shape or value doesn't fit an op.

    Every op raises it if the shape of an argument differs from the one in its Args, or
    if a Python or NumPy number is out of range. JAX arrays are never read back for
    that check. For a wrong dtype it is a TypeError too.

    Example:
      >>> try:
      ...     rlax.td_learning(v_tm1=1.0, r_t=1.0, discount_t=1.5, v_t=1.0)
      ... except rlax.ContractError as error:
      ...     print(error)
      td_learning: discount_t must be in [0, 1], got 1.5.
    """

    def __init__(self, message: str):
        super().__init__(message)
        # Messages start with the name of the op.
        op = re.match(r"\w+", message)
        if op and hasattr(sys.modules.get("rlax"), op[0]):
            self.add_note(f'See help("rlax.{op[0]}").')


class DtypeContractError(ContractError, TypeError):
    """An argument whose dtype doesn't fit an op."""


def is_host(x: object) -> bool:
    """Whether the values of x can be read without waiting for a device."""
    return not isinstance(x, jax.Array)


def check_range(
    op: str, name: str, value: ArrayLike | None, low: float, high: float
) -> None:
    """Raises if a Python or NumPy value is outside [low, high]; NaN passes."""
    if value is None or not is_host(value):
        return
    numbers = np.asarray(value)
    outside = (numbers < low - _SLACK) | (numbers > high + _SLACK)
    if outside.any():
        worst = numbers[outside].flat[0] if numbers.ndim else numbers
        limits = f"in [{low:g}, {high:g}]" if np.isfinite(high) else f"at least {low:g}"
        raise ContractError(f"{op}: {name} must be {limits}, got {worst}.")


def check_above(op: str, name: str, value: ArrayLike | None, low: float = 0) -> None:
    """Raises if a Python or NumPy value isn't above low; NaN passes."""
    if value is None or not is_host(value):
        return
    numbers = np.asarray(value)
    below = numbers <= low
    if below.any():
        worst = numbers[below].flat[0] if numbers.ndim else numbers
        raise ContractError(f"{op}: {name} must be above {low:g}, got {worst}.")


def check_not_empty(op: str, name: str, array: ArrayLike) -> None:
    """Raises if an array holds no element."""
    if 0 in jnp.shape(array):
        raise ContractError(
            f"{op}: {name} must hold at least one element, got shape "
            f"{list(jnp.shape(array))}."
        )


def whole_number(
    op: str, name: str, value: object, least: int = 1, most: object = None
) -> int:
    """Reads an option as a Python int in least .. most."""
    try:
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError as error:
        raise ContractError(
            f"{op}: {name} must be a whole number known at trace time, got {value!r}; "
            "under jit make it a static argument."
        ) from error
    if number < least:
        raise ContractError(f"{op}: {name} must be at least {least}, got {number}.")
    if isinstance(most, int) and number > most:
        raise ContractError(f"{op}: {name} must be at most {most}, got {number}.")
    return number


def check(condition: bool, message: str) -> None:
    """Raises ContractError with `message` unless the static condition holds."""
    if not condition:
        raise ContractError(message)


def check_choice(op: str, name: str, value: object, choices: Iterable[str]) -> None:
    """Raises unless an option is one of the choices, and lists them."""
    choices = list(choices)
    if value not in choices:
        *others, last = map(repr, choices)
        raise ContractError(
            f"{op}: {name} must be {', '.join(others)} or {last}, got {value!r}."
        )
