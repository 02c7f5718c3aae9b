"""pure: the one mechanism, which makes a function with side effects pure.

Every transformation here takes a snapshot of the frame, gives JAX's own transformation
a pure function of it, and absorbs the result.
"""

from collections.abc import Callable
from typing import Any

from haiku._core.leaks.jax_transformations import keeps_contents
from haiku._core.runs.frame import Contents, Frame, changes, current_frame


def pure(f: Callable[..., Any], keep_names: bool = False) -> Callable[..., Any]:
    """`f` as `(contents, *args, **kwargs) -> (output, contents afterwards)`.

    Args:
      f: A function that reads and writes the running frame.
      keep_names: Whether the names that modules take in `f` stay taken afterwards.

    Returns:
      A function that leaves the frame unchanged.
    """

    @keeps_contents
    def pure_f(contents: Contents, *args: Any, **kwargs: Any) -> tuple[Any, Contents]:
        frame = current_frame("hk")
        with frame.holding(contents, keep_names):
            out = f(*args, **kwargs)
            return out, frame.snapshot()

    return pure_f


def changing(
    f: Callable[..., Any], before: Contents, keep_names: bool = False
) -> Callable[..., Any]:
    """`f` as `(*args, **kwargs) -> (output, its changes of before)`.

    JAX closes over `before`; only differing values come out.

    Args:
      f: A function that reads and writes the running frame.
      before: The contents that `f` starts from.
      keep_names: Whether the names that modules take in `f` stay taken afterwards.
    """
    pure_f = pure(f, keep_names)

    def changing_f(*args: Any, **kwargs: Any) -> tuple[Any, Contents]:
        out, after = pure_f(before, *args, **kwargs)
        return out, changes(before, after)

    return changing_f


def with_changes(
    f: Callable[..., Any], frame: Frame, has_aux: bool = False
) -> Callable[..., Any]:
    """`f` as `(*args, **kwargs) -> (output, (aux, its changes of frame))`.

    JAX's derivatives take in this form what they don't differentiate.

    Args:
      f: A function that reads and writes `frame`; returns a pair with `has_aux`.
      frame: The running frame.
      has_aux: Whether `f` returns `(output, aux)`; otherwise `aux` is None.
    """
    changing_f = changing(f, frame.snapshot())

    def with_changes_f(*args: Any, **kwargs: Any) -> Any:
        out, changed = changing_f(*args, **kwargs)
        value, aux = out if has_aux else (out, None)
        return value, (aux, changed)

    return with_changes_f


def once(frame: Frame, f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` with its side effects; the names in it are free again afterwards."""

    def once_f(*args: Any) -> Any:
        out, after = pure(f)(frame.snapshot(), *args)
        frame.absorb(after)
        return out

    return once_f


def without_running(frame: Frame, f: Callable[..., Any], *args: Any) -> None:
    """Makes the parameters and state of `f` as if it had not run.

    State keeps its value, or the first that was written; keys move on.
    """
    before = frame.snapshot()
    _, after = pure(f)(before, *args)
    made = changes(before, after)
    frame.absorb(made._replace(state=made.initial_state))


def settle_keys(frame: Frame, before: Contents) -> None:
    """Reserves as many keys as `before` had, so that structures agree."""
    if frame.keys is not None and before.keys is not None:
        frame.keys.reserve_exactly(len(before.keys[1]))
