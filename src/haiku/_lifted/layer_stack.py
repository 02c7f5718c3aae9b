"""layer_stack: a function run many times in a row, each time with other parameters."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core.keys.key_sequence import PRNGSequence, split
from haiku._core.modules.module import Module
from haiku._core.runs.frame import Contents, Frame, Values, current_frame
from haiku._core.runs.random_keys import next_rng_key
from haiku._core.transforms.transform import run_in_frame
from haiku._lifted.layers_apart import (
    is_apart,
    noted_stack,
    numbers_of_layers,
    of_layer,
    of_layers,
)
from haiku._lifted.lift import inside, under
from haiku._lifted.loops import traced_if_empty


@runtime_checkable
class LayerStackTransparencyMapping(Protocol):
    """Maps the paths of a stack to those of its single layers, and back.

    Example:
      >>> class Numbered(hk.LayerStackTransparencyMapping):
      ...     def stacked_to_flat(self, path, i):
      ...         return f"{path}_{i}"
      ...     def flat_to_stacked(self, path):
      ...         name, _, i = path.rpartition("_")
      ...         return (name, int(i)) if i.isdecimal() else None
      >>> stack = hk.layer_stack(2, transparent=True, transparency_map=Numbered())
      >>> f = hk.transform(lambda x: stack(lambda x: hk.Linear(3)(x))(x))
      >>> list(f.init(0, jnp.ones([3])))
      ['linear_0', 'linear_1']
    """

    def stacked_to_flat(self, stacked_module_name: str, scan_idx: int) -> str:
        """The path of one layer.

        Args:
          stacked_module_name: The path inside the stack's function.
          scan_idx: The layer's number, from 0.

        Returns:
          The path under which the layer is stored.
        """
        ...

    def flat_to_stacked(self, unstacked_module_name: str) -> tuple[str, int] | None:
        """The inverse of `stacked_to_flat`.

        Args:
          unstacked_module_name: A path among the parameters.

        Returns:
          The path inside the stack's function and the layer's number; None if the path
          belongs to something else.
        """
        ...


class Layers(NamedTuple):
    """The arguments of one pass over all layers.

    Attributes:
      f: A layer.
      num_layers: The number of layers.
      unroll: How many to compile as one step.
      with_per_layer_inputs: Whether `f` takes inputs and returns an output.
      kwargs: Keyword arguments of `f`.
      reverse: Whether to start with the last layer.
      schedule: Runs them at `apply` in place of `jax.lax.scan`.
    """

    f: Callable[..., Any]
    num_layers: int
    unroll: int
    with_per_layer_inputs: bool
    kwargs: dict[str, Any]
    reverse: bool
    schedule: Callable[..., Any] | None = None


def layer_stack(
    num_layers: int,
    with_per_layer_inputs: bool = False,
    unroll: int = 1,
    pass_reverse_to_layer_fn: bool = False,
    transparent: bool = False,
    transparency_map: LayerStackTransparencyMapping | None = None,
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Stacks a function: traced and compiled once, run `num_layers` times.

    Every layer has its own parameters and state, stored with a leading axis
    `[num_layers, ...]`.

    Args:
      num_layers: The number of layers.
      with_per_layer_inputs: Whether `f` takes, after the value that goes from layer to
        layer, inputs for this layer, and returns `(value, output)`.
      unroll: How many layers to compile as one step.
      pass_reverse_to_layer_fn: Whether to pass `f` the keyword `reverse`.
      transparent: Whether to store parameters layer by layer, under the paths that
        `transparency_map` returns.
      transparency_map: Needed with `transparent`.
      name: The first part of the paths.

    Returns:
      A decorator for `f`, a function of positional arguments that returns as many
      values as it takes (one as itself, several as a tuple). Call the decorated
      function as `g(*values, reverse=False)`; it returns the last values. With
      per-layer inputs, call it as `g(value, *inputs, reverse=False)` with inputs of
      `[num_layers, ...]` each; it returns `(value, outputs)`, with outputs of
      `[num_layers, ...]`. `reverse` starts with the last layer.

    Raises:
      ValueError: No transformed function is running; `f` takes `*args`; there is no
        `transparency_map` for `transparent`; per-layer inputs have another length; `f`
        uses a module that was built outside of it.
      TypeError: `f` returns other shapes than it takes.

    Example:
      >>> @hk.transform
      ... def f(x):
      ...     block = hk.layer_stack(12)(lambda x: x + hk.Linear(x.shape[-1])(x))
      ...     return block(x)  # Parameters of [12, D, D] and [12, D].
    """
    if num_layers < 0:
        raise ValueError(f"hk.layer_stack takes at least 0 layers, got {num_layers}.")
    if transparent and transparency_map is None:
        raise ValueError(
            "transparency_map must be provided with transparent=True: pass an object "
            "with the methods of hk.LayerStackTransparencyMapping."
        )

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        _check_no_varargs(f)

        @functools.wraps(f)
        def stacked(*args: Any, reverse: bool = False) -> Any:
            current_frame("hk.layer_stack")
            kwargs = {"reverse": reverse} if pass_reverse_to_layer_fn else {}
            layers = Layers(
                f, num_layers, unroll, with_per_layer_inputs, kwargs, reverse
            )
            if transparent:
                return _run(layers, args, transparency_map)
            kind = WithPerLayer if with_per_layer_inputs else NoPerLayer
            return kind(name)(layers, args)

        return stacked

    return decorate


