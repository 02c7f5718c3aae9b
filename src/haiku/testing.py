"""Running code that needs a transformed function, in tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from haiku._core import transform_with_state

__all__ = ["transform_and_run"]

Fn = TypeVar("Fn", bound=Callable[..., Any])


def transform_and_run(
    f: Callable[..., Any] | None = None,
    seed: int | None = 42,
    run_apply: bool = True,
    jax_transform: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    *,
    map_rng: Callable[[Any], Any] | None = None,
) -> Any:
    r"""Wraps a function to run in `hk.transform_with_state`: `init`, then `apply`.

    Use it as a decorator, with or without parentheses, or as
    `hk.testing.transform_and_run(f)(*args)`. Arguments may have any type, such as
    `self` of a test method, since JAX doesn't see them.

    Args:
      f: The function to run; None for a decorator with options.
      seed: Seed for `init`; `apply` gets `seed + 1`. None runs both without a key.
        Default 42.
      run_apply: Whether to run `apply` after `init`. Default True.
      jax_transform: Transforms `init` and `apply`, functions of the key (and the
        parameters and state): `jax.jit`, or `lambda f: jax.pmap(f, "i")`. Default None.
      map_rng: Function applied to each key, for example to give `jax.pmap` one per
        device. Default None.

    Returns:
      A function with the signature of `f` that returns the result of `apply`, or None
      if `run_apply` is False. Without `f`, a decorator.

    Raises:
      TypeError: `f` isn't callable, or `seed` is neither an integer nor None.

    Example:
      >>> hk.testing.transform_and_run(lambda: hk.Linear(3)(jnp.ones([1, 2])).shape)()
      (1, 3)
    """
    if f is None:
        return functools.partial(
            transform_and_run,
            seed=seed,
            run_apply=run_apply,
            jax_transform=jax_transform,
            map_rng=map_rng,
        )
    if not callable(f):
        raise TypeError(
            "hk.testing.transform_and_run takes a function, got "
            f"{type(f).__name__}: {f!r}. Pass a decorator's options by name: "
            "@hk.testing.transform_and_run(seed=1)."
        )

    @functools.wraps(f)
    def run(*args: Any, **kwargs: Any) -> Any:
        transformed = transform_with_state(lambda: f(*args, **kwargs))
        init, apply = transformed.init, transformed.apply
        if jax_transform is not None:
            init, apply = jax_transform(init), jax_transform(apply)

        params, state = init(_key(seed, 0, map_rng))
        if not run_apply:
            return None
        out, _ = apply(params, state, _key(seed, 1, map_rng))
        return out

    return run


def _key(seed: int | None, step: int, map_rng: Callable[[Any], Any] | None) -> Any:
    if seed is None:
        return None
    try:
        key = jax.random.PRNGKey(seed + step)
    except TypeError as e:
        raise TypeError(
            f"transform_and_run's seed must be an integer or None, got {seed!r}."
        ) from e
    return key if map_rng is None else map_rng(key)


def __dir__() -> list[str]:
    return __all__
