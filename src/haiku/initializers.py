"""Initial values of parameters.

An initializer is any function ``init(shape, dtype) -> array``; ``jnp.zeros`` is one.
Random initializers take their key from ``hk.next_rng_key()``, so they work wherever a
module works.

Each random initializer is a function of a key, a shape and numbers, which `draw`
compiles together with the split of the key. Compiling must not change a bit of the
parameters. The compiler would fold constants into each other, which `rounded` prevents,
and would round a multiplication and an addition only once, so the mean is added later.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core import draw
from haiku._core.blueprints.description import Leaf

__all__ = [
    "Constant",
    "Identity",
    "Initializer",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "UniformScaling",
    "VarianceScaling",
]

Initializer = Callable[[Sequence[int], Any], jax.Array]

# Standard deviation of a standard normal truncated at -2 and 2. Dividing by it gives a
# truncated normal the wanted variance.
_STDDEV_WITHIN_TWO_SIGMA = 0.87962566103423978

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("normal", "truncated_normal", "uniform")


def _require_dtype(
    name: str, shape: Sequence[int], dtype: Any, kind: Any = jnp.inexact
) -> None:
    if not jnp.issubdtype(dtype, kind):
        numbers = "real" if kind is jnp.floating else "floating-point"
        raise ValueError(
            f"{name} draws {numbers} numbers, but the requested dtype is "
            f"{jnp.dtype(dtype).name} (shape {tuple(shape)}). Pass an initializer for "
            "any dtype (jnp.zeros, hk.initializers.Constant), or give the layer a "
            "float input: x.astype(jnp.float32)."
        )


def _require_matrix(name: str, shape: Sequence[int]) -> None:
    if len(shape) < 2:
        raise ValueError(
            f"{name} initializer requires at least a 2D shape. Got: {tuple(shape)}. "
            "For a scalar or vector use another one, such as "
            "hk.initializers.RandomNormal()."
        )


def _shape_tuple(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _scalar(x: Any, dtype: Any) -> Any:
    """`x` as a strongly typed scalar."""
    if isinstance(x, jax.Array):
        return x.astype(dtype)
    return np.asarray(x, dtype)


def _add_mean(x: jax.Array, mean: Any, dtype: Any) -> jax.Array:
    if isinstance(mean, (int, float)) and mean == 0:
        return x
    return x + _scalar(mean, dtype)


def _normal(key, rounded, shape, dtype, stddev):
    _require_dtype("RandomNormal", shape, dtype)
    return _scalar(stddev, dtype) * rounded(jax.random.normal(key, shape, dtype))


def _truncated_normal(key, rounded, shape, dtype, stddev, lower, upper):
    _require_dtype("TruncatedNormal", shape, dtype)
    real = jnp.finfo(dtype).dtype
    bounds = _scalar(lower, real), _scalar(upper, real)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        parts = jax.random.truncated_normal(key, *bounds, (2, *shape), real)
        x = jax.lax.complex(parts[0], parts[1])
    else:
        x = jax.random.truncated_normal(key, *bounds, shape, dtype)
    return _scalar(stddev, dtype) * rounded(x)


def _uniform(key, rounded, shape, dtype, minval, maxval):
    _require_dtype("RandomUniform", shape, dtype, jnp.floating)
    del rounded
    bounds = _scalar(minval, dtype), _scalar(maxval, dtype)
    return jax.random.uniform(key, shape, dtype, *bounds)


def _orthogonal(key, rounded, shape, dtype, scale, axis):
    del rounded
    _require_dtype("Orthogonal", shape, dtype)
    others = list(shape)
    columns = others.pop(axis)
    rows = math.prod(others)
    tall = (max(rows, columns), min(rows, columns))
    q, r = jnp.linalg.qr(jax.random.normal(key, tall, dtype))
    q = q * jnp.sign(jnp.diag(r))[None]  # this sign makes the distribution uniform
    if rows < columns:
        q = q.T
    q = jnp.moveaxis(jnp.reshape(q, (*others, columns)), -1, axis)
    return _scalar(scale, dtype) * q


class _ByValue:
    """Compares and shows initializers by their arguments."""

    def __eq__(self, other: Any) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _leaves(self) == _leaves(other)

    def __hash__(self) -> int:
        return hash((type(self), _leaves(self)))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


def _leaves(initializer: Any) -> tuple[Leaf, ...]:
    values = vars(initializer).values()
    return tuple(Leaf(tuple(x) if isinstance(x, list) else x) for x in values)


class Constant(_ByValue):
    """Fills the array with one value, or with an array broadcast to the shape.

    Args:
      constant: A number, or an array or (nested) list that broadcasts to the shape.

    Example:
      >>> print(hk.initializers.Constant([1, 2])((2, 2), jnp.float32))
      [[1. 2.]
       [1. 2.]]
    """

    def __init__(self, constant: float | int | complex | Any):
        self.constant = constant

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns `constant` broadcast to `shape`, as `dtype`."""
        constant = self.constant
        if isinstance(constant, (list, tuple)):
            constant = np.asarray(constant)
        return jnp.broadcast_to(constant, shape).astype(dtype)


