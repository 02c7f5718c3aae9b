"""`Mamba`: language models of selective state spaces, from one config."""

from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import (
    Module,
    get_state,
    name_like,
    name_scope,
    part_of_init,
    set_state,
    transparent,
)
from haiku._layers.embedding import Embed
from haiku._layers.linear import Linear
from haiku._layers.mamba1 import Mamba1
from haiku._layers.mamba2 import Mamba2
from haiku._layers.product import product
from haiku._layers.sequence_layer import SequenceLayer, wide_dtype
from haiku._layers.wide_norm import WideNorm
from haiku.nets.layer_plan import run_layers
from haiku.nets.mamba_config import MambaConfig
from haiku.nets.transformer import HEAD_AXES, check_texts

__all__ = ["Mamba"]


class Mamba(Module):
    """A language model without attention: embeddings, blocks of mixers, a norm, a head.

        h = h + mixer(norm(h))

    The mixers are :class:`Mamba1` or :class:`Mamba2`; blocks are compiled as one
    (:func:`layer_stack`).

    Args:
      config: Its :class:`MambaConfig`.
      name: Name of the module.

    Parameters:
      ``embed/embeddings``; ``norm``; ``head`` if it isn't tied; in ``blocks``, with a
      leading axis of layers: ``norm`` and ``mixer``.

    State:
      In ``blocks/cache`` all mixers' ``inputs`` and ``hidden``, ``[num_layers, B,
      ...]``, if called with a `cache_size`. They don't grow with the text.

    Source:
      Gu and Dao, 2023, Mamba, arXiv:2312.00752; Dao and Gu, 2024, Transformers are
      SSMs, arXiv:2405.21060.

    Example:
      >>> config = hk.nets.MambaConfig(vocab_size=64, model_size=16, num_layers=4)
      >>> tokens = jnp.ones([2, 8], jnp.int32)
      >>> model = hk.bind(hk.nets.Mamba, config).init(0, tokens)
      >>> logits, cached = model.updating(tokens, cache_size=16)  # reads the prompt
      >>> one = jnp.argmax(logits[:, -1:], -1)
      >>> logits, cached = cached.updating(one, cache_size=16)  # one step
      >>> logits.shape
      (2, 1, 64)
    """

    _own_axes = HEAD_AXES

    def __init__(self, config: MambaConfig, name: str | None = None):
        super().__init__(name=name)
        self.config = config

    def __call__(
        self,
        tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the head's output for a batch of texts.

        Args:
          tokens: Integers ``[B, T]``.
          mask: True where there is a token, ``[B, T]``; padding may stand anywhere, and
            each text is as if alone.
          cache_size: Any size keeps the mixers' states, from which the next call goes
            on; they have one size, so the number itself changes nothing. Default:
            nothing is kept. `init` makes no state.

        Returns:
          Logits of the next tokens ``[B, T, vocab_size]``, or without a head the hidden
          state ``[B, T, D]``.

        Raises:
          ValueError: Shapes don't fit, also those of the state that is kept, or
            `cache_size` isn't positive.
        """
        h, embed = self._hidden(tokens, mask, cache_size)
        if self.config.head is None:
            return h
        if self.config.tied:
            return product(h, embed.embeddings.T)
        return Linear(self.config.vocab_size, False, name="head")(h)

    @name_like("__call__")
    def hidden(
        self,
        tokens: jax.Array,
        *,
        mask: jax.Array | None = None,
        cache_size: int | None = None,
    ) -> jax.Array:
        """Returns the hidden state ``[B, T, D]`` after the last norm.

        Takes the arguments of a call.
        """
        return self._hidden(tokens, mask, cache_size)[0]

    @transparent
    def _hidden(self, tokens, mask, cache_size):
        config, where = self.config, self.module_name
        check_texts(where, tokens, mask=(mask, "say which tokens count"))
        if cache_size is not None and cache_size < 1:
            raise ValueError(
                f"cache_size of {where!r} must be at least 1, got {cache_size}; any "
                "size keeps the state, None keeps nothing."
            )
        keeps = cache_size is not None and not part_of_init()
        embed = Embed(config.vocab_size, config.model_size, name="embed")
        h = embed(tokens)
        dtype = h.dtype

        def block(i, h, name):
            del i, name  # all blocks are alike, and stacked
            x = WideNorm("rms", config.norm_eps, name="norm")(h.astype(dtype))
            return h + _mixed(config, x, mask, keeps)

        if config.wide_residual:
            h = h.astype(wide_dtype(dtype))
        h = run_layers(block, config.kinds, h).astype(dtype)
        return WideNorm("rms", config.norm_eps, name="norm")(h), embed


def _mixed(config: MambaConfig, x: jax.Array, mask: Any, keeps: bool) -> jax.Array:
    """A mixer's output; if it `keeps` its state, that goes on from call to call."""
    mixer = _mixer(config)
    if not keeps:
        return mixer(x, mask=mask)[0]
    state = mixer.initial_state(x.shape[0])
    with name_scope("cache"):
        kept = {
            name: get_state(name, zeros.shape, wide_dtype(x.dtype), init=jnp.zeros)
            for name, zeros in state._asdict().items()
        }
        have, want = ([v.shape for v in s] for s in (kept.values(), state))
        if have != want:
            raise ValueError(
                f"The state has shapes {have}, but this call needs {want}: the batch "
                "must stay as it was when the state was made. Drop the state to begin "
                "a new one."
            )
        y, after = mixer(x, state._replace(**kept), mask=mask)
        for name, value in after._asdict().items():
            set_state(name, value)
    return y


_SHARED = (
    *("state_size", "conv_size", "with_bias", "conv_bias"),
    *("time_step_min", "time_step_max", "time_step_floor"),
)
_OWN: dict[int, tuple[type[SequenceLayer], tuple[str, ...]]] = {
    1: (Mamba1, ("inner_size", "time_step_rank")),
    2: (
        Mamba2,
        (
            *("num_heads", "head_size", "num_groups"),
            *("norm_eps", "time_step_limit", "chunk_size"),
        ),
    ),
}


def _mixer(config: MambaConfig) -> SequenceLayer:
    kind, own = _OWN[config.version]
    options = {name: getattr(config, name) for name in (*_SHARED, *own)}
    return kind(**options, name="mixer")
