"""`Embed`: a learned vector for each token."""

import enum
from typing import Any

import jax
import jax.numpy as jnp

from haiku._core import Module, get_parameter
from haiku._layers.explicit_axes import looked_up
from haiku._layers.product import product
from haiku.initializers import Initializer, TruncatedNormal

__all__ = ["Embed", "EmbedLookupStyle"]


class EmbedLookupStyle(enum.Enum):
    """How :class:`Embed` looks vectors up.

    Example:
      >>> one_hot = hk.EmbedLookupStyle.ONE_HOT  # a product instead of indexing
      >>> embed = hk.bind(hk.Embed, 10, 4, lookup_style=one_hot)
      >>> embed.init(0, jnp.array([1, 2]))(jnp.array([1, 2])).shape
      (2, 4)
    """

    ARRAY_INDEX = 1  #: by indexing
    ONE_HOT = 2  #: by a matrix multiplication with one-hot vectors


class Embed(Module):
    """Looks up a learned vector for each token.

    Args:
      vocab_size: Number of tokens.
      embed_dim: Size of the vectors.
      embedding_matrix: Initial vectors, ``[vocab_size, embed_dim]``, instead of sizes
        and an initializer.
      w_init: Initializer of the vectors. Default: a truncated normal.
      lookup_style: :class:`EmbedLookupStyle`, or its name.
      name: Name of the module.
      precision: Precision of the multiplication with ``ONE_HOT``.

    Raises:
      ValueError: Neither a matrix nor both sizes are given, or the matrix has other
        sizes.

    Example:
      >>> net = hk.transform(lambda ids: hk.Embed(vocab_size=100, embed_dim=8)(ids))
      >>> params = net.init(jax.random.key(0), jnp.array([[3, 1, 4]]))
      >>> net.apply(params, None, jnp.array([[3, 1, 4]])).shape
      (1, 3, 8)
    """

    _own_axes = {"embeddings": ("vocab", "embed")}

    def __init__(
        self,
        vocab_size: int | None = None,
        embed_dim: int | None = None,
        embedding_matrix: Any = None,
        w_init: Initializer | None = None,
        lookup_style: str | EmbedLookupStyle = "ARRAY_INDEX",
        name: str | None = None,
        precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
    ):
        super().__init__(name=name)
        if embedding_matrix is None and not (vocab_size and embed_dim):
            raise ValueError(
                "hk.Embed must be supplied either with an initial `embedding_matrix` "
                "or with `embed_dim` and `vocab_size`, both at least 1. Got: "
                f"{vocab_size=}, {embed_dim=}"
            )
        if embedding_matrix is not None:
            embedding_matrix = jnp.asarray(embedding_matrix)
            if embedding_matrix.ndim != 2:
                raise ValueError(
                    "`embedding_matrix` must have shape [vocab_size, embed_dim], got "
                    f"{embedding_matrix.shape}."
                )
            shape = embedding_matrix.shape
            if (vocab_size or shape[0], embed_dim or shape[1]) != shape:
                raise ValueError(
                    f"An `embedding_matrix` of shape {shape} has been supplied, which "
                    f"is not [vocab_size, embed_dim], with {vocab_size=} and "
                    f"{embed_dim=}: leave both sizes out, the matrix defines them."
                )
            vocab_size, embed_dim = shape
            w_init = _init_from(embedding_matrix)
        self.vocab_size: int = vocab_size  # type: ignore[assignment]
        self.embed_dim: int = embed_dim  # type: ignore[assignment]
        self.lookup_style = lookup_style
        self.precision = precision
        self.w_init = w_init or TruncatedNormal()

    @property
    def embeddings(self) -> jax.Array:
        """The vectors, ``[vocab_size, embed_dim]``."""
        return get_parameter(
            "embeddings", [self.vocab_size, self.embed_dim], init=self.w_init
        )

    def __call__(
        self,
        ids: Any,
        lookup_style: str | EmbedLookupStyle | None = None,
        precision: jax.lax.Precision | None = None,
    ) -> jax.Array:
        """Looks up the vector of each token.

        Args:
          ids: Tokens in ``[0, vocab_size)``, integers of any shape. Larger ones are
            clamped with ``ARRAY_INDEX`` and give zeros with ``ONE_HOT``.
          lookup_style: Overrides the module's.
          precision: Overrides the module's.

        Returns:
          ``[..., embed_dim]``.

        Raises:
          ValueError: `ids` aren't integers.
          AttributeError: `lookup_style` is unknown.
        """
        ids = jnp.asarray(ids)
        if not jnp.issubdtype(ids.dtype, jnp.integer):
            raise ValueError(
                "hk.Embed's __call__ method must take an array of integer dtype but "
                f"{self.module_name!r} was called with an array of {ids.dtype}: pass "
                "ids.astype(jnp.int32)."
            )
        style = _lookup_style(lookup_style or self.lookup_style)
        if style is EmbedLookupStyle.ARRAY_INDEX:
            return looked_up(self.embeddings, ids)
        rows = jax.nn.one_hot(ids, self.vocab_size)
        return product(rows, self.embeddings, precision or self.precision)


def _init_from(matrix: jax.Array) -> Initializer:
    """An initializer that returns `matrix`."""

    def init(shape: Any, dtype: Any) -> jax.Array:
        del shape, dtype
        return matrix

    return init


def _lookup_style(style: str | EmbedLookupStyle) -> EmbedLookupStyle:
    if isinstance(style, EmbedLookupStyle):
        return style
    try:
        return EmbedLookupStyle[str(style).upper()]
    except KeyError:
        raise AttributeError(
            f"Unknown lookup_style {style!r}: choose one of "
            f"{[choice.name for choice in EmbedLookupStyle]}."
        ) from None
