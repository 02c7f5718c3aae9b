"""Bad input: each call raises an error that names the argument and the remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

F = np.float32
V3, V4, Q = np.ones(3, F), np.ones(4, F), np.ones((3, 2), F)
A3 = np.zeros(3, np.int32)
D3 = np.full(3, 0.9, F)
PENALTY = rlax.LagrangePenalty(0.5, 0.1)


def same(x):
    return x


BAD = {
    # rank
    "v_tm1": lambda: rlax.td_learning(V3, 1.0, 0.9, 1.0),
    "q_tm1": lambda: rlax.q_learning(Q, 0, 1.0, 0.9, Q[0]),
    "r_t": lambda: rlax.vtrace(V3, V3, 1.0, D3, V3),
    "a_t": lambda: rlax.dpg_loss(Q, Q),
    "features": lambda: rlax.embed_oar(
        np.ones((2, 2, 2, 3), F), np.zeros((2, 2, 2), int), np.ones((2, 2, 2), F), 3
    ),
    "step_type": lambda: rlax.fix_step_type_on_interruptions(A3),
    # sizes
    "q_t": lambda: rlax.q_learning(V3, 0, 1.0, 0.9, V4),
    "discount_t": lambda: rlax.lambda_returns(V3, D3[:2], V3),
    "lambda_": lambda: rlax.lambda_returns(V3, D3, V3, np.full(2, 0.5)),
    "values": lambda: rlax.truncated_generalized_advantage_estimation(V3, D3, 0.9, V3),
    "mask_t": lambda: rlax.td_lambda(V3, V3, D3, V3, 0.9, mask_t=np.ones(4, bool)),
    "w_t": lambda: rlax.policy_gradient_loss(Q, A3, V3, V4),
    "c_t": lambda: rlax.general_off_policy_returns_from_q_and_v(V3[:2], V3, V3, D3, V3),
    "tau_src": lambda: rlax.quantile_regression_loss(V3, V4 / 2, V3),
    "indices": lambda: rlax.normalize(
        rlax.PopArtState(V3, V3, V3), V4, np.zeros(3, np.int32)
    ),
    # dtypes
    "r_t must have a floating": lambda: rlax.lambda_returns(A3, D3, V3),
    "a_tm1 must have an integer": lambda: rlax.q_learning(V3, 0.0, 1.0, 0.9, V3),
    "a_tm1 must have an integer dtype, got bool": lambda: rlax.q_learning(
        V3, True, 1.0, 0.9, V3
    ),
    "sample_mask must have booleans": lambda: rlax.vtrace(
        V3, V3, V3, D3, V3, sample_mask=V3
    ),
    "mask_t must have numbers": lambda: rlax.td_lambda(
        V3, V3, D3, V3, 0.9, mask_t=np.array(["a", "b", "c"])
    ),
    "r_t must be an array": lambda: rlax.lambda_returns([[1.0], [1.0, 2.0]], D3, V3),
    "indices must have an integer": lambda: rlax.batched_index(Q, V3),
    # actions out of range
    r"a_tm1 must be in 0 .. 2 \(A = 3\), got 3": lambda: rlax.q_learning(
        V3, 3, 1.0, 0.9, V3
    ),
    r"a_tm1 must be in 0 .. 2 \(A = 3\), got -1": lambda: rlax.sarsa(
        V3, -1, 1.0, 0.9, V3, 0
    ),
    "got 7": lambda: rlax.policy_gradient_loss(Q, np.array([0, 7, 1]), V3, V3),
    # values out of range
    r"discount_t must be in \[0, 1\], got 1.5": lambda: rlax.td_learning(
        1.0, 1.0, 1.5, 1.0
    ),
    "discount_t must be in": lambda: rlax.lambda_returns(V3, D3 - 1, V3),
    "lambda_ must be in": lambda: rlax.td_lambda(V3, V3, D3, V3, 1.2),
    "tau_src must be in": lambda: rlax.quantile_regression_loss(V3, V3 * 2, V3),
    "huber_param must be at least 0": lambda: rlax.quantile_regression_loss(
        V3, D3, V3, -1.0
    ),
    "probs_a_t must be in": lambda: rlax.expected_sarsa(V3, 0, 1.0, 0.9, V3, V3 * 2),
    "rho_tm1 must be at least 0": lambda: rlax.vtrace(V3, V3, V3, D3, -V3),
    "alpha_ must be in": lambda: rlax.leaky_vtrace(V3, V3, V3, D3, V3, 1.5),
    "clip_rho_threshold": lambda: rlax.vtrace(V3, V3, V3, D3, V3, 1.0, -1.0),
    "action_gap_scale": lambda: rlax.persistent_q_learning(V3, 0, 1.0, 0.9, V3, 2.0),
    "epsilon must be in": lambda: rlax.epsilon_greedy(1.2),
    "epsilon must be at least": lambda: rlax.clipped_surrogate_pg_loss(V3, V3, -0.1),
    "temperature must be above 0": lambda: rlax.softmax(0.0),
    "entropy_clip": lambda: rlax.clipped_entropy_softmax(1.0, 2.0),
    "sigma must be at least 0": lambda: rlax.gaussian_diagonal(-1.0),
    "sigma_min": lambda: rlax.squashed_gaussian(1.0, -1.0),
    "pass bootstrap_t": lambda: rlax.discounted_returns(
        [1.0, 1.0], [1.0, 1.0], 2.0, truncation_t=[True, False]
    ),
    "expectile": lambda: rlax.expectile_loss(V3, V3, 1.5),
    "delta must be at least": lambda: rlax.huber_loss(V3, -1.0),
    "decay must be in": lambda: rlax.create_ema(1.1),
    "step_size": lambda: rlax.popart(3, 2.0, 1e-3, 1.0),
    "scale_ub": lambda: rlax.popart(3, 0.1, 10.0, 1.0),
    "dqda_clipping": lambda: rlax.dpg_loss(V3, V3, -1.0),
    "stddev": lambda: rlax.add_gaussian_noise(jax.random.PRNGKey(0), V3, -1.0),
    "damping": lambda: rlax.add_ornstein_uhlenbeck_noise(
        jax.random.PRNGKey(0), V3, V3, 1.5, 0.1
    ),
    "dirichlet_fraction": lambda: rlax.add_dirichlet_noise(
        jax.random.PRNGKey(0), Q / 2, 0.3, 1.5
    ),
    "discount must be in": lambda: rlax.feature_control_rewards(Q, "potential", 2.0),
    "p must be above 0": lambda: rlax.power(V3, 0.0),
    "strictly increasing": lambda: rlax.categorical_l2_project(
        V3, V3, np.array([1.0, 0.0, 2.0])
    ),
    # empty sequences, and windows that do not fit
    "T would be -1": lambda: rlax.feature_control_rewards(Q[:0]),
    "A would be 0": lambda: rlax.greedy().probs(np.ones((2, 0), F)),
    "n must be at least 1": lambda: rlax.n_step_bootstrapped_returns(V3, D3, V3, 0),
    "n must be a whole number": lambda: rlax.n_step_bootstrapped_returns(
        V3, D3, V3, 1.5
    ),
    "wanted at least 4": lambda: rlax.extract_subsequences(
        Q, np.zeros((2, 1), int), 2, 2
    ),
    "start_indices must be in": lambda: rlax.extract_subsequences(
        Q, np.full((2, 1), 5), 2
    ),
    "subsequence_len": lambda: rlax.extract_subsequences(Q, np.zeros((2, 1), int), 0),
    "cannot draw 9": lambda: rlax.sample_start_indices(jax.random.PRNGKey(0), 2, 9, 5),
    # the rest
    "cumulant_type must be": lambda: rlax.feature_control_rewards(Q, "nothing"),
    "needs a discount": lambda: rlax.feature_control_rewards(Q, "potential"),
    "cell_size must divide": lambda: rlax.pixel_control_rewards(
        np.ones((2, 5, 4, 1), F), 2
    ),
    "action_values": lambda: rlax.pixel_control_loss(
        np.ones((4, 4, 4, 1), F), A3, np.ones((4, 3, 2, 2), F), 0.9, 2
    ),
    "discount_factor must be one": lambda: rlax.pixel_control_loss(
        np.ones((4, 4, 4, 1), F), A3, np.ones((4, 2, 2, 2), F), D3[:2], 2
    ),
    "update_period": lambda: rlax.periodic_update(V3, V3, 3, 0),
    "num_neighbors must be at least": lambda: rlax.knn_query(Q, Q, 0),
    "num_neighbors must be in": lambda: rlax.episodic_memory_intrinsic_rewards(
        Q, 9, 1.0, max_memory_size=4
    ),
    "num_bins": lambda: rlax.twohot_pair(-1.0, 1.0, 1),
    "min_value must be below": lambda: rlax.transform_to_2hot(V3, 1.0, -1.0, 5),
    "must end in num_bins": lambda: rlax.transform_from_2hot(V4, -1.0, 1.0, 5),
    "source shape": lambda: rlax.lhs_broadcast(Q, np.ones((3, 4, 5), F)),
    "replacement": lambda: rlax.replace_masked(Q, V3, A3),
    "without its last axis": lambda: rlax.batched_index(Q, A3[:2]),
    "hold 'w' and 'b'": lambda: rlax.pop({"w": Q}, *[rlax.PopArtState(1, 1, 1)] * 2),
    "number of outputs": lambda: rlax.unnormalize_linear(
        rlax.PopArtState(V4, V4, V4), Q, A3
    ),
    "sample_axis": lambda: rlax.mpo_loss(Q, Q, PENALTY, [], sample_axis=2),
    "holds no samples": lambda: rlax.mpo_compute_weights_and_temperature_loss(
        Q[:0], PENALTY, same
    ),
    "sample_q_values has shape": lambda: rlax.mpo_loss(Q, V3, PENALTY, []),
    "mpo_loss: the kl": lambda: rlax.mpo_loss(Q, Q, PENALTY, [(V4, PENALTY)]),
    "vmpo_loss: the kl": lambda: rlax.vmpo_loss(Q, Q, PENALTY, [(V4, PENALTY)]),
    "top_k_fraction must be": lambda: rlax.vmpo_loss(
        Q, Q, PENALTY, [], top_k_fraction=1.5
    ),
    "leaves none": lambda: rlax.vmpo_loss(Q, Q, PENALTY, [], top_k_fraction=0.01),
    "per_dimension needs": lambda: rlax.compute_parametric_kl_penalty_and_dual_loss(
        [(1.0, rlax.LagrangePenalty(0.5, 0.1, True))], same
    ),
    "alpha": lambda: rlax.compute_parametric_kl_penalty_and_dual_loss(
        [(V3, rlax.LagrangePenalty(Q, 0.1))], same
    ),
    "num_samples": lambda: rlax.constant_policy_targets(None, None, 0),
    "same tree structure": lambda: rlax.tree_map_zipped(same, [{"a": 1}, {"b": 1}]),
    "same size along axis": lambda: rlax.tree_split_leaves([V3, V4]),
    "by keyword": lambda: rlax.EmaMoments(1.0, 2.0),
    "no field": lambda: rlax.EmaMoments(mean=1.0, variance=2.0).replace(sum=3.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_argument_raises_an_error_that_names_it(message):
    with pytest.raises((AssertionError, ValueError, TypeError), match=message) as error:
        BAD[message]()
    # Our message, not the failure of a line inside.
    assert str(error.value)


def test_errors_are_what_users_of_the_reference_catch():
    assert issubclass(rlax.ContractError, AssertionError)
    with pytest.raises(AssertionError):
        rlax.td_learning(V3, 1.0, 0.9, 1.0)
    with pytest.raises(TypeError):
        rlax.q_learning(V3, 0.0, 1.0, 0.9, V3)
    with pytest.raises(TypeError, match="epsilon is missing"):
        rlax.epsilon_greedy().probs(V3)
    with pytest.raises(TypeError, match="sigma is missing"):
        rlax.gaussian_diagonal().entropy(V3)
    with pytest.raises(TypeError, match="q_t"):
        rlax.q_learning(V3, 0, 1.0, 0.9)


def test_error_names_both_arguments_and_the_contract():
    with pytest.raises(rlax.ContractError) as error:
        rlax.lambda_returns(V3, D3, V4)
    said = str(error.value)
    assert "lambda_returns: v_t has shape [4]" in said
    assert "T is 4 here, but 3 in r_t [3]" in said
    assert "contract: r_t[T ...]" in said
    with pytest.raises(rlax.ContractError, match=r"\[2\], but \[5\] in r_t \[3, 5\]"):
        rlax.lambda_returns(np.ones((3, 5), F), np.ones((3, 2), F), np.ones((3, 5), F))


STATE = rlax.PopArtState(V3, V3, V3)
ONE_BIN = rlax.unbiased_transform_pair(-1.0, 1.0, 3, rlax.IDENTITY_PAIR)
NAMED = {
    "vtrace: v_t": lambda: rlax.vtrace(V3, V4, V3, D3, V3),
    "vtrace_td_error_and_advantage: clip_rho": lambda: (
        rlax.vtrace_td_error_and_advantage(V3, V3, V3, D3, V3, 1.0, -1.0)
    ),
    "leaky_vtrace_td_error_and_advantage: alpha must": lambda: (
        rlax.leaky_vtrace_td_error_and_advantage(V3, V3, V3, D3, V3, 2.0)
    ),
    "discounted_returns: discount_t": lambda: rlax.discounted_returns(V3, V4, V3),
    "sarsa_lambda: r_t": lambda: rlax.sarsa_lambda(Q, A3, V4, D3, Q, A3, 0.9),
    "q_lambda: r_t": lambda: rlax.q_lambda(Q, A3, V4, D3, Q, 0.9),
    "retrace: mu_t": lambda: rlax.retrace(Q, Q, A3, A3, V3, D3, Q / 2, V4 / 4, 0.9),
    "retrace: eps": lambda: rlax.retrace(
        Q, Q, A3, A3, V3, D3, Q / 2, V3 / 4, 0.9, -1.0
    ),
    "transformed_n_step_q_learning: n": lambda: rlax.transformed_n_step_q_learning(
        Q, A3, Q, A3, V3, D3, 0
    ),
    "pixel_control_loss: mask_t": lambda: rlax.pixel_control_loss(
        np.ones((4, 4, 4, 1), F), A3, np.ones((4, 2, 2, 2), F), 0.9, 2, mask_t=V4
    ),
    "quantile_q_learning: huber_param": lambda: rlax.quantile_q_learning(
        Q, D3, 0, 1.0, 0.9, Q, Q, -1.0
    ),
    "categorical_l2_project: probs": lambda: rlax.categorical_l2_project(V3, V4, V3),
    "unbiased_transform_pair.*apply_inv: probs": lambda: ONE_BIN.apply_inv(V4),
    "normalize: indices": lambda: rlax.normalize(STATE, V3, D3),
    "unnormalize: indices": lambda: rlax.unnormalize(STATE, V3, D3),
    "art: indices": lambda: rlax.art(STATE, V4, A3, 0.1, 0.1, 1.0),
    "extract_subsequences: start_indices": lambda: rlax.extract_subsequences(Q, V3),
    "clipped_entropy_softmax.*entropy: logits": lambda: (
        rlax.clipped_entropy_softmax().entropy(1.0)
    ),
    "epsilon_greedy.*logprob: sample": lambda: rlax.epsilon_greedy(0.1).logprob(V3, Q),
    "^greedy.*probs: preferences": lambda: rlax.greedy().probs(1.0),
    "Gaussian's entropy: sigma": lambda: rlax.gaussian_diagonal().entropy(V3, V4),
    "clip_gradient.* missing": lambda: rlax.clip_gradient(V3, 0.0),
}


@pytest.mark.parametrize("message", NAMED)
def test_error_names_the_op_that_was_called(message):
    with pytest.raises((rlax.ContractError, TypeError), match=message):
        NAMED[message]()


def test_error_of_a_batch_says_vmap():
    with pytest.raises(rlax.ContractError, match=r"Use jax.vmap\(q_learning\) for"):
        rlax.q_learning(Q, A3, V3, D3, Q)
    with pytest.raises(rlax.ContractError) as error:
        rlax.q_learning(V3, 0, 1.0, 0.9, 1.0)
    assert "vmap" not in str(error.value)


@jax.jit
def under_jit(q, a):
    return (
        rlax.q_learning(q, a, 1.0, 0.9, q),
        rlax.categorical_q_learning(q, jnp.ones((3, 3)), a, 1.0, 0.9, q, jnp.eye(3)),
        rlax.quantile_q_learning(
            jnp.eye(3), q / 3, a, 1.0, 0.9, jnp.eye(3), jnp.eye(3)
        ),
        rlax.softmax().logprob(a, q),
    )


@pytest.mark.parametrize("action", [-1, 3])
def test_action_out_of_range_gives_nan_under_jit(action):
    """As it does for a JAX array outside: a check would wait for the device."""
    q = jnp.linspace(0.0, 1.0, 3)
    assert all(jnp.isnan(x) for x in under_jit(q, action))
    assert jnp.isnan(rlax.q_learning(q, jnp.asarray(action), 1.0, 0.9, q))
    assert all(jnp.isfinite(x) for x in under_jit(q, 1))
    grads = jax.grad(lambda q: under_jit(q, 1)[0])(q)
    assert jnp.isfinite(grads).all()


def test_device_arrays_are_not_read_back():
    """Out of range in a JAX array: no error, since jit couldn't raise one."""
    error = rlax.td_learning(1.0, 1.0, jnp.float32(1.5), 1.0)
    np.testing.assert_allclose(error, 1.5)
    with jax.transfer_guard_device_to_host("disallow"):
        rlax.lambda_returns(jnp.ones(3), jnp.full(3, 2.0), jnp.ones(3))


