"""`plan`: does a training fit, and what does a step move, before anything is rented."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from haiku._core.transforms.pure_functions import Transformed, TransformedWithState
from haiku._lifted.pipelined_stack import Pipeline, noted_pipelines
from haiku.parallel.batches import batch_axes
from haiku.parallel.following import follow, shardings
from haiku.parallel.nets import sharded
from haiku.parallel.placed import eval_shape
from haiku.parallel.program_text import Collective, read_program
from haiku.parallel.rules import Rules

__all__ = ["Plan", "plan"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training step needs of each device; `str` of it is a table.

    Attributes:
      rules: The rules.
      mesh: Sizes of the mesh's axes.
      params_bytes: Bytes of the parameters, and of state if there is some. Exact.
      optimizer_bytes: Bytes of the optimizer's state. Exact.
      temporary_bytes: The most that a step holds besides, gradients too. That of the
        compiler of the mesh's devices.
      collectives: What devices send each other, by kind.
      flops: Multiplications and additions of matrix products and convolutions.
      seconds: ``flops / flops_per_second + bytes / bytes_per_second``, the bytes those
        of all collectives.
      flops_per_second: As stated.
      bytes_per_second: As stated.
      bubble: The share of time in which devices of a :func:`pipelined_stack` wait.
      memory: Bytes of a device, as stated.
      largest_batch: The largest batch that fits into `memory`, by a straight line
        through the temporaries of this batch and of twice as many rows; None without a
        memory.

    Example:
      >>> net = hk.transform(lambda x: hk.Linear(8, False)(x))
      >>> auto = (jax.sharding.AxisType.Auto,)
      >>> mesh = jax.make_mesh((2,), ("data",), auto, devices=jax.devices()[:2])
      >>> x = jax.ShapeDtypeStruct([4, 32], jnp.float32)
      >>> hk.parallel.plan(net, hk.parallel.data(), mesh, x).params_bytes
      1024
    """

    rules: Rules
    mesh: dict[str, int]
    params_bytes: int
    optimizer_bytes: int
    temporary_bytes: int
    collectives: tuple[Collective, ...]
    flops: int
    seconds: float
    flops_per_second: float
    bytes_per_second: float
    bubble: float = 0.0
    memory: float | None = None
    largest_batch: int | None = None

    @property
    def bytes(self) -> int:
        """All bytes of a device."""
        return self.params_bytes + self.optimizer_bytes + self.temporary_bytes

    def __str__(self) -> str:
        moved = sum(c.bytes for c in self.collectives)
        rows = [
            ("parameters", _amount(self.params_bytes)),
            ("optimizer's state", _amount(self.optimizer_bytes)),
            ("temporaries of a step", _amount(self.temporary_bytes)),
            ("in all", _amount(self.bytes)),
        ]
        if self.memory is not None:
            fits = "fits" if self.bytes <= self.memory else "does not fit"
            rows.append((f"of {_amount(self.memory)}", fits))
            rows.append(("largest batch, about", str(self.largest_batch)))
        for c in self.collectives:
            text = f"{c.count} times, {_amount(c.bytes)}"
            if c.scatterable:
                text += f", {_amount(c.scatterable)} of it could be reduce-scatter"
            rows.append((c.kind, text))
        time = (
            f"{self.seconds:.3g} s = {self.flops:.3g} flops / "
            f"{self.flops_per_second:.3g} + {_amount(moved)} / "
            f"{_amount(self.bytes_per_second)} per s"
        )
        rows.append(("a step, about", time))
        if self.bubble:
            rows.append(("waiting in the pipeline", f"{self.bubble:.1%} of the time"))
        width = max(len(name) for name, _ in rows)
        head = f"Each of {math.prod(self.mesh.values())} devices, {self.mesh}"
        return "\n".join(
            [head, f"{self.rules}", *(f"  {n:<{width}}  {text}" for n, text in rows)]
        )


