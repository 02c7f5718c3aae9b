"""pipelined_stack: a stack of layers whose devices work on different rows at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from haiku._core.runs.frame import current_frame
from haiku._core.runs.stack import Stack
from haiku._lifted.layer_stack import Layers, NoPerLayer, layer_stack


class Pipeline(NamedTuple):
    """The schedule of a stack: stages take turns with parts of the batch."""

    stages: int
    microbatches: int

    @property
    def bubble(self) -> float:
        """The share of a device's time in which it waits."""
        return (self.stages - 1) / (self.microbatches + self.stages - 1)


noted_pipelines: Stack[list[Pipeline]] = Stack("pipelines")


def pipelined_stack(
    num_layers: int, microbatches: int, axis: str = "pipe", name: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A stack of layers over devices, each of which runs a stage on its part in turn.

    Parameters and their paths are those of `hk.layer_stack`, and so are numbers. Each
    device keeps ``num_layers / stages`` layers, if the rules split ``layers`` over the
    same axis (:func:`pipeline`). A device waits for ``(stages - 1) / (microbatches +
    stages - 1)`` of the time, and sends each part on to the next, in the backward pass
    too; that is worth it only across slow links.

    Args:
      num_layers: The number of layers.
      microbatches: Into how many parts the rows are cut.
      axis: The mesh axis over which the stages lie. Where the mesh hasn't got it, this
        is `hk.layer_stack`.
      name: The first part of the paths.

    Returns:
      A decorator for a function of one array or tree ``[B, ...]`` that returns its
      like. It keeps no state; keys differ between parts of the batch, so random layers
      draw other numbers than in `hk.layer_stack`.

    Raises:
      ValueError: The stages don't divide the layers, or `microbatches` the rows; or a
        layer keeps state.

    Source:
      Huang et al., 2019, GPipe: Efficient Training of Giant Neural Networks using
      Pipeline Parallelism, arXiv:1811.06965.

    Example:
      >>> def f(x):
      ...     block = hk.parallel.pipelined_stack(4, microbatches=2)
      ...     return block(lambda x: x + jnp.tanh(hk.Linear(x.shape[-1])(x)))(x)
      >>> params = hk.transform(f).init(0, jnp.ones([8, 16]))
    """
    if microbatches < 1:
        raise ValueError(
            "hk.parallel.pipelined_stack cuts the rows into at least 1 part, got "
            f"microbatches={microbatches}."
        )

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        stacked = layer_stack(num_layers, name=name)(f)

        @functools.wraps(f)
        def pipelined(x: Any) -> Any:
            frame = current_frame("hk.parallel.pipelined_stack")
            stages = jax.sharding.get_abstract_mesh().shape.get(axis, 1)
            if frame.initialising or stages == 1:
                return stacked(x)
            _check(x, num_layers, microbatches, stages, axis)
            pipeline = Pipeline(stages, microbatches)
            for noted in noted_pipelines.get():
                noted.append(pipeline)
            run = functools.partial(_run, pipeline, axis)
            layers = Layers(f, num_layers, 1, False, {}, False, run)
            return NoPerLayer(name)(layers, (x,))

        return pipelined

    return decorate


def _run(pipeline: Pipeline, axis: str, layer: Any, carry: Any, xs: Any) -> Any:
    """`jax.lax.scan` over layers, for one stage at a time."""
    stages, microbatches = pipeline

    def stage(xs: Any, carry: Any) -> Any:
        index = jax.lax.axis_index(axis)

        def varying(x: jax.Array) -> jax.Array:  # devices will hold different parts
            parts = x.reshape(microbatches, x.shape[0] // microbatches, *x.shape[1:])
            return jax.lax.pcast(parts, axis, to="varying")

        parts = jax.tree.map(varying, carry)

        def tick(given: Any, t: Any) -> Any:
            # A stage that waits runs on rows that are there: numbers stay finite.
            number = jnp.clip(t - index, 0, microbatches - 1)
            given = jax.tree.map(
                lambda new, old: jnp.where(index == 0, new[number], old), parts, given
            )

            def layer_of_part(value: Any, own: Any) -> Any:
                params, state, key, inputs = own
                if key is not None:
                    key = jax.random.fold_in(key, number)
                out, (_, state) = layer(value, (params, state, key, inputs))
                _check_stateless(state)
                return out, None

            out, _ = jax.lax.scan(layer_of_part, given, xs)
            onward = [(i, i + 1) for i in range(stages - 1)]
            sent = jax.tree.map(lambda x: jax.lax.ppermute(x, axis, onward), out)
            return sent, out

        first = jax.tree.map(lambda x: x[0], parts)
        ticks = jnp.arange(microbatches + stages - 1)
        _, outs = jax.lax.scan(tick, first, ticks)

        def from_last(x: jax.Array) -> jax.Array:
            x = x[stages - 1 :].reshape(-1, *x.shape[2:])
            return jax.lax.psum(jnp.where(index == stages - 1, x, 0), axis)

        return jax.tree.map(from_last, outs)

    everywhere = PartitionSpec()
    run = jax.shard_map(
        stage,
        in_specs=(PartitionSpec(axis), everywhere),
        out_specs=everywhere,
        axis_names={axis},
    )
    return run(xs, carry), (None, {})


def _check_stateless(state: Any) -> None:
    if state:
        raise ValueError(
            "hk.parallel.pipelined_stack got layers that keep state: "
            f"{sorted(state)}. Use hk.layer_stack, or layers without state."
        )


def _check(x: Any, num_layers: int, microbatches: int, stages: int, axis: str) -> None:
    if num_layers % stages:
        raise ValueError(
            f"hk.parallel.pipelined_stack has {num_layers} layers, which the mesh axis "
            f"{axis!r} of {stages} devices doesn't divide: take {stages} or a multiple."
        )
    for leaf in jax.tree.leaves(x):
        rows = jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0
        if rows == 0 or rows % microbatches:
            raise ValueError(
                f"hk.parallel.pipelined_stack cuts rows into {microbatches=} parts, "
                f"but got an array of shape {jnp.shape(leaf)}: its first axis must be "
                "a multiple."
            )
