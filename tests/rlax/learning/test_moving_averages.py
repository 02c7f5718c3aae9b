"""Moving averages of moments, debiased."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_estimates_are_debiased_and_averaged_over_devices():
    init, update = rlax.create_ema(0.5)
    values = {"a": np.array([1.0, 3.0]), "b": np.array(4.0)}
    state = init(values)
    assert state.debiased_moments().mean["a"] == 0
    moments, state = update(values, state)
    np.testing.assert_allclose([moments.mean["a"], moments.variance["a"]], [2, 1])
    assert state.decay_product == 0.5
    moments, _ = jax.jit(update)({"a": np.array([4.0, 4.0]), "b": np.array(4.0)}, state)
    np.testing.assert_allclose(
        moments.mean["a"], (0.25 * 2 + 0.5 * 4) / 0.75, rtol=1e-6
    )
    np.testing.assert_allclose(moments.variance["b"], 0, atol=1e-5)
    init, update = rlax.create_ema(0.5, "i")
    x = jnp.array([1.0, 5.0])
    mean = jax.vmap(lambda x: update(x, init(x))[0].mean, axis_name="i")(x)
    np.testing.assert_allclose(mean, [3.0, 3.0])


def test_empty_arrays_leave_the_state():
    nothing = jnp.zeros(0)
    init, update = rlax.create_ema(0.9)
    _, state = update(jnp.array([1.0, 3.0]), init(nothing))
    moments, same = update(nothing, state)
    assert same == state
    assert moments == state.debiased_moments()
