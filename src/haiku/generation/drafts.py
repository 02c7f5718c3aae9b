"""Speculative decoding: a small model proposes tokens, the large one checks them.

In each round the draft writes some tokens, and the model reads all of them in one call.
Tokens are kept as long as the model would have drawn them too: each with probability
``min(1, p / q)``, for the model's probability ``p`` and the draft's ``q``; the first
that isn't kept is drawn anew from ``max(p - q, 0)``. So texts have the distribution of
the model alone (Leviathan et al., 2023); with the largest logit, the same tokens.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from haiku._bound import Bound
from haiku._lifted.layers_apart import Apart, noting_stacks, taken_apart
from haiku.generation.callers import (
    Prompt,
    Sizes,
    call,
    check_model,
    rows_axes,
    start_of,
)
from haiku.generation.decoding import Ends
from haiku.generation.sampling import Rules
from haiku.generation.stacks import small_stacks

# What attention keeps of a text. A cache of these forgets tokens by its length alone.
_CACHE = {"keys", "values", "positions", "length", "mask"}


class _Round(NamedTuple):
    """Texts after some rounds."""

    state: Any
    of_draft: Any
    last: jax.Array  # [B]
    number: jax.Array
    active: jax.Array  # [B]
    tokens: jax.Array  # [B, N]
    lengths: jax.Array  # [B]
    scores: jax.Array  # [B]


def speculate(
    model: Bound,
    prompt: Prompt,
    rules: Rules,
    ends: Ends,
    key: Any,
    sizes: Sizes,
    draft: Any,
    draft_tokens: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Tokens ``[B, N]``, lengths ``[B]`` and scores ``[B]``.

    Raises:
      TypeError: The draft isn't a bound net with a cache.
      ValueError: It has another vocabulary, or an encoder where the model has none; or
        `draft_tokens` isn't at least 1.
    """
    if check_model("a draft", draft) != (prompt.encoded is not None):
        raise ValueError(
            "The model and the draft of hk.generation must both have an encoder, or "
            "neither."
        )
    if type(draft_tokens) is not int or draft_tokens < 1:
        raise ValueError(
            "draft_tokens of hk.generation must be an integer of at least 1, got "
            f"{draft_tokens!r}."
        )
    # The model reads that many tokens which it may have to forget.
    room = sizes.cache_size
    held = bool(model.state or draft.state)
    least = prompt.tokens.shape[1] + sizes.number + draft_tokens + 1
    if not held:
        room += draft_tokens + 1
    elif room < least:
        raise ValueError(
            f"cache_size of hk.generation must be at least {least} with a draft, for "
            f"the tokens that it proposes in vain too, got {room}: the model and the "
            "draft must hold caches of that size."
        )
    with noting_stacks() as stacks:
        logits = jax.eval_shape(
            lambda m, p: call(m, p, p.tokens[:, :1], None, room)[0], draft, prompt
        )
    if logits.shape[-1] != sizes.vocab:
        raise ValueError(
            f"The draft of hk.generation has a vocabulary of {logits.shape[-1]} tokens "
            f"and the model one of {sizes.vocab}: they must be the same."
        )
    return _speculate(
        *(model, draft, prompt, rules, ends, key),
        *(room, sizes.number, draft_tokens, small_stacks(draft, stacks)),
    )


@functools.partial(jax.jit, static_argnames=("room", "number", "ahead", "stacks"))
def _speculate(model, draft, prompt, rules, ends, key, room, number, ahead, stacks):
    back, draft_back = (_Rewinder.of(x, prompt, room) for x in (model, draft))
    rows = prompt.tokens.shape[0]
    state, last = start_of(model, prompt, room)
    # The draft reads one token at a time, for which layers apart are faster. The model
    # reads several: a CPU multiplies them faster by weights that were just copied.
    of_draft = taken_apart(start_of(draft, prompt, room)[0], stacks)
    draft = draft.replace(params=taken_apart(draft.params, stacks), state={})
    steps = jnp.arange(ahead + 1)

    def read(net: Bound, state: Any, tokens: Any, mask: Any = None) -> Any:
        own = net.replace(state=state)
        logits, state = call(own, prompt, tokens, mask, room)
        return logits.astype(jnp.float32), state

    def propose(state: Any, last: jax.Array, key: Any) -> Any:
        """The tokens ``[B, ahead + 1]`` from the last on, and their logits."""

        def step(carry, i):
            state, token = carry
            logits, state = read(draft, state, token[:, None])
            logits = rules.filtered(logits[:, -1])
            own = None
            if key is not None:
                own = jax.random.split(jax.random.fold_in(key, i), rows)
            return (state, rules.choose(own, logits)), (token, logits)

        (state, _), (tokens, logits) = jax.lax.scan(step, (state, last), steps)
        return state, jnp.swapaxes(tokens, 0, 1), jnp.swapaxes(logits, 0, 1)

    def goes_on(x: _Round) -> jax.Array:
        return jnp.any(x.active)

    def write(x: _Round) -> _Round:
        keys = [None] * 3
        if key is not None:
            keys = list(jax.random.split(jax.random.fold_in(key, x.number), 3))
        ahead_of, tokens, q = propose(x.of_draft, x.last, keys[0])
        logits, after = read(model, x.state, tokens)
        p = rules.filtered(logits)
        kept, following = _kept(rules, keys[1], keys[2], tokens, p, q)
        # The new tokens: those kept, then the one that follows.
        new = jnp.where(steps < kept[:, None], jnp.roll(tokens, -1, axis=1), 0)
        new = jnp.where(steps == kept[:, None], following[:, None], new)
        ended = jnp.any(new[:, :, None] == ends.eos, axis=2)
        ended &= steps <= kept[:, None]
        until_end = jnp.where(ended.any(axis=1), jnp.argmax(ended, axis=1), kept) + 1
        count = jnp.minimum(until_end, number - x.lengths)
        count = jnp.where(x.active, count, 0)
        log_probs = jnp.take_along_axis(
            jax.nn.log_softmax(logits), new[:, :, None], axis=2
        )[:, :, 0]
        counts = steps < count[:, None]
        score = x.scores + jnp.sum(jnp.where(counts, log_probs, 0), axis=1)
        places = jnp.where(counts, x.lengths[:, None] + steps, number)
        written = x.tokens.at[jnp.arange(rows)[:, None], places].set(new, mode="drop")
        lengths = x.lengths + count
        stops = jnp.any(ended & counts, axis=1) | (lengths == number)
        # A text that has ended reads nothing more: it would outgrow the cache.
        read_mask = (steps <= kept[:, None]) & x.active[:, None]
        forgotten = jnp.where(x.active, ahead - kept, ahead + 1)
        return _Round(
            back.rewound(x.state, after, forgotten, tokens, read_mask, read, model),
            draft_back.rewound(
                x.of_draft, ahead_of, forgotten, tokens, read_mask, read, draft
            ),
            jnp.where(x.active, following, ends.pad),
            x.number + 1,
            x.active & ~stops & ~jnp.isnan(score),
            written,
            lengths,
            score,
        )

    begun = _Round(
        state,
        of_draft,
        last.astype(jnp.int32),
        jnp.int32(0),
        jnp.ones([rows], bool),
        jnp.full([rows, number], ends.pad, jnp.int32),
        jnp.zeros([rows], jnp.int32),
        jnp.zeros([rows], jnp.float32),
    )
    done = jax.lax.while_loop(goes_on, write, begun)
    return done.tokens, done.lengths, done.scores


