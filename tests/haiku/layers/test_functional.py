"""dropout, multinomial and one_hot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from definitions import KEY, normal

import haiku as hk

run = hk.testing.transform_and_run
X = normal(2, 3, 4, 5)


def test_dropout_keeps_the_mean():
    x = jnp.ones([200, 200])
    out = hk.dropout(KEY, 0.25, x)
    assert set(np.unique(out)) == {0.0, np.float32(1 / 0.75)}
    assert abs(float(out.mean()) - 1) < 0.02
    assert hk.dropout(KEY, 0.0, x) is x
    np.testing.assert_array_equal(jax.jit(hk.dropout)(KEY, 0.25, x), out)


def test_dropout_drops_together_along_broadcast_dims():
    out = np.asarray(hk.dropout(KEY, 0.5, jnp.ones([4, 5, 6]), broadcast_dims=(0, -1)))
    assert (out == out[:1, :, :1]).all()
    assert len(np.unique(out)) == 2


def test_multinomial_samples_with_the_given_probabilities():
    logits = jnp.log(jnp.array([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]]))
    draws = np.asarray(hk.multinomial(KEY, logits, 2000))
    assert draws.shape == (2, 2000)
    assert abs((draws[0] == 0).mean() - 0.7) < 0.05
    assert (draws[1] == 2).all()
    assert hk.multinomial(KEY, logits[0], 5).shape == (5,)


def test_one_hot_gives_zeros_out_of_range():
    out = hk.one_hot([0, 2, 5], 3, jnp.bfloat16)
    np.testing.assert_array_equal(out, [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert out.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.dropout(KEY, 1.0, X), ValueError, r"in \[0, 1\). Got: 1.0"),
        (lambda: hk.dropout(KEY, -0.1, X), ValueError, r"Got: -0.1"),
        (lambda: hk.dropout(None, 0.5, X), TypeError, "key, got None"),
        (
            lambda: hk.dropout(KEY, 0.5, X, (4,)),
            ValueError,
            r"dimension 4 for shape \[2, 3, 4, 5\]",
        ),
        (lambda: hk.multinomial(KEY, jnp.ones(()), 3), ValueError, "got a scalar"),
    ],
)
def test_wrong_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
