"""Embed."""

import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(2, 3, 4, 5)


@pytest.mark.parametrize(
    "style", ["ARRAY_INDEX", "one_hot", hk.EmbedLookupStyle.ONE_HOT]
)
def test_embed_looks_vectors_up(style):
    ids = np.array([[0, 2], [1, 1]])
    matrix = normal(3, 4)

    def f():
        embed = hk.Embed(embedding_matrix=matrix, lookup_style=style)
        assert (embed.vocab_size, embed.embed_dim) == (3, 4)
        np.testing.assert_array_equal(embed.embeddings, matrix)
        return embed(ids), embed(ids.tolist(), lookup_style="ARRAY_INDEX")

    for out in run(f)():
        np.testing.assert_allclose(out, matrix[ids], rtol=1e-6)


def test_embed_creates_its_vectors():
    net = hk.transform(lambda ids: hk.Embed(7, 3, lookup_style="ONE_HOT")(ids))
    params = net.init(KEY, jnp.array([0]))
    assert params["embed"]["embeddings"].shape == (7, 3)
    out = net.apply(params, None, jnp.array([9]))  # one that is none of them
    np.testing.assert_array_equal(out, np.zeros([1, 3]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.Embed(), ValueError, "either with an initial.*vocab_size=None"),
        (lambda: hk.Embed(3), ValueError, "embed_dim=None"),
        (
            lambda: hk.Embed(7, embedding_matrix=X[0, 0]),
            ValueError,
            r"shape \(4, 5\).*vocab_size=7.*leave both sizes out",
        ),
        (
            lambda: hk.Embed(embed_dim=7, embedding_matrix=X[0, 0]),
            ValueError,
            r"shape \(4, 5\).*embed_dim=7.*leave both sizes out",
        ),
        (
            lambda: hk.Embed(embedding_matrix=X[0]),
            ValueError,
            r"shape \[vocab_size, embed_dim\], got \(3, 4, 5\)",
        ),
        (
            lambda: hk.Embed(3, 2)([1.0]),
            ValueError,
            "integer dtype.*'embed'.*float32",
        ),
        (
            lambda: hk.Embed(3, 2, lookup_style="FOO")([1]),
            AttributeError,
            "'FOO'.*ARRAY_INDEX.*ONE_HOT",
        ),
    ],
)
def test_wrong_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
