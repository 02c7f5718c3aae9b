"""ExponentialMovingAverage and EMAParamsTree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(5, 3).astype(np.float32)


def test_the_first_value_counts_in_full():
    def f():
        ema = hk.ExponentialMovingAverage(0.5)
        return ema(jnp.array(3.0)), ema(jnp.array(6.0)), ema.average

    np.testing.assert_allclose(run(f)(), [3.0, 5.0, 5.0], rtol=1e-6)


def test_without_debiasing_the_average_starts_at_zero():
    ema = run(
        lambda: hk.ExponentialMovingAverage(0.75, zero_debias=False)(jnp.array(4.0))
    )
    np.testing.assert_allclose(ema(), 1.0)


def test_during_warmup_the_average_is_the_latest_value():
    def f():
        ema = hk.ExponentialMovingAverage(0.5, zero_debias=False, warmup_length=2)
        return [ema(jnp.array(v)) for v in (1.0, 5.0, 7.0)]

    np.testing.assert_allclose(run(f)(), [1.0, 5.0, 6.0])


def test_without_update_stats_nothing_is_stored():
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


def test_integers_and_numbers_are_converted_to_floats():
    def f():
        ema = hk.ExponentialMovingAverage(0.5)
        return ema(1), ema(np.array(4))

    np.testing.assert_allclose(run(f)(), [1.0, 3.0], rtol=1e-6)


@pytest.mark.parametrize("decay", [np.array(0.5), jnp.array(0.5)])
def test_the_decay_may_be_an_array(decay):
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


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_averaged_in_float32(dtype):
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


def test_state_in_half_precision_keeps_its_dtype():
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
    ],
)
def test_wrong_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
