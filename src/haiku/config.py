"""Settings of this thread: `set` changes them for good, `context` for a block.

A thread starts with the main thread's settings and changes only its own.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from haiku._settings import current_settings

__all__ = [
    "check_jax_usage",
    "context",
    "module_auto_repr",
    "rng_reserve_size",
    "set",
]


def _assign(changes: Mapping[str, bool | int | None]) -> dict[str, Any]:
    """Applies the changes that aren't None; returns the values they replaced."""
    changes = {name: value for name, value in changes.items() if value is not None}
    size = changes.get("rng_reserve_size", 1)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(
            f"RNG reserve size must be an integer of at least 1, got {size!r}. "
            "The default 1 splits keys off one at a time."
        )
    current = current_settings()
    before = {name: getattr(current, name) for name in changes}
    for name, value in changes.items():
        setattr(current, name, value)
    return before


def set(
    *,
    check_jax_usage: bool | None = None,
    module_auto_repr: bool | None = None,
    restore_flatmap: bool | None = None,
    rng_reserve_size: int | None = None,
) -> None:
    """Changes this thread's settings; None leaves a setting unchanged.

    Args:
      check_jax_usage: See `check_jax_usage`.
      module_auto_repr: See `module_auto_repr`.
      restore_flatmap: Whether pickles of `FlatMapping` load as that class instead of
        as a plain dict.
      rng_reserve_size: See `rng_reserve_size`.

    Raises:
      ValueError: `rng_reserve_size` isn't an integer of at least 1.

    Example:
      >>> hk.config.set(check_jax_usage=True, rng_reserve_size=64)
      >>> hk.config.set(check_jax_usage=False, rng_reserve_size=1)
    """
    _assign(
        dict(
            check_jax_usage=check_jax_usage,
            module_auto_repr=module_auto_repr,
            restore_flatmap=restore_flatmap,
            rng_reserve_size=rng_reserve_size,
        )
    )


@contextlib.contextmanager
def context(
    *,
    check_jax_usage: bool | None = None,
    module_auto_repr: bool | None = None,
    restore_flatmap: bool | None = None,
    rng_reserve_size: int | None = None,
) -> Iterator[None]:
    """Changes this thread's settings inside the `with` block.

    Args:
      check_jax_usage: See `check_jax_usage`.
      module_auto_repr: See `module_auto_repr`.
      restore_flatmap: See `set`.
      rng_reserve_size: See `rng_reserve_size`.

    Yields:
      None.

    Raises:
      ValueError: `rng_reserve_size` isn't an integer of at least 1.

    Example:
      >>> with hk.config.context(rng_reserve_size=64):
      ...     keys = hk.PRNGSequence(42).take(100)
    """
    before = _assign(
        dict(
            check_jax_usage=check_jax_usage,
            module_auto_repr=module_auto_repr,
            restore_flatmap=restore_flatmap,
            rng_reserve_size=rng_reserve_size,
        )
    )
    try:
        yield
    finally:
        _assign(before)


def check_jax_usage(enabled: bool = True) -> bool:
    """Turns every plain JAX transformation around a side effect into an error.

    By default, only those that would lose values are errors: `docs/differences.md`.

    Args:
      enabled: Whether to raise.

    Returns:
      The setting before.

    Example:
      >>> before = hk.experimental.check_jax_usage()
      >>> hk.experimental.check_jax_usage(before)
      True
    """
    return _assign({"check_jax_usage": enabled})["check_jax_usage"]


def module_auto_repr(enabled: bool) -> bool:
    """Sets whether `repr(module)` shows the constructor's arguments.

    Args:
      enabled: Whether to show them.

    Returns:
      The setting before.

    Example:
      >>> before = hk.experimental.module_auto_repr(False)
      >>> hk.experimental.module_auto_repr(before)
      False
    """
    return _assign({"module_auto_repr": enabled})["module_auto_repr"]


def rng_reserve_size(size: int) -> int:
    """Sets the number of keys to split off when a sequence of keys runs out.

    With more than 1, programs that use many keys trace and run faster, but get other
    keys.

    Args:
      size: Number of keys, at least 1.

    Returns:
      The size before.

    Raises:
      ValueError: `size` isn't an integer of at least 1.

    Example:
      >>> before = hk.experimental.rng_reserve_size(64)
      >>> hk.experimental.rng_reserve_size(before)
      64
    """
    return _assign({"rng_reserve_size": size})["rng_reserve_size"]


def __dir__() -> list[str]:
    return __all__
