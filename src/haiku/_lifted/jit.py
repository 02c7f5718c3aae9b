"""jit: compiles a part of a transformed function."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from haiku._core.runs.frame import Contents, changes, current_frame
from haiku._lifted.pure import pure


def jit(
    fun: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    inline: bool = False,
) -> Callable[..., Any]:
    """`jax.jit` for a function that uses modules.

    `jax.jit` of `init` or `apply` compiles everything. This compiles a part, which
    otherwise would run operation by operation; in programs and profiles the part is one
    call with the function's name.

    Args:
      fun: The function.
      static_argnums: Positional arguments that aren't arrays.
      static_argnames: Keyword arguments that aren't arrays.
      inline: Whether to inline the call into the program around it.

    Returns:
      A function like `fun`. It is traced at every call, since modules inside take their
      names then; they have the names they would have without it.

    Raises:
      ValueError: No transformed function is running: use `jax.jit`.

    Example:
      >>> def f(x):
      ...     block = hk.jit(hk.nets.MLP([64, 3]))  # compiled alone
      ...     return jnp.tanh(block(x))
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([1, 2]))
    """
    current_frame("hk.jit")
    numbers = [static_argnums] if isinstance(static_argnums, int) else static_argnums

    @functools.wraps(fun)
    def jit_f(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame("hk.jit")

        def with_contents(contents: Contents, *args: Any, **kwargs: Any) -> Any:
            out, after = pure(fun, keep_names=True)(contents, *args, **kwargs)
            return out, changes(contents, after)

        with_contents.__name__ = getattr(fun, "__name__", type(fun).__name__)
        compiled = jax.jit(
            with_contents,
            static_argnums=[n + 1 if n >= 0 else n for n in numbers],
            static_argnames=static_argnames,
            inline=inline,
        )
        out, changed = compiled(frame.snapshot(), *args, **kwargs)
        frame.absorb(changed)
        return out

    return jit_f
