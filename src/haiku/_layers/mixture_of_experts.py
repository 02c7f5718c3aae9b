"""`MixtureOfExperts`: small networks, of which each token chooses some."""

import functools
import math
import numbers
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from haiku._artifacts import in_artifacts
from haiku._core import Module, get_parameter, name_scope, transparent
from haiku._layers.cached_tracing import compiled
from haiku._layers.constrain import split_over
from haiku._layers.expert_slots import expert_linear, filled, slots_of, weighed
from haiku._layers.explicit_axes import has_explicit_axes
from haiku._layers.inputs import as_array, at_least_single
from haiku.initializers import Initializer, TruncatedNormal

__all__ = ["MixtureOfExperts", "RouterLosses"]


@in_artifacts
class RouterLosses(NamedTuple):
    """Losses that keep a router even and its logits small, over the tokens that count.

    Scalars, in single precision at least; 0 if no token counts.

    Attributes:
      load_balance: ``E sum_e f_e P_e``: ``f_e`` is the part of all choices that fell on
        expert ``e``, ``P_e`` its mean probability. 1 if even. Its gradient passes
        through ``P`` alone.
      z: ``mean(logsumexp(logits)^2)``.

    Source:
      `load_balance`: Fedus et al., 2021, Switch Transformers, arXiv:2101.03961, (4) to
      (6); `z`: Zoph et al., 2022, ST-MoE, arXiv:2202.08906, (5).

    Example:
      >>> layer = hk.bind(hk.MixtureOfExperts, 4, 2, 16).init(0, jnp.ones([3, 8]))
      >>> y, losses = layer(jnp.ones([3, 8]))
      >>> auxiliary = 0.01 * losses.load_balance + 0.001 * losses.z
    """

    load_balance: jax.Array
    z: jax.Array


