"""custom_jvp and custom_vjp: derivatives that the user writes.

A rule is for the arguments. To JAX, the parameters that the function uses are arguments
too; their derivative is that of the function itself. Rules may use modules, although
JAX may call them after the transformed function has ended: they run in a copy of the
frame as it was at the call.
"""

import contextvars
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku._core.keys.key_sequence import PRNGSequence
from haiku._core.runs.frame import Contents, Frame, current_frame, frames
from haiku._lifted.pure import changing


def _later(frame: Frame) -> Callable[..., tuple[Any, Contents]]:
    """A function that calls others later as they would run now.

    Returns:
      `call(f, contents, *args) -> (output, its changes of contents)`.
    """
    now = contextvars.copy_context()
    now.run(frames.set, tuple(f.without_values() for f in frames.get()[:-1]))
    kept = frame.without_values()

    def call(f: Callable[..., Any], contents: Contents, *args: Any) -> Any:
        def run() -> Any:
            running = kept.without_values()
            running.keys = contents.keys and PRNGSequence(contents.keys)
            with frames.push(running):
                return changing(f, contents)(*args)

        return now.copy().run(run)

    return call


class _Call(NamedTuple):
    """The part of a call that JAX keeps; it holds no traced arrays.

    Attributes:
      run: Calls functions as they would run at the call, see `_later`.
      contents: `(used, rest) -> Contents` joins the parameters that the function uses
        with all other contents.
      number: The number of arguments.
      fixed: The arguments that aren't differentiated, by position.
    """

    run: Callable[..., tuple[Any, Contents]]
    contents: Callable[[Any, Any], Contents]
    number: int
    fixed: dict[int, Any]

    def primal(self, fun: Callable[..., Any], used: Any, rest: Any, free: Any) -> Any:
        """`fun` of everything that it depends on: `(output, changes)`."""
        others = iter(free)
        args = [
            self.fixed[i] if i in self.fixed else next(others)
            for i in range(self.number)
        ]
        return self.run(fun, self.contents(used, rest), *args)


class _WithRule:
    """A function with a rule: how it is called."""

    _what: str
    _how: str

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()):
        if not callable(fun):
            raise TypeError(f"hk.{self._what} takes a function, got {fun!r}.")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.nondiff_argnums = tuple(nondiff_argnums)
        self._rule: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame = current_frame(f"hk.{self._what}")
        if self._rule is None:
            name = getattr(self.fun, "__name__", "f")
            raise ValueError(
                f"hk.{self._what} of {name} has no rule: call {self._how} first."
            )
        if kwargs:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        call, used, rest = self._called(frame, args)
        free = tuple(x for i, x in enumerate(args) if i not in call.fixed)
        out, changed = self._with_rule(call)(used, rest, free)
        frame.absorb(changed)
        return out

    def _with_rule(self, call: _Call) -> Callable[..., Any]:
        raise NotImplementedError

    def _called(self, frame: Frame, args: tuple[Any, ...]) -> tuple[_Call, Any, Any]:
        """The call, the parameters that the function uses, and the other contents."""
        before = frame.snapshot()
        leaves, tree = jax.tree.flatten(before.params)

        def contents(used: Any, rest: Any) -> Contents:
            unused, others = rest
            both = [a if b is None else b for a, b in zip(unused, used)]
            return others._replace(params=jax.tree.unflatten(tree, both))

        run = _later(frame)
        others = before._replace(params={})
        # An unused parameter would get a gradient of zeros every time.
        wanted = [False] * len(leaves)
        if not frame.initialising:
            nothing = [None] * len(leaves)
            wanted = _used(
                lambda leaves: run(
                    self.fun, contents(leaves, (nothing, others)), *args
                ),
                leaves,
            )
        used = [x if w else None for x, w in zip(leaves, wanted)]
        unused = [None if w else x for x, w in zip(leaves, wanted)]
        numbers = {n % len(args) for n in self.nondiff_argnums} if args else set()
        fixed = {n: args[n] for n in sorted(numbers)}
        return _Call(run, contents, len(args), fixed), used, (unused, others)


def _used(f: Callable[..., Any], leaves: list[Any]) -> list[bool]:
    """Which of the arrays `f` uses."""
    if not leaves:
        return []
    program = jax.make_jaxpr(f)(leaves).jaxpr
    read = {id(x) for equation in program.eqns for x in equation.invars}
    read |= {id(x) for x in program.outvars}
    return [id(x) in read for x in program.invars]