class RandomNormal(_ByValue):
    """Draws from a normal distribution.

    Args:
      stddev: Standard deviation of the distribution.
      mean: Mean.

    Raises:
      ValueError: At a call, if the dtype is neither float nor complex.

    Example:
      >>> init = hk.initializers.RandomNormal(stddev=0.1, mean=5.0)
      >>> w = hk.transform(lambda: init([1000], jnp.float32)).apply({}, rng=0)
      >>> print(f"{w.mean():.1f} +- {w.std():.1f}")
      5.0 +- 0.1
    """

    def __init__(self, stddev: Any = 1.0, mean: Any = 0.0):
        self.stddev = stddev
        self.mean = mean

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns random numbers of `shape` and a float or complex `dtype`."""
        x = draw(_normal, _shape_tuple(shape), dtype, self.stddev)
        return _add_mean(x, self.mean, dtype)


class TruncatedNormal(_ByValue):
    """Draws from a normal distribution truncated at `lower` and `upper`.

    All values lie in ``[mean + lower * stddev, mean + upper * stddev]``. For a complex
    dtype this holds for the real and the imaginary part.

    Args:
      stddev: Standard deviation of the normal before truncation.
      mean: Mean of the normal before truncation.
      lower: Lower bound, in standard deviations.
      upper: Upper bound, in standard deviations.

    Raises:
      ValueError: At a call, if the dtype is neither float nor complex.

    Example:
      >>> init = hk.initializers.TruncatedNormal(stddev=0.1)
      >>> w = hk.transform(lambda: init([9999], jnp.float32)).apply({}, rng=0)
      >>> print(f"from {w.min():.1f} to {w.max():.1f}")
      from -0.2 to 0.2
    """

    def __init__(
        self,
        stddev: Any = 1.0,
        mean: Any = 0.0,
        lower: Any = -2.0,
        upper: Any = 2.0,
    ):
        self.stddev = stddev
        self.mean = mean
        self.lower = lower
        self.upper = upper

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns random numbers of `shape` and a float or complex `dtype`."""
        x = draw(
            _truncated_normal,
            _shape_tuple(shape),
            dtype,
            self.stddev,
            self.lower,
            self.upper,
        )
        return _add_mean(x, self.mean, dtype)


