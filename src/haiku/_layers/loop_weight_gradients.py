"""Products with a weight, whose gradient in a loop is one product after the loop.

    y[t] = x[t] w        dw = sum over t of x[t]^T dy[t] = [x[0] ... x[T]]^T [dy[0] ...]

JAX's derivative of a loop adds a matrix to `dw` at each step: with a small batch that
is slower than all the rest. :func:`scan` takes the weights' part out of the loop. For
its derivative, products in the body are `x[t] w + slack[t]`, where `w` has no tangent
and `slack` is zero with the tangent `x dw`, of all steps at once. This is linear, so
JAX makes the gradient of it, and derivatives of any order and mode.
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

__all__ = ["Factors", "is_collected", "left_in_loop", "scan", "sum_of_products"]


class Factors(NamedTuple):
    """One product.

    Attributes:
      x: ``[..., I]``; None where it is still to come.
      w: ``[I, O]``, or None as well.
      columns: Which columns of `w`: the first, and one past the last. Default: all.
      precision: As in ``jax.numpy.dot``.
    """

    x: Any
    w: Any
    columns: tuple[int, int] | None = None
    precision: Any = None

    def multiplied(self) -> jax.Array:
        """``x w``."""
        x, w, columns, precision = self
        w = w[:, slice(*columns)] if columns else w
        return jnp.dot(x, w, precision=precision)


def sum_of_products(*products: Factors) -> jax.Array:
    """``x_1 w_1 + x_2 w_2 + ...``; in a loop, with weight gradients after it."""
    collector = _collector()
    if collector and all(collector.knows(product.w) for product in products):
        return collector.sum_of_products(products)
    return _sum(products)


def is_collected(w: jax.Array) -> bool:
    """Whether `sum_of_products` does anything but multiply and add."""
    collector = _collector()
    return collector is not None and collector.knows(w)


def left_in_loop() -> contextlib.AbstractContextManager[Any]:
    """Has JAX's own derivative of products while a `with` block runs."""
    return _collectors.push(None)


def _sum(products: Sequence[Factors]) -> jax.Array:
    return functools.reduce(jnp.add, [product.multiplied() for product in products])


def _with_weights(products: Sequence[Factors], weights: Any) -> list[Factors]:
    return [product._replace(w=w) for product, w in zip(products, weights)]


class _Collector:
    """The sums of products of one step.

    Attributes:
      instead: ``(weights, slack)``: the weights to take for each sum, and what to add
        to it. None takes the products as they are.
      sums: The factors of each.
      outputs: What came out.
    """

    def __init__(self, instead: Any = None):
        self.instead = instead
        self.trace = trace_state()
        self.sums: list[Sequence[Factors]] = []
        self.outputs: list[jax.Array] = []

    def knows(self, w: jax.Array) -> bool:
        """Whether `w` is a parameter of the running frame, and this the step itself."""
        params = current_frame("hk").params
        known = any(w is x for named in params.values() for x in named.values())
        return known and trace_state() == self.trace

    def sum_of_products(self, products: Sequence[Factors]) -> jax.Array:
        if self.instead is None:
            out = _sum(products)
        else:
            weights, slack = (x[len(self.sums)] for x in self.instead)
            out = _sum(_with_weights(products, weights)) + slack
        self.sums.append(products)
        self.outputs.append(out)
        return out

    def inputs(self) -> list[list[jax.Array]]:
        return [[product.x for product in products] for products in self.sums]


def _collector() -> "_Collector | None":
    running = _collectors.get()
    return running[-1] if running else None


def _is_traced_index(x: Any) -> bool:
    """Whether a rule of `jax.custom_jvp`, run later, could not close over `x`."""
    return isinstance(x, Tracer) and not jnp.issubdtype(x.dtype, jnp.inexact)


_collectors: Stack[_Collector | None] = Stack("products")


def scan(
    body: Any, init: Any, xs: Any, length: Any, reverse: bool, unroll: int | bool
) -> tuple[Any, Any]:
    """As `jax.lax.scan`, with the weights' gradients taken after the loop."""
    loop = functools.partial(
        jax.lax.scan, length=length, reverse=reverse, unroll=unroll
    )
    if jax.sharding.get_abstract_mesh().manual_axes:
        # Inside shard_map types say along which axes values differ; `slack` would
        # have to be of the type of what it is added to.
        return loop(body, init, xs)
    x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    sums, outputs, constants = _looked_at(body, init, x)
    if not outputs or any(map(_is_traced_index, constants)):
        return loop(body, init, xs)
    weights = [[product.w for product in products] for products in sums]
    # What a derivative keeps must hold no tracer of this trace.
    sums = [[product._replace(w=None) for product in products] for products in sums]

    def step(carry, x, *instead):
        (carry, y), collector = _collected(body, instead, carry, x)
        return carry, (y, collector.inputs())

    # Traced here, once: a derivative may be taken when this frame has ended.
    step, consts = jax.closure_convert(step, init, x, weights, outputs)
    steps = length if length is not None else jax.tree.leaves(xs)[0].shape[0]
    run = _with_gradients_after(loop, step, sums, outputs, steps)
    return run(init, xs, consts, weights)


def _collected(body: Any, instead: Any, carry: Any, x: Any) -> tuple[Any, _Collector]:
    """One step, and the sums of products in it."""
    collector = _Collector(instead)
    with _collectors.push(collector):
        return body(carry, x), collector


def _looked_at(body: Any, carry: Any, x: Any) -> tuple[list[Any], Any, list[Any]]:
    """The sums in a step, their factors `x` left out; their outputs; its constants."""
    sums: list[list[Factors]] = []

    def look(carry, x):
        collector = _collected(body, None, carry, x)[1]
        # The factors `x` end with this look.
        sums[:] = [[p._replace(x=None) for p in sum_] for sum_ in collector.sums]
        return collector.outputs

    jaxpr, outputs = jax.make_jaxpr(look, return_shape=True)(carry, x)
    return sums, outputs, jaxpr.consts


def _with_gradients_after(
    loop: Any, step: Any, sums: list[list[Factors]], outputs: Any, steps: int
) -> Any:
    """The loop of `step`, as a function whose derivative by weights comes after it."""

    @jax.custom_jvp
    def run(init, xs, consts, weights):
        none = [jnp.zeros(y.shape, y.dtype) for y in outputs]

        def one_step(carry, x):
            carry, (y, _) = step(carry, x, weights, none, *consts)
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

        none = [jnp.zeros((steps, *y.shape), y.dtype) for y in outputs]
        (carry, (ys, inputs)), linear = jax.linearize(with_slack, *primals, none)
        d_slack = [
            _sum([p._replace(x=x, w=dw) for p, x, dw in zip(products, factors, d_ws)])
            for products, factors, d_ws in zip(sums, inputs, d_weights)
        ]
        d_slack = [d.astype(y.dtype) for d, y in zip(d_slack, outputs)]
        d_carry, (d_ys, _) = linear(*tangents, d_slack)
        return (carry, ys), (d_carry, d_ys)

    return run