def _kept(rules, accept_key, draw_key, tokens, p, q):
    """How many proposed tokens stay ``[B]``, and the token after them ``[B]``."""
    ahead = tokens.shape[1] - 1
    proposed = tokens[:, 1:]
    if rules.temperature is None:
        fits = proposed == jnp.argmax(p[:, :-1], axis=2)
    else:
        own_p, own_q = (
            jnp.take_along_axis(
                jax.nn.log_softmax(x[:, :-1]), proposed[:, :, None], axis=2
            )[:, :, 0]
            for x in (p, q)
        )
        chance = jnp.log(jax.random.uniform(accept_key, proposed.shape))
        fits = chance < own_p - own_q
    kept = jnp.sum(jnp.cumprod(fits.astype(jnp.int32), axis=1), axis=1)
    rows = jnp.arange(tokens.shape[0])
    p = p[rows, kept]
    if rules.temperature is None:
        return kept, rules.choose(None, p)
    probability = jax.nn.softmax(p)
    rest = jnp.maximum(probability - jax.nn.softmax(q[rows, kept]), 0)
    # Rounding may leave nothing of two equal distributions.
    rest = jnp.where(jnp.sum(rest, axis=1, keepdims=True) > 0, rest, probability)
    left = jnp.where((kept == ahead)[:, None], probability, rest)
    left = jnp.where(jnp.isnan(probability).any(axis=1, keepdims=True), jnp.nan, left)
    keys = jax.random.split(draw_key, tokens.shape[0])
    drawn = jax.vmap(jax.random.categorical)(keys, jnp.log(left))
    return kept, drawn.astype(jnp.int32)


class _Rewinder(NamedTuple):
    """How a model's state forgets tokens.

    A cache of attention does by its length. Others, rings of windows and states of
    recurrent layers, read the tokens that stay once more.
    """

    axes: Any
    by_length: bool

    @classmethod
    def of(cls, model: Bound, prompt: Prompt, room: int) -> "_Rewinder":
        axes = rows_axes(model, prompt, room)
        shapes = jax.eval_shape(lambda m, p: start_of(m, p, room)[0], model, prompt)

        def whole(path: str, named: Any) -> bool:
            if not set(named) <= _CACHE:
                return False
            if not {"length", "keys"} <= set(named):
                return True
            return named["keys"].shape[axes[path]["keys"] + 1] >= room

        return cls(axes, all(whole(path, named) for path, named in shapes.items()))

    def rewound(self, before, after, number, tokens, mask, read, net) -> Any:
        """The state without the last `number` ``[B]`` of the tokens it read last.

        Args:
          before: The state before it read `tokens`.
          after: The state after.
          number: How many to forget.
          tokens: ``[B, T]``.
          mask: Those that stay.
          read: A function of net, state, tokens and mask.
          net: The model.
        """
        if not self.by_length:
            return read(net, before, tokens, mask)[1]

        def forget(path: str, name: str, x: Any) -> Any:
            if name != "length":
                return x
            axis = self.axes[path][name] - isinstance(x, Apart)

            def less(length: jax.Array) -> jax.Array:
                shape = [-1 if i == axis else 1 for i in range(length.ndim)]
                return length - number.reshape(shape)

            return jax.tree.map(less, x)

        return {
            path: {name: forget(path, name, x) for name, x in named.items()}
            for path, named in after.items()
        }
