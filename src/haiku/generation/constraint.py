"""`Constraint`: texts of a form, by a mask of the tokens that may come next."""

import collections
import json
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Constraint"]

_MOST_KEPT = 1024  # states of texts that are kept
_FINE = "NotStopped", "EndOfSentence"
# As `json.dumps` writes: a model can't spend its tokens on blanks.
_JSON_STYLE = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}


class Constraint:
    """Lets only texts of a form be written, as a `logits_processor`.

    Give one of `regex`, `json_schema` and `grammar`. A token may come next if some text
    of the form goes on with it; where a text is whole, so may `eos`. So each text that
    ends before `max_new_tokens` is of the form, and one that is cut off there is the
    beginning of such a text. The prompt isn't part of it.

    The rules are those of the library llguidance, on the host: each step asks it for a
    mask of the vocabulary, from inside of the compiled loop.

    Args:
      tokenizer: The model's, :class:`haiku.pretrained.Tokenizer`.
      regex: A regular expression for the whole text, without look-around and
        references back.
      json_schema: A JSON schema, as a dict or as JSON; ``{}`` allows any JSON. Texts
        have the blanks of ``json.dumps``. References to other documents and keywords
        that the library lacks are errors.
      grammar: A context-free grammar in the library's form of Lark's language.
      eos: The token, or several, that ends a text. Default: the tokenizer's. It need
        not be passed to :func:`generate` again.

    Raises:
      ImportError: llguidance is missing: ``pip install renga-jax[text]``.
      TypeError: `tokenizer` isn't one of this library.
      ValueError: Not exactly one form is given, it can't be read, or no text has it;
        there is no `eos`. In use, the model has fewer logits than the tokenizer tokens,
        or no token fits.

    Source:
      Willard and Louf, 2023, Efficient Guided Generation for Large Language Models,
      arXiv:2307.09702.

    Example:
      >>> import tokenizers
      >>> letters = {x: i for i, x in enumerate(["<end>", *"0123456789-"])}
      >>> inner = tokenizers.Tokenizer(tokenizers.models.BPE(letters, merges=[]))
      >>> inner.decoder = tokenizers.decoders.ByteLevel()
      >>> tokenizer = hk.pretrained.Tokenizer(inner, eos=0)
      >>> date = hk.generation.Constraint(
      ...     tokenizer, regex="[12][0-9]{3}-[01][0-9]-[0-3][0-9]")
      >>> config = hk.nets.DecoderConfig(
      ...     vocab_size=12, model_size=16, num_layers=1, num_heads=2)
      >>> prompt = jnp.ones([1, 1], jnp.int32)
      >>> model = hk.bind(hk.nets.Decoder, config).init(0, prompt)
      >>> out = hk.generation.generate(
      ...     model, prompt, max_new_tokens=12, logits_processor=date)
      >>> int(out.lengths[0])  # ten letters and the end
      11
    """

    reads_prompt = False  # it is called with the new tokens alone

    def __init__(
        self,
        tokenizer: Any,
        *,
        regex: str | None = None,
        json_schema: Any = None,
        grammar: str | None = None,
        eos: Any = None,
    ):
        library = _library()
        form = _form(library, regex, json_schema, grammar)
        inner = getattr(tokenizer, "inner", None)
        if inner is None or not hasattr(inner, "to_str"):
            raise TypeError(
                "hk.generation.Constraint takes the model's tokenizer, as "
                "hk.pretrained.load or load_tokenizer returns it, got "
                f"{type(tokenizer).__name__}."
            )
        eos = getattr(tokenizer, "eos", None) if eos is None else eos
        if eos is None:
            raise ValueError(
                "hk.generation.Constraint must know which token ends a text, and the "
                "tokenizer names none: pass eos=..., a token or several."
            )
        self.eos = tuple(int(x) for x in np.asarray(eos).reshape(-1))
        size = inner.get_vocab_size()
        if not self.eos or not all(0 <= x < size for x in self.eos):
            raise ValueError(
                f"eos of hk.generation.Constraint must be tokens, 0 to {size - 1}, got "
                f"{eos!r}."
            )
        try:
            tokens = library.LLTokenizer(inner.to_str(), eos_token=list(self.eos))
        except ValueError as error:
            raise ValueError(
                "hk.generation.Constraint needs a tokenizer of bytes, such as those of "
                f"GPT-2, Llama, Qwen and Gemma; llguidance says of this one: {error}."
            ) from error
        self._size = tokens.vocab_size
        wrong = library.LLMatcher.validate_grammar(form, tokens)
        if wrong:
            raise ValueError(f"hk.generation.Constraint can't read its form: {wrong}")
        start = library.LLMatcher(tokens, form, log_level=0)
        # What is known after some new tokens, those used last at the end.
        self._kept: collections.OrderedDict[tuple[int, ...], Any]
        self._kept = collections.OrderedDict({(): start})
        self._lock = threading.Lock()
        if not self._mask(()).any():
            raise ValueError(
                "No text is of the form that hk.generation.Constraint got: "
                f"{self.why_nothing_fits(())}."
            )

    def __call__(self, tokens: jax.Array, logits: jax.Array) -> jax.Array:
        """Logits, ``-inf`` where a token can't come next.

        Args:
          tokens: The new tokens so far, ``[B, N]``, -1 where there is none.
          logits: ``[B, V]``.
        """
        rows, size = logits.shape
        if size < self._size:
            raise ValueError(
                f"The model has {size} logits and the tokenizer of hk.generation."
                f"Constraint {self._size} tokens: it must be the model's."
            )
        shape = jax.ShapeDtypeStruct((rows, self._words), jnp.uint32)
        words = jax.pure_callback(self._masks, shape, tokens, vmap_method="sequential")
        bits = (words[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
        fits = bits.reshape(rows, -1)[:, :size].astype(bool)
        fits = jnp.pad(fits, [(0, 0), (0, size - fits.shape[1])])
        return jnp.where(fits, logits, -jnp.inf)

    def why_nothing_fits(self, tokens: Any) -> str:
        """What is wrong after new tokens ``[n]`` that no token can follow."""
        with self._lock:
            matcher = self._after(tuple(int(x) for x in tokens))
            error = matcher.get_error().partition("\n")[0]
        if not error or error.startswith("NoExtension"):
            return "no token of the vocabulary can come next"
        return error

    @property
    def _words(self) -> int:
        return -(-self._size // 32)

    def _masks(self, tokens: Any) -> np.ndarray:
        """The masks of rows, a bit for each token."""
        with self._lock:
            rows = [
                self._mask(tuple(row[row >= 0].tolist())) for row in np.asarray(tokens)
            ]
        return np.stack(rows)

    def _mask(self, tokens: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros([1, self._words], np.int32)
        matcher = self._after(tokens)
        if not matcher.is_error():
            matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            # Where nothing fits and the text isn't whole, it says that `eos` does.
            if matcher.stop_reason() not in _FINE and not matcher.is_accepting():
                mask[:] = 0
        return mask[0].view(np.uint32)

    def _after(self, tokens: tuple[int, ...]) -> Any:
        """What is known after some tokens: of all but the last it mostly is already."""
        known = len(tokens)
        while tokens[:known] not in self._kept:
            known -= 1
        matcher = self._kept[tokens[:known]]
        if known:  # that of no token stays the first
            self._kept.move_to_end(tokens[:known])
        if known == len(tokens):
            return matcher
        matcher = matcher.deep_copy()
        for token in tokens[known:]:
            if matcher.is_stopped() or matcher.is_error():
                break
            matcher.consume_token(token)
        self._kept[tokens] = matcher
        if len(self._kept) > _MOST_KEPT:
            oldest = next(key for key in self._kept if key)
            del self._kept[oldest]
        return matcher

    def __repr__(self) -> str:
        return f"Constraint(eos={self.eos})"


def _library() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise ImportError(
            "hk.generation.Constraint needs the package llguidance: "
            "pip install 'renga-jax[text]'"
        ) from error
    return llguidance


def _form(library: Any, regex: Any, schema: Any, grammar: Any) -> str:
    """The form in the library's language."""
    given = {"regex": regex, "json_schema": schema, "grammar": grammar}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ValueError(
            "hk.generation.Constraint takes one of regex, json_schema and grammar, got "
            f"{' and '.join(named) or 'none'}."
        )
    for name in {"regex", "grammar"} & {*named}:
        if not isinstance(given[name], str):
            raise ValueError(
                f"{name} of hk.generation.Constraint must be text, got {given[name]!r}."
            )
    if regex is not None:
        return library.LLMatcher.grammar_from_regex(regex)
    if grammar is not None:
        return library.LLMatcher.grammar_from_lark(grammar)
    try:
        read = json.loads(schema) if isinstance(schema, str) else schema
        text = json.dumps(read)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"json_schema of hk.generation.Constraint is no JSON: {error}."
        ) from error
    if not isinstance(read, dict):
        raise ValueError(
            "json_schema of hk.generation.Constraint must be an object, such as "
            f"{{'type': 'object'}}, got {text[:60]}."
        )
    return library.LLMatcher.grammar_from_json_schema(text, overrides=_JSON_STYLE)
