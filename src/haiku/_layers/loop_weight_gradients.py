"""Weight gradients of a loop, computed as one product after the loop.

    y[t] = x[t] w        dw = sum over t of x[t]^T dy[t] = [x[0] ... x[T]]^T [dy[0] ...]

JAX's derivative of a loop adds a matrix to `dw` at each step. With a small batch that
takes longer than everything else, so :func:`scan` moves it out of the loop. In its
derivative, the products in the body become `x[t] w + slack[t]`: `w` has no tangent, and
`slack` is zero with the tangent `x dw`, computed for all steps at once. This is linear,
so JAX can derive the gradient from it, and derivatives of any order and mode.
"""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from haiku._core.leaks.watch import trace_state
from haiku._core.runs.frame import current_frame
from haiku._core.runs.stack import Stack
from haiku._layers.product import product

__all__ = [
    "Factors",
    "is_collected",
    "keep_gradients_in_loop",
    "scan",
    "sum_of_products",
]


class Factors(NamedTuple):
    """The factors of one product ``x w``.

    Attributes:
      x: ``[..., I]``, or None if not known yet.
      w: ``[I, O]``, or None if not known yet.
      columns: Columns of `w` to use: the first, and one past the last. Default: all.
      precision: As in ``jax.numpy.dot``.
    """

    x: Any
    w: Any
    columns: tuple[int, int] | None = None
    precision: Any = None

    def multiply(self) -> jax.Array:
        """Returns ``x w``."""
        x, w, columns, precision = self
        w = w[:, slice(*columns)] if columns else w
        return product(x, w, precision)


def sum_of_products(*products: Factors) -> jax.Array:
    """Returns ``x_1 w_1 + x_2 w_2 + ...``; `scan` collects it for its derivative."""
    collector = _current_collector()
    if collector and all(collector.collects(product.w) for product in products):
        return collector.sum_of_products(products)
    return _add_products(products)


def is_collected(w: jax.Array) -> bool:
    """Whether `scan` currently collects products with `w`."""
    collector = _current_collector()
    return collector is not None and collector.collects(w)


def keep_gradients_in_loop() -> contextlib.AbstractContextManager[Any]:
    """Uses JAX's own derivative for products inside the `with` block."""
    return _collectors.push(None)


def _add_products(products: Sequence[Factors]) -> jax.Array:
    return functools.reduce(jnp.add, [product.multiply() for product in products])


def _replace_weights(products: Sequence[Factors], weights: Any) -> list[Factors]:
    return [product._replace(w=w) for product, w in zip(products, weights)]


class _Collector:
    """Records the sums of products in one step.

    Attributes:
      replacement: ``(weights, slack)``: for each sum, the weights to use and the term
        to add. None leaves the products unchanged.
      sums: The factors of each sum.
      outputs: The value of each sum.
    """

    def __init__(self, replacement: Any = None):
        self.replacement = replacement
        self.trace = trace_state()
        self.sums: list[Sequence[Factors]] = []
        self.outputs: list[jax.Array] = []

    def collects(self, w: jax.Array) -> bool:
        """Whether `w` is a parameter of the frame, used directly in the step."""
        params = current_frame("hk").params
        is_param = any(w is x for named in params.values() for x in named.values())
        return is_param and trace_state() == self.trace

    def sum_of_products(self, products: Sequence[Factors]) -> jax.Array:
        if self.replacement is None:
            out = _add_products(products)
        else:
            weights, slack = (x[len(self.sums)] for x in self.replacement)
            out = _add_products(_replace_weights(products, weights)) + slack
        self.sums.append(products)
        self.outputs.append(out)
        return out

    def inputs(self) -> list[list[jax.Array]]:
        return [[product.x for product in products] for products in self.sums]


def _current_collector() -> "_Collector | None":
    collectors = _collectors.get()
    return collectors[-1] if collectors else None


