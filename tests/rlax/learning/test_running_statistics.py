"""Running statistics: in any batches the same as all data at once."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_formulas import close, equal

import rlax

SETTINGS = hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def all_at_once(x):
    return float(len(x)), x.mean(0), np.sum((x - x.mean(0)) ** 2, axis=0)


@SETTINGS
@hypothesis.given(seed=SEEDS, cuts=st.lists(st.integers(0, 40), max_size=4))
def test_updates_and_merges_equal_all_at_once(seed, cuts):
    random = np.random.default_rng(seed)
    x = (random.standard_normal((40, 3)) + 5).astype(np.float32)
    parts = np.split(x, sorted(cuts))
    one, merged = rlax.running_statistics((3,)), rlax.running_statistics((3,))
    for part in parts:
        one = rlax.update_running_statistics(one, part)
        alone = rlax.update_running_statistics(rlax.running_statistics((3,)), part)
        merged = rlax.merge_running_statistics(merged, alone)
    for state in (one, merged):
        close(tuple(state), all_at_once(x.astype(float)))


def test_variance_of_large_numbers_stays():
    random = np.random.default_rng(0)
    x = (1e5 + random.choice([-1.0, 1.0], (200, 64))).astype(np.float32)
    state = rlax.running_statistics()
    update = jax.jit(rlax.update_running_statistics)
    for batch in x:
        state = update(state, batch)
    variance = x.astype(float).var()
    np.testing.assert_allclose(state.square_sum / state.count, variance, rtol=2e-3)
    alone = [update(rlax.running_statistics(), batch) for batch in x]
    state = rlax.running_statistics()
    for other in alone:
        state = rlax.merge_running_statistics(state, other)
    np.testing.assert_allclose(state.square_sum / state.count, variance, rtol=2e-3)


def test_devices_count_together():
    x = np.random.default_rng(1).standard_normal((4, 6, 2)).astype(np.float32)
    mask = np.random.default_rng(2).random((4, 6)) < 0.7

    def update(x, mask):
        state = rlax.running_statistics((2,))
        return rlax.update_running_statistics(state, x, mask=mask, axis_name="i")

    state = jax.vmap(update, axis_name="i")(x, mask)
    want = all_at_once(x[mask].astype(float))
    close(tuple(s[1] for s in state), want)


def test_bytes_and_numbers_of_python_are_fine():
    state = rlax.update_running_statistics(
        rlax.RunningStatistics(0, 0, 0), np.array([250, 255], np.uint8)
    )
    close(tuple(state), (2.0, 252.5, 12.5))


@pytest.mark.parametrize("clip", [None, 1.0])
def test_standardize_equals_the_formula(clip):
    state = rlax.RunningStatistics(4.0, np.array([1.0, -2.0]), np.array([16.0, 2.0]))
    x = np.random.default_rng(3).standard_normal((3, 2)) + 2

    def formula(x):
        z = (x - [1, -2]) / np.sqrt(np.array([4, 0.5]) + 1e-8)
        return z if clip is None else np.clip(z, -clip, clip)

    equal(lambda x: rlax.standardize(x, state, clip=clip), formula, x, grads=(0,))
    fresh = rlax.running_statistics((2,))
    close(rlax.standardize(x, fresh), x)
    assert rlax.standardize(jnp.ones(2, jnp.bfloat16), state).dtype == jnp.bfloat16


def scaled(r, discount, g, clip):
    """The rewards of one call after another, with statistics of all sums so far."""
    running, seen, largest, out = 0.0 * r[0][0], [], 0.0, []
    for rewards, discounts in zip(r, discount):
        for r_t, d_t in zip(rewards, discounts):
            total = running + r_t
            seen.append(total)
            largest = max(largest, np.abs(total).max())
            running = d_t * total
        scale = np.sqrt(np.var(seen) + 1e-8)
        scale = scale if g is None else max(scale, largest / g)
        z = rewards / scale
        out.append(z if clip is None else np.clip(z, -clip, clip))
    return np.array(out), running, largest


@pytest.mark.parametrize(("g", "clip"), [(None, None), (None, 0.5), (1.5, None)])
@pytest.mark.parametrize("streams", [(), (3,)])
def test_scaled_rewards_equal_the_loop(g, clip, streams):
    random = np.random.default_rng(4)
    r = random.standard_normal((3, 6, *streams))
    discount = 0.9 * (random.random((3, 6, *streams)) < 0.8)
    state, have = rlax.init_return_scale(streams), []
    for x, d in zip(r.astype(np.float32), discount.astype(np.float32)):
        out, state = rlax.scale_rewards(x, d, state, clip=clip, max_return=g)
        have.append(out)
    want, running, largest = scaled(r, discount, g, clip)
    close(np.array(have), want)
    close(state.return_tm1, running)
    close(state.max_abs, largest)
    gradient = jax.grad(
        lambda x: rlax.scale_rewards(x, discount[0], rlax.init_return_scale(streams))[
            0
        ].sum()
    )(r[0])
    np.testing.assert_array_equal(gradient, 0)


def test_bad_input_raises():
    state, x = rlax.running_statistics((3,)), np.ones((4, 2), np.float32)
    with pytest.raises(rlax.ContractError, match=r"x \[4, 2\] must be \[B, ...\]"):
        rlax.update_running_statistics(state, x)
    with pytest.raises(rlax.ContractError, match="mask has shape"):
        rlax.update_running_statistics(
            rlax.running_statistics((2,)), x, mask=np.ones(3, bool)
        )
    with pytest.raises(rlax.ContractError, match="must have one shape"):
        rlax.merge_running_statistics(state, rlax.running_statistics((2,)))
    with pytest.raises(rlax.ContractError, match="must end in the shape"):
        rlax.standardize(x, state)
    with pytest.raises(rlax.ContractError, match="clip must be at least 0"):
        rlax.standardize(x[0], rlax.running_statistics(), clip=-1.0)
    scale = rlax.init_return_scale()
    with pytest.raises(rlax.ContractError, match="state must be of init_return_scale"):
        rlax.scale_rewards(x, x / 2, scale)
    with pytest.raises(rlax.ContractError, match="max_return must be above 0"):
        rlax.scale_rewards(x[0], x[0], scale, max_return=0.0)
    with pytest.raises(rlax.ContractError, match="r_t must hold at least one step"):
        rlax.scale_rewards(x[:0, 0], x[:0, 0], scale)
