"""The recurrence: both ways to compute it, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlax._core import recurrence

T = 7


def affine(y_next, term, decay):
    return term + decay * y_next


def loop(term, decay, last, cut):
    y, out = last, []
    for t in reversed(range(len(term))):
        follow = decay[t] * y
        y = term[t] + (follow if cut is None else np.where(cut[t], 0, follow))
        out.append(y)
    return np.stack(out[::-1])


def inputs(shape, seed=0):
    random = np.random.default_rng(seed)
    term, decay = random.standard_normal((2, T, *shape)).astype(np.float32)
    last = random.standard_normal(shape).astype(np.float32)
    return term, decay, last, random.random((T, *shape)) < 0.3


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("has_cut", [False, True])
def test_solution_equals_the_loop(parallel, shape, has_cut):
    term, decay, last, cut = inputs(shape)
    cut = cut if has_cut else None
    y = recurrence.linear_recurrence(
        affine,
        (jnp.asarray(term), jnp.asarray(decay)),
        jnp.asarray(last),
        cut=None if cut is None else jnp.asarray(cut),
        parallel=parallel,
    )
    np.testing.assert_allclose(y, loop(term, decay, last, cut), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("has_cut", [False, True])
def test_both_ways_have_the_same_derivatives(has_cut):
    """First derivatives in reverse and forward mode, and second ones."""
    term, decay, last, cut = map(jnp.asarray, inputs((2,)))
    cut = cut if has_cut else None

    def f(parallel):
        def square(args):
            y = recurrence.linear_recurrence(
                affine, args[:2], args[2], cut=cut, parallel=parallel
            )
            return jnp.sum(jnp.sin(y))

        return square

    args, tangents = (term, decay, last), (decay, term, last)
    results = []
    for parallel in (False, True):
        reverse = jax.jit(jax.grad(f(parallel)))
        forward = jax.jit(lambda a, t, p=parallel: jax.jvp(f(p), (a,), (t,)))
        second = jax.jit(
            lambda a, t, p=parallel: jax.jvp(jax.grad(f(p)), (a,), (t,))[1]
        )
        results.append((reverse(args), forward(args, tangents), second(args, tangents)))
    for x, y in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def test_inputs_without_tangents_leave_the_gradient_as_it_is():
    term, decay, last, _ = map(jnp.asarray, inputs(()))

    def f(term):
        return recurrence.linear_recurrence(
            affine, (term, decay), last, parallel=True
        ).sum()

    want = jax.grad(
        lambda term: recurrence.linear_recurrence(
            affine, (term, decay), last, parallel=False
        ).sum()
    )(term)
    np.testing.assert_allclose(jax.grad(f)(term), want, rtol=1e-5)


def test_one_number_serves_all_steps():
    term, _, last, _ = map(jnp.asarray, inputs(()))
    for parallel in (False, True):
        y = recurrence.linear_recurrence(
            affine, (term, jnp.float32(0.5)), last, parallel=parallel
        )
        want = loop(term, np.full(T, 0.5), last, None)
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


def test_parallel_form_is_chosen_by_backend_and_length(monkeypatch):
    runs = recurrence.runs_in_parallel
    assert runs(10**6, None) is False
    assert runs(1, True) is True
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert runs(recurrence.PARALLEL_FROM, None)
    assert not runs(recurrence.PARALLEL_FROM - 1, None)
    assert runs(10**6, False) is False


def test_parallel_form_has_no_loop():
    """So its depth is logarithmic."""
    term, decay, last, _ = map(jnp.asarray, inputs(()))
    text = {
        p: str(
            jax.make_jaxpr(
                lambda *x, p=p: recurrence.linear_recurrence(
                    affine, x[:2], x[2], parallel=p
                )
            )(term, decay, last)
        )
        for p in (False, True)
    }
    assert "scan[" in text[False]
    assert "scan[" not in text[True]
