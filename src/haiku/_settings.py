"""The settings of the current thread; `haiku.config` changes them.

A thread starts with the main thread's settings and changes only its own.
"""

import dataclasses
import threading

__all__ = ["Settings", "current_settings"]


@dataclasses.dataclass
class Settings:
    """The value of each setting.

    Attributes:
      check_jax_usage: Whether a plain `jax.*` transformation around one of Haiku's side
        effects is an error.
      module_auto_repr: Whether `repr(module)` shows the constructor's arguments.
      restore_flatmap: Whether pickles of `FlatMapping` load as that class instead of
        as a plain dict.
      rng_reserve_size: Number of keys to split off at once.
    """

    check_jax_usage: bool = False
    module_auto_repr: bool = True
    restore_flatmap: bool = False
    rng_reserve_size: int = 1


_main = Settings()
_local = threading.local()


def current_settings() -> Settings:
    """The settings of this thread."""
    try:
        return _local.settings
    except AttributeError:
        in_main = threading.current_thread() is threading.main_thread()
        _local.settings = _main if in_main else dataclasses.replace(_main)
        return _local.settings
