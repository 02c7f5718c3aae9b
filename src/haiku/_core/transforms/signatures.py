"""The signatures of `init` and `apply`: a function's own, and what Haiku adds."""

import inspect
from collections.abc import Callable
from typing import Any

import jax

from haiku.typing import Params, State

KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD
ADDED = {
    "params": inspect.Parameter("params", KIND, annotation=Params | None),
    "state": inspect.Parameter("state", KIND, annotation=State | None),
    "rng": inspect.Parameter("rng", KIND, annotation=jax.Array | int | None),
}


def sign(
    wrapper: Callable[..., Any],
    f: Callable[..., Any],
    added: tuple[str, ...],
    returns: Callable[[Any], Any],
) -> None:
    """Gives `wrapper` the signature of `f` with parameters before it.

    Args:
      wrapper: `init` or `apply`.
      f: The transformed function.
      added: Names among `ADDED`, in order.
      returns: From the annotation of what `f` returns to what `wrapper` returns.
    """
    wrapper.original_function = f  # type: ignore[attr-defined]
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # Some builtins have none.
        return
    output = signature.return_annotation
    output = Any if output is signature.empty else output
    parameters = [ADDED[name] for name in added]
    taken = {parameter.name for parameter in parameters}
    own = list(signature.parameters.values())
    if taken & set(signature.parameters):
        # The function's own `rng`, say: it is reached by position only.
        clashing = [i for i, p in enumerate(own) if p.name in taken]
        if any(own[i].kind is not KIND for i in clashing):
            return
        parameters = [p.replace(kind=p.POSITIONAL_ONLY) for p in parameters]
        last = clashing[-1]
        own = [
            p.replace(
                name=f"{p.name}_" if p.name in taken else p.name,
                kind=p.POSITIONAL_ONLY if i <= last else p.kind,
            )
            for i, p in enumerate(own)
        ]
    wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*parameters, *own], return_annotation=returns(output)
    )


def original_function(f: Any) -> Any:
    """The function that was given to `hk.transform`, whatever of it one has.

    Args:
      f: The result of `hk.transform`, its `init` or `apply`, jitted or not; or any
        other function.

    Returns:
      The function before `hk.transform`; `f` itself if there is none.
    """
    return getattr(getattr(f, "apply", f), "original_function", f)


def sign_like(
    wrapper: Callable[..., Any],
    wrapped: Callable[..., Any],
    change: Callable[[list[inspect.Parameter]], list[inspect.Parameter]],
    returns: Callable[[Any], Any],
) -> None:
    """Gives `wrapper` the signature of `wrapped`, with some changes.

    Args:
      wrapper: `init` or `apply`.
      wrapped: The one that it calls.
      change: From the parameters of `wrapped` to those of `wrapper`.
      returns: From the annotation of what `wrapped` returns to what `wrapper` returns.
    """
    if hasattr(wrapped, "original_function"):
        wrapper.original_function = wrapped.original_function  # type: ignore
    signature = getattr(wrapped, "__signature__", None)
    if signature is not None:
        wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            change(list(signature.parameters.values())),
            return_annotation=returns(signature.return_annotation),
        )


def unchanged(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """For `sign_like`: the same parameters."""
    return parameters


def without(name: str) -> Callable[[list[inspect.Parameter]], list[inspect.Parameter]]:
    """For `sign_like`: leaves one parameter out."""
    return lambda parameters: [p for p in parameters if p.name != name]


def with_state(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """For `sign_like`: puts state behind the parameters of the net."""
    params, *rest = parameters
    return [params, ADDED["state"].replace(kind=params.kind), *rest]