class _Stack(Module):
    """The module that holds the layers and gives their paths the first part."""

    prefix: ClassVar[str]

    def __init__(self, name: str | None = None):
        super().__init__(name or self.prefix)

    def __call__(self, layers: Layers, args: tuple[Any, ...]) -> Any:
        return _run(layers, args, None)


class NoPerLayer(_Stack):
    prefix = "__layer_stack_no_per_layer"


class WithPerLayer(_Stack):
    prefix = "__layer_stack_with_per_layer"


def _check_no_varargs(f: Callable[..., Any]) -> None:
    parameters = inspect.signature(f).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ValueError(
            "The function `f` should not have any `varargs`: hk.layer_stack must know "
            f"which values go from layer to layer. Name the arguments of {f!r}."
        )


def _run(
    layers: Layers,
    args: tuple[Any, ...],
    mapping: LayerStackTransparencyMapping | None,
) -> Any:
    frame = current_frame("hk.layer_stack")
    value, inputs = _values_and_inputs(layers, args)
    prefix = frame.scopes[-1].prefix
    usage = frame.usage
    differs_around = usage.differs
    keys = [None if frame.keys is None else next_rng_key() for _ in range(2)]
    usage.differs = differs_around  # The stack's own two keys don't count.
    load, store = _stored_layers(layers.num_layers, frame, prefix, mapping)
    out = None
    if frame.initialising:
        with inside(frame, prefix, closed=True):
            out, params, state, differs = _make(layers, value, inputs, keys[0])
        store(params, state, made=True)
        usage.stores_lifted = True
        usage.differs |= differs
        if differs or state:
            out = None  # The output of `apply` with the new state or its own keys.
    if out is None:
        with inside(frame, prefix, closed=True), noted_stack(prefix):
            out, state = _apply(layers, *load(), value, inputs, keys[1])
        if state:
            store({}, state, made=False)
    value, outputs = out
    if layers.with_per_layer_inputs:
        return value, outputs
    return value[0] if len(value) == 1 else value


def _values_and_inputs(layers: Layers, args: tuple[Any, ...]) -> tuple[Any, Any]:
    if not layers.with_per_layer_inputs:
        return args, ()
    if not args:
        raise ValueError("hk.layer_stack needs at least the value to begin with.")
    for i, x in enumerate(args[1:]):
        for leaf in jax.tree.leaves(x):
            if np.shape(leaf)[:1] != (layers.num_layers,):
                raise ValueError(
                    f"Per-layer input {i} of hk.layer_stack has shape "
                    f"{np.shape(leaf)}: its first axis must be num_layers, "
                    f"{layers.num_layers}."
                )
    return args[0], args[1:]


def _call(layers: Layers, frame: Frame, value: Any, inputs: Any) -> tuple[Any, Any]:
    """Runs one layer in its own frame."""
    if layers.with_per_layer_inputs:
        out = run_in_frame(frame, layers.f, (value, *inputs), layers.kwargs)
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(
                "With per-layer inputs the function given to hk.layer_stack returns a "
                "pair (value, output of this layer), got "
                f"{type(out).__name__}. Without an output, return `value, None`."
            )
        return out
    out = run_in_frame(frame, layers.f, value, layers.kwargs)
    return (out,) if len(value) == 1 else out, None


def _sequence(key: Any) -> PRNGSequence | None:
    return None if key is None else PRNGSequence(key)


