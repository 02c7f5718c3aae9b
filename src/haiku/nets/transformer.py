"""The block of attention and MLP that all transformers here are made of."""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import maybe_next_rng_key, name_scope
from haiku._layers.attention import Attention
from haiku._layers.constrain import is_split, prefer
from haiku._layers.embedding import Embed
from haiku._layers.functional import dropout
from haiku._layers.gated_mlp import GatedMLP
from haiku._layers.inputs import at_least_single
from haiku._layers.linear import Linear
from haiku._layers.mixture_of_experts import MixtureOfExperts, RouterLosses
from haiku._layers.residual_branches import LayerScale, stochastic_depth
from haiku._layers.wide_norm import WideNorm
from haiku._lifted.functions import remat
from haiku.nets.layer_plan import run_layers
from haiku.nets.transformer_config import ACTIVATIONS, LayerKind, TransformerConfig

BLOCK_AXES: dict[str, Any] = {  # of a net's blocks and tables, as `hk.parallel` reads
    "**/mlp/up/w": ("embed", "mlp"),
    "**/mlp/up/b": ("mlp",),
    "**/mlp/down/w": ("mlp", "embed"),
    "**/shared/up/w": ("embed", "mlp"),
    "**/shared/down/w": ("mlp", "embed"),
    "**/positions/embeddings": (None, "embed"),
    "**/relative/embeddings": (None, None),
    "**/segments/embeddings": (None, "embed"),
}
HEAD_AXES: dict[str, Any] = {"**/head/w": ("embed", "vocab"), "**/head/b": ("vocab",)}


def run_blocks(config: TransformerConfig, h: Any, passed: Mapping[str, Any]) -> Any:
    """All blocks of a config.

    Args:
      config: Whose blocks.
      h: ``[B, T, D]``.
      passed: Further arguments of each attention; under ``crossed`` those of the
        attention to a context, if blocks have one.
    """
    return run_expert_blocks(config, h, passed)[0]


def run_expert_blocks(
    config: TransformerConfig, h: Any, passed: Mapping[str, Any]
) -> tuple[Any, RouterLosses | None]:
    """The same, with the means of the routers' losses if layers have experts."""
    kinds = config.kinds
    number = sum(kind.experts for kind in kinds)
    wide = at_least_single(h.dtype)
    zeros = RouterLosses(jnp.zeros([], wide), jnp.zeros([], wide)) if number else None

    # Of the blocks so far, the share that grows from 0 to the rate of the last.
    rise = config.stochastic_depth / max(len(kinds) - 1, 1)
    rate = jnp.zeros([], jnp.float32) if config.stochastic_depth else None

    def layer(i, carry, name):
        rate = carry["rate"]

        def block(h, rate):
            return _block(config, kinds[i], h, passed, rate)

        with name_scope(name) if name else contextlib.nullcontext():
            block = remat(block, prevent_cse=False) if config.remat else block
            h, losses = block(carry["h"], rate)
        carry = {**carry, "h": h, "rate": None if rate is None else rate + rise}
        if losses is not None:
            carry["losses"] = jax.tree.map(jnp.add, carry["losses"], losses)
        return carry

    carry = {"h": h, "losses": zeros, "rate": rate}
    carry = run_layers(layer, kinds, carry, config.unroll)
    return carry["h"], jax.tree.map(lambda x: x / number, carry["losses"])


def norm_of(config: TransformerConfig, name: str) -> WideNorm:
    """A norm of the config's kind."""
    return WideNorm(config.norm, config.norm_eps, config.norm_offset, name=name)


def dropped(x: jax.Array, rate: float) -> jax.Array:
    """`x` with dropout, where `apply` got a key."""
    if rate == 0:
        return x
    key = maybe_next_rng_key()
    return x if key is None else dropout(key, rate, x)


def with_learned_positions(
    h: jax.Array, places: jax.Array, valid: jax.Array, max_length: int, offset: int = 0
) -> tuple[jax.Array, jax.Array]:
    """`h` plus its learned positions; and which valid tokens have none, ``[B, T]``.

    Args:
      h: ``[B, T, D]``.
      places: Integers that broadcast to ``[B, T]``.
      valid: Where there are tokens, ``[B, T]``.
      max_length: The first place without a position.
      offset: Rows of the table before that of place 0.
    """
    outside = valid & ((places < 0) | (places >= max_length))
    table = Embed(max_length + offset, h.shape[-1], name="positions")
    return h + table(jnp.clip(places, 0, max_length - 1) + offset), outside


def numbers_of(valid: jax.Array, length: jax.Array | None = None) -> jax.Array:
    """The number of each token in its text, after the `length` before; not below 0."""
    number = jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1
    if length is not None:
        number = number + length[:, None]
    return jnp.maximum(number, 0)


