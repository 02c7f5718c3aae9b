"""Calls of modules: what is known of each, and how they are recorded as they run."""

from __future__ import annotations

import dataclasses
import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from haiku._core import MethodContext, Module
from haiku.data_structures import tree_bytes
from haiku.views.arrays import ArraySpec

__all__ = [
    "Call",
    "MethodInvocation",
    "ModuleDetails",
    "input_text",
    "kind_of",
    "recorder",
]


@dataclasses.dataclass(frozen=True)
class ModuleDetails:
    """A module, one of its methods, and what the module and its submodules own.

    Attributes:
      module: The module.
      method_name: The method that ran: `__call__`.
      params: Parameters by full name, `{"mlp/~/linear_0/w": f32[5,4]}`, sorted.
      state: State by full name, sorted.

    Example:
      >>> f = lambda x: hk.Linear(2)(x)
      >>> details = hk.experimental.eval_summary(f)(jnp.ones([1, 3]))[0].module_details
      >>> details.module.module_name, details.method_name, details.params
      ('linear', '__call__', {'linear/b': f32[2], 'linear/w': f32[3,2]})
    """

    module: Module
    method_name: str
    params: Mapping[str, ArraySpec]
    state: Mapping[str, ArraySpec]

    @classmethod
    def of(cls, module: Module, method_name: str) -> ModuleDetails:
        """The details of a module as it is now, inside a transformed function.

        Args:
          module: The module.
          method_name: The method that runs.

        Returns:
          They, with the parameters and the state that it has by now.
        """
        return cls(
            module=module,
            method_name=method_name,
            params=_specs(module.params_dict()),
            state=_specs(module.state_dict()),
        )


def kind_of(details: ModuleDetails) -> str:
    """A module's class, with its method unless that is `__call__`: `LSTM.unroll`."""
    kind, method = type(details.module).__name__, details.method_name
    return kind if method == "__call__" else f"{kind}.{method}"


@dataclasses.dataclass(frozen=True)
class MethodInvocation:
    """One run of a module's method.

    Attributes:
      module_details: The module, the method, its parameters and state.
      args_spec: Positional arguments, arrays as `ArraySpec`.
      kwargs_spec: Keyword arguments, arrays as `ArraySpec`.
      output_spec: What the method returned, arrays as `ArraySpec`.
      context: What an interceptor of `hk.intercept_methods` got.
      call_stack: Details of this method and of those that it ran inside of, innermost
        first.

    Example:
      >>> f = lambda x: hk.nets.MLP([4, 2])(x)
      >>> mlp, *layers = hk.experimental.eval_summary(f)(jnp.ones([1, 3]))
      >>> mlp.output_spec, len(layers), len(layers[0].call_stack)
      (f32[1,2], 2, 2)
    """

    module_details: ModuleDetails
    args_spec: tuple[Any, ...]
    kwargs_spec: dict[str, Any]
    output_spec: Any
    context: MethodContext
    call_stack: Sequence[ModuleDetails]


def input_text(call: MethodInvocation) -> str:
    """What a call took, arrays as their shape and dtype."""
    positional = ", ".join(pprint.pformat(a) for a in call.args_spec)
    keywords = ", ".join(
        f"{name}={pprint.pformat(call.kwargs_spec[name])}"
        for name in sorted(call.kwargs_spec)
    )
    return "\n".join(text for text in (positional, keywords) if text)


@dataclasses.dataclass(eq=False)
class Call:
    """A method call, as far as it is known while it runs.

    Attributes:
      number: Which one it is, from 0, in the order in which they begin.
      context: What an interceptor got.
      args_spec: Its positional arguments, arrays as `ArraySpec`.
      kwargs_spec: Its keyword arguments, likewise.
      around: The calls that it runs inside of, innermost first.
      output_spec: What it returned, arrays as `ArraySpec`.
      returned: Sizes in bytes of the arrays that it and the calls in it returned; each
        once, by its identity while it lived.
      invocation: What is shown of it; known once the outermost call around is over.
    """

    number: int
    context: MethodContext
    args_spec: Any
    kwargs_spec: Any
    around: tuple[Call, ...]
    output_spec: Any = None
    returned: dict[int, int] = dataclasses.field(default_factory=dict)
    invocation: MethodInvocation = None  # type: ignore[assignment]

    @property
    def parent(self) -> int | None:
        """The number of the call right around it, if there is one."""
        return self.around[0].number if self.around else None


def recorder(
    calls: list[Call],
    runs: Callable[..., Any] = lambda call, f, args, kwargs: f(*args, **kwargs),
) -> Callable[..., Any]:
    """An interceptor that lists every method call but those of constructors.

    Args:
      calls: The list.
      runs: `runs(call, f, args, kwargs)` returns what `f(*args, **kwargs)` returns, and
        does what else a view wants around a call. Default: nothing.

    Returns:
      The interceptor.
    """
    running: list[Call] = []  # Innermost first.
    alive: list[Any] = []  # Arrays: while they live, no other has their identity.

    def record(next_f, args, kwargs, context: MethodContext):
        if context.method_name == "__init__":
            return next_f(*args, **kwargs)
        call = Call(len(calls), context, _spec(args), _spec(kwargs), tuple(running))
        calls.append(call)
        running.insert(0, call)
        try:
            out = runs(call, next_f, args, kwargs)
        finally:
            running.remove(call)
        call.output_spec = _spec(out)
        arrays = [x for x in jax.tree.leaves(out) if isinstance(x, jax.Array)]
        alive.extend(arrays)
        sizes = {id(x): tree_bytes(x) for x in arrays}
        for other in (call, *running):
            other.returned.update(sizes)
        # A module knows what it owns once the outermost call is over.
        if not running:
            _describe([c for c in calls if c.invocation is None])
            alive.clear()
        return out

    return record


def _describe(calls: Sequence[Call]) -> None:
    details = {
        id(call): ModuleDetails.of(call.context.module, call.context.method_name)
        for call in calls
    }
    for call in calls:
        call.invocation = MethodInvocation(
            module_details=details[id(call)],
            args_spec=call.args_spec,
            kwargs_spec=call.kwargs_spec,
            output_spec=call.output_spec,
            context=call.context,
            call_stack=tuple(details[id(c)] for c in (call, *call.around)),
        )


def _spec(tree: Any) -> Any:
    return jax.tree.map(
        lambda x: ArraySpec.from_array(x) if isinstance(x, jax.Array) else x, tree
    )


def _specs(arrays: Mapping[str, Any]) -> Mapping[str, ArraySpec]:
    return {name: ArraySpec.from_array(arrays[name]) for name in sorted(arrays)}
