"""Losses, PopArt, averages, updates, subsequences."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_losses():
    x, y = np.array([1.0, -2.0, 0.25]), np.array([0.0, 1.0, 1.0])
    np.testing.assert_allclose(rlax.l2_loss(x, y), 0.5 * (x - y) ** 2)
    np.testing.assert_allclose(rlax.l2_loss(x), 0.5 * x**2)
    np.testing.assert_allclose(rlax.huber_loss(x, 0.5), [0.375, 0.875, 0.03125])
    np.testing.assert_allclose(
        rlax.expectile_loss(x, y, 0.75), [0.25, 0.75 * 9, 0.75 * 0.5625]
    )
    p = np.array([0.25, 0.25, 1.0])
    np.testing.assert_allclose(rlax.likelihood(p, y), [0.75, 0.25, 1.0])
    np.testing.assert_allclose(
        rlax.log_loss(p, y), -np.log([0.75, 0.25, 1.0]), atol=1e-7
    )
    grad = jax.grad(lambda x: rlax.huber_loss(x, 0.5).sum())(jnp.asarray(x))
    np.testing.assert_allclose(grad, np.clip(x, -0.5, 0.5))


def art_loop(state, targets, indices, step):
    shift, second = (np.array(x, float) for x in (state.shift, state.second_moment))
    d_shift, d_second = 0 * shift, 0 * second
    for t, i in zip(targets.ravel(), indices.ravel()):
        if 0 <= i < len(shift):
            d_shift[i] += step * (t - shift[i])
            d_second[i] += step * (t**2 - second[i])
    return shift + d_shift, second + d_second


def test_popart():
    random = np.random.default_rng(0)
    init, update = rlax.popart(3, 0.05, 1e-2, 5.0)
    state, params = init(), {"w": random.random((4, 3)), "b": random.random(3)}
    x = random.random((5, 4))
    outputs = x @ params["w"] + params["b"]
    for _ in range(3):
        targets = 3 * random.standard_normal((2, 4)) + 2
        indices = random.integers(-1, 4, (2, 4))  # some out of range: they are nobody's
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


def test_popart_over_devices_is_popart_over_all():
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


def test_ema():
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


def test_updates():
    new, old = {"x": jnp.ones(2)}, {"x": jnp.zeros(2)}
    for step, want in ((0, 1), (1, 0), (3, 1)):
        have = jax.jit(lambda s: rlax.periodic_update(new, old, s, 3))(step)
        np.testing.assert_array_equal(have["x"], np.full(2, want))
    assert rlax.conditional_update(new, old, 0)["x"][0] == 0


def test_subsequences():
    x = np.arange(6)[:, None] * 10 + np.arange(2)  # x[t, b] = 10 t + b
    out = rlax.extract_subsequences(x, np.array([[0, 2], [3, 4]]), 3)
    np.testing.assert_array_equal(out[:, 0, 1], [20, 30, 40])
    np.testing.assert_array_equal(out[:, 1, 1], [41, 51, 51])  # the last repeats
    starts = rlax.sample_start_indices(jax.random.PRNGKey(0), 50, 3, 4)
    assert starts.shape == (50, 3)
    assert all(len(set(row)) == 3 for row in np.asarray(starts))
    assert set(np.asarray(starts).ravel()) == {0, 1, 2, 3, 4}


def test_interruptions_and_embedding():
    steps = np.array([[0, 1], [1, 1], [0, 2], [1, 0]])
    fixed = rlax.fix_step_type_on_interruptions(steps)
    np.testing.assert_array_equal(fixed, [[0, 1], [2, 1], [0, 2], [1, 0]])
    out = rlax.embed_oar(
        np.ones((4, 2, 3)), np.full((4, 2), 1), np.full((4, 2), 9.0), 2
    )
    assert out.shape == (4, 2, 6)
    np.testing.assert_allclose(out[0, 0], [1, 1, 1, 0, 1, np.tanh(9)], rtol=1e-6)


def test_art_loses_no_digits_with_many_targets():
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