def plan(
    net: Any,
    rules: Rules,
    mesh: Mesh,
    *args: Any,
    optimizer: Any = None,
    loss: Callable[..., Any] | None = None,
    memory: float | None = None,
    flops_per_second: float = 459e12,
    bytes_per_second: float = 100e9,
) -> Plan:
    """Compiles a training step for a mesh and reads what it needs; nothing is computed.

    The mesh may be one of forced CPU devices, as many as will be rented
    (``jax.config.update("jax_num_cpu_devices", 256)`` before anything else). Bytes of
    parameters and optimizer are exact. Temporaries and collectives are those of the
    compiler of these devices: that of the CPU computes bfloat16 in float32, has no
    fused attention, and leaves an ``all-reduce`` where a GPU or TPU would scatter.

    Args:
      net: What `hk.transform` or `hk.transform_with_state` returned.
      rules: Which axes are split.
      mesh: The devices.
      *args: A batch for `net.init` and `net.apply`: arrays, or anything with a shape
        and a dtype, ``[B, ...]``.
      optimizer: With `init` and `update`, as those of optax. Default: none, so that a
        step is a loss and its gradient.
      loss: ``loss(output, *args)``, a scalar. Default: the cross-entropy of the next
        tokens, where the first of `args` are tokens ``[B, T]`` and the output is ``[B,
        T, vocab]``; else the mean of the squared outputs.
      memory: Bytes of a device; if given, another compilation finds the largest batch.
      flops_per_second: Of a device; those of a TPU v5p in bfloat16 by default.
      bytes_per_second: Of a device's link; one of a TPU v5p's by default.

    Returns:
      A :class:`Plan`.

    Raises:
      TypeError: `net` or `rules` is something else.
      ValueError: An axis can't be split as the rules say.

    Example:
      >>> net = hk.transform(lambda x: hk.nets.MLP([64, 8])(x))
      >>> auto = (jax.sharding.AxisType.Auto,)
      >>> mesh = jax.make_mesh((8,), ("data",), axis_types=auto)
      >>> x = jax.ShapeDtypeStruct([16, 32], jnp.float32)
      >>> hk.parallel.plan(net, hk.parallel.fully_sharded(), mesh, x).params_bytes
      3360
    """
    if not isinstance(net, Transformed | TransformedWithState):
        raise TypeError(
            "hk.parallel.plan takes what hk.transform or hk.transform_with_state "
            f"returned, got {type(net).__name__}."
        )
    if isinstance(net, Transformed):
        net = _with_empty_state(net)
    step = _Step(sharded(net, rules), rules, mesh, optimizer, loss or _default_loss)
    with jax.set_mesh(mesh):
        params, opt_state = step.shapes(args)
        pipelines: list[Pipeline] = []
        with noted_pipelines.push(pipelines):
            compiled = step.compile(params, opt_state, args)
        held = _bytes_of_device(params), _bytes_of_device(opt_state)
        temporary = compiled.memory_analysis().temp_size_in_bytes
        largest = None
        if memory is not None:
            double = step.compile(params, opt_state, _scaled(args, 2)).memory_analysis()
            more = double.temp_size_in_bytes - temporary
            rows = jax.tree.leaves(args)[0].shape[0]
            largest = _largest_batch(
                rows, temporary, more, memory - sum(held), rules, mesh
            )
    collectives, flops = read_program(compiled.as_text())
    moved = sum(c.bytes for c in collectives)
    return Plan(
        rules=rules,
        mesh=dict(mesh.shape),
        params_bytes=held[0],
        optimizer_bytes=held[1],
        temporary_bytes=temporary,
        collectives=tuple(collectives),
        flops=flops,
        seconds=flops / flops_per_second + moved / bytes_per_second,
        flops_per_second=flops_per_second,
        bytes_per_second=bytes_per_second,
        bubble=max((found.bubble for found in pipelines), default=0.0),
        memory=memory,
        largest_batch=largest,
    )


