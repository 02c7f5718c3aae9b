"""A tokenizer from a folder: texts to tokens of equal length with a mask, and back."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from haiku.pretrained.chat_templates import check_messages, rendered
from haiku.pretrained.folders import Folder, file_in, has_file, read_config
from haiku.pretrained.json_files import json_text, shown

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer", "Tokens", "load_tokenizer", "tokenizer_files"]

_TEMPLATE = "chat_template.jinja"
# Beside tokenizer.json: what `save` writes as it was read.
_KEPT = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    _TEMPLATE,
)


class Tokens(NamedTuple):
    """Texts as tokens, padded to one length.

    Attributes:
      tokens: int32 `[B, T]`.
      mask: bool `[B, T]`; False where a row is padded.

    Example:
      >>> padded = hk.pretrained.Tokens(jnp.asarray([[0, 7]]), jnp.arange(2)[None] > 0)
      >>> padded.mask.sum(axis=1).tolist()
      [1]
    """

    tokens: jax.Array
    mask: jax.Array


class Tokenizer:
    """Texts to tokens and back: a `tokenizers.Tokenizer` that gives arrays.

    Attributes:
      inner: The `tokenizers.Tokenizer`.
      pad: Token that fills rows up, or None: then rows are filled with `eos`, or 0.
      bos: Token that begins a text, or None.
      eos: Token that ends a text, or None.

    Example:
      >>> from tokenizers import Tokenizer, models, pre_tokenizers
      >>> inner = Tokenizer(models.WordLevel({"sea": 0, "the": 1, "?": 2}, "?"))
      >>> inner.pre_tokenizer = pre_tokenizers.Whitespace()
      >>> hk.pretrained.Tokenizer(inner)(["sea", "the sea"]).tokens.tolist()
      [[0, 0], [1, 0]]
    """

    def __init__(
        self,
        inner: tokenizers.Tokenizer,
        *,
        pad: int | None = None,
        bos: int | None = None,
        eos: int | None = None,
    ):
        """Makes one from a `tokenizers.Tokenizer`.

        Args:
          inner: What splits texts. It should neither pad nor truncate.
          pad: Token that fills rows up.
          bos: Token that begins a text.
          eos: Token that ends a text.
        """
        self.inner = inner
        self.pad, self.bos, self.eos = pad, bos, eos
        self._kept: dict[str, bytes] = {}
        self._template: str | None = None

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, special and added ones too."""
        return self.inner.get_vocab_size(with_added_tokens=True)

    def __call__(
        self,
        texts: str | Sequence[str],
        padding: str = "left",
        add_special_tokens: bool = True,
    ) -> Tokens:
        """Splits texts into tokens.

        Args:
          texts: Several texts, or one, which counts as a list of one. None is
            truncated.
          padding: The side on which shorter rows are filled up, "left" or "right".
          add_special_tokens: Whether each text gets the tokens that begin and end it,
            as the tokenizer was trained.

        Returns:
          Tokens int32 `[B, T]` and their mask, where T is the length of the longest.

        Raises:
          TypeError: A text isn't a string.
          ValueError: `padding` is something else.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"hk.pretrained.Tokenizer takes texts, and text {i} is "
                    f"{shown(text)}."
                )
        if padding not in ("left", "right"):
            raise ValueError(
                'hk.pretrained.Tokenizer: padding must be "left" or "right", and is '
                f"{shown(padding)}."
            )
        encoded = self.inner.encode_batch(texts, add_special_tokens=add_special_tokens)
        rows = [encoding.ids for encoding in encoded]
        filler = next((x for x in (self.pad, self.eos) if x is not None), 0)
        size = max(map(len, rows), default=0)
        tokens = np.full([len(rows), size], filler, np.int32)
        mask = np.zeros([len(rows), size], bool)
        for i, row in enumerate(rows):
            place = (
                slice(size - len(row), size) if padding == "left" else slice(len(row))
            )
            tokens[i, place], mask[i, place] = row, True
        return Tokens(jnp.asarray(tokens), jnp.asarray(mask))

    def decode(self, tokens: Any, skip_special_tokens: bool = True) -> list[str] | str:
        """Joins tokens into texts.

        Args:
          tokens: Integers `[B, T]` or `[T]`.
          skip_special_tokens: Whether padding and other special tokens are left out.

        Returns:
          B texts, or one text for `[T]`. Tokens beyond the vocabulary give nothing.

        Raises:
          TypeError: The tokens aren't integers.
          ValueError: They have another shape, or one is negative.
        """
        ids = np.asarray(tokens)
        if ids.dtype.kind not in "iu" and ids.size:
            raise TypeError(
                f"hk.pretrained.Tokenizer.decode takes integers, and got {ids.dtype}."
            )
        if ids.ndim not in (1, 2):
            raise ValueError(
                "hk.pretrained.Tokenizer.decode takes tokens [B, T] or [T], and got "
                f"shape {ids.shape}. One token of each row is `tokens[:, None]`."
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < 2**31:
            raise ValueError(
                "hk.pretrained.Tokenizer.decode takes tokens from 0 to 2**31 - 1, and "
                f"got some from {ids.min()} to {ids.max()}."
            )
        if ids.ndim == 1:
            return self.inner.decode(ids.tolist(), skip_special_tokens)
        return self.inner.decode_batch(ids.tolist(), skip_special_tokens)

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """Writes messages as the text that the model was trained on.

        The template is a program of whoever made the folder: it runs in Jinja's sandbox
        and in a process of its own, with limits of time and memory, and reads and
        writes no file.

        Args:
          messages: Such as ``[{"role": "user", "content": "The sea?"}]``.
          add_generation_prompt: Whether the text ends where the model's answer begins.
          template: Default: that of the folder.
          **variables: Further variables of the template, such as `tools`.

        Returns:
          The text, special tokens included: split it by
          ``tokenizer([text], add_special_tokens=False)``.

        Raises:
          ImportError: The package `jinja2` is missing.
          ValueError: The folder has no template; messages aren't dicts with a role; the
            template is wrong, refuses the messages, or needs too much time or memory.

        Example:
          >>> import tokenizers
          >>> inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({"sea": 0}))
          >>> hk.pretrained.Tokenizer(inner).apply_chat_template(
          ...     [{"role": "user", "content": "sea"}],
          ...     template="<{{ messages[0].role }}>{{ messages[0].content }}")
          '<user>sea'
        """
        template = self._template if template is None else template
        if template is None:
            raise ValueError(
                "The tokenizer has no chat template: its folder has neither "
                "chat_template.jinja nor chat_template in tokenizer_config.json. Pass "
                "template=..., or write the text yourself."
            )
        check_messages(messages)
        ids = {"pad": self.pad, "bos": self.bos, "eos": self.eos}
        special = {
            f"{name}_token": self.inner.id_to_token(id_)
            for name, id_ in ids.items()
            if id_ is not None
        }
        given = {"messages": messages, "add_generation_prompt": add_generation_prompt}
        return rendered(template, special | given | variables)

    def __repr__(self) -> str:
        names = f"pad={self.pad}, bos={self.bos}, eos={self.eos}"
        return f"Tokenizer(vocab_size={self.vocab_size}, {names})"


def load_tokenizer(folder: Folder) -> Tokenizer:
    """Reads the tokenizer of a folder.

    Args:
      folder: Holds `tokenizer.json`. Special tokens are those of
        `tokenizer_config.json` or `special_tokens_map.json`, or else the ids in
        `config.json`. Padding and truncation that `tokenizer.json` asks for are left
        out: a call pads to the longest text and truncates none.

    Returns:
      A `Tokenizer`.

    Raises:
      FileNotFoundError: The folder, or `tokenizer.json` in it, is missing.
      ImportError: The package `tokenizers` is missing.
      ValueError: A file isn't as it should be.

    Example:
      >>> import tempfile
      >>> from tokenizers import Tokenizer, models
      >>> folder = tempfile.mkdtemp()
      >>> Tokenizer(models.WordLevel({"sea": 0})).save(folder + "/tokenizer.json")
      >>> hk.pretrained.load_tokenizer(folder)
      Tokenizer(vocab_size=1, pad=None, bos=None, eos=None)
    """
    if pathlib.Path(folder).is_dir() and not has_file(folder, "tokenizer.json"):
        raise FileNotFoundError(
            f"{folder} has no tokenizer.json. Write it once with transformers: "
            f"AutoTokenizer.from_pretrained({str(folder)!r})"
            f".save_pretrained({str(folder)!r})."
        )
    inner = _read_inner(file_in(folder, "tokenizer.json"))
    found = [
        read_config(folder, name) if has_file(folder, name) else {}
        for name in ("tokenizer_config.json", "special_tokens_map.json", "config.json")
    ]
    special = {
        name: _special(name, inner, found[:2], found[2], folder)
        for name in ("pad", "bos", "eos")
    }
    tokenizer = Tokenizer(inner, **special)
    tokenizer._template = _template_of(folder, found[0])
    for name in _KEPT:
        if has_file(folder, name):
            tokenizer._kept[name] = file_in(folder, name).read_bytes()
    return tokenizer


def _template_of(folder: Folder, config: Mapping[str, Any]) -> str | None:
    """The chat template of a folder: a file, or in the config; of several `default`."""
    if has_file(folder, _TEMPLATE):
        path = file_in(folder, _TEMPLATE)
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} must be text in UTF-8: {error}") from error
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {x.get("name"): x.get("template") for x in found if isinstance(x, dict)}
        found = named.get("default", found)
    if not isinstance(found, str | None):
        raise ValueError(
            f"{folder}, tokenizer: chat_template must be a text, or a list with one "
            f"named default, and is {shown(found)}."
        )
    return found


def _read_inner(path: pathlib.Path) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ImportError(
            "hk.pretrained.load_tokenizer needs the package tokenizers: "
            "pip install 'renga-jax[text]'"
        ) from error
    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # A panic of the Rust library derives from it.
        raise ValueError(f"{path} isn't a tokenizer: {error}") from error
    inner.no_padding()
    inner.no_truncation()
    return inner


def _special(
    name: str,
    inner: tokenizers.Tokenizer,
    by_text: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    folder: Folder,
) -> int | None:
    """The id of a special token, by its text in the tokenizer's files or the config."""
    for found in by_text:
        token = found.get(f"{name}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if not isinstance(text, str | None):
            raise ValueError(
                f"{folder}, tokenizer: {name}_token must be a text, and is "
                f"{shown(token)}."
            )
        if text is not None and (id_ := inner.token_to_id(text)) is not None:
            return id_
    ids = config.get(f"{name}_token_id")
    for id_ in ids if isinstance(ids, list) else [ids]:
        if type(id_) is not int and id_ is not None:
            raise ValueError(
                f"{pathlib.Path(folder) / 'config.json'}: {name}_token_id must be an "
                f"integer, and is {shown(ids)}."
            )
        if id_ is not None and 0 <= id_ < 2**31:
            return id_  # Of several the first; a negative one stands for none.
    return None


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """The files of a tokenizer by name: `load_tokenizer` and transformers read them."""
    kept = dict(tokenizer._kept)
    if not kept:
        ids = {"pad": tokenizer.pad, "bos": tokenizer.bos, "eos": tokenizer.eos}
        texts = {
            f"{name}_token": tokenizer.inner.id_to_token(id_)
            for name, id_ in ids.items()
            if id_ is not None
        }
        about = {"tokenizer_class": "PreTrainedTokenizerFast", **texts}
        kept["tokenizer_config.json"] = json_text(about)
    return {"tokenizer.json": tokenizer.inner.to_str(pretty=True).encode(), **kept}
