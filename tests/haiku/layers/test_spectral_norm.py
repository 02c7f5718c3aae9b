"""SpectralNorm and SNParamsTree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(5, 3).astype(np.float32)


def test_many_steps_find_the_largest_singular_value():
    def f():
        norm = hk.SpectralNorm(n_steps=50)
        out = norm(X)
        return out, norm.sigma, norm.u0

    out, sigma, u0 = run(f)()
    largest = np.linalg.svd(X)[1][0]
    np.testing.assert_allclose(sigma, largest, rtol=1e-3)
    np.testing.assert_allclose(out, X / largest, rtol=1e-3, atol=1e-3)
    assert u0.shape == (1, 3)


def test_each_call_continues_the_iteration():
    net = hk.transform_with_state(lambda x, **kw: hk.SpectralNorm()(x, **kw))
    _, state = net.init(jax.random.PRNGKey(0), X)
    for _ in range(30):
        _, state = net.apply({}, state, None, X)
    largest = np.linalg.svd(X)[1][0]
    np.testing.assert_allclose(state["spectral_norm"]["sigma"], largest, rtol=1e-3)
    _, after = net.apply({}, state, None, 2 * X, update_stats=False)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_the_singular_vectors_pass_no_gradient():
    net = hk.transform_with_state(lambda x: hk.SpectralNorm()(x))
    _, state = net.init(jax.random.PRNGKey(0), X)

    def unit(x):
        return x / np.linalg.norm(x)

    v = unit(state["spectral_norm"]["u0"] @ X.T)
    u = unit(v @ X)
    weights = np.arange(X.size, dtype=np.float32).reshape(X.shape)
    ours = jax.grad(lambda x: jnp.sum(weights * net.apply({}, state, None, x)[0]))(X)
    # The derivative of W / (v W uᵀ) with constant u and v.
    sigma = (v @ X @ u.T)[0, 0]
    by_hand = weights / sigma - np.sum(weights * X) / sigma**2 * (v.T @ u)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-3, atol=1e-3)


def test_without_steps_the_stored_vector_is_used():
    def f():
        norm = hk.SpectralNorm(n_steps=0)
        return norm.sigma, norm(4 * jnp.eye(3)), norm.u0

    sigma, out, u0 = run(f)()
    assert sigma == 1
    v = u0 / jnp.sqrt(jnp.sum(u0**2))  # of 4 I: v is along u
    np.testing.assert_allclose(out, jnp.eye(3) / (v @ u0.T)[0, 0], rtol=1e-3)


def test_the_leading_axes_of_a_kernel_are_merged():
    kernel = np.random.RandomState(0).randn(2, 2, 3, 4).astype(np.float32)
    out = run(lambda: hk.SpectralNorm(n_steps=80)(kernel))()
    assert out.shape == kernel.shape
    largest = np.linalg.svd(out.reshape(12, 4))[1][0]
    np.testing.assert_allclose(largest, 1, rtol=1e-2)


def test_trees_are_normalised_in_submodules():
    net = hk.transform_with_state(
        lambda t: hk.SNParamsTree(n_steps=40, ignore_regex=".*b$")(t)
    )
    tree = {"a": {"w": X, "b": X[0]}}
    _, state = net.init(jax.random.PRNGKey(0), tree)
    assert set(state) == {"sn_params_tree/a__w"}
    out, _ = net.apply({}, state, None, tree)
    np.testing.assert_allclose(np.linalg.svd(out["a"]["w"])[1][0], 1, rtol=1e-2)
    np.testing.assert_array_equal(out["a"]["b"], X[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.SpectralNorm()(1.0), ValueError, "not well defined.*()"),
        (lambda: hk.SpectralNorm()(X[0]), ValueError, r"not well defined.*\(3,\)"),
        (
            lambda: hk.SpectralNorm()(X[None], error_on_non_matrix=True),
            ValueError,
            "Input is 3D",
        ),
    ],
)
def test_wrong_shapes_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
