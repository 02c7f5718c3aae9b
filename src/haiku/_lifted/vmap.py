"""vmap: a function over a batch; ensemble: many sets of parameters at once."""

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core.runs.frame import Frame, current_frame
from haiku._lifted.parallel_runs import (
    Layout,
    has_size,
    join,
    placement,
    run_one,
    split_keys,
)

Axes = int | Mapping[str, int | None] | None


class _Required:
    """The default of `split_rng`, which must be passed."""


class _AsParams:
    """The default of `state_axis`: state lies where parameters do."""

    def __repr__(self) -> str:
        return "params_axis"


_REQUIRED: Any = _Required()
_AS_PARAMS: Any = _AsParams()


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Hashable | None = None,
    axis_size: int | None = None,
    *,
    split_rng: bool = _REQUIRED,
    spmd_axis_name: Hashable | tuple[Hashable, ...] | None = None,
    params_axis: Axes = None,
    state_axis: Axes = _AS_PARAMS,
) -> Callable[..., Any]:
    """`jax.vmap` for a function that uses modules.

    The whole batch shares parameters and state, unless `params_axis` or `state_axis`
    gives each example its own.

    Args:
      fun: A function of one example.
      in_axes: The batch axis of each argument; None shares the argument.
      out_axes: The batch axis of each output.
      axis_name: A name for the batch axis, for collectives such as `jax.lax.pmean`.
      axis_size: The size of the batch, if no argument has it.
      split_rng: Whether each example gets its own random keys, or all the same.
        Must be False where shared parameters are made: write `split_rng=not
        hk.running_init()`. Where each example makes its own it may be True.
      spmd_axis_name: As in `jax.vmap`.
      params_axis: The axis along which each example has its own parameters; None
        shares them all. An axis means the parameters that `fun` is the first to use;
        those that were used before stay shared. A mapping gives axes by path,
        `{"experts/**": 0}`, and shares everything else. Paths count from the module
        around the call, or, with `/` before them, from the root.
      state_axis: The same for state; by default, state lies where parameters do. With
        `state_axis=0` alone the batch shares its weights, and each example has its own
        state: a cache, or running averages.

    Returns:
      A function like `fun` over a batch.

    Raises:
      TypeError: `split_rng` is not given.
      ValueError: No transformed function is running: use `jax.vmap`; or no axis is
        mapped; or axis sizes disagree; or shared state differs between examples; or
        shared parameters are made from different keys; or a pattern finds no parameter.

    Example:
      >>> def f(xs):
      ...     return hk.vmap(hk.Linear(3), split_rng=False)(xs)
      >>> params = hk.transform(f).init(jax.random.key(0), jnp.ones([5, 2]))
      >>> params["linear"]["w"].shape  # shared by the batch
      (2, 3)
    """
    if split_rng is _REQUIRED:
        split_rng = _split_rng_by_default()
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    _check_mapped(fun, in_axes, axis_size)
    if state_axis is _AS_PARAMS:
        state_axis = params_axis

    @functools.wraps(fun)
    def vmap_f(*args: Any, **kwargs: Any) -> Any:
        frame = current_frame("hk.vmap")
        layout = Layout(placement(frame, params_axis), placement(frame, state_axis))
        keys = None
        size: Any = None
        if split_rng or layout.places:
            size = _axis_size(axis_size, in_axes, args, kwargs)
            keys = split_keys(frame, size) if split_rng else None

        def fits(value: Any, axis: int) -> bool:
            return has_size(value, axis, size)

        shared, own = layout.split(frame, frame.snapshot(), fits)

        def one(own: Any, args: Any, kwargs: Any, key: Any) -> Any:
            return run_one(fun, frame, layout, shared, own, key, args, kwargs)

        def mapped(out_axes: Any) -> Any:
            return jax.vmap(
                one,
                in_axes=(layout.places, in_axes, 0, 0 if keys is not None else None),
                out_axes=out_axes,
                axis_name=axis_name,
                axis_size=axis_size,
                spmd_axis_name=spmd_axis_name,
            )(own, args, kwargs, keys)

        try:
            out, changed, own = mapped((out_axes, None, layout.places))
        except ValueError as error:
            _explain(frame, error, mapped, split_rng)
            raise
        frame.absorb(join(changed, own))
        layout.check_found(frame, "hk.vmap, params_axis")
        return out

    return vmap_f