def _make(
    layers: Layers, value: Any, inputs: Any, key: Any
) -> tuple[Any, Values, Values, bool]:
    """Runs all layers at `init`.

    Returns:
      The stack's output, the stacked parameters and state, and whether another run may
      give other values.
    """
    differs = []

    def layer(carry, inputs):
        value, key = carry
        init_key = apply_key = None
        if key is not None:
            init_key, key, apply_key = split(key, 3)
        frame = Frame(layers.f, True, keys=_sequence(init_key))
        out, output = _call(layers, frame, value, inputs)
        params, state = frame.params, frame.state
        if frame.usage.differs or state:
            state = frame.initial_state
            frame = Frame(layers.f, False, params, state, _sequence(apply_key))
            out, output = _call(layers, frame, value, inputs)
            state = frame.state
            differs.append(True)
        return (out, key), (output, params, state)

    (value, _), (outputs, params, state) = _scan(layers, layer, (value, key), inputs)
    return (value, outputs), params, state, bool(differs)


def _apply(
    layers: Layers, params: Any, state: Any, value: Any, inputs: Any, key: Any
) -> tuple[Any, Any]:
    """Runs all layers with existing parameters; also returns the stacked state."""
    keys = None
    if key is not None:
        keys = jax.random.split(key, layers.num_layers)
    if is_apart(params):
        return _apply_apart(layers, params, state, value, inputs, keys)

    def layer(value, own):
        params, state, key, inputs = own
        frame = Frame(layers.f, False, params, state, _sequence(key))
        out, output = _call(layers, frame, value, inputs)
        return out, (output, frame.state)

    scan = layers.schedule or functools.partial(_scan, layers)
    value, (outputs, state) = scan(layer, value, (params, state, keys, inputs))
    return (value, outputs), state


def _apply_apart(
    layers: Layers, params: Any, state: Any, value: Any, inputs: Any, keys: Any
) -> tuple[Any, Any]:
    """Runs layers that have arrays of their own, one after the other."""
    number = layers.num_layers
    for found in {*numbers_of_layers(params), *numbers_of_layers(state)} - {number}:
        raise ValueError(
            f"hk.layer_stack of {number} layers got arrays of {found}: its parameters, "
            "or its state, are those of another stack."
        )
    outputs, states = [None] * number, [{}] * number
    for i in reversed(range(number)) if layers.reverse else range(number):
        key = None if keys is None else keys[i]
        own = of_layer(params, i, after=value), of_layer(state, i)
        frame = Frame(layers.f, False, *own, _sequence(key))
        of_this = jax.tree.map(lambda x, i=i: x[i], inputs)
        value, outputs[i] = _call(layers, frame, value, of_this)
        states[i] = frame.state
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *outputs)
    return (value, stacked), of_layers(states)


def _scan(layers: Layers, layer: Callable[..., Any], carry: Any, xs: Any) -> Any:
    number = layers.num_layers
    with traced_if_empty(number):
        return jax.lax.scan(layer, carry, xs, number, layers.reverse, layers.unroll)


def _stored_layers(
    num_layers: int,
    frame: Frame,
    prefix: str,
    mapping: LayerStackTransparencyMapping | None,
) -> tuple[Callable[[], tuple[Values, Values]], Callable[..., None]]:
    """Functions that read and write the stacked parameters and state in `frame`."""

    def load() -> tuple[Values, Values]:
        both = under(frame.params, prefix), under(frame.state, prefix)
        if mapping is None:
            return both
        return _stacked(both[0], mapping, num_layers), _stacked(
            both[1], mapping, num_layers
        )

    def store(params: Values, state: Values, made: bool) -> None:
        if mapping is not None:
            params = _flat(params, mapping, num_layers)
            state = _flat(state, mapping, num_layers)
        initial = state
        if not made:  # The first state stays the first.
            known = frame.initial_state
            initial = {p: v for p, v in state.items() if prefix + p not in known}
        frame.absorb(Contents(params, state, initial, None), under=prefix)

    return load, store


def _flat(values: Mapping[str, Any], mapping: Any, num_layers: int) -> Values:
    return {
        mapping.stacked_to_flat(path, i): jax.tree.map(lambda x, i=i: x[i], dict(named))
        for path, named in values.items()
        for i in range(num_layers)
    }


def _stacked(values: Mapping[str, Any], mapping: Any, num_layers: int) -> Values:
    layers: dict[str, dict[int, Any]] = {}
    for path, named in values.items():
        place = mapping.flat_to_stacked(path)
        if place is not None:
            layers.setdefault(place[0], {})[place[1]] = named
    for path, by_index in layers.items():
        if set(by_index) != set(range(num_layers)):
            raise ValueError(
                f"hk.layer_stack of {num_layers} layers found layers "
                f"{sorted(by_index)} of {path}: its transparency_map, or the params, "
                "are those of another stack."
            )
    return {
        path: jax.tree.map(
            lambda *xs: jnp.stack(xs), *(by_index[i] for i in range(num_layers))
        )
        for path, by_index in layers.items()
    }
