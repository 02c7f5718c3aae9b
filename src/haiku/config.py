"""Settings that hold for a thread: `set` for good, `context` for a while.

A thread starts with the main thread's settings and changes only its own.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "Settings",
    "check_jax_usage",
    "context",
    "module_auto_repr",
    "rng_reserve_size",
    "set",
    "settings",
]


@dataclasses.dataclass
class Settings:
    """The value of each setting.

    Attributes:
      check_jax_usage: Whether a plain `jax.*` transformation around Haiku's side
        effects is an error.
      module_auto_repr: Whether `repr(module)` shows the constructor's arguments.
      restore_flatmap: Whether pickles of `FlatMapping` load as that class instead of
        as a plain dict.
      rng_reserve_size: How many keys are split off at once.

    Example:
      >>> hk.config.Settings(rng_reserve_size=8).rng_reserve_size
      8
    """

    check_jax_usage: bool = False
    module_auto_repr: bool = True
    restore_flatmap: bool = False
    rng_reserve_size: int = 1


_main = Settings()
_local = threading.local()


def settings() -> Settings:
    """This thread's settings.

    Example:
      >>> hk.config.settings().rng_reserve_size
      1
      >>> with hk.config.context(rng_reserve_size=8):
      ...     hk.config.settings().rng_reserve_size
      8
    """
    try:
        return _local.settings
    except AttributeError:
        in_main = threading.current_thread() is threading.main_thread()
        _local.settings = _main if in_main else dataclasses.replace(_main)
        return _local.settings


def _assign(changes: Mapping[str, bool | int | None]) -> dict[str, Any]:
    """Sets what is not None; returns the values it replaced."""
    given = {name: value for name, value in changes.items() if value is not None}
    size = given.get("rng_reserve_size", 1)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(
            f"RNG reserve size must be an integer of at least 1, got {size!r}. "
            "With 1, the default, keys are split off one at a time."
        )
    current = settings()
    before = {name: getattr(current, name) for name in given}
    for name, value in given.items():
        setattr(current, name, value)
    return before


def set(
    *,
    check_jax_usage: bool | None = None,
    module_auto_repr: bool | None = None,
    restore_flatmap: bool | None = None,
    rng_reserve_size: int | None = None,
) -> None:
    """Changes this thread's settings; None leaves one as it is.

    Args:
      check_jax_usage: See `check_jax_usage`.
      module_auto_repr: See `module_auto_repr`.
      restore_flatmap: Whether old pickles of `FlatMapping` load as that class.
      rng_reserve_size: See `rng_reserve_size`.

    Raises:
      ValueError: `rng_reserve_size` is no integer of at least 1.

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
    """Like `set`, while the `with` block runs.

    Args:
      check_jax_usage: See `check_jax_usage`.
      module_auto_repr: See `module_auto_repr`.
      restore_flatmap: Whether old pickles of `FlatMapping` load as that class.
      rng_reserve_size: See `rng_reserve_size`.

    Yields:
      None.

    Raises:
      ValueError: `rng_reserve_size` is no integer of at least 1.

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
    """Makes every plain JAX transformation around a side effect an error, or not.

    Without it only what would be lost is an error: `docs/differences.md`.

    Args:
      enabled: Whether to check.

    Returns:
      Whether it was checked before.

    Example:
      >>> before = hk.experimental.check_jax_usage()
      >>> hk.experimental.check_jax_usage(before)
      True
    """
    return _assign({"check_jax_usage": enabled})["check_jax_usage"]


def module_auto_repr(enabled: bool) -> bool:
    """Makes `repr(module)` show the constructor's arguments, or not.

    Args:
      enabled: Whether to show them.

    Returns:
      Whether they were shown before.

    Example:
      >>> before = hk.experimental.module_auto_repr(False)
      >>> hk.experimental.module_auto_repr(before)
      False
    """
    return _assign({"module_auto_repr": enabled})["module_auto_repr"]


def rng_reserve_size(size: int) -> int:
    """Sets how many keys are split off when a sequence of keys runs dry.

    More than 1 makes programs that ask for many keys trace and run faster, and gives
    other keys.

    Args:
      size: At least 1.

    Returns:
      The size before.

    Raises:
      ValueError: `size` is no integer of at least 1.

    Example:
      >>> before = hk.experimental.rng_reserve_size(64)
      >>> hk.experimental.rng_reserve_size(before)
      64
    """
    return _assign({"rng_reserve_size": size})["rng_reserve_size"]


def __dir__() -> list[str]:
    return __all__
