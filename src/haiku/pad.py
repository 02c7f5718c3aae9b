"""Zero padding of convolutions.

A padding function maps the size of the window that a kernel covers along one spatial
axis, ``(kernel - 1) * rate + 1``, to the number of zeros ``(before, after)``.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import numpy as np

__all__ = [
    "PadFn",
    "causal",
    "create",
    "create_from_padfn",
    "create_from_tuple",
    "full",
    "is_padfn",
    "reverse_causal",
    "same",
    "valid",
]

PadFn = Callable[[int], tuple[int, int]]


def valid(effective_kernel_size: int) -> tuple[int, int]:
    """Pads nothing: the output is smaller than the input.

    Args:
      effective_kernel_size: Size of the window, ``(kernel - 1) * rate + 1``.

    Returns:
      ``(0, 0)``.

    Example:
      >>> hk.pad.valid(3)
      (0, 0)
      >>> conv = hk.bind(hk.Conv1D, 1, 3, padding=hk.pad.valid, w_init=jnp.ones)
      >>> conv.init(0, jnp.ones([5, 1]))(jnp.ones([5, 1])).ravel()
      Array([3., 3., 3.], dtype=float32)
    """
    del effective_kernel_size
    return (0, 0)


def same(effective_kernel_size: int) -> tuple[int, int]:
    """Pads both sides so that, with stride 1, the output is as large as the input.

    Args:
      effective_kernel_size: Size of the window, ``(kernel - 1) * rate + 1``.

    Returns:
      ``((effective_kernel_size - 1) // 2, effective_kernel_size // 2)``.

    Example:
      >>> hk.pad.same(3), hk.pad.same(4)
      ((1, 1), (1, 2))
    """
    return ((effective_kernel_size - 1) // 2, effective_kernel_size // 2)


def full(effective_kernel_size: int) -> tuple[int, int]:
    """Pads both sides so that every overlap of kernel and input gives an output.

    Args:
      effective_kernel_size: Size of the window, ``(kernel - 1) * rate + 1``.

    Returns:
      ``(effective_kernel_size - 1, effective_kernel_size - 1)``.

    Example:
      >>> hk.pad.full(3)
      (2, 2)
      >>> conv = hk.bind(hk.Conv1D, 1, 3, padding=hk.pad.full, w_init=jnp.ones)
      >>> conv.init(0, jnp.ones([4, 1]))(jnp.ones([4, 1])).ravel()
      Array([1., 2., 3., 3., 2., 1.], dtype=float32)
    """
    return (effective_kernel_size - 1, effective_kernel_size - 1)


def causal(effective_kernel_size: int) -> tuple[int, int]:
    """Pads before the input: no output sees a later input.

    Args:
      effective_kernel_size: Size of the window, ``(kernel - 1) * rate + 1``.

    Returns:
      ``(effective_kernel_size - 1, 0)``.

    Example:
      >>> hk.pad.causal(3)
      (2, 0)
      >>> conv = hk.bind(hk.Conv1D, 1, 3, padding=hk.pad.causal, w_init=jnp.ones)
      >>> conv.init(0, jnp.ones([5, 1]))(jnp.ones([5, 1])).ravel()
      Array([1., 2., 3., 3., 3.], dtype=float32)
    """
    return (effective_kernel_size - 1, 0)


def reverse_causal(effective_kernel_size: int) -> tuple[int, int]:
    """Pads after the input: no output sees an earlier input.

    Args:
      effective_kernel_size: Size of the window, ``(kernel - 1) * rate + 1``.

    Returns:
      ``(0, effective_kernel_size - 1)``.

    Example:
      >>> hk.pad.reverse_causal(3)
      (0, 2)
      >>> net = hk.bind(hk.Conv1D, 1, 3, padding=hk.pad.reverse_causal, w_init=jnp.ones)
      >>> net.init(0, jnp.ones([5, 1]))(jnp.ones([5, 1])).ravel()
      Array([3., 3., 3., 2., 1.], dtype=float32)
    """
    return (0, effective_kernel_size - 1)


def create(
    padding: PadFn | tuple[int, int] | Sequence[Any],
    kernel: int | Sequence[int],
    rate: int | Sequence[int],
    n: int,
) -> Sequence[tuple[int, int]]:
    """Computes the zeros ``(before, after)`` along each of `n` spatial axes.

    Args:
      padding: A padding function, a pair ``(before, after)``, or one of either per
        axis.
      kernel: Size of the kernel, one for all axes or one per axis.
      rate: Dilation of the kernel, one for all axes or one per axis.
      n: Number of spatial axes.

    Returns:
      `n` pairs ``(before, after)``.

    Raises:
      TypeError: An argument is neither one for all axes nor one per axis.

    Example:
      >>> hk.pad.create(hk.pad.same, kernel=(3, 4), rate=1, n=2)
      ((1, 1), (1, 2))
      >>> hk.pad.create((2, 0), kernel=3, rate=1, n=2)
      ((2, 0), (2, 0))
    """
    numbers: Any = padding
    several = isinstance(numbers, Sequence) and not isinstance(numbers, str)
    if several and numbers and not callable(numbers[0]):
        return create_from_tuple(numbers, n)
    return create_from_padfn(numbers, kernel, rate, n)


def create_from_padfn(
    padding: PadFn | Sequence[PadFn],
    kernel: int | Sequence[int],
    rate: int | Sequence[int],
    n: int,
) -> Sequence[tuple[int, int]]:
    """Computes the zeros along each of `n` spatial axes from padding functions.

    Args:
      padding: A padding function, one for all axes or one per axis.
      kernel: Size of the kernel, one for all axes or one per axis.
      rate: Dilation of the kernel, one for all axes or one per axis.
      n: Number of spatial axes.

    Returns:
      `n` pairs ``(before, after)``.

    Raises:
      TypeError: An argument is neither one for all axes nor one per axis, or
        `padding` contains something other than functions.

    Example:
      >>> hk.pad.create_from_padfn(hk.pad.same, kernel=(3, 5), rate=1, n=2)
      ((1, 1), (2, 2))
    """
    functions = one_per_axis(padding, n, "padding")
    kernels = one_per_axis(kernel, n, "kernel")
    rates = one_per_axis(rate, n, "rate")
    for function in functions:
        if not callable(function):
            raise TypeError(
                "padding must be a function such as hk.pad.same, a pair of numbers "
                f"(before, after), or one of either per axis, got {padding!r}."
            )
    return tuple(
        function((size - 1) * step + 1)
        for function, size, step in zip(functions, kernels, rates)
    )


def create_from_tuple(
    padding: tuple[int, int] | Sequence[tuple[int, int]], n: int
) -> Sequence[tuple[int, int]]:
    """Expands one or several pairs ``(before, after)`` to one per spatial axis.

    Args:
      padding: One pair for all axes, or one per axis.
      n: Number of spatial axes.

    Returns:
      `n` pairs ``(before, after)``.

    Raises:
      TypeError: `padding` is neither one pair nor one pair per axis.

    Example:
      >>> hk.pad.create_from_tuple((1, 0), n=2)
      ((1, 0), (1, 0))
    """
    if not isinstance(padding, Sequence) or isinstance(padding, str) or not padding:
        raise TypeError(
            "padding must be a pair of numbers (before, after), or a sequence of such "
            f"pairs, got {padding!r}."
        )
    one = isinstance(padding[0], (int, np.integer))
    pairs: Sequence[Any] = (padding,) if one else padding
    if len(pairs) == 1:
        pairs = tuple(pairs) * n
    if len(pairs) != n:
        raise TypeError(
            f"padding must be one pair (before, after), or one for each of the {n} "
            f"spatial axes, got {len(pairs)}: {padding!r}."
        )
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise TypeError(
                f"padding must hold pairs (before, after), got {pair!r} in {padding!r}."
            )
    return tuple(pairs)


def is_padfn(padding: Any) -> TypeGuard[PadFn | Sequence[PadFn]]:
    """Whether `padding` is a padding function, or a sequence that starts with one.

    Example:
      >>> hk.pad.is_padfn(hk.pad.same), hk.pad.is_padfn("SAME")
      (True, False)
    """
    if isinstance(padding, Sequence) and not isinstance(padding, str):
        return bool(padding) and callable(padding[0])
    return callable(padding)


def one_per_axis(value: Any, n: int, name: str) -> tuple[Any, ...]:
    """`value` for each of `n` axes: a scalar counts for all, a sequence holds each."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return (value,) * n
    if len(value) == 1:
        return tuple(value) * n
    if len(value) == n:
        return tuple(value)
    raise TypeError(
        f"{name} must be one for all spatial axes, or a sequence of length {n} with "
        f"one per axis. Got: {value!r}"
    )


def __dir__() -> list[str]:
    return __all__
