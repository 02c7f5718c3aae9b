"""The error of checkpoints, and the lists in its messages."""

from collections.abc import Iterable, Sequence

FIRST = 3


class CheckpointError(ValueError):
    """A checkpoint can't be written, or isn't what the program wants to restore.

    The message names the folder, the step, the arrays or files, and the older steps
    with the line that takes one.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> with hk.checkpoint.Checkpoints(folder) as checkpoints:
      ...     try: checkpoints.restore({"w": jnp.zeros(3)}, step=7)
      ...     except hk.checkpoint.CheckpointError: print("no step 7")
      no step 7
    """


def first_of(things: Iterable[object]) -> str:
    """The first three of some things, and how many more there are."""
    things = [str(thing) for thing in things]
    more = len(things) - FIRST
    return ", ".join(things[:FIRST]) + (f" and {more} more" if more > 0 else "")


def in_words(error: BaseException) -> str:
    """An error's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    # Orbax begins with what it was doing, and ends with the cause.
    return text if len(text) <= 500 else f"{text[:250]} ... {text[-250:]}"


def other_steps(step: int, steps: Sequence[int]) -> str:
    """Which older steps there are, and the line that takes one."""
    older = sorted((s for s in steps if s < step), reverse=True)
    if not older:
        return "The folder has no older step."
    return (
        f"Older steps: {first_of(older)}. To go on from one of them: "
        f"`checkpoints.restore(state, loader, step={older[0]})`."
    )
