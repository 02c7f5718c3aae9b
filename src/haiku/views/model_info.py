"""What a function computes, module by module: its operations, FLOPs and parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from haiku._text import count_text
from haiku.data_structures import tree_size
from haiku.views.calls import Call
from haiku.views.inspection import check_callable, name_of, traced
from haiku.views.jaxprs import Group, Letters, aval_text, called, grouped, scopes


@dataclasses.dataclass
class Expression:
    """One operation, or a group of them: a module, a jitted function, a loop.

    Attributes:
      primitive: The operation's name; `name_scope` for a module or a
        `jax.named_scope`.
      invars: Names of its inputs.
      outvars: Names of its outputs.
      flops: How many floating point operations it takes; None if not counted.
      details: Shapes and dtypes: `in f32[2,5], f32[5,4], out f32[2,4]`.
      params: The operation's options.
      submodule: The group, if it is one.
      first_outvar: Name of its first output.
      name_stack: The named scopes around it, outermost first.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> model = info.make_model_info(lambda x: x @ x, compute_flops=hk.views.flops)
      >>> product = model(jnp.ones([3, 3])).expressions[0]
      >>> product.primitive, product.flops, product.details
      ('dot_general', 54, 'in f32[3,3], f32[3,3], out f32[3,3]')
    """

    primitive: str
    invars: str
    outvars: str
    flops: int | None = None
    details: str = ""
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    submodule: Module | None = None
    first_outvar: str = ""
    name_stack: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Module:
    """A group of operations: a module, a jitted function, a loop's body.

    Attributes:
      name: What it is called.
      flops: Floating point operations of one run; None if not counted.
      expressions: What it runs, in order.
      total_param_size: How many numbers its parameters hold.
      param_info: Shape and dtype of each parameter, by path from here:
        `{"./linear_0/w": "f32[5,4]"}`.
      total_state_size: How many numbers its state holds.
      state_info: Shape and dtype of each state, by path from here.

    Example:
      >>> info = hk.experimental.jaxpr_info
      >>> net = hk.transform(lambda x: hk.Linear(2)(x))
      >>> params = net.init(jax.random.key(0), jnp.ones([1, 3]))
      >>> model = info.make_model_info(net.apply)(params, None, jnp.ones([1, 3]))
      >>> model.expressions[0].submodule.param_info
      {'./b': 'f32[2]', './w': 'f32[3,2]'}
    """

    name: str
    flops: int | None = None
    expressions: list[Expression] = dataclasses.field(default_factory=list)
    total_param_size: int = 0
    param_info: dict[str, str] = dataclasses.field(default_factory=dict)
    total_state_size: int = 0
    state_info: dict[str, str] = dataclasses.field(default_factory=dict)


ComputeFlops = Callable[[Any, Expression], int | None]


def make_model_info(
    f: Callable[..., Any],
    name: str | None = None,
    include_module_info: bool = True,
    compute_flops: ComputeFlops | None = None,
    axis_env: Sequence[tuple[Any, int]] | None = None,
) -> Callable[..., Module]:
    """Makes a function that lists what a function computes, module by module.

    Args:
      f: A function of arrays: `apply` of what `hk.transform` returned, a loss, a
        gradient, jitted or not.
      name: What to call it. Default: its own name.
      include_module_info: Whether to add each module's parameters and state. Default
        True.
      compute_flops: Takes a JAX equation (`jax.extend.core.JaxprEqn`) and its
        `Expression`, returns how many floating point operations it takes:
        `hk.views.flops` or your own. Groups are summed, a scan's body times its length.
        Default: don't count.
      axis_env: Names and sizes of axes that `f` uses, `[("batch", 8)]`, if it is to run
        inside `jax.pmap` or `jax.vmap`. Default None.

    Returns:
      A function of the arguments of `f`, arrays or `jax.ShapeDtypeStruct`s, that
      returns a `Module`. Nothing is computed.

    Raises:
      TypeError: `f` can't be called.

    Example:
      >>> f = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(3)(x)))
      >>> x = jnp.ones([2, 4])
      >>> params = f.init(jax.random.key(0), x)
      >>> info = hk.experimental.jaxpr_info.make_model_info(f.apply)(params, x)
      >>> print(hk.experimental.jaxpr_info.format_module(info))
      apply_fn
        linear 15 params
          dot_general in f32[2,4], f32[4,3], out f32[2,3]
          broadcast_in_dim in f32[3], out f32[2,3]
          add in f32[2,3], f32[2,3], out f32[2,3]
      <BLANKLINE>
    """
    check_callable("make_model_info", f)

    def model_info(*args: Any, **kwargs: Any) -> Module:
        program, _, calls = traced(f, args, kwargs, axis_env, Call.run)
        reader = _Reader(calls if include_module_info else {}, compute_flops)
        return reader.program(name or name_of(f), program, ())

    return model_info


def format_module(module: Module, depth: int = 0) -> str:
    """Writes a `Module` as indented text, one line per operation.

    Args:
      module: The result of `make_model_info`.
      depth: How far to indent, in steps of two spaces. Default 0.

    Returns:
      Lines such as `linear_0 1.8 kparams` and
      `dot_general in f32[2,5], f32[5,300], out f32[2,300]`.

    Example:
      >>> info = hk.experimental.jaxpr_info.make_model_info(jnp.dot)(1.0, 2.0)
      >>> print(hk.experimental.jaxpr_info.format_module(info), end="")
      dot
        dot_general in f32[], f32[], out f32[]
    """
    counts = (
        (module.flops, "flops"),
        (module.total_param_size, "params"),
        (module.total_state_size, "state"),
    )
    words = [module.name, *(count_text(n, unit) for n, unit in counts if n)]
    out = "  " * depth + " ".join(words) + "\n"
    for expression in module.expressions:
        if expression.submodule is not None:
            out += format_module(expression.submodule, depth + 1)
            continue
        words = [expression.primitive]
        if expression.flops:
            words.append(count_text(expression.flops, "flops"))
        out += "  " * (depth + 1) + " ".join((*words, expression.details)) + "\n"
    return out


class _Reader:
    """Turns programs into `Module`s."""

    def __init__(
        self, calls: dict[tuple[str, ...], Call], compute_flops: ComputeFlops | None
    ):
        self._calls, self._compute_flops = calls, compute_flops

    def program(self, name: str, jaxpr: Any, around: tuple[str, ...]) -> Module:
        """The module of a whole program, in the named scopes `around`."""
        letters = Letters()
        for variable in (*jaxpr.constvars, *jaxpr.invars):
            letters(variable)
        module = Module(name)
        self._fill(module, grouped(jaxpr), around, letters)
        return module

    def _fill(self, module: Module, items: Any, around: Any, letters: Letters) -> None:
        for item in items:
            if isinstance(item, Group):
                group = Module(item.path[-1], **self._info((*around, *item.path)))
                self._fill(group, item.items, around, letters)
                module.expressions.append(
                    Expression("name_scope", "", "", group.flops, submodule=group)
                )
            else:
                stack = scopes(item)
                module.expressions += self._expressions(item, stack, around, letters)
        if self._compute_flops is not None:
            module.flops = sum(e.flops or 0 for e in module.expressions)

    def _expressions(
        self, eqn: Any, stack: list[str], around: tuple[str, ...], letters: Letters
    ) -> Iterator[Expression]:
        """The equation; in the place of a kernel, those in it."""
        inner = called(eqn)
        if inner is not None and inner.is_kernel:
            letters.inside(inner, eqn)
            for step in inner.jaxpr.eqns:
                yield from self._expressions(step, stack, around, letters)
            return
        ins, outs = [letters(v) for v in eqn.invars], [letters(v) for v in eqn.outvars]
        expression = Expression(
            primitive=eqn.primitive.name,
            invars=_listed(ins, "inputs"),
            outvars=_listed(outs, "outputs"),
            first_outvar=outs[0] if outs else "",
            name_stack=stack,
        )
        if inner is not None:
            program = self.program(inner.title, inner.jaxpr, (*around, *stack))
            expression.submodule = program
            if program.flops is not None:
                expression.flops = program.flops * inner.times
            yield expression
            return
        expression.details = ", ".join(
            f"{word} {', '.join(aval_text(v) for v in variables)}"
            for word, variables in (("in", eqn.invars), ("out", eqn.outvars))
            if variables
        )
        expression.params = dict(eqn.params)
        if self._compute_flops is not None:
            expression.flops = self._compute_flops(eqn, expression) or 0
        yield expression

    def _info(self, path: tuple[str, ...]) -> dict[str, Any]:
        call = self._calls.get(path)
        if call is None or call.context.method_name != "__call__":
            return {}
        params, state, prefix = call.details.params, call.details.state, call.key[0]
        return {
            "total_param_size": tree_size(dict(params)),
            "param_info": {_relative(k, prefix): str(x) for k, x in params.items()},
            "total_state_size": tree_size(dict(state)),
            "state_info": {_relative(k, prefix): str(x) for k, x in state.items()},
        }


def _relative(path: str, prefix: str) -> str:
    """A path seen from the module at `prefix`, if it is inside."""
    if not path.startswith(f"{prefix}/"):
        return path
    parts = path.removeprefix(f"{prefix}/").split("/")
    return "/".join([".", *(part for part in parts if part != "~")])


def _listed(names: list[str], what: str) -> str:
    return " ".join(names) if len(names) <= 10 else f"{len(names)} {what}"
