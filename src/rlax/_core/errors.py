"""What an op refuses, and the checks that need no device.

Shapes and dtypes are static, and always checked. Values are checked where they come as
Python or NumPy numbers: reading a JAX array would wait for the device.
"""

import re
import sys
from collections.abc import Iterable

import jax
import numpy as np
from jax.typing import ArrayLike

_SLACK = 1e-5  # a softmax may round to a little above one


class ContractError(AssertionError, ValueError):
    """An argument whose shape or value an op cannot work with.

    Every op raises it where the shape of an argument is not what its Args say, and
    where a Python or NumPy number is out of range; those on a device are not read back.
    One of a wrong dtype is a TypeError too.

    Example:
      >>> try:
      ...     rlax.td_learning(v_tm1=1.0, r_t=1.0, discount_t=1.5, v_t=1.0)
      ... except rlax.ContractError as error:
      ...     print(error)
      td_learning: discount_t must be in [0, 1], got 1.5.
    """

    def __init__(self, message: str):
        super().__init__(message)
        # The op stands first; the last line says where to read more.
        op = re.match(r"\w+", message)
        if op and hasattr(sys.modules.get("rlax"), op[0]):
            self.add_note(f'See help("rlax.{op[0]}").')


class DtypeContractError(ContractError, TypeError):
    """An argument whose dtype an op cannot work with."""


def is_host(x: object) -> bool:
    """Whether the values of x can be read without waiting for a device."""
    return not isinstance(x, jax.Array)


def check_range(
    op: str, name: str, value: ArrayLike | None, low: float, high: float
) -> None:
    """Raises where a Python or NumPy value leaves [low, high]; NaN may pass."""
    if value is None or not is_host(value):
        return
    numbers = np.asarray(value)
    outside = (numbers < low - _SLACK) | (numbers > high + _SLACK)
    if outside.any():
        worst = numbers[outside].flat[0] if numbers.ndim else numbers
        limits = f"in [{low:g}, {high:g}]" if np.isfinite(high) else f"at least {low:g}"
        raise ContractError(f"{op}: {name} must be {limits}, got {worst}.")


def check(condition: bool, message: str) -> None:
    """Raises ContractError with `message` unless the static condition holds."""
    if not condition:
        raise ContractError(message)


def check_choice(op: str, name: str, value: object, choices: Iterable[str]) -> None:
    """Raises where an option is none of the choices, and names them."""
    choices = list(choices)
    if value not in choices:
        *others, last = map(repr, choices)
        raise ContractError(
            f"{op}: {name} must be {', '.join(others)} or {last}, got {value!r}."
        )