class RandomUniform(_ByValue):
    """Draws uniformly from ``[minval, maxval)``.

    Args:
      minval: Lower bound, included.
      maxval: Upper bound, excluded.

    Raises:
      ValueError: At a call, if the dtype isn't a float.

    Example:
      >>> init = hk.initializers.RandomUniform(-1.0, 1.0)
      >>> w = hk.transform(lambda: init([1000], jnp.float32)).apply({}, rng=0)
      >>> print(f"from {w.min():.1f} to {w.max():.1f}")
      from -1.0 to 1.0
    """

    def __init__(self, minval: Any = 0.0, maxval: Any = 1.0):
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns random numbers of `shape` and a float `dtype`."""
        return draw(_uniform, _shape_tuple(shape), dtype, self.minval, self.maxval)


class VarianceScaling(_ByValue):
    """Draws with a variance that keeps the scale of activations from layer to layer.

        Var[w] = scale / n

    `n` is the number of inputs (`fan_in`), the number of outputs (`fan_out`), or their
    mean (`fan_avg`). The last axis counts as outputs, the one before it as inputs, and
    all others multiply both.

    ======================= =====================================================
    Glorot / Xavier uniform ``VarianceScaling(1.0, "fan_avg", "uniform")``
    Glorot / Xavier normal  ``VarianceScaling(1.0, "fan_avg", "truncated_normal")``
    LeCun uniform           ``VarianceScaling(1.0, "fan_in", "uniform")``
    LeCun normal            ``VarianceScaling(1.0, "fan_in", "truncated_normal")``
    He uniform              ``VarianceScaling(2.0, "fan_in", "uniform")``
    He normal               ``VarianceScaling(2.0, "fan_in", "truncated_normal")``
    ======================= =====================================================

    Args:
      scale: Positive factor of the variance.
      mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
      distribution: ``"truncated_normal"`` (truncated at two standard deviations and
        widened to keep the variance), ``"normal"`` or ``"uniform"``.
      fan_in_axes: Axes that count as inputs for weights with three or more axes; all
        others count as outputs. None is the convention above, which vectors and
        matrices always follow.

    Raises:
      ValueError: `scale` is negative, or `mode` or `distribution` is unknown; at a
        call, if the dtype is neither float nor complex.

    Source:
      He et al., 2015, Delving Deep into Rectifiers, arXiv:1502.01852; Glorot and
      Bengio, 2010, Understanding the difficulty of training deep feedforward neural
      networks; LeCun et al., 1998, Efficient BackProp.

    Example:
      >>> he = hk.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")
      >>> net = hk.transform(lambda x: jax.nn.relu(hk.Linear(10, w_init=he)(x)))
    """

    def __init__(
        self,
        scale: Any = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        fan_in_axes: Sequence[int] | None = None,
    ):
        if scale < 0.0:
            raise ValueError(
                f"`scale` must be a positive float. Got: {scale}. It multiplies the "
                "variance: use 2.0 before a relu and 1.0 elsewhere."
            )
        if mode not in _MODES:
            raise ValueError(
                f"Invalid `mode` argument: {mode!r}. Choose one of {_MODES}."
            )
        if distribution not in _DISTRIBUTIONS:
            raise ValueError(
                f"Invalid `distribution` argument: {distribution!r}. Choose one of "
                f"{_DISTRIBUTIONS}."
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.fan_in_axes = fan_in_axes

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns random numbers of `shape` and a float or complex `dtype`."""
        _require_dtype("VarianceScaling", shape, dtype)
        fan_in, fan_out = _fans(shape, self.fan_in_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, fan[self.mode])
        # NumPy's scalars, not Python's: they determine the precision below.
        root = jnp.sqrt if isinstance(variance, jax.Array) else np.sqrt
        if self.distribution == "truncated_normal":
            widening = np.asarray(_STDDEV_WITHIN_TWO_SIGMA, dtype)
            return TruncatedNormal(root(variance) / widening)(shape, dtype)
        if self.distribution == "normal":
            return RandomNormal(root(variance))(shape, dtype)
        limit = root(3.0 * variance)
        return RandomUniform(-limit, limit)(shape, dtype)


