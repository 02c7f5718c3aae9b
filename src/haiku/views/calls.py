"""Calls of modules, and the interceptor that records them."""

from __future__ import annotations

import dataclasses
import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from haiku._core import MethodContext, Module
from haiku.data_structures import tree_bytes
from haiku.views.arrays import ArraySpec


@dataclasses.dataclass(frozen=True)
class ModuleDetails:
    """A module, one of its methods, and the arrays of the module and its submodules.

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
        """The details of a module as it is now, inside a transformed function."""
        params, state = module.params_dict(), module.state_dict()
        return cls(module, method_name, _sorted_specs(params), _sorted_specs(state))


@dataclasses.dataclass(frozen=True)
class MethodInvocation:
    """One run of a module's method.

    Attributes:
      module_details: The module, the method, its parameters and state.
      args_spec: Positional arguments, arrays as `ArraySpec`.
      kwargs_spec: Keyword arguments, arrays as `ArraySpec`.
      output_spec: What the method returned, arrays as `ArraySpec`.
      context: What an interceptor of `hk.intercept_methods` got.
      call_stack: Details of this method and of those around it, innermost first.

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


@dataclasses.dataclass(eq=False)
class Call:
    """A recorded method call; specs have `ArraySpec` in the place of each array."""

    number: int  # Its place among the recorded calls, from 0, in the order they began.
    context: MethodContext
    around: tuple[Call, ...]  # The calls around it, innermost first.
    details: ModuleDetails = None  # type: ignore[assignment]  # As the call ended.
    args_spec: Any = None
    kwargs_spec: Any = None
    output_spec: Any = None
    received_spec: Any = None  # The caller's output: a precision policy may cast it.
    cost: Any = None  # See `costs`.
    # Bytes of each array that this call or one inside it returned, by id. While it
    # lives, no other has its id: the outermost call keeps all alive.
    returned: dict[int, int] = dataclasses.field(default_factory=dict)
    _alive: list[Any] = dataclasses.field(default_factory=list)

    @property
    def parent(self) -> int:
        """The number of the call right around this one; -1 if there is none."""
        return self.around[0].number if self.around else -1

    @property
    def key(self) -> tuple[str, str]:
        """The module's path and the method's name."""
        return self.context.module.module_name, self.context.method_name

    @property
    def kind(self) -> str:
        """The class, with the method unless it is `__call__`: `LSTM.unroll`."""
        kind, method = type(self.context.module).__name__, self.context.method_name
        return kind if method == "__call__" else f"{kind}.{method}"

    @property
    def activation_bytes(self) -> int:
        """Size of the arrays that the call and those inside it return, each once."""
        return sum(self.returned.values())

    @property
    def input_text(self) -> str:
        """The arguments, keywords on a line below."""
        keywords = sorted(self.kwargs_spec.items())
        named = (f"{name}={pprint.pformat(value)}" for name, value in keywords)
        lines = ", ".join(map(pprint.pformat, self.args_spec)), ", ".join(named)
        return "\n".join(line for line in lines if line)

    def run(self, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Runs the method, and fills in everything but `received_spec`."""
        self.args_spec, self.kwargs_spec = spec(args), spec(kwargs)
        out = f(*args, **kwargs)
        self.output_spec = spec(out)
        # Now: inside `layer_stack` the module's frame is gone afterwards.
        self.details = ModuleDetails.of(*self.context[:2])
        arrays = [x for x in jax.tree.leaves(out) if isinstance(x, jax.Array)]
        sizes = {id(x): tree_bytes(x) for x in arrays}
        for call in (self, *self.around):
            call.returned.update(sizes)
        if self.around:
            self.around[-1]._alive.extend(arrays)
        self._alive.clear()  # Those inside are over.
        return out


def recorder(
    calls: list[Call], run: Callable[..., Any] | None = None, constructors: bool = False
) -> Callable[..., Any]:
    """An interceptor that appends every method call to a list, and runs it.

    `run(call, f, args, kwargs)` returns `f(*args, **kwargs)` and notes what a view
    wants to know of the call.
    """
    running: list[Call] = []  # Innermost first.

    def record(next_f, args, kwargs, context: MethodContext):
        if context.method_name == "__init__" and not constructors:
            return next_f(*args, **kwargs)
        call = Call(len(calls), context, tuple(running))
        calls.append(call)
        running.insert(0, call)
        try:
            if run is not None:
                return run(call, next_f, args, kwargs)
            return next_f(*args, **kwargs)
        finally:
            running.remove(call)

    return record


def spec(tree: Any) -> Any:
    """A tree with `ArraySpec` in the place of each array."""
    return jax.tree.map(
        lambda x: ArraySpec.from_array(x) if isinstance(x, jax.Array) else x, tree
    )


def _sorted_specs(arrays: Mapping[str, Any]) -> Mapping[str, ArraySpec]:
    return {name: ArraySpec.from_array(arrays[name]) for name in sorted(arrays)}
