"""Batches that broadcast, and batches that must not."""

import jax.numpy as jnp
import numpy as np
import pytest

import rlax


@pytest.mark.parametrize(
    ("one", "other"), [((4,), (4, 1)), ((4, 1), (4,)), ((3,), (4, 3, 1))]
)
def test_batches_that_would_make_a_larger_one_are_refused(one, other):
    with pytest.raises(rlax.ContractError, match="larger batch"):
        rlax.l2_loss(jnp.ones(one), jnp.ones(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((4, 1), (1, 3)),
        ((), (4, 3)),
        ((3,), (4, 3)),
        ((1,), (4, 3)),
        ((6, 1, 4), (2, 4)),
    ],
)
def test_batches_broadcast(one, other):
    x, y = (
        np.random.default_rng(0).random(shape, np.float32) for shape in (one, other)
    )
    np.testing.assert_allclose(rlax.l2_loss(x, y), 0.5 * np.square(x - y), rtol=1e-5)
