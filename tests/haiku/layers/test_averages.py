import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(5, 3).astype(np.float32)


def test_debiased_average():
    def f():
        ema = hk.ExponentialMovingAverage(0.5)
        return ema(jnp.array(3.0)), ema(jnp.array(6.0)), ema.average

    np.testing.assert_allclose(run(f)(), [3.0, 5.0, 5.0], rtol=1e-6)


def test_raw_average_starts_from_zero():
    ema = run(
        lambda: hk.ExponentialMovingAverage(0.75, zero_debias=False)(jnp.array(4.0))
    )
    np.testing.assert_allclose(ema(), 1.0)


def test_warmup_takes_the_latest_value():
    def f():
        ema = hk.ExponentialMovingAverage(0.5, zero_debias=False, warmup_length=2)
        return [ema(jnp.array(v)) for v in (1.0, 5.0, 7.0)]

    np.testing.assert_allclose(run(f)(), [1.0, 5.0, 6.0])


def test_without_update_nothing_is_kept():
    def f():
        ema = hk.ExponentialMovingAverage(0.5)
        ema(jnp.array(3.0))
        looked = ema(jnp.array(6.0), update_stats=False)
        return looked, ema.average

    np.testing.assert_allclose(run(f)(), [5.0, 3.0], rtol=1e-6)


def test_initialize_does_not_restart():
    def f():
        ema = hk.ExponentialMovingAverage(0.5)
        ema.initialize((2,), jnp.bfloat16)
        first = ema.average
        ema(jnp.ones(2, jnp.bfloat16))
        ema.initialize(jnp.zeros([2]))
        return first, ema.average

    first, average = run(f)()
    np.testing.assert_array_equal(first, [0, 0])
    np.testing.assert_array_equal(average, [1, 1])
    assert first.dtype == jnp.bfloat16


def test_integers_and_numbers_count_as_floats():
    def f():
        ema = hk.ExponentialMovingAverage(0.5)
        return ema(1), ema(np.array(4))

    np.testing.assert_allclose(run(f)(), [1.0, 3.0], rtol=1e-6)


@pytest.mark.parametrize("decay", [np.array(0.5), jnp.array(0.5)])
def test_decay_of_any_kind(decay):
    def f(decay):
        ema = hk.ExponentialMovingAverage(decay)
        return ema(jnp.array(3.0)), ema(jnp.array(6.0))

    np.testing.assert_allclose(run(f)(decay), [3.0, 5.0], rtol=1e-6)


def test_trees_are_averaged_in_submodules():
    tree = {"a/~/b": {"w": X, "b": X[0]}, "c": {"w": 2 * X}}
    net = hk.transform_with_state(
        lambda t, **kw: hk.EMAParamsTree(0.5, ignore_regex=".*/b$")(t, **kw)
    )
    _, state = net.init(None, tree)
    assert set(state) == {"ema_params_tree/a___tilde___b__w", "ema_params_tree/c__w"}
    _, state = net.apply({}, state, None, tree)
    tripled = jax.tree.map(lambda x: 3 * x, tree)
    out, _ = net.apply({}, state, None, tripled, update_stats=False)
    np.testing.assert_allclose(
        out["c"]["w"], 2 * X * (0.25 + 3 * 0.5) / 0.75, rtol=1e-5
    )
    np.testing.assert_array_equal(out["a/~/b"]["b"], 3 * X[0])


def test_spectral_norm_finds_the_largest_singular_value():
    def f():
        norm = hk.SpectralNorm(n_steps=50)
        out = norm(X)
        return out, norm.sigma, norm.u0

    out, sigma, u0 = run(f)()
    largest = np.linalg.svd(X)[1][0]
    np.testing.assert_allclose(sigma, largest, rtol=1e-3)
    np.testing.assert_allclose(out, X / largest, rtol=1e-3, atol=1e-3)
    assert u0.shape == (1, 3)