@dataclasses.dataclass(frozen=True)
class _Step:
    """A training step, as far as its shapes go."""

    net: Any
    rules: Rules
    mesh: Mesh
    optimizer: Any
    loss: Callable[..., Any]

    def shapes(self, args: Any) -> tuple[Any, Any]:
        """Parameters with state, and the optimizer's state, with their places."""
        values = eval_shape(self.net.init, jax.random.key(0), *args)
        if self.optimizer is None:
            return values, ()
        return values, eval_shape(follow(self.optimizer.init), values[0])

    def compile(self, values: Any, opt_state: Any, args: Any) -> Any:
        """The compiled step for `shapes` and a batch."""
        optimizer = self.optimizer

        def loss_of(params: Any, state: Any, args: Any) -> tuple[Any, Any]:
            key = jax.random.key(0)
            out, state = self.net.apply(params, state, key, *args)
            return self.loss(out, *args), state

        def step(values: Any, opt_state: Any, args: Any) -> Any:
            params, state = values
            gradient = jax.value_and_grad(loss_of, has_aux=True)
            (loss, state), grads = gradient(params, state, args)
            if optimizer is None:
                return grads, state, loss
            updates, opt_state = optimizer.update(grads, opt_state, params)
            params = jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)
            return (params, state), opt_state, loss

        stay = (*shardings((values, opt_state)), None)
        if optimizer is None:
            stay = (*shardings(values), None)
        batch = PartitionSpec(batch_axes(self.rules, self.mesh) or None)
        whole = PartitionSpec()

        def place(x: Any) -> jax.ShapeDtypeStruct:
            place = NamedSharding(self.mesh, batch if x.shape else whole)
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

        donated = () if optimizer is None else (0, 1)
        compiled = jax.jit(step, donate_argnums=donated, out_shardings=stay)
        placed = jax.tree.map(place, args)
        return compiled.lower(values, opt_state, placed).compile()


def _with_empty_state(net: Any) -> TransformedWithState:
    def init(rng: Any, *args: Any) -> Any:
        return net.init(rng, *args), {}

    def apply(params: Any, state: Any, rng: Any, *args: Any) -> Any:
        return net.apply(params, rng, *args), state

    return TransformedWithState(init, apply)


def _default_loss(output: Any, *args: Any) -> jax.Array:
    output = jax.tree.leaves(output)[0]
    tokens = jax.tree.leaves(args)[0]
    is_text = (
        len(tokens.shape) == 2
        and jnp.issubdtype(tokens.dtype, jnp.integer)
        and output.shape[:-1] == tokens.shape
    )
    wide = output.astype(jnp.float32)
    if not is_text:
        return jnp.mean(wide**2)
    logits = jax.nn.log_softmax(wide[:, :-1])
    chosen = jnp.take_along_axis(logits, tokens[:, 1:, None], axis=-1)
    return -jnp.mean(chosen)


def _scaled(args: Any, factor: int) -> Any:
    """The same batch with more rows."""

    def scaled(x: Any) -> jax.ShapeDtypeStruct:
        shape = (factor * x.shape[0], *x.shape[1:]) if x.shape else ()
        return jax.ShapeDtypeStruct(shape, x.dtype)

    return jax.tree.map(scaled, args)


def _bytes_of_device(tree: Any) -> int:
    def size(x: Any) -> int:
        return math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize

    return sum(map(size, jax.tree.leaves(tree)))


def _largest_batch(
    batch: int, temporary: int, more: int, left: float, rules: Rules, mesh: Mesh
) -> int:
    """The most rows whose temporaries fit, a multiple of the parts of the batch."""
    parts = math.prod(mesh.shape[axis] for axis in batch_axes(rules, mesh))
    if more <= 0:
        return batch if temporary <= left else 0
    rows = batch * (1 + (left - temporary) / more)
    return max(0, math.floor(rows / parts) * parts)


def _amount(n: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