def _is_traced_index(x: Any) -> bool:
    """Whether `x` is a traced integer; a `jax.custom_jvp` rule can't close over it."""
    return isinstance(x, Tracer) and not jnp.issubdtype(x.dtype, jnp.inexact)


_collectors: Stack[_Collector | None] = Stack("products")


def scan(
    body: Any, init: Any, xs: Any, length: Any, reverse: bool, unroll: int | bool
) -> tuple[Any, Any]:
    """`jax.lax.scan` that computes weight gradients after the loop."""
    loop = functools.partial(
        jax.lax.scan, length=length, reverse=reverse, unroll=unroll
    )
    if jax.sharding.get_abstract_mesh().manual_axes:
        # Inside shard_map a type names the axes along which a value varies, and
        # `slack` would need the type of the sum it is added to.
        return loop(body, init, xs)
    x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    sums, outputs, constants = _trace_sums(body, init, x)
    if not outputs or any(map(_is_traced_index, constants)):
        return loop(body, init, xs)
    weights = [[product.w for product in products] for products in sums]
    # The derivative outlives this trace, so it must not keep its tracers.
    sums = [[product._replace(w=None) for product in products] for products in sums]

    def step(carry, x, *replacement):
        (carry, y), collector = _collect(body, replacement, carry, x)
        return carry, (y, collector.inputs())

    # Trace the step now: the derivative may run after this frame has ended.
    step, consts = jax.closure_convert(step, init, x, weights, outputs)
    steps = length if length is not None else jax.tree.leaves(xs)[0].shape[0]
    run = _derive_after_loop(loop, step, sums, outputs, steps)
    return run(init, xs, consts, weights)


def _collect(body: Any, replacement: Any, carry: Any, x: Any) -> tuple[Any, _Collector]:
    """Runs one step; also returns the collector of its sums of products."""
    collector = _Collector(replacement)
    with _collectors.push(collector):
        return body(carry, x), collector


def _trace_sums(body: Any, carry: Any, x: Any) -> tuple[list[Any], Any, list[Any]]:
    """The sums in a step without their factors `x`, their values, and its constants."""
    sums: list[list[Factors]] = []

    def run(carry, x):
        collector = _collect(body, None, carry, x)[1]
        # The factors `x` are tracers of this trace only.
        sums[:] = [[p._replace(x=None) for p in sum_] for sum_ in collector.sums]
        return collector.outputs

    jaxpr, outputs = jax.make_jaxpr(run, return_shape=True)(carry, x)
    return sums, outputs, jaxpr.consts


def _derive_after_loop(
    loop: Any, step: Any, sums: list[list[Factors]], outputs: Any, steps: int
) -> Any:
    """The loop over `step`, with derivatives by weights computed after it."""

    @jax.custom_jvp
    def run(init, xs, consts, weights):
        no_slack = [jnp.zeros(y.shape, y.dtype) for y in outputs]

        def one_step(carry, x):
            carry, (y, _) = step(carry, x, weights, no_slack, *consts)
            return carry, y

        return loop(one_step, init, xs)

    @run.defjvp
    def run_jvp(primals, tangents):
        *primals, weights = primals
        *tangents, d_weights = tangents

        def with_slack(init, xs, consts, slack):
            def one_step(carry, inputs):
                x, slack = inputs
                return step(carry, x, weights, slack, *consts)

            return loop(one_step, init, (xs, slack))

        no_slack = [jnp.zeros((steps, *y.shape), y.dtype) for y in outputs]
        (carry, (ys, inputs)), linear = jax.linearize(with_slack, *primals, no_slack)
        d_slack = [
            _add_products(
                [p._replace(x=x, w=dw) for p, x, dw in zip(products, factors, d_ws)]
            )
            for products, factors, d_ws in zip(sums, inputs, d_weights)
        ]
        d_slack = [d.astype(y.dtype) for d, y in zip(d_slack, outputs)]
        d_carry, (d_ys, _) = linear(*tangents, d_slack)
        return (carry, ys), (d_carry, d_ys)

    return run