def test_spectral_norm_goes_on_from_call_to_call():
    net = hk.transform_with_state(lambda x, **kw: hk.SpectralNorm()(x, **kw))
    _, state = net.init(jax.random.PRNGKey(0), X)
    for _ in range(30):
        _, state = net.apply({}, state, None, X)
    largest = np.linalg.svd(X)[1][0]
    np.testing.assert_allclose(state["spectral_norm"]["sigma"], largest, rtol=1e-3)
    _, after = net.apply({}, state, None, 2 * X, update_stats=False)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_spectral_norm_passes_no_gradient_through_its_directions():
    net = hk.transform_with_state(lambda x: hk.SpectralNorm()(x))
    _, state = net.init(jax.random.PRNGKey(0), X)

    def unit(x):
        return x / np.linalg.norm(x)

    v = unit(state["spectral_norm"]["u0"] @ X.T)
    u = unit(v @ X)
    weights = np.arange(X.size, dtype=np.float32).reshape(X.shape)
    ours = jax.grad(lambda x: jnp.sum(weights * net.apply({}, state, None, x)[0]))(X)
    # Of W / (v W uᵀ), u and v as they are.
    sigma = (v @ X @ u.T)[0, 0]
    by_hand = weights / sigma - np.sum(weights * X) / sigma**2 * (v.T @ u)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-3, atol=1e-3)


def test_spectral_norm_without_steps_or_calls():
    def f():
        norm = hk.SpectralNorm(n_steps=0)
        return norm.sigma, norm(4 * jnp.eye(3)), norm.u0

    sigma, out, u0 = run(f)()
    assert sigma == 1
    v = u0 / jnp.sqrt(jnp.sum(u0**2))  # of 4 I: v is along u
    np.testing.assert_allclose(out, jnp.eye(3) / (v @ u0.T)[0, 0], rtol=1e-3)


def test_spectral_norm_of_a_kernel_counts_all_but_the_last_axis_as_one():
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
        (
            lambda: hk.ExponentialMovingAverage(0.5, False, warmup_length=-1),
            ValueError,
            "is -1, but should be non-negative",
        ),
        (
            lambda: hk.ExponentialMovingAverage(0.5, warmup_length=2),
            ValueError,
            "set zero_debias=False",
        ),
        (
            lambda: [e := hk.ExponentialMovingAverage(0.5), e(X), e(X[:, 0])],
            ValueError,
            r"shape \(5, 3\), but got one of shape \(5,\)",
        ),
        (lambda: hk.ExponentialMovingAverage(0.5).average, ValueError, "average"),
        (lambda: hk.EMAParamsTree(0.5)([X]), TypeError, "'ema_params_tree'.*list"),
        (lambda: hk.EMAParamsTree(0.5)({"a": X}), TypeError, "{module: {name: array}}"),
        (lambda: hk.SpectralNorm()(1.0), ValueError, "not well defined.*()"),
        (lambda: hk.SpectralNorm()(X[0]), ValueError, r"not well defined.*\(3,\)"),
        (
            lambda: hk.SpectralNorm()(X[None], error_on_non_matrix=True),
            ValueError,
            "Input is 3D",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_averaged_in_full(dtype):
    # In bfloat16 a decay of 0.999 is 1: the average would stay at zero over zero.
    net = hk.transform_with_state(
        lambda x: (
            hk.BatchNorm(True, True, 0.999)(x, True)
            + hk.ExponentialMovingAverage(0.999)(x)
        )
    )
    x = (300 + 5 * X).astype(dtype)
    params, state = net.init(None, x)
    apply = jax.jit(net.apply)
    for _ in range(200):
        out, state = apply(params, state, None, x)
    assert out.dtype == dtype
    values = x.astype(np.float64)
    average = state["exponential_moving_average"]["average"]
    np.testing.assert_allclose(average, values, rtol=1e-4)
    mean, variance = (
        state[f"batch_norm/~/{name}_ema"]["average"] for name in ("mean", "var")
    )
    np.testing.assert_allclose(mean[0], values.mean(0), rtol=1e-4)
    np.testing.assert_allclose(variance[0], values.var(0), rtol=1e-3)


def test_state_in_half_precision_stays_so():
    net = hk.transform_with_state(lambda x: hk.ExponentialMovingAverage(0.5)(x))
    x = jnp.ones(2, jnp.bfloat16)
    state = jax.tree.map(
        lambda s: s.astype(jnp.bfloat16) if s.dtype == jnp.float32 else s,
        net.init(None, x)[1],
    )
    out, after = net.apply({}, state, None, x)
    assert jax.tree.map(lambda s: s.dtype, after) == jax.tree.map(
        lambda s: s.dtype, state
    )
    np.testing.assert_allclose(out, 1)
