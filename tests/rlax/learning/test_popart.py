"""PopArt beside a plain loop: statistics, preserved outputs, devices, digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax


def art_loop(state, targets, indices, step):
    shift, second = (np.array(x, float) for x in (state.shift, state.second_moment))
    d_shift, d_second = 0 * shift, 0 * second
    for t, i in zip(targets.ravel(), indices.ravel()):
        if 0 <= i < len(shift):
            d_shift[i] += step * (t - shift[i])
            d_second[i] += step * (t**2 - second[i])
    return shift + d_shift, second + d_second


def test_statistics_equal_the_loop_and_outputs_are_preserved():
    random = np.random.default_rng(0)
    init, update = rlax.popart(3, 0.05, 1e-2, 5.0)
    state, params = init(), {"w": random.random((4, 3)), "b": random.random(3)}
    x = random.random((5, 4))
    outputs = x @ params["w"] + params["b"]
    for _ in range(3):
        targets = 3 * random.standard_normal((2, 4)) + 2
        indices = random.integers(-1, 4, (2, 4))  # some out of range
        want = art_loop(state, targets, indices, 0.05)
        params, state = update(params, state, targets, indices)
        np.testing.assert_allclose(state.shift, want[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state.second_moment, want[1], rtol=1e-4, atol=1e-5)
        scale = np.sqrt(want[1] - want[0] ** 2).clip(1e-2, 5)
        np.testing.assert_allclose(state.scale, scale, rtol=1e-3)
        preserved = (x @ params["w"] + params["b"]) * state.scale + state.shift
        np.testing.assert_allclose(preserved, outputs, rtol=1e-4)
    values, where = np.array([1.0, 2.0]), np.array([2, 0])
    normalized = rlax.normalize(state, values, where)
    np.testing.assert_allclose(
        rlax.unnormalize(state, normalized, where), values, rtol=1e-5
    )
    assert jnp.isnan(rlax.normalize(state, values, jnp.array([0, 3]))[1])
    rows = np.ones((2, 3))
    whole = rlax.unnormalize(state, rlax.normalize(state, rows, None), None)
    np.testing.assert_allclose(whole, rows, rtol=1e-5)
    out = rlax.unnormalize_linear(state, rows, where)
    want = state.scale[where] + state.shift[where]
    np.testing.assert_allclose(out.unnormalized, want, rtol=1e-6)


@pytest.mark.parametrize("index", [jnp.array(1), np.array(1), 1, np.ones(3, int)])
def test_one_index_serves_several_values(index):
    init, update = rlax.popart(3, 0.1, 1e-2, 10.0)
    layer = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
    _, state = update(layer, init(), jnp.array([2.0, 4.0]), jnp.array([1, 1]))
    values = rlax.unnormalize(state, jnp.ones(3), index)
    np.testing.assert_allclose(values, np.full(3, state.scale[1] + state.shift[1]))
    np.testing.assert_allclose(rlax.normalize(state, values, index), np.ones(3), 1e-5)


def test_targets_of_all_devices_are_one_batch():
    state = rlax.popart(2, 0.1, 1e-2, 5.0)[0]()
    targets, indices = np.arange(8.0).reshape(2, 4), np.array([[0, 1, 1, 0]] * 2)
    whole = rlax.art(state, targets, indices, 0.1, 1e-2, 5.0)
    for axis in ("i", ["i"]):
        spread = jax.vmap(
            lambda t, i, axis=axis: rlax.art(state, t, i, 0.1, 1e-2, 5.0, axis),
            axis_name="i",
        )(targets, indices)
        for x, y in zip(spread, whole):
            np.testing.assert_allclose(x, np.stack([y, y]), rtol=1e-6)
    alone = rlax.art(state, targets, indices, 0.1, 1e-2, 5.0, [])
    np.testing.assert_allclose(alone.shift, whole.shift)


def test_a_million_targets_lose_no_digits():
    """Sums of a million terms: as in float64, to single precision."""
    random = np.random.default_rng(0)
    targets = random.normal(3.0, 1.0, [500, 4000]).astype(np.float32)
    indices = random.integers(0, 2, targets.shape)
    state = rlax.PopArtState(
        np.array([0.5, 3.0], np.float32), np.ones(2, np.float32), np.ones(2, np.float32)
    )
    new = rlax.art(state, targets, indices, 1e-6, 1e-4, 1e6)
    for i in range(2):
        x = targets[indices == i].astype(np.float64)
        shift = state.shift[i] + 1e-6 * np.sum(x - state.shift[i])
        moment = 1 + 1e-6 * np.sum(x**2 - 1)
        np.testing.assert_allclose(new.shift[i], shift, rtol=2e-6)
        np.testing.assert_allclose(new.second_moment[i], moment, rtol=2e-6)


def test_a_variance_that_rounds_below_zero_is_the_bound():
    shift = jnp.full(1, 1000.0)
    state = rlax.PopArtState(shift, jnp.ones(1), jnp.full(1, 1e6 - 1))
    new = rlax.art(state, [1000.0], [0], 0.1, 1e-2, 10.0)
    np.testing.assert_allclose(new.scale, 1e-2)


def test_a_layer_in_half_precision_stays_so():
    init, update = rlax.popart(2, 0.1, 1e-2, 10.0)
    layer = {"w": jnp.ones((3, 2), jnp.bfloat16), "b": jnp.zeros(2, jnp.bfloat16)}
    layer, state = update(layer, init(), jnp.ones(1, jnp.bfloat16), [1])
    assert {x.dtype for x in layer.values()} == {jnp.dtype(jnp.bfloat16)}
    assert {x.dtype for x in state} == {jnp.dtype(jnp.float32)}


def test_no_targets_change_nothing():
    init, update = rlax.popart(2, 0.1, 1e-2, 10.0)
    layer = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    same, state = update(layer, init(), jnp.zeros(0), jnp.zeros(0, jnp.int32))
    for x, y in zip(jax.tree.leaves((same, state)), jax.tree.leaves((layer, init()))):
        np.testing.assert_allclose(x, y, rtol=1e-5)