class UniformScaling(_ByValue):
    """Draws uniformly from a range that keeps the scale of activations.

        w ~ U(-limit, limit),  limit = scale * sqrt(3 / number of inputs)

    All axes but the last count as inputs.

    Args:
      scale: Factor of the range.

    Raises:
      ValueError: At a call, if the dtype isn't a float.

    Source:
      Sussillo and Abbott, 2014, Random Walk Initialization for Training Very Deep
      Feedforward Networks, arXiv:1412.6558.

    Example:
      >>> init = hk.initializers.UniformScaling()
      >>> w = hk.transform(lambda: init([300, 9], jnp.float32)).apply({}, rng=0)
      >>> print(f"from {w.min():.1f} to {w.max():.1f}")  # sqrt(3 / 300) = 0.1
      from -0.1 to 0.1
    """

    def __init__(self, scale: Any = 1.0):
        self.scale = scale

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns random numbers of `shape` and a float `dtype`."""
        inputs = math.prod(shape[:-1])
        limit = math.sqrt(3.0 / max(1.0, inputs)) * self.scale
        return RandomUniform(-limit, limit)(shape, dtype)


class Orthogonal(_ByValue):
    """Draws a random matrix with orthonormal columns (or rows, if it is wide).

    The axes besides `axis` are merged: the slices along `axis` are orthonormal, up to
    `scale`.

    Args:
      scale: Factor of the matrix.
      axis: The axis whose slices are orthonormal.

    Raises:
      ValueError: At a call, if the shape has fewer than two axes, or the dtype is
        neither float nor complex.

    Source:
      Saxe et al., 2014, Exact solutions to the nonlinear dynamics of learning in deep
      linear neural networks, arXiv:1312.6120.

    Example:
      >>> init = hk.initializers.Orthogonal()
      >>> w = hk.transform(lambda: init([4, 2], jnp.float32)).apply({}, rng=0)
      >>> bool(jnp.allclose(w.T @ w, jnp.eye(2), atol=1e-5))
      True
    """

    def __init__(self, scale: Any = 1.0, axis: int = -1):
        self.scale = scale
        self.axis = axis

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns a random matrix of `shape`, which has at least two axes."""
        _require_matrix("Orthogonal", shape)
        return draw(_orthogonal, tuple(shape), dtype, self.scale, self.axis)


class Identity(_ByValue):
    """Fills the array with identity matrices, one per index of the leading axes.

    Args:
      gain: Factor of the matrix.

    Raises:
      ValueError: At a call, if the shape has fewer than two axes.

    Example:
      >>> hk.initializers.Identity(gain=2.0)([2, 3], jnp.float32)
      Array([[2., 0., 0.],
             [0., 2., 0.]], dtype=float32)
    """

    def __init__(self, gain: Any = 1.0):
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any) -> jax.Array:
        """Returns identity matrices of `shape`, which has at least two axes."""
        _require_matrix("Identity", shape)
        *_, rows, columns = shape
        matrix = _scalar(self.gain, dtype) * jnp.eye(rows, columns, dtype=dtype)
        return jnp.broadcast_to(matrix, shape)


def _fans(
    shape: Sequence[int], fan_in_axes: Sequence[int] | None = None
) -> tuple[Any, Any]:
    """The number of inputs and of outputs of weights with `shape`."""
    if len(shape) < 1:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    if len(shape) == 2:
        return shape[0], shape[1]
    if fan_in_axes is not None:
        if any(not -len(shape) <= axis < len(shape) for axis in fan_in_axes):
            raise IndexError(
                f"fan_in_axes {tuple(fan_in_axes)} contain an axis that weights of "
                f"shape {tuple(shape)} don't have: choose from 0 to {len(shape) - 1}."
            )
        axes = {axis % len(shape) for axis in fan_in_axes}
        inputs = [size for axis, size in enumerate(shape) if axis in axes]
        outputs = [size for axis, size in enumerate(shape) if axis not in axes]
        return np.prod(inputs), np.prod(outputs)
    receptive_field = np.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


def __dir__() -> list[str]:
    return __all__