def ensemble(
    fun: Callable[..., Any],
    size: int,
    in_axes: Any = None,
    out_axes: Any = 0,
    axis_name: Hashable | None = None,
) -> Callable[..., Any]:
    """Runs a function with many sets of parameters at once, stacked.

    `hk.vmap` in which each member has its own parameters, state and keys. Member i has
    the parameters of `hk.transform(fun).init(keys[i], ...)`, where `keys` is
    `hk.next_rng_keys(size)`.

    Args:
      fun: A module, or a function that uses modules. Members share parameters and state
        that were used before.
      size: The number of members.
      in_axes: The axis of members in each positional argument; None passes the argument
        to all. Keyword arguments go to all members.
      out_axes: The axis of members in each output.
      axis_name: A name for that axis, for collectives such as `jax.lax.pmean`.

    Returns:
      A function like `fun` whose outputs have an axis of members, `[size, ...]`, as
      parameters and state do.

    Raises:
      ValueError: No transformed function is running; or `size` is below 1.

    Example:
      >>> net = hk.transform(lambda x: hk.ensemble(hk.nets.MLP([64, 1]), 5)(x))
      >>> params = net.init(jax.random.key(0), jnp.ones([8, 3]))
      >>> net.apply(params, None, jnp.ones([8, 3])).shape
      (5, 8, 1)
    """
    current_frame("hk.ensemble")
    if size < 1:
        raise ValueError(f"hk.ensemble needs at least one member, got size={size}.")

    @functools.wraps(fun)
    def ensemble_f(*args: Any, **kwargs: Any) -> Any:
        return vmap(
            functools.partial(fun, **kwargs),
            in_axes,
            out_axes,
            axis_name,
            size,
            split_rng=True,
            params_axis=0,
        )(*args)

    return ensemble_f


vmap.require_split_rng = True  # type: ignore[attr-defined]
# The signature shows that `split_rng` is required, unless `require_split_rng` is off.
_signature = inspect.signature(vmap)
vmap.__signature__ = _signature.replace(  # type: ignore[attr-defined]
    parameters=[
        p.replace(default=p.empty) if p.name == "split_rng" else p
        for p in _signature.parameters.values()
    ]
)


def _split_rng_by_default() -> bool:
    if vmap.require_split_rng:  # type: ignore[attr-defined]
        raise TypeError(
            "hk.vmap needs `split_rng`: pass `split_rng=True` to give each example its "
            "own keys, `split_rng=False` to give all the same keys. For code that you "
            "can't change, set `hk.vmap.require_split_rng = False`."
        )
    return False


def _check_mapped(fun: Any, in_axes: Any, axis_size: int | None) -> None:
    if axis_size is None and not jax.tree.leaves(in_axes):
        name = getattr(fun, "__name__", type(fun).__name__)
        raise ValueError(
            f"hk.vmap of {name} must have at least one non-None value in in_axes, got "
            f"in_axes={in_axes}: no argument has a batch axis. Pass `axis_size` to "
            "call it that many times."
        )


def _axis_size(axis_size: int | None, in_axes: Any, args: Any, kwargs: Any) -> int:
    if axis_size is not None:
        return axis_size
    is_none = lambda x: x is None  # noqa: E731
    axes = jax.tree.broadcast(in_axes, args, is_leaf=is_none)
    sizes = jax.tree.leaves(
        jax.tree.map(
            lambda axis, x: None if axis is None else jnp.shape(x)[axis],
            axes,
            args,
            is_leaf=is_none,
        )
    )
    sizes += [jnp.shape(x)[0] for x in jax.tree.leaves(kwargs)]
    # jax.vmap reports sizes that disagree.
    return sizes[0] if sizes else 1


def _explain(frame: Frame, error: ValueError, mapped: Any, split_rng: bool) -> None:
    """Raises a better error if state or parameters differ between examples."""
    if "out_axes" not in str(error):
        return
    try:
        _, changed, _ = jax.eval_shape(lambda: mapped((0, 0, 0)))
    except Exception:  # The cause is something else: JAX's error stands.
        return
    if frame.initialising and split_rng and changed.params:
        paths = [f"{p}/{n}" for p, named in changed.params.items() for n in named]
        raise ValueError(
            "hk.vmap does not support setting split_rng to True during initialization: "
            f"{paths} would be different for each example. Write "
            "`hk.vmap(f, split_rng=not hk.running_init())`."
        ) from error
    if changed.state:
        paths = [f"{p}/{n}" for p, named in changed.state.items() for n in named]
        raise ValueError(
            f"hk.vmap can't store state that differs between examples: among {paths}. "
            "Average it first, with axis_name='batch' and jax.lax.pmean(x, 'batch'); "
            "or give each example its own state, hk.vmap(f, state_axis=0, ...); or "
            "return it as an output."
        ) from error
