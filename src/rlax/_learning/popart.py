"""PopArt: targets normalised adaptively, with the outputs preserved precisely.

Sources: van Hasselt et al. 2016, Learning Values across Many Orders of
Magnitude, arXiv 1602.07714; Hessel et al. 2019, Multi-task Deep Reinforcement Learning
with PopArt, arXiv 1809.04474.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rlax._core import arrays
from rlax._core.broadcasting import broadcast_shape
from rlax._core.contracts import shapes
from rlax._core.errors import ContractError, check, check_range
from rlax._core.types import known_arrays

Array = jax.Array
AxisNames = str | Sequence[str] | None


class PopArtState(NamedTuple):
    """Running statistics of the targets, for every output.

    Attributes:
      shift: Mean, `[num_outputs]`.
      scale: Standard deviation, within its bounds, `[num_outputs]`.
      second_moment: Mean square, `[num_outputs]`.

    Example:
      >>> init, _ = rlax.popart(2, step_size=0.1, scale_lb=1e-2, scale_ub=1e2)
      >>> print(init().shift, init().scale)
      [0. 0.] [1. 1.]
    """

    shift: Array
    scale: Array
    second_moment: Array


class PopArtOutput(NamedTuple):
    """The outputs of a linear layer under PopArt.

    Attributes:
      normalized: The output of the layer, for the loss, `[...]`.
      unnormalized: The value that it represents, `[...]`.
    """

    normalized: Array
    unnormalized: Array


def _statistics(state: PopArtState, indices: ArrayLike | None) -> tuple[Array, Array]:
    """Shift and scale of every index, or of all outputs; NaN for one out of range."""
    shift, scale = jnp.asarray(state.shift), jnp.asarray(state.scale)
    if indices is None:
        return shift, scale
    options: dict[str, Any] = {"mode": "fill", "fill_value": jnp.nan}
    of_each = [
        x.at[indices].get(wrap_negative_indices=False, **options)
        for x in (shift, scale)
    ]
    return of_each[0], of_each[1]


def _check_together(
    op: str, name: str, values: ArrayLike, indices: ArrayLike | None
) -> None:
    """Raises unless values and indices broadcast to each other."""
    if indices is not None:
        values, indices = known_arrays(values, indices)
        check(
            broadcast_shape(values.shape, indices.shape) is not None,
            f"{op}: indices has shape {list(indices.shape)}, wanted that of {name} "
            f"{list(values.shape)}, or one number; pass jnp.broadcast_to(indices, "
            f"{name}.shape).",
        )


@shapes("unnormalized:number[*], indices?:int[*]")
def normalize(
    state: PopArtState, unnormalized: ArrayLike, indices: ArrayLike | None
) -> Array:
    """Normalises values with the statistics of their outputs.

        (x - shift[i]) / scale[i]

    Args:
      state: The statistics.
      unnormalized: `[...]`.
      indices: The output of each value: one for all, or `[...]` that broadcast; out of
        range gives NaN. If None, the last axis of the values holds the outputs.

    Returns:
      `[...]`.

    Source: van Hasselt et al. 2016, arXiv 1602.07714; Hessel et al. 2019, arXiv
    1809.04474.

    Example:
      >>> state = rlax.PopArtState(jnp.ones(2), 2 * jnp.ones(2), 5 * jnp.ones(2))
      >>> print(rlax.normalize(state, [5.0, 1.0], [0, 1]))
      [2. 0.]
    """
    shift, scale = _statistics(state, indices)
    _check_together("normalize", "unnormalized", unnormalized, indices)
    unnormalized, shift, scale = arrays.of_widest_float(unnormalized, shift, scale)
    return (unnormalized - shift) / scale


@shapes("normalized:number[*], indices?:int[*]")
def unnormalize(
    state: PopArtState, normalized: ArrayLike, indices: ArrayLike | None
) -> Array:
    """Undoes `normalize`.

        scale[i] x + shift[i]

    Args:
      state: The statistics.
      normalized: `[...]`.
      indices: As in `normalize`.

    Returns:
      `[...]`.

    Source: van Hasselt et al. 2016, arXiv 1602.07714; Hessel et al. 2019, arXiv
    1809.04474.

    Example:
      >>> state = rlax.PopArtState(jnp.ones(2), 2 * jnp.ones(2), 5 * jnp.ones(2))
      >>> print(rlax.unnormalize(state, [2.0, 0.0], [0, 1]))
      [5. 1.]
    """
    shift, scale = _statistics(state, indices)
    _check_together("unnormalize", "normalized", normalized, indices)
    normalized, shift, scale = arrays.of_widest_float(normalized, shift, scale)
    return scale * normalized + shift


@shapes("inputs:number[... N], indices:index(N)[...]")
def unnormalize_linear(
    state: PopArtState, inputs: ArrayLike, indices: ArrayLike
) -> PopArtOutput:
    """Picks one output of a linear layer, normalised and not.

    Args:
      state: The statistics.
      inputs: The layer's outputs, `[..., num_outputs]`.
      indices: The output to pick, `[...]`; out of range gives NaN under jit.

    Returns:
      A tuple (normalized, unnormalized), each `[...]`.

    Raises:
      ContractError: If inputs and state differ in the number of outputs.

    Source: van Hasselt et al. 2016, arXiv 1602.07714; Hessel et al. 2019, arXiv
    1809.04474.

    Example:
      >>> state = rlax.PopArtState(jnp.ones(2), 2 * jnp.ones(2), 5 * jnp.ones(2))
      >>> print(*rlax.unnormalize_linear(state, inputs=[[2.0, 7.0]], indices=[0]))
      [2.] [5.]
    """
    inputs, indices = known_arrays(inputs, indices)
    check(
        inputs.shape[-1] == jnp.shape(state.shift)[-1],
        f"unnormalize_linear: inputs {list(inputs.shape)} must end in the number of "
        f"outputs of the state, {jnp.shape(state.shift)[-1]}; pass that number to "
        "popart and to the layer.",
    )
    normalized = arrays.pick(inputs, indices)
    shift, scale = _statistics(state, indices)
    wide, shift, scale = arrays.of_widest_float(normalized, shift, scale)
    return PopArtOutput(normalized, scale * wide + shift)


# One sum of millions of terms would lose float32's last digits.
_LONGEST_SUM = 2**14


@shapes("targets:real[...], indices:int[...]")
def art(
    state: PopArtState,
    targets: ArrayLike,
    indices: ArrayLike,
    step_size: float,
    scale_lb: float,
    scale_ub: float,
    axis_name: AxisNames = None,
) -> PopArtState:
    """Moves the statistics of every output towards its targets.

        shift[i] += step_size Σ (target - shift[i]), over the targets of output i

    Args:
      state: The statistics.
      targets: Unnormalised targets, `[...]`.
      indices: The output that each belongs to, `[...]`; a target whose index is out of
        range changes nothing.
      step_size: Step size for each target, in [0, 1].
      scale_lb: Lower bound of the scale, above 0.
      scale_ub: Upper bound of the scale.
      axis_name: Mapped axis or axes over which to sum the steps. Default: none.

    Returns:
      The new statistics.

    Raises:
      ContractError: If targets and indices differ in shape.

    Source: van Hasselt et al. 2016, arXiv 1602.07714; Hessel et al. 2019, arXiv
    1809.04474.

    Example:
      >>> old = rlax.PopArtState(jnp.zeros(2), jnp.ones(2), jnp.ones(2))
      >>> new = rlax.art(old, [4.0], [1], step_size=0.5, scale_lb=1e-2, scale_ub=1e2)
      >>> print(new.shift, new.scale.round(2))
      [0. 2.] [1.   2.12]
    """
    check_range("art", "step_size", step_size, 0, 1)
    _check_bounds(scale_lb, scale_ub)
    targets, indices = known_arrays(targets, indices)
    size = jnp.shape(state.shift)[0]
    targets, indices = targets.reshape(-1), indices.reshape(-1)
    shift, second_moment = jnp.asarray(state.shift), jnp.asarray(state.second_moment)
    check(
        shift.shape == second_moment.shape,
        f"art: the state's shift {list(shift.shape)} and second_moment "
        f"{list(second_moment.shape)} must both be [num_outputs]; make the state with "
        "popart(num_outputs, ...)[0]().",
    )
    # Two sums for each output. Targets whose index is out of range go to one more
    # segment, which is dropped.
    outside = (indices < 0) | (indices >= size)
    segments = jnp.where(outside, size, indices)
    known = jnp.stack([shift, second_moment], axis=1)[jnp.where(outside, 0, indices)]
    targets, known = arrays.of_widest_float(targets, known)
    steps = jnp.stack([targets, jnp.square(targets)], axis=1) - known
    count = targets.size if isinstance(targets.size, int) else 1  # symbolic: one sum
    stretches = max(1, -(-count // _LONGEST_SUM))
    if stretches > 1:
        segments += (size + 1) * (jnp.arange(targets.size) // _LONGEST_SUM)
    sums = jnp.zeros((stretches * (size + 1), 2), steps.dtype).at[segments].add(steps)
    sums = jnp.sum(sums.reshape(stretches, size + 1, 2), axis=0)[:size]
    if axis_name:  # without a name, this device alone
        names = axis_name if isinstance(axis_name, str) else tuple(axis_name)
        sums = jax.lax.psum(sums, names)
    shift_new = shift + step_size * sums[:, 0]
    moment_new = second_moment + step_size * sums[:, 1]
    # Rounding can push the variance below 0.
    variance = jnp.maximum(moment_new - jnp.square(shift_new), scale_lb**2)
    scale = jnp.sqrt(variance)
    return PopArtState(shift_new, jnp.clip(scale, scale_lb, scale_ub), moment_new)


def _check_bounds(scale_lb: float, scale_ub: float) -> None:
    check_range("popart", "scale_lb", scale_lb, 0, jnp.inf)
    check_range("popart", "scale_ub", scale_ub, scale_lb, jnp.inf)


def pop(
    params: Mapping[str, ArrayLike], old: PopArtState, new: PopArtState
) -> dict[str, Array]:
    """Changes a linear layer so that its unnormalised outputs stay the same.

    Args:
      params: `w`, `[..., num_outputs]`, and `b`, `[num_outputs]`, of the layer.
      old: The statistics before the update.
      new: The statistics after it.

    Returns:
      A dict of the new w and b.

    Raises:
      ContractError: If w or b is missing.

    Source: van Hasselt et al. 2016, arXiv 1602.07714; Hessel et al. 2019, arXiv
    1809.04474.

    Example:
      >>> old = rlax.PopArtState(jnp.zeros(1), jnp.ones(1), jnp.ones(1))
      >>> new = rlax.PopArtState(jnp.ones(1), 2 * jnp.ones(1), 5 * jnp.ones(1))
      >>> layer = rlax.pop({"w": jnp.ones([1, 1]), "b": jnp.zeros(1)}, old, new)
      >>> x = 3 * layer["w"][0] + layer["b"]
      >>> print(x, rlax.unnormalize(new, x, [0]))
      [1.] [3.]
    """
    missing = {"w", "b"} - set(params)
    if missing:
        raise ContractError(
            f"pop: params must hold 'w' and 'b' of a linear layer, got "
            f"{sorted(params)}; pass params['the_layer']."
        )
    w, b = (jnp.asarray(params[name]) for name in ("w", "b"))
    # Computed in the wider of the two dtypes; the layer keeps its own.
    wide_w, wide_b, *statistics = arrays.of_widest_float(
        w, b, *(jnp.asarray(x) for s in (old, new) for x in (s.shift, s.scale))
    )
    old_shift, old_scale, new_shift, new_scale = statistics
    new_w = wide_w * jnp.broadcast_to(old_scale / new_scale, w.shape)
    new_b = (old_scale * wide_b + old_shift - new_shift) / new_scale
    return {
        "w": new_w.astype(w.dtype) if jnp.issubdtype(w.dtype, jnp.floating) else new_w,
        "b": new_b.astype(b.dtype) if jnp.issubdtype(b.dtype, jnp.floating) else new_b,
    }


def popart(
    num_outputs: int,
    step_size: float,
    scale_lb: float,
    scale_ub: float,
    axis_name: AxisNames = None,
) -> tuple[
    Callable[[], PopArtState], Callable[..., tuple[dict[str, Array], PopArtState]]
]:
    """Makes the init and update functions of PopArt.

    Args:
      num_outputs: Number of outputs, each with its own statistics.
      step_size: As in `art`.
      scale_lb: As in `art`.
      scale_ub: As in `art`.
      axis_name: As in `art`.

    Returns:
      A tuple of initial_state() -> PopArtState, and update(params, state, targets,
      indices) -> (params, state), with the params of the last linear layer.

    Raises:
      ContractError: If a number is out of range, as in `art`.

    Source: van Hasselt et al. 2016, arXiv 1602.07714; Hessel et al. 2019, arXiv
    1809.04474.

    Example:
      >>> init, update = rlax.popart(2, step_size=0.5, scale_lb=1e-2, scale_ub=1e2)
      >>> layer = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
      >>> layer, state = update(layer, init(), targets=[4.0], indices=[1])
      >>> print(state.shift)
      [0. 2.]
    """
    check_range("popart", "step_size", step_size, 0, 1)
    _check_bounds(scale_lb, scale_ub)

    def initial_state() -> PopArtState:
        """Statistics that normalise nothing: shift 0, scale 1."""
        ones = jnp.ones([num_outputs])
        return PopArtState(jnp.zeros([num_outputs]), ones, ones)

    def popart_update(
        params: Mapping[str, ArrayLike],
        state: PopArtState,
        targets: ArrayLike,
        indices: ArrayLike,
    ) -> tuple[dict[str, Array], PopArtState]:
        """Updates the statistics, and the last layer to match."""
        new = art(state, targets, indices, step_size, scale_lb, scale_ub, axis_name)
        return pop(params, state, new), new

    return initial_state, popart_update
