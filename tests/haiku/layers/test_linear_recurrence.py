"""Linear recurrences in parallel beside loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from haiku._layers.linear_recurrence import (
    decays_between,
    linear_recurrence,
    scan_chunks,
)

RANDOM = np.random.default_rng(0)


def problem(length, dtype=np.float32):
    def drawn(*shape):
        x = RANDOM.standard_normal((2, *shape, 3))
        return jnp.asarray(x + 1j * x[..., ::-1] if dtype == np.complex64 else x, dtype)

    return 0.7 * drawn(length), drawn(length), drawn()


def loop(decay, term, initial):
    h, out = initial, []
    for t in range(term.shape[1]):
        h = decay[:, t] * h + term[:, t]
        out.append(h)
    return jnp.stack(out, axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_values_and_derivatives_are_those_of_the_loop(length, dtype):
    inputs = problem(length, dtype)
    tangents = problem(length, dtype)
    for f in (
        lambda g: lambda *inputs: g(*inputs),
        lambda g: jax.grad(lambda *i: jnp.abs(jnp.sin(g(*i))).sum(), (0, 1, 2)),
        lambda g: lambda *inputs: jax.jvp(g, inputs, tangents),
    ):
        have, want = (jax.jit(f(g))(*inputs) for g in (linear_recurrence, loop))
        for x, y in zip(jax.tree.leaves(have), jax.tree.leaves(want)):
            np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


def test_second_derivatives_are_those_of_the_loop():
    inputs = problem(4)
    have, want = (
        jax.jit(jax.hessian(lambda *i, g=g: jnp.sin(g(*i)).sum(), (0, 2)))(*inputs)
        for g in (linear_recurrence, loop)
    )
    for x, y in zip(jax.tree.leaves(have), jax.tree.leaves(want)):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def test_the_backward_pass_keeps_four_arrays_of_the_sequence():
    """`h` of the step before, and at most three arrays of decays and products."""
    decay, term, initial = problem(64)
    _, vjp = jax.vjp(linear_recurrence, decay, term, initial)
    kept = [x for x in jax.tree.leaves(vjp) if hasattr(x, "size")]
    assert sum(x.size for x in kept) <= 4 * decay.size + 2 * initial.size


def test_a_symbolic_length():
    shape = export.symbolic_shape("2, time, 3")
    steps = jax.ShapeDtypeStruct(shape, np.float32)
    initial = jax.ShapeDtypeStruct((2, 3), np.float32)
    exported = export.export(jax.jit(linear_recurrence))(steps, steps, initial)
    inputs = problem(7)
    np.testing.assert_allclose(exported.call(*inputs), loop(*inputs), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 50])
def test_chunks_of_any_size(size):
    decay, term, initial = problem(7)

    def run(h, chunk):
        # Steps of zeros leave the state unchanged.
        h = linear_recurrence(1 + chunk[0], chunk[1], h)
        return h[:, -1], h

    y, last = scan_chunks(run, initial, (decay - 1, term), size)
    want = loop(decay, term, initial)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(last, want[:, -1], rtol=1e-5, atol=1e-5)


def test_decays_between_steps():
    log = -np.abs(RANDOM.standard_normal((2, 5)))
    total, between = decays_between(jnp.asarray(log, jnp.float32))
    np.testing.assert_allclose(total, np.cumsum(log, -1), rtol=1e-5)
    for t in range(5):
        for s in range(5):
            want = np.exp(log[:, s + 1 : t + 1].sum(-1)) if s <= t else 0
            np.testing.assert_allclose(between[:, t, s], want, rtol=1e-5)


def test_decays_so_strong_that_they_are_zero_have_finite_gradients():
    log = jnp.asarray([[-1e4, -1e4, -1.0]])
    gradient = jax.grad(lambda x: decays_between(x)[1].sum())(log)
    assert np.isfinite(gradient).all()
