"""Whether all processes run the same program."""

import hashlib
from importlib import metadata
from typing import Any

import jax

from haiku.checkpoint.agreement import gathered, named, odd_ones


def versions() -> str:
    """What processes have to have in common to run one program."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib"))


def assert_same_versions() -> None:
    """Raises an error where processes have other versions of JAX."""
    theirs = gathered(versions())
    _raise_for_odd_ones(theirs, "have different versions", theirs)


def assert_same_program(step: Any, *args: Any, **kwargs: Any) -> None:
    """Raises an error in all processes where some run another program than the others.

    Processes that start from other files or with other settings compile other programs;
    then they hang in a collective, or compute wrong numbers. Call it once before the
    first step, in all processes, with the arguments of the first call. It compares the
    versions of JAX and a hash of what `step` is lowered to. One process alone has
    nothing to compare, and nothing is lowered.

    Args:
      step: What `jax.jit` returned.
      *args: Its arguments, or their `jax.ShapeDtypeStruct`s. Nothing is computed.
      **kwargs: Its keyword arguments.

    Raises:
      RuntimeError: The programs or versions differ. The message names the processes
        that differ from most, and the first line that the programs don't share.
      TypeError: `step` isn't a jitted function.

    Example:
      >>> step = jax.jit(lambda x: x + 1)
      >>> hk.checkpoint.assert_same_program(step, jnp.zeros(3))
    """
    if not hasattr(step, "lower"):
        raise TypeError(
            f"assert_same_program takes a jitted function, not {step!r}: give "
            "`jax.jit(step)`, the one that you call."
        )
    if jax.process_count() == 1:
        return
    assert_same_versions()
    text = step.lower(*args, **kwargs).as_text()
    hashes = gathered(hashlib.sha256(text.encode()).hexdigest())
    if odd_ones(hashes):
        _raise_for_odd_ones(hashes, "run different programs", gathered(text))


def _raise_for_odd_ones(values: list[str], what: str, texts: list[str]) -> None:
    odd = odd_ones(values)
    if not odd:
        return
    usual = next(process for process in range(len(values)) if process not in odd)
    one, other = _first_difference(texts[usual], texts[odd[0]])
    raise RuntimeError(
        f"{len(values)} processes {what}. Other than the rest: {named(odd)}. Process "
        f"{usual} has `{one}`, process {odd[0]} has `{other}`. Start all from the same "
        "files, with the same settings and the same packages."
    )


def _first_difference(one: str, other: str) -> list[str]:
    """The first lines of two texts that differ, at most 200 characters of each."""
    lines, others = one.splitlines(), other.splitlines()
    for line, beside in zip(lines, others):
        if line != beside:
            return [line.strip()[:200], beside.strip()[:200]]
    return [f"{len(lines)} lines", f"{len(others)} lines"]
