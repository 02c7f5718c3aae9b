"""Beam search: several texts of each prompt, of which the best goes on.

As transformers does it without early stopping: in each step the likeliest
continuations of all beams; those that end and are among the first `beams` are kept by
their score, the sum of log-probabilities over ``length ** length_penalty``; a prompt is
done when no running text scores better than the worst of `beams` ended ones.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku._bound import Bound
from haiku.generation.callers import Prompt, Sizes, call, rows_axes, start_of
from haiku.generation.decoding import Ends, seen_in
from haiku.generation.sampling import Rules

_WORST = -1e9  # below the score of any text


class _Ended(NamedTuple):
    """The best texts that have ended: of each prompt as many as there are beams."""

    tokens: jax.Array  # [B, K, N]
    lengths: jax.Array  # [B, K]
    scores: jax.Array  # [B, K]


class _Beams(NamedTuple):
    """A search after some steps."""

    state: Any
    last: jax.Array  # [B, K]
    step: jax.Array
    tokens: jax.Array  # [B, K, N]
    scores: jax.Array  # [B, K], sums of log-probabilities
    seen: jax.Array | None  # [B, K, V]
    ended: _Ended
    open: jax.Array  # [B]: may it still get better?
    broken: jax.Array  # [B]: were logits NaN?


def search(
    model: Bound,
    prompt: Prompt,
    rules: Rules,
    ends: Ends,
    sizes: Sizes,
    beams: int,
    length_penalty: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Tokens ``[B, N]``, lengths ``[B]`` and scores ``[B]`` of the best texts.

    Raises:
      ValueError: There are more beams than tokens, or the penalty isn't a number.
    """
    wide = (1 + max(1, ends.eos.shape[0])) * beams
    if wide > beams * sizes.vocab:
        raise ValueError(
            f"num_beams={beams} of hk.generation needs a vocabulary of at least "
            f"{wide // beams} tokens, and the model's has {sizes.vocab}."
        )
    known = not isinstance(length_penalty, Tracer)
    if known and not np.isfinite(np.asarray(length_penalty, np.float64)):
        raise ValueError(
            f"length_penalty of hk.generation must be a number, got {length_penalty}."
        )
    penalty = jnp.float32(length_penalty)
    return _search(model, prompt, rules, ends, penalty, sizes, beams)


@functools.partial(jax.jit, static_argnames=("sizes", "beams"))
def _search(model, prompt, rules, ends, length_penalty, sizes, beams):
    cache_size, number, vocab = sizes
    rows = prompt.tokens.shape[0]
    axes = rows_axes(model, prompt, cache_size)
    state, last = start_of(model, prompt, cache_size)
    of_prompt = jnp.repeat(jnp.arange(rows), beams)
    state = _picked(state, axes, of_prompt)
    each = jax.tree.map(lambda x: x[of_prompt], prompt)
    seen = None
    if rules.repetition_penalty is not None:
        seen = seen_in(prompt.tokens, prompt.mask, vocab)
        seen = jnp.broadcast_to(seen[:, None], (rows, beams, vocab))
    blank = jnp.full((rows, beams, number), ends.pad, jnp.int32)
    worst = jnp.full((rows, beams), _WORST, jnp.float32)
    first = worst.at[:, 0].set(0)  # all beams begin alike: one of them counts
    wide = (1 + max(1, ends.eos.shape[0])) * beams

    def goes_on(x: _Beams) -> jax.Array:
        return (x.step < number) & jnp.any(x.open)

    def write(x: _Beams) -> _Beams:
        own = model.replace(state=x.state)
        last = x.last.reshape(rows * beams, 1)
        logits, state = call(own, each, last, None, cache_size)
        logits = logits[:, -1].astype(jnp.float32).reshape(rows, beams, vocab)
        log_probs = rules.penalised(jax.nn.log_softmax(logits), x.seen)
        broken = x.broken | jnp.any(jnp.isnan(log_probs), axis=(1, 2))
        sums = (log_probs + x.scores[:, :, None]).reshape(rows, beams * vocab)
        sums, which = jax.lax.top_k(sums, wide)
        beam, token = which // vocab, (which % vocab).astype(jnp.int32)
        tokens = _rows_of(x.tokens, beam).at[:, :, x.step].set(token)
        ending = jnp.any(token[:, :, None] == ends.eos, axis=2)
        final = x.step + 1 == number
        length = x.step + 1
        # Of the candidates that end, the first `beams` count.
        counts = (ending | final) & (jnp.arange(wide) < beams) & x.open[:, None]
        scores = sums / length.astype(jnp.float32) ** length_penalty
        lengths = jnp.full(token.shape, length, jnp.int32)
        new = _Ended(tokens, lengths, jnp.where(counts, scores, _WORST))
        ended = _best(
            jax.tree.map(lambda *y: jnp.concatenate(y, axis=1), x.ended, new), beams
        )
        # Of those that don't, the best `beams` go on.
        running, place = jax.lax.top_k(jnp.where(ending, _WORST, sums), beams)
        beam = _rows_of(beam, place)
        last = _rows_of(token, place)
        flat = (beam + beams * jnp.arange(rows)[:, None]).reshape(-1)
        seen = x.seen
        if seen is not None:
            seen = _rows_of(seen, beam)
            places = jnp.arange(rows)[:, None], jnp.arange(beams)[None], last
            seen = seen.at[places].set(True)
        hopeful = running[:, 0] / length.astype(jnp.float32) ** length_penalty
        least = jnp.min(ended.scores, axis=1)
        return _Beams(
            _picked(state, axes, flat),
            last,
            length,
            _rows_of(tokens, place),
            running,
            seen,
            ended,
            x.open & (hopeful > least) & ~broken,
            broken,
        )

    begun = _Beams(
        state,
        last.astype(jnp.int32)[:, None].repeat(beams, axis=1),
        jnp.int32(0),
        blank,
        first,
        seen,
        _Ended(blank, jnp.zeros((rows, beams), jnp.int32), worst),
        jnp.ones([rows], bool),
        jnp.zeros([rows], bool),
    )
    done = jax.lax.while_loop(goes_on, write, begun)
    best = jax.tree.map(lambda x: x[:, 0], done.ended)
    scores = jnp.where(done.broken, jnp.nan, best.scores)
    return best.tokens, best.lengths, scores


def _picked(state: Any, axes: Any, rows: jax.Array) -> Any:
    """The state of some rows."""
    return jax.tree.map(lambda x, axis: jnp.take(x, rows, axis=axis), state, axes)


def _rows_of(x: jax.Array, which: jax.Array) -> jax.Array:
    """Of each prompt the entries `which` ``[B, n]`` of ``[B, m, ...]``."""
    return x[jnp.arange(x.shape[0])[:, None], which]


def _best(ended: _Ended, beams: int) -> _Ended:
    """The `beams` with the best scores, the first in front."""
    _, which = jax.lax.top_k(ended.scores, beams)
    return jax.tree.map(lambda x: _rows_of(x, which), ended)
