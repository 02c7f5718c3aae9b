"""The sum over pairs of predictions and targets."""

import jax
import numpy as np

import rlax


def test_sums_are_the_same_on_any_backend(monkeypatch):
    random = np.random.default_rng(0)
    args = random.random((3, 6)).astype(np.float32)

    def all_of(*x):
        value, grads = jax.value_and_grad(rlax.quantile_regression_loss, (0, 1, 2))(*x)
        forward = jax.jvp(rlax.quantile_regression_loss, x, x)[1]
        return value, *grads, forward

    here = all_of(*args)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for x, y in zip(here, all_of(*args)):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