def test_numpy_jax_and_python_numbers_mix():
    want = 1.0 + 0.5 * 2.0 - 1.0
    for one in (1, 1.0, np.float64(1.0), np.float32(1.0), jnp.float32(1.0)):
        np.testing.assert_allclose(rlax.td_learning(one, 1.0, 0.5, np.array(2.0)), want)
    mixed = rlax.q_learning(np.ones(2), np.int64(1), 1, jnp.float32(0.5), [2.0, 1.0])
    np.testing.assert_allclose(mixed, want)
    assert rlax.td_learning(jnp.bfloat16(1), 1.0, 0.5, 2.0).dtype == jnp.bfloat16


NAN = {
    "ppo": lambda x: rlax.clipped_surrogate_pg_loss(1 + x, jnp.ones(2), 0.2),
    "vtrace": lambda x: rlax.vtrace(*[jnp.ones(2)] * 3, jnp.zeros(2), 1 + x),
    "double_q": lambda x: rlax.double_q_learning(V3[:2], 0, 1.0, 0.9, V3[:2], x),
    "c51_double": lambda x: rlax.categorical_double_q_learning(
        V3.cumsum(), jnp.ones((2, 3)), 0, 1.0, 0.9, V3.cumsum(), jnp.ones((2, 3)), x
    ),
    "c51_reward": lambda x: rlax.categorical_td_learning(
        V3.cumsum(), jnp.ones(3), x[1], 0.9, V3.cumsum(), jnp.ones(3)
    ),
    "quantile": lambda x: rlax.quantile_regression_loss(x, jnp.ones(2) / 2, V3),
    "quantile_huber": lambda x: rlax.quantile_regression_loss(
        V3[:2], jnp.ones(2) / 2, x, 1.0
    ),
    "quantile_selector": lambda x: rlax.quantile_q_learning(
        jnp.ones((2, 2)), jnp.ones(2) / 2, 0, 1.0, 0.9, x[None], jnp.ones((1, 2))
    ),
    "huber": rlax.huber_loss,
    "two_hot": lambda x: rlax.transform_to_2hot(x, -1.0, 1.0, 3)[1],
    "vmpo": lambda x: rlax.vmpo_loss(x * 0, x, PENALTY, [])[0],
    "greedy": rlax.greedy().probs,
    "cross_entropy": lambda x: rlax.categorical_cross_entropy(jnp.ones(2) / 2, x),
    "clip_gradient": lambda x: jax.grad(
        lambda y: (rlax.clip_gradient(y, -1.0, 1.0) * x).sum()
    )(jnp.ones(2)),
    "projection_to_unsorted": lambda x: rlax.categorical_l2_project(
        jnp.ones(2), jnp.ones(2), jnp.array([1.0, 0.0])
    ),
}


@pytest.mark.parametrize("name", NAN)
def test_nan_is_never_dropped(name):
    out = NAN[name](jnp.array([0.1, jnp.nan]))
    assert np.isnan(jax.tree.leaves(out)[0]).any()