class MixtureOfExperts(Module):
    """Sends each token to the experts that a router chooses, and weighs their outputs.

        y = sum_e p_e (activation(x w_gate_e) * (x w_up_e)) w_down_e

    over the `num_selected` experts with the largest logits ``x w_router``; ``p`` is
    their softmax.

    Args:
      num_experts: ``E``.
      num_selected: ``k``, how many experts a token chooses; of equal logits, the first.
      hidden_size: ``F``, the number of hidden units of an expert.
      activation: Of the gates, or of the hidden units if not `gated`. Default:
        ``jax.nn.silu``.
      gated: Whether experts have gates, or a function ``(gate, up) -> hidden`` that
        takes the place of `activation`.
      renormalise: Whether to divide the probabilities of the chosen by their sum.
      capacity_factor: ``c``: an expert takes the first ``ceil(k N c / E)`` of the
        choices that fall on it, in the order of the ``N`` tokens and, within a token,
        of their logits; others add 0 to the output. Default: no choice is dropped.
      router: ``"softmax"``: probabilities of all experts, then the choice;
        ``"softmax_of_selected"``: softmax of the chosen logits, whose sum is 1.
      with_bias: Whether the router and all maps have biases.
      w_init: Initializer of all weights, called with the shapes below. Default: a
        truncated normal with standard deviation ``1 / sqrt(input size)``.
      name: Name of the module.

    Parameters:
      ``router``: ``w`` ``[D, E]`` and ``b`` ``[E]``; ``gate``, ``up`` ``[E, D, F]``,
      ``down`` ``[E, F, D]``; with biases ``gate_b``, ``up_b`` ``[E, F]``, ``down_b``
      ``[E, D]``.

    Gradient:
      Through experts, probabilities of the chosen and losses; the choice has none.

    Raises:
      ValueError: A size isn't an integer of at least 1, `num_selected` is above
        `num_experts`, `capacity_factor` isn't a finite number above 0, `router` is
        unknown, or `activation` is given beside a function `gated`.

    Source:
      Shazeer et al., 2017, Outrageously Large Neural Networks, arXiv:1701.06538;
      capacity: Fedus et al., 2021, Switch Transformers, arXiv:2101.03961; softmax of
      the chosen: Jiang et al., 2024, Mixtral of Experts, arXiv:2401.04088; blocks of
      tokens: Gale et al., 2022, MegaBlocks, arXiv:2211.15841.

    Example:
      >>> x = jnp.ones([2, 5, 8])
      >>> model = hk.bind(hk.MixtureOfExperts, 4, 2, hidden_size=16).init(0, x)
      >>> y, losses = model(x, mask=jnp.array([[True] * 5, [True] * 3 + [False] * 2]))
      >>> y.shape, losses.load_balance.dtype
      ((2, 5, 8), dtype('float32'))
    """

    _own_axes = {
        "gate": ("expert", "embed", "mlp"),
        "gate_b": ("expert", "mlp"),
        "up": ("expert", "embed", "mlp"),
        "up_b": ("expert", "mlp"),
        "down": ("expert", "mlp", "embed"),
        "down_b": ("expert", "embed"),
    }

    def __init__(
        self,
        num_experts: int,
        num_selected: int,
        hidden_size: int,
        *,
        activation: Callable[[jax.Array], jax.Array] | None = None,
        gated: bool | Callable[[jax.Array, jax.Array], jax.Array] = True,
        renormalise: bool = True,
        capacity_factor: float | None = None,
        router: str = "softmax",
        with_bias: bool = False,
        w_init: Initializer | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        where = repr(self.module_name)
        self.num_experts = _size(where, "num_experts", num_experts)
        self.num_selected = _size(where, "num_selected", num_selected)
        self.hidden_size = _size(where, "hidden_size", hidden_size)
        if num_selected > num_experts:
            raise ValueError(
                f"num_selected of {where} must be at most num_experts, got "
                f"{num_selected} of {num_experts}."
            )
        if capacity_factor is not None and not 0 < capacity_factor < math.inf:
            raise ValueError(
                f"capacity_factor of {where} must be a finite number above 0, or None "
                f"to drop nothing, got {capacity_factor}."
            )
        if router not in ("softmax", "softmax_of_selected"):
            raise ValueError(
                f"router of {where} must be 'softmax' or 'softmax_of_selected', got "
                f"{router!r}."
            )
        if callable(gated) and activation is not None:
            raise ValueError(
                f"gated of {where} is a function, so activation would change nothing: "
                "call it in that function."
            )
        self.activation = jax.nn.silu if activation is None else activation
        self.gated = gated
        self.renormalise = renormalise
        self.capacity_factor = capacity_factor
        self.router = router
        self.with_bias = with_bias
        self.w_init = w_init

    def __call__(
        self, x: jax.Array, mask: jax.Array | None = None
    ) -> tuple[jax.Array, RouterLosses]:
        """Maps each token by the experts that it chooses.

        Without a capacity, the choices of each expert fill blocks of equal size, at
        most twice as many rows as there are choices. Call it on whole batches: under
        ``vmap`` each example has its own blocks, with copies of the weights.

        Args:
          x: ``[..., D]``, of a float dtype.
          mask: True at the tokens that count, ``[...]``. The others give zeros, take
            no capacity, and whatever they hold reaches nothing. Default: all count.

        Returns:
          ``[..., D]``, and :class:`RouterLosses`. Router and sums are in single
          precision at least.

        Raises:
          ValueError: `x` is a scalar, or `mask` has another shape or is neither bool
            nor integers.
        """
        x = as_array(x)
        if has_explicit_axes():
            raise ValueError(
                f"{self.module_name!r} sends tokens from device to device, and where "
                "they lie then can't be said in a type. Make the mesh axes Auto: "
                "jax.make_mesh(..., axis_types=(jax.sharding.AxisType.Auto,) * n)."
            )
        counts = _which_count(repr(self.module_name), x, mask)
        size, hidden_size = x.shape[-1], self.hidden_size
        tokens = jnp.where(
            jnp.broadcast_to(counts[:, None], (*counts.shape, size)),
            x.reshape(-1, size),
            0,
        )
        with name_scope("router"):
            router = self._parameters("w", "b", [size, self.num_experts], x)

        def of_experts(name, shape):
            shape = [self.num_experts, *shape]
            return self._parameters(name, f"{name}_b", shape, x)

        params = {"router": router, "up": of_experts("up", [size, hidden_size])}
        if self.gated:
            params["gate"] = of_experts("gate", [size, hidden_size])
        params["down"] = of_experts("down", [hidden_size, size])
        # Without a capacity a token's experts are its own affair: devices that have
        # other rows need to agree on the losses alone.
        rows = x.shape[0] if len(x.shape) > 1 else 1
        axes = () if self.capacity_factor else split_over("batch", rows)
        run = functools.partial(self._mixed, axes)
        if axes:
            run = _over_rows(run, axes)
        y, losses = run(tokens, counts, params)
        return y.reshape(x.shape), losses

    @transparent
    def _mixed(self, axes, tokens, counts, params):
        """Outputs ``[N, D]``, and the losses of the tokens on all devices of `axes`."""
        renormalise = self.renormalise or self.router == "softmax_of_selected"
        choice, losses = _route(
            tokens, counts, *params["router"], self.num_selected, renormalise, axes
        )
        share = _share(self.num_experts, self.num_selected, self.capacity_factor)
        slots = slots_of(choice.expert, counts, self.num_experts, share)

        def linear(rows, name):
            return expert_linear(rows, *params[name], slots.expert)

        rows = filled(tokens, slots.token)
        hidden = linear(rows, "up")
        if callable(self.gated):
            hidden = self.gated(linear(rows, "gate"), hidden)
        elif self.gated:
            hidden = self.activation(linear(rows, "gate")) * hidden
        else:
            hidden = self.activation(hidden)
        return weighed(linear(hidden, "down"), slots.slot, choice.weight), losses

    @transparent
    def _parameters(self, name, bias_name, shape, x):
        """Weights ``[..., in, out]``, and a bias ``[..., out]`` or None."""
        init = self.w_init or TruncatedNormal(1 / math.sqrt(max(1, shape[-2])))
        weights = get_parameter(name, shape, x.dtype, init=init)
        if not self.with_bias:
            return weights, None
        shape = [*shape[:-2], shape[-1]]
        return weights, get_parameter(bias_name, shape, x.dtype, init=jnp.zeros)


def _size(where: str, name: str, value: Any) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(
            f"{name} of {where} must be an integer of at least 1, got {value!r}."
        )
    return int(value)


def _which_count(where: str, x: Any, mask: Any) -> jax.Array:
    """True at the tokens that count, ``[N]``."""
    if not x.shape:
        raise ValueError(f"{where} needs x of shape [..., features], got a scalar.")
    if mask is None:
        return jnp.ones(x.shape[:-1], bool).reshape(-1)
    mask = as_array(mask)
    if mask.shape != x.shape[:-1]:
        raise ValueError(
            f"mask of {where} says which tokens of x count, {list(x.shape[:-1])}; got "
            f"{list(mask.shape)}."
        )
    if mask.dtype != bool and not jnp.issubdtype(mask.dtype, jnp.integer):
        raise ValueError(
            f"mask of {where} must be True where a token counts, got {mask.dtype}: "
            "pass mask != 0, or mask == 0 if 0 keeps a token."
        )
    return mask.reshape(-1).astype(bool)


def _share(num_experts, num_selected, capacity_factor) -> Fraction | None:
    """The part of all tokens that an expert has room for."""
    if capacity_factor is None:
        return None
    c = Fraction(float(capacity_factor))
    c = c.limit_denominator(10**6) or c  # 1.1 is 11 / 10
    return min(num_selected * c / num_experts, Fraction(1))


def _over_rows(run, axes):
    """`run` on each device's tokens, with whole parameters."""
    rows, whole = PartitionSpec(axes), PartitionSpec()

    def sharded(tokens, counts, params):
        dtypes = jax.tree.map(lambda w: w.dtype, params)

        def own(tokens, counts, params):
            # Gradients are added up where parameters begin to differ: before they are
            # rounded.
            params = jax.tree.map(
                lambda w, dtype: jax.lax.pcast(w, axes, to="varying").astype(dtype),
                params,
                dtypes,
            )
            return run(tokens, counts, params)

        if jax.default_backend() == "cpu":
            # XLA for CPUs can't add up gradients in half precision over manual axes.
            params = jax.tree.map(lambda w: w.astype(at_least_single(w.dtype)), params)
        return jax.shard_map(
            own,
            in_specs=(rows, rows, whole),
            out_specs=(rows, whole),
            axis_names=set(axes),
        )(tokens, counts, params)

    return sharded


class _Choice(NamedTuple):
    """The experts of each token ``[N, k]``, and their weights in its output."""

    expert: jax.Array
    weight: jax.Array


@compiled("route", "num_selected", "renormalise", "axes")
def _route(tokens, counts, weights, bias, num_selected, renormalise, axes):
    """The choice of each token, and the losses over all devices of some mesh axes."""

    def total_of(x):
        return jax.lax.psum(x, axes) if axes else x

    wide = jnp.float64 if tokens.dtype == jnp.float64 else jnp.float32
    logits = jnp.dot(tokens.astype(wide), weights.astype(wide))  # [N, E]
    if bias is not None:
        logits = logits + jnp.broadcast_to(bias.astype(wide), logits.shape)
    highest, expert = jax.lax.top_k(logits, num_selected)
    total = jax.nn.logsumexp(logits, axis=-1)  # [N]
    probabilities = jnp.exp(logits - total[:, None])
    if renormalise:
        weight = jax.nn.softmax(highest, axis=-1)
    else:
        weight = jnp.exp(highest - total[:, None])

    kept = counts.astype(wide)  # [N]
    number = jnp.maximum(total_of(jnp.sum(kept)), 1)
    num_experts = logits.shape[-1]
    chosen = jnp.zeros(num_experts, wide)
    chosen = chosen.at[expert].add(jnp.broadcast_to(kept[:, None], expert.shape))
    part = total_of(chosen) / (num_selected * number)
    mean = total_of(jnp.sum(probabilities * kept[:, None], axis=0)) / number
    losses = RouterLosses(
        load_balance=num_experts * jnp.sum(part * mean),
        z=total_of(jnp.sum(jnp.square(total) * kept)) / number,
    )
    return _Choice(expert, weight), losses
