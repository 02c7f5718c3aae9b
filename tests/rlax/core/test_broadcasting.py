"""What contracts accept beyond equal shapes and dtypes, and what they must not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import rlax


def close(x, y):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), x, y)


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).random(shape).astype(np.float32)


def test_one_index_for_several_values():
    init, update = rlax.popart(3, 0.1, 1e-2, 10.0)
    layer = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
    _, state = update(layer, init(), jnp.array([2.0, 4.0]), jnp.array([1, 1]))
    for index in (jnp.array(1), np.array(1), 1, np.ones(3, int)):
        values = rlax.unnormalize(state, jnp.ones(3), index)
        close(values, jnp.full(3, state.scale[1] + state.shift[1]))
        close(rlax.normalize(state, values, index), jnp.ones(3))


def test_samples_under_means():
    mu, sigma, samples = random(8, 5, 3), random(8, 5, 3, seed=1), random(10, 8, 5, 3)
    logprob = rlax.gaussian_diagonal().logprob
    close(logprob(samples, mu, sigma)[4], logprob(samples[4], mu, sigma))


def test_a_number_of_time_stands_for_all_steps():
    r, discount, v = random(5), random(5, seed=1), random(5, seed=2)
    want = rlax.lambda_returns(r, discount, v, 0.5)
    close(rlax.lambda_returns(r, discount, v, np.full(1, 0.5, np.float32)), want)
    steps = rlax.leaky_vtrace(v, v, r, discount, discount, np.full(5, 0.5, np.float32))
    close(rlax.leaky_vtrace(v, v, r, discount, discount, 0.5), steps)


def test_integers_become_the_floats_beside_them():
    mu = jnp.ones((2, 3), jnp.bfloat16)
    logprob = rlax.gaussian_diagonal().logprob(np.ones((2, 3), int), mu, True)
    assert logprob.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("one", "other"), [((4,), (4, 1)), ((4, 1), (4,)), ((3,), (4, 3, 1))]
)
def test_batches_that_would_meet_each_other(one, other):
    with pytest.raises(rlax.ContractError, match="larger batch"):
        rlax.l2_loss(jnp.ones(one), jnp.ones(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((4, 1), (1, 3)),
        ((), (4, 3)),
        ((3,), (4, 3)),
        ((1,), (4, 3)),
        ((6, 1, 4), (2, 4)),
    ],
)
def test_batches_that_broadcast(one, other):
    x, y = random(*one), random(*other)
    close(rlax.l2_loss(x, y), 0.5 * np.square(x - y))


def test_exported_programs_compute_the_same_at_any_length():
    (t,) = export.symbolic_shape("t")
    line = jax.ShapeDtypeStruct((t,), jnp.float32)

    def returns(r, discount, v):
        return rlax.n_step_bootstrapped_returns(r, discount, v, 3, 0.7)

    exported = export.export(jax.jit(returns))(line, line, line)
    for length in (1, 2, 3, 7):
        args = [random(length, seed=i) for i in range(3)]
        close(exported.call(*args), returns(*args))

    def rewards(x):
        reward = rlax.episodic_memory_intrinsic_rewards
        return jax.tree.leaves(reward(x, 2, 1.0, max_memory_size=5))

    exported = export.export(jax.jit(rewards))(
        jax.ShapeDtypeStruct((t, 3), jnp.float32)
    )
    for length in (4, 5, 13):  # more than the memory holds, too
        close(exported.call(random(length, 3)), rewards(random(length, 3)))


def test_nothing_leaves_states_as_they_are():
    nothing, indices = jnp.zeros(0), jnp.zeros(0, jnp.int32)
    assert rlax.lambda_returns(nothing, nothing, nothing).shape == (0,)
    init, update = rlax.create_ema(0.9)
    _, state = update(jnp.array([1.0, 3.0]), init(nothing))
    moments, same = update(nothing, state)
    close(same, state)
    close(moments, state.debiased_moments())
    popart_init, popart_update = rlax.popart(2, 0.1, 1e-2, 10.0)
    layer = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    close(popart_update(layer, popart_init(), nothing, indices), (layer, popart_init()))
    _, memory = rlax.episodic_memory_intrinsic_rewards(
        jnp.zeros((0, 3)), 2, 1.0, max_memory_size=4
    )
    assert not any(jnp.isnan(x).any() for x in jax.tree.leaves(memory))


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


def test_neighbours_are_a_mapping():
    found = rlax.knn_query(jnp.eye(3), jnp.ones((1, 3)), 2)
    assert list(found) == ["neighbors", "neighbor_indices", "neighbor_neg_distances"]
    close(found["neighbor_neg_distances"], -2 * jnp.ones((1, 2)))
