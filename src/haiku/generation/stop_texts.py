"""Texts that end a row, looked for in what the tokenizer decodes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from haiku.generation.decoding import Texts


class StopTexts(NamedTuple):
    """The texts, and the tokenizer that decodes tokens."""

    texts: tuple[str, ...]
    tokenizer: Any

    @classmethod
    def checked(cls, stop: Sequence[str], tokenizer: Any) -> "StopTexts | None":
        """The stop texts, or None without any.

        Raises:
          ValueError: A text is empty, or `tokenizer` is missing.
        """
        texts = (stop,) if isinstance(stop, str) else tuple(stop)
        if not texts:
            return None
        if not all(isinstance(text, str) and text for text in texts):
            raise ValueError(
                f"stop of hk.generation must be texts with a character, got {stop!r}."
            )
        if not hasattr(tokenizer, "decode"):
            raise ValueError(
                "stop of hk.generation needs the tokenizer that decodes tokens, such "
                f"as hk.pretrained.load returns: tokenizer=..., got {tokenizer!r}."
            )
        return cls(texts, tokenizer)

    def ended(self, texts: Texts, before: Any, pad: Any) -> Texts:
        """Ends rows after the token that completes a text.

        Args:
          texts: After some steps.
          before: Which rows were active before them.
          pad: The token after the end.
        """
        if isinstance(texts.tokens, Tracer):
            raise ValueError(
                "stop of hk.generation decodes the texts while they are written, which "
                "can't be done inside of jax.jit: call it outside, or use eos."
            )
        tokens, lengths = np.array(texts.tokens), np.array(texts.lengths)
        active, log_probs = np.array(texts.active), np.array(texts.log_probs)
        for row in np.flatnonzero(before):
            end = self._end(tokens[row, : lengths[row]])
            if end is not None:
                lengths[row], active[row] = end, False
                tokens[row, end:], log_probs[row, end:] = int(pad), 0
        return texts._replace(
            tokens=jnp.asarray(tokens),
            lengths=jnp.asarray(lengths),
            active=jnp.asarray(active),
            log_probs=jnp.asarray(log_probs),
        )

    def _end(self, tokens: np.ndarray) -> int | None:
        """How many tokens complete one of the texts."""
        if not self._stands_in(tokens):
            return None
        return next(n for n in range(1, len(tokens) + 1) if self._stands_in(tokens[:n]))

    def _stands_in(self, tokens: np.ndarray) -> bool:
        text = self.tokenizer.decode(tokens)
        return any(x in text for x in self.texts)