def check_texts(
    module: str, tokens: Any, called: str = "tokens", **others: tuple[Any, str]
) -> None:
    """Raises unless tokens are integers ``[B, T]``, and others of the same shape."""
    if len(tokens.shape) != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ValueError(
            f"{module!r} needs {called} of shape [batch, steps], integers, got "
            f"{tokens.dtype} of shape {tokens.shape}."
        )
    for name, (array, meaning) in others.items():
        if array is not None and array.shape != tokens.shape:
            raise ValueError(
                f"{name} of {module!r} must {meaning}, {tokens.shape}, got "
                f"{array.shape}."
            )


def _block(config, kind: LayerKind, h, passed, rate):
    rotary = config.rotary if config.position == "rotary" else None
    if rotary is not None and kind.window is not None and config.local_rotary:
        rotary = config.local_rotary
    attention = Attention(
        config.num_heads,
        config.head_size,
        config.num_kv_heads,
        output_size=config.model_size,
        causal=config.causal,
        window=kind.window,
        rotary=rotary,
        alibi=config.position == "alibi",
        qk_norm=config.qk_norm,
        norm=config.norm,
        norm_eps=config.norm_eps,
        soft_cap=config.attention_soft_cap,
        sinks=config.sinks,
        scale=config.scale,
        with_bias=config.attention_bias,
        key_bias=config.key_bias,
        output_bias=config.output_bias,
        name="attention",
    )
    passed = dict(passed)
    crossed = passed.pop("crossed", None)
    attend = lambda x: attention(x, **passed)  # noqa: E731
    h = _residual(config, "attention", attend, h, rate, kind.normed)
    if crossed is not None:
        across = Attention(
            config.num_heads,
            config.head_size,
            config.num_kv_heads,
            output_size=config.model_size,
            scale=config.scale,
            with_bias=config.attention_bias,
            key_bias=config.key_bias,
            output_bias=config.output_bias,
            name="cross_attention",
        )
        h = _residual(
            config, "cross_attention", lambda x: across(x, **crossed), h, rate
        )
    if not kind.experts:
        return _residual(config, "mlp", lambda x: mlp(config, x), h, rate), None
    losses = []

    def experts(x):
        y, of_router = _experts(config, x, passed["mask"])
        losses.append(of_router)
        return y

    return _residual(config, "mlp", experts, h, rate), losses[0]


def _residual(
    config: TransformerConfig,
    name: str,
    f: Callable,
    h: Any,
    rate: jax.Array | None,
    normed: bool = True,
) -> Any:
    """`h` plus `f`, with the norms around `f` that the config wants.

    Args:
      config: That of the net.
      name: Of the branch.
      f: The branch.
      h: ``[B, T, D]``.
      rate: At which examples leave the branch out, where `apply` got a key.
      normed: Whether a norm stands before `f`, if the config has one there.
    """
    place, y = config.norm_position, h
    if place in ("pre", "both") and normed:
        y = norm_of(config, f"{name}_norm")(y)
    # A branch whose heads or hidden units are split sees all steps.
    within = "mlp" if name == "mlp" else "heads"
    y = prefer(y, "batch", None if is_split(within) else "length", "embed")
    y = prefer(f(y), "batch", "length", "embed")
    if place in ("post", "both"):
        y = norm_of(config, f"{name}_norm_post")(y)
    if config.layer_scale is not None:
        y = LayerScale(config.layer_scale, name=f"{name}_scale")(y)
    y = dropped(y, config.dropout)
    if rate is not None and (key := maybe_next_rng_key()) is not None:
        y = stochastic_depth(key, rate, y)
    h = prefer(h + y, "batch", "length", "embed")
    return norm_of(config, f"{name}_norm_post")(h) if place == "sum" else h


def _experts(config, x, mask):
    options = config.experts
    limit = options.swiglu_limit
    mixture = MixtureOfExperts(
        options.num_experts,
        options.num_selected,
        options.hidden_size,
        activation=None if limit else ACTIVATIONS[config.activation],
        gated=functools.partial(_clipped_gates, limit) if limit else config.gated,
        renormalise=options.renormalise,
        capacity_factor=options.capacity_factor,
        router=options.router,
        with_bias=options.with_bias,
        name="experts",
    )
    y, losses = mixture(x, mask)
    if options.shared_size is not None:
        y = y + mlp(config, x, "shared", options.shared_size)
    return y, losses


def _clipped_gates(limit, gate, up):
    gate, up = jnp.minimum(gate, limit), jnp.clip(up, -limit, limit)
    return (up + 1) * (gate * jax.nn.sigmoid(1.702 * gate))


def mlp(
    config: TransformerConfig, x: jax.Array, name: str = "mlp", size: int | None = None
) -> jax.Array:
    """The MLP of a block, under `name`."""
    activation = ACTIVATIONS[config.activation]
    size = size or config.hidden_size or 0
    if config.gated:
        return GatedMLP(size, None, activation, config.mlp_bias, name=name)(x)
    with name_scope(name):
        hidden = Linear(size, config.mlp_bias, name="up")(x)
        return Linear(x.shape[-1], config.mlp_bias, name="down")(activation(hidden))