class custom_vjp(_WithRule):
    """`jax.custom_vjp` for a function that uses modules: a user-defined gradient.

    The rule defines the gradient of the arguments. Parameters that the function uses
    keep the function's own gradient; state that it sets has none.

    Args:
      fun: The function.
      nondiff_argnums: Positional arguments that aren't arrays or aren't differentiated;
        `bwd` takes them first.

    Example:
      >>> @hk.transform
      ... def f(x):
      ...     layer = hk.custom_vjp(hk.Linear(3))
      ...     # The gradient of the layer's input is at most one.
      ...     layer.defvjp(
      ...         lambda x: (layer.fun(x), x.shape),
      ...         lambda shape, g: (jnp.clip(jnp.ones(shape) * g.sum(), -1, 1),),
      ...     )
      ...     return layer(x)
    """

    _what = "custom_vjp"
    _how = "`defvjp(fwd, bwd)`"

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Sets the rule.

        Args:
          fwd: Takes the function's arguments; returns its output and residuals, any
            pytree of arrays. It may use modules, as the function does.
          bwd: Takes the arguments of `nondiff_argnums`, the residuals and the output's
            cotangent; returns a tuple of one cotangent for each other argument, None
            for zeros. It may use modules whose parameters exist.
        """
        self._rule = fwd, bwd

    def _with_rule(self, call: _Call) -> Callable[..., Any]:
        fwd, bwd = self._rule
        f = jax.custom_vjp(functools.partial(call.primal, self.fun))

        def forward(used: Any, rest: Any, free: Any) -> Any:
            _, back, changed = jax.vjp(
                lambda used: call.primal(self.fun, used, rest, free), used, has_aux=True
            )
            pair, _ = call.primal(fwd, used, rest, free)
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TypeError(
                    "`fwd` of hk.custom_vjp returns a pair (output, residuals), got "
                    f"{type(pair).__name__}. Without residuals, return `output, None`."
                )
            out, residuals = pair
            return (out, changed), (back, residuals, used, rest)

        def backward(saved: Any, cotangents: Any) -> Any:
            back, residuals, used, rest = saved
            by_args, _ = call.run(
                bwd,
                call.contents(used, rest),
                *call.fixed.values(),
                residuals,
                cotangents[0],
            )
            number = call.number - len(call.fixed)
            if not (isinstance(by_args, tuple) and len(by_args) == number):
                raise TypeError(
                    "`bwd` of hk.custom_vjp returns a tuple of one cotangent for each "
                    f"of {number} arguments, got {by_args!r}. For a single "
                    "argument write `return (cotangent,)`."
                )
            return *back(cotangents[0]), None, by_args

        f.defvjp(forward, backward)
        return f


class custom_jvp(_WithRule):
    """`jax.custom_jvp` for a function that uses modules: a user-defined derivative.

    The rule defines the derivative of the arguments. Parameters that the function uses
    keep the function's own derivative; state that it sets has none.

    Args:
      fun: The function.
      nondiff_argnums: Positional arguments that aren't arrays or aren't differentiated;
        the rule takes them first.

    Example:
      >>> @hk.transform
      ... def f(x):
      ...     @hk.custom_jvp
      ...     def step(x):  # straight through
      ...         return jnp.sign(hk.Linear(3)(x))
      ...
      ...     step.defjvp(lambda primals, tangents: (step.fun(*primals), tangents[0]))
      ...     return step(x)
    """

    _what = "custom_jvp"
    _how = "`defjvp(rule)` or `defjvps(*rules)`"

    def defjvp(self, rule: Callable[..., Any]) -> None:
        """Sets the rule.

        Args:
          rule: Takes the arguments of `nondiff_argnums`, a tuple of the other
            arguments, and a tuple of their tangents; returns `(output, tangent)`. It
            may use modules, as the function does.
        """
        self._rule = rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Sets one rule per argument; with `nondiff_argnums` use `defjvp`.

        Args:
          *rules: `rule(tangent, output, *args) -> tangent of the output`; None for an
            argument without a derivative.
        """
        if self.nondiff_argnums:
            raise TypeError("With nondiff_argnums, hk.custom_jvp takes `defjvp(rule)`.")

        def rule(primals: Any, tangents: Any) -> Any:
            out = self.fun(*primals)
            parts = [r(t, out, *primals) for r, t in zip(rules, tangents) if r]
            return out, functools.reduce(_sum, parts, jax.tree.map(_no_tangent, out))

        self._rule = rule

    def _with_rule(self, call: _Call) -> Callable[..., Any]:
        f = jax.custom_jvp(functools.partial(call.primal, self.fun))

        @f.defjvp
        def derivative(primals: Any, tangents: Any) -> Any:
            used, rest, free = primals
            _, by_params, changed = jax.jvp(
                lambda used: call.primal(self.fun, used, rest, free),
                primals[:1],
                tangents[:1],
                has_aux=True,
            )
            pair, _ = call.run(
                self._rule,
                call.contents(used, rest),
                *call.fixed.values(),
                tuple(free),
                tuple(tangents[2]),
            )
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TypeError(
                    "The rule of hk.custom_jvp returns a pair (output, tangent), got "
                    f"{type(pair).__name__}."
                )
            out, by_args = pair
            without = jax.tree.map(_no_tangent, changed)
            return (out, changed), (_sum(by_args, by_params), without)

        return f


def _no_tangent(x: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(x), jnp.inexact):
        return jnp.zeros_like(x)
    return np.zeros(jnp.shape(x), jax.dtypes.float0)


def _sum(a: Any, b: Any) -> Any:
    return jax.tree.map(
        lambda a, b: a if b.dtype == jax.dtypes.float0 else jnp.add(a, b), a, b
    )
