"""Every op of RLax, called with whatever NumPy would broadcast, promote or index.

A table of ops with sound arguments, and a table of what may be done to an argument:
its shape (a scalar, one size 1, an axis more or less, none left) or its kind (a list,
NumPy, bfloat16, integers, a negative index). Each case is an op with one argument
changed, or two, or all. The numbers come from fixed seeds, so both libraries get the
same.

To compile thousands of little programs takes an hour, to trace them minutes: so all are
traced, which shows what is refused, and shapes and dtypes; one in `COMPUTED` gives its
numbers too, and so do all whose number is in doubt (`DOUBTFUL`).
"""

import functools
import itertools
import types
import zlib

import jax
import jax.numpy as jnp
import numpy as np

import rlax

T, A, B, N = 4, 3, 2, 5
PAIRS_PER_OP = 60
COMPUTED = 8
DOUBTFUL = ("as it is", "negative", "beyond", "example")

jax.config.update("jax_disable_most_optimizations", True)  # to compile sooner


def drawn(kind, shape, seed):
    """An array of a kind: n normal, u in (0, 1), p probabilities, iK below K, ..."""
    random = np.random.default_rng([seed, *map(ord, kind), *shape])
    if kind[0] == "i":
        return random.integers(0, int(kind[1:]), shape).astype(np.int32)
    if kind == "m":
        return random.random(shape) < 0.7
    if kind == "u":
        return (0.05 + 0.9 * random.random(shape)).astype(np.float32)
    if kind == "z":
        size = np.prod(shape, dtype=int)
        return np.linspace(-2, 2, size).reshape(shape).astype(np.float32)
    if kind == "l":
        return ((np.arange(shape[0]) + 0.5) / shape[0]).astype(np.float32)
    x = random.standard_normal(shape)
    if kind == "p":
        x = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    return x.astype(np.float32)


# --- What may be done to an argument. Each takes a NumPy array and its kind, and
# returns what to pass, or None where it changes nothing.


def axis_of_one(x, axis):
    return x.take([0], axis) if x.ndim > axis and x.shape[axis] != 1 else None


def without(x, axis):
    return x.take([], axis) if x.ndim > axis else None


def stacked(x, axis):
    """Two of x, the second one's numbers in another order (on the same support)."""
    other = np.roll(x, 1, 0) if x.ndim else x
    return np.stack([x, other], axis)


SHAPES = {
    "scalar": lambda x: x.flat[0] if x.ndim else None,
    "[1]": lambda x: x.flat[:1] if x.ndim != 1 else None,
    "axis 0 of 1": lambda x: axis_of_one(x, 0),
    "axis 1 of 1": lambda x: axis_of_one(x, 1),
    "axis 2 of 1": lambda x: axis_of_one(x, 2),
    "first": lambda x: x[0] if x.ndim else None,
    "last axis gone": lambda x: x[..., 0] if x.ndim > 1 else None,
    "1 ahead": lambda x: x[None],
    "2 ahead": lambda x: stacked(x, 0),
    "3 by 2 ahead": lambda x: np.broadcast_to(stacked(x, 0), (3, 2, *x.shape)),
    "1 behind": lambda x: x[..., None],
    "2 behind": lambda x: stacked(x, x.ndim),
    "empty": lambda x: without(x, 0),
    "axis 1 empty": lambda x: without(x, 1),
    "one longer": lambda x: np.concatenate([x, x[:1]]) if x.ndim else None,
}


def whole(x, kind, dtype):
    """Numbers rounded so that they stay within the range of their kind."""
    if x.dtype == bool or kind[0] == "i":
        return x.astype(dtype)
    return np.round(np.abs(x) if kind in "up" or dtype != np.int32 else x).astype(dtype)


def is_float(x):
    return x.dtype == np.float32


KINDS = {
    "numpy": lambda x, k: x,
    "list": lambda x, k: x.tolist(),
    "numpy scalar": lambda x, k: x[()] if not x.ndim else None,
    "64 bits of numpy": lambda x, k: (
        x.astype(f"{x.dtype.kind}8") if x.dtype != bool else None
    ),
    "bfloat16": lambda x, k: jnp.asarray(x, jnp.bfloat16) if is_float(x) else None,
    "float16": lambda x, k: jnp.asarray(x, jnp.float16) if is_float(x) else None,
    "float": lambda x, k: None if is_float(x) else jnp.asarray(x, jnp.float32),
    "int": lambda x, k: (
        jnp.asarray(whole(x, k, np.int32)) if x.dtype != np.int32 else None
    ),
    "numpy int": lambda x, k: whole(x, k, np.int64) if x.dtype != np.int32 else None,
    "python int": lambda x, k: (
        whole(x, k, np.int64).tolist() if x.dtype != np.int32 else None
    ),
    "uint8": lambda x, k: jnp.asarray(whole(x, k, np.uint8)) if k[0] == "i" else None,
    "bool": lambda x, k: jnp.asarray(np.abs(x) > 0.5) if x.dtype != bool else None,
    "python bool": lambda x, k: (np.abs(x) > 0.5).tolist() if x.dtype != bool else None,
    "negative": lambda x, k: jnp.asarray(x - int(k[1:])) if k[0] == "i" else None,
    "negative list": lambda x, k: (x - int(k[1:])).tolist() if k[0] == "i" else None,
    "beyond": lambda x, k: jnp.asarray(x + int(k[1:])) if k[0] == "i" else None,
    "beyond in numpy": lambda x, k: x + int(k[1:]) if k[0] == "i" else None,
}


def reshaped(change):
    def mutated(x, kind):
        new = change(x)
        return None if new is None else jnp.asarray(new)

    return mutated


MUTATIONS = {name: reshaped(f) for name, f in SHAPES.items()} | KINDS
PAIRED = ["scalar", "axis 0 of 1", "1 ahead", "2 ahead", "3 by 2 ahead", "1 behind"]
PAIRED += ["first", "empty", "bfloat16", "int", "list", "numpy"]
TOGETHER = ["axis 0 of 1", "1 ahead", "2 ahead", "3 by 2 ahead", "1 behind", "2 behind"]
TOGETHER += ["axis 1 of 1", "empty", "axis 1 empty", "first"]
TOGETHER += [k for k in KINDS if "negative" not in k and "beyond" not in k]


# --- The ops. `"q_tm1 n 3"` is an argument of the kind n and the shape [3].


def penalty(alpha, epsilon=0.1, per_dimension=False):
    return rlax.LagrangePenalty(alpha, epsilon, per_dimension)


def state_of(shift, scale, moment):
    return rlax.PopArtState(shift, scale, moment)


def updated(w, b, targets, indices):
    init, update = rlax.popart(A, 0.1, 1e-2, 10.0)
    return update({"w": w, "b": b}, init(), targets, indices)


def moments(x):
    init, update = rlax.create_ema(0.9)
    first, state = update(x, init(x))
    second, state = update(x, state)
    return first.mean, first.variance, second.mean, second.variance, state.mu, state.nu


def novelty(embeddings):
    return rlax.episodic_memory_intrinsic_rewards(
        embeddings, 2, 1.0, max_memory_size=9
    )[0]


def top(data, query_points):
    return rlax.knn_query(data, query_points, 2)


def vmpo_weights(advantages, restarting, importance, temperature, epsilon):
    return rlax.vmpo_compute_weights_and_temperature_loss(
        advantages, restarting, importance, penalty(temperature, epsilon), clipped, 0.5
    )


def clipped(x):
    return jnp.clip(x, 1e-10)


def vmpo(log_probs, advantages, temperature, kl, alpha):
    constraints = [(kl, penalty(alpha))]
    return rlax.vmpo_loss(log_probs, advantages, penalty(temperature), constraints)


def mpo(log_probs, q, temperature, kl, alpha):
    constraints = [(kl, penalty(alpha))]
    loss, parts = rlax.mpo_loss(log_probs, q, penalty(temperature), constraints)
    return loss, parts.temperature_loss, parts.normalized_weights


def mpo_over_axis_1(log_probs, q, temperature):
    return rlax.mpo_loss(log_probs, q, penalty(temperature), [], sample_axis=1)[0]


def kl_losses(kl, alpha, epsilon, per_dimension):
    constraints = [(kl, penalty(alpha, epsilon, per_dimension))]
    return rlax.compute_parametric_kl_penalty_and_dual_loss(constraints, clipped)


class Normal:
    """A distribution with the interface that the policy targets want."""

    def __init__(self, mean):
        self.mean = jnp.asarray(mean)
        self.batch_shape, self.event_shape = self.mean.shape[:-1], self.mean.shape[-1:]

    def sample(self, *, seed, sample_shape):
        shape = (*sample_shape, *self.mean.shape)
        return self.mean + jax.random.normal(seed, shape)

    def log_prob(self, value):
        return -0.5 * jnp.sum(jnp.square(value - self.mean), -1)


def distilled(mean, actions, weights):
    targets = rlax.PolicyTarget(actions=actions, weights=weights)
    return rlax.sampled_policy_distillation_loss(Normal(mean), targets)


def constant_targets(mean, scale):
    targets = rlax.constant_policy_targets(Normal(mean), key(), 3, scale)
    return targets.actions, targets.weights


def key():
    return jax.random.PRNGKey(7)


SPEC = types.SimpleNamespace(minimum=-2.0, maximum=np.array([1.0, 2.0, 3.0]))
PAIR = rlax.SIGNED_HYPERBOLIC_PAIR
TX = {
    "muzero_pair": lambda: rlax.muzero_pair(-2.0, 2.0, 9, rlax.SIGNED_LOGP1_PAIR),
    "twohot_pair": lambda: rlax.twohot_pair(-2.0, 2.0, 9),
    "unbiased_transform_pair": lambda: rlax.unbiased_transform_pair(
        -2.0, 2.0, 9, rlax.SIGNED_LOGP1_PAIR
    ),
    "SIGNED_LOGP1_PAIR": lambda: rlax.SIGNED_LOGP1_PAIR,
    "HYPERBOLIC_SIN_PAIR": lambda: rlax.HYPERBOLIC_SIN_PAIR,
    "compose_tx": lambda: rlax.compose_tx(
        rlax.SIGNED_LOGP1_PAIR, rlax.twohot_pair(-2.0, 2.0, 9)
    ),
}
ONE_STEP = f"q_tm1 n {A}, a_tm1 i{A}, r_t n, discount_t u"
RESIDUAL = f"v_tm1 n {T}, v_t n {T}, r_t n {T}, discount_t u {T}, rho_tm1 u {T}"
Q_SEQUENCE = (
    f"q_tm1 n {T} {A}, a_tm1 i{A} {T}, r_t n {T}, discount_t u {T}, q_t n {T} {A}"
)
RETRACE = (
    f"q_tm1 n {T} {A}, q_t n {T} {A}, a_tm1 i{A} {T}, a_t i{A} {T}, r_t n {T},"
    f"discount_t u {T}, pi_t p {T} {A}, mu_t u {T}, lambda_ u"
)
STATE = f"shift n {A}, scale u {A}, moment u {A}"
LOGITS = f"logits n {T} {A}"
GAUSSIAN = f"mu n {T} {A}, sigma u {T} {A}"


def over_state(op):
    return lambda shift, scale, moment, *rest: op(state_of(shift, scale, moment), *rest)


def method(make, name, *fixed, seeded=False):
    """A function of a distribution, the key first where it has one."""
    ahead = (key(),) if seeded else ()
    return lambda *args: getattr(make(), name)(*ahead, *args, *fixed)


def gaussians(name, make, fixed=()):
    kl = GAUSSIAN.replace("mu", "mu_0").replace("sigma", "sigma_0")
    kl += "," + GAUSSIAN.replace("mu", "mu_1").replace("sigma", "sigma_1")
    sample = f"sample u {T} {A}, {GAUSSIAN}"
    return {
        f"{name}.sample": (method(make, "sample", *fixed, seeded=True), GAUSSIAN),
        f"{name}.prob": (method(make, "prob", *fixed), sample),
        f"{name}.logprob": (method(make, "logprob", *fixed), sample),
        f"{name}.entropy": (method(make, "entropy"), GAUSSIAN),
        f"{name}.kl_to_standard_normal": (
            method(make, "kl_to_standard_normal"),
            GAUSSIAN,
        ),
        f"{name}.kl": (method(make, "kl"), kl),
    }


def discretes(name, make):
    kl = f"p n {T} {A}, q n {T} {A}"
    return {
        f"{name}.sample": (method(make, "sample", seeded=True), LOGITS),
        f"{name}.probs": (method(make, "probs"), LOGITS),
        f"{name}.logprob": (method(make, "logprob"), f"sample i{A} {T}, {LOGITS}"),
        f"{name}.entropy": (method(make, "entropy"), LOGITS),
        f"{name}.kl": (method(make, "kl"), kl),
    }


OPS = {
    "td_learning": (rlax.td_learning, "v_tm1 n, r_t n, discount_t u, v_t n"),
    "sarsa": (rlax.sarsa, f"{ONE_STEP}, q_t n {A}, a_t i{A}"),
    "expected_sarsa": (rlax.expected_sarsa, f"{ONE_STEP}, q_t n {A}, probs_a_t p {A}"),
    "q_learning": (rlax.q_learning, f"{ONE_STEP}, q_t n {A}"),
    "double_q_learning": (
        rlax.double_q_learning,
        f"{ONE_STEP}, q_t_value n {A}, q_t_selector n {A}",
    ),
    "persistent_q_learning": (
        rlax.persistent_q_learning,
        f"{ONE_STEP}, q_t n {A}, action_gap_scale u",
    ),
    "qv_learning": (rlax.qv_learning, f"{ONE_STEP}, v_t n"),
    "qv_max": (rlax.qv_max, f"v_tm1 n, r_t n, discount_t u, q_t n {A}"),
    "categorical_l2_project": (
        rlax.categorical_l2_project,
        f"z_p z {N}, probs p {N}, z_q z 4",
    ),
    "categorical_td_learning": (
        rlax.categorical_td_learning,
        "atoms_tm1 z 4, logits_tm1 n 4, r_t n, discount_t u, atoms_t z 4, logits_t n 4",
    ),
    "categorical_q_learning": (
        rlax.categorical_q_learning,
        f"atoms_tm1 z 4, logits_tm1 n {A} 4, a_tm1 i{A}, r_t n, discount_t u,"
        f"atoms_t z 4, logits_t n {A} 4",
    ),
    "categorical_double_q_learning": (
        rlax.categorical_double_q_learning,
        f"atoms_tm1 z 4, logits_tm1 n {A} 4, a_tm1 i{A}, r_t n, discount_t u,"
        f"atoms_t z 4, logits_t n {A} 4, selector n {A}",
    ),
    "quantile_regression_loss": (
        rlax.quantile_regression_loss,
        "src n 4, tau l 4, target n 5, huber u",
    ),
    "quantile_expected_sarsa": (
        rlax.quantile_expected_sarsa,
        f"dist_tm1 n 2 {A}, tau l 2, a_tm1 i{A}, r_t n, discount_t u, dist_t n 4 {A},"
        f"probs p {A}",
    ),
    "quantile_q_learning": (
        rlax.quantile_q_learning,
        f"dist_tm1 n 2 {A}, tau l 2, a_tm1 i{A}, r_t n, discount_t u,"
        f"selector n 4 {A}, dist_t n 4 {A}, huber u",
    ),
    # Returns and sequences.
    "lambda_returns": (
        rlax.lambda_returns,
        f"r_t n {T}, discount_t u {T}, v_t n {T}, lambda_ u",
    ),
    "lambda_returns of lambdas": (
        rlax.lambda_returns,
        f"r_t n {T}, discount_t u {T}, v_t n {T}, lambda_ u {T}",
    ),
    "discounted_returns": (
        rlax.discounted_returns,
        f"r_t n {T}, discount_t u {T}, v_t n {T}",
    ),
    "n_step_bootstrapped_returns": (
        lambda *x: rlax.n_step_bootstrapped_returns(*x[:3], 3, *x[3:]),
        f"r_t n {T}, discount_t u {T}, v_t n {T}, lambda_t u {T}",
    ),
    "n_step_bootstrapped_returns of one step": (
        lambda *x: rlax.n_step_bootstrapped_returns(*x[:3], 1, *x[3:]),
        f"r_t n {T}, discount_t u {T}, v_t n {T}, lambda_t u",
    ),
    "truncated_generalized_advantage_estimation": (
        rlax.truncated_generalized_advantage_estimation,
        f"r_t n {T}, discount_t u {T}, lambda_ u, values n {T + 1}",
    ),
    "truncated_generalized_advantage_estimation of lambdas": (
        rlax.truncated_generalized_advantage_estimation,
        f"r_t n {T}, discount_t u {T}, lambda_ u {T}, values n {T + 1}",
    ),
    "general_off_policy_returns_from_q_and_v": (
        rlax.general_off_policy_returns_from_q_and_v,
        f"q_t n {T - 1}, v_t n {T}, r_t n {T}, discount_t u {T}, c_t u {T - 1}",
    ),
    "general_off_policy_returns_from_action_values": (
        rlax.general_off_policy_returns_from_action_values,
        f"q_t n {T} {A}, a_t i{A} {T}, r_t n {T}, discount_t u {T}, c_t u {T},"
        f"pi_t p {T} {A}",
    ),
    "vtrace": (rlax.vtrace, f"{RESIDUAL}, lambda_ u"),
    "vtrace of lambdas": (rlax.vtrace, f"{RESIDUAL}, lambda_ u {T}, clip u"),
    "vtrace with a mask": (
        lambda *x: rlax.vtrace(*x[:5], sample_mask=x[5]),
        f"{RESIDUAL}, mask m {T}",
    ),
    "leaky_vtrace": (rlax.leaky_vtrace, f"{RESIDUAL}, alpha u, lambda_ u"),
    "vtrace_td_error_and_advantage": (
        rlax.vtrace_td_error_and_advantage,
        f"{RESIDUAL}, lambda_ u",
    ),
    "leaky_vtrace_td_error_and_advantage": (
        rlax.leaky_vtrace_td_error_and_advantage,
        f"{RESIDUAL}, alpha u, lambda_ u",
    ),
    "td_lambda": (
        rlax.td_lambda,
        f"v_tm1 n {T}, r_t n {T}, discount_t u {T}, v_t n {T}, lambda_ u",
    ),
    "sarsa_lambda": (rlax.sarsa_lambda, f"{Q_SEQUENCE}, a_t i{A} {T}, lambda_ u"),
    "q_lambda": (rlax.q_lambda, f"{Q_SEQUENCE}, lambda_ u"),
    "q_lambda of lambdas": (rlax.q_lambda, f"{Q_SEQUENCE}, lambda_ u {T}"),
    "retrace": (rlax.retrace, RETRACE),
    "retrace_continuous": (
        rlax.retrace_continuous,
        f"q_tm1 n {T}, q_t n {T - 1}, v_t n {T}, r_t n {T}, discount_t u {T},"
        f"log_rhos n {T - 1}, lambda_ u",
    ),
    "transformed_q_lambda": (
        functools.partial(rlax.transformed_q_lambda, tx_pair=PAIR),
        f"{Q_SEQUENCE}, lambda_ u",
    ),
    "transformed_retrace": (
        functools.partial(rlax.transformed_retrace, tx_pair=PAIR),
        RETRACE,
    ),
    "transformed_n_step_q_learning": (
        lambda *x: rlax.transformed_n_step_q_learning(*x, 2, tx_pair=PAIR),
        f"q_tm1 n {T} {A}, a_tm1 i{A} {T}, target_q_t n {T} {A}, a_t i{A} {T},"
        f"r_t n {T}, discount_t u {T}",
    ),
    "transformed_lambda_returns": (
        functools.partial(rlax.transformed_lambda_returns, PAIR),
        f"r_t n {T}, discount_t u {T}, v_t n {T}, lambda_ u",
    ),
    "transformed_n_step_returns": (
        lambda *x: rlax.transformed_n_step_returns(PAIR, *x, 2),
        f"r_t n {T}, discount_t u {T}, v_t n {T}",
    ),
    "transformed_general_off_policy_returns_from_action_values": (
        functools.partial(
            rlax.transformed_general_off_policy_returns_from_action_values, PAIR
        ),
        f"q_t n {T} {A}, a_t i{A} {T}, r_t n {T}, discount_t u {T}, c_t u {T},"
        f"pi_t p {T} {A}",
    ),
    # Policies.
    "policy_gradient_loss": (
        rlax.policy_gradient_loss,
        f"logits n {T} {A}, a_t i{A} {T}, adv_t n {T}, w_t u {T}",
    ),
    "entropy_loss": (rlax.entropy_loss, f"logits n {T} {A}, w_t u {T}"),
    "qpg_loss": (rlax.qpg_loss, f"logits n {T} {A}, q_t n {T} {A}"),
    "rm_loss": (rlax.rm_loss, f"logits n {T} {A}, q_t n {T} {A}"),
    "rpg_loss": (rlax.rpg_loss, f"logits n {T} {A}, q_t n {T} {A}"),
    "clipped_surrogate_pg_loss": (
        rlax.clipped_surrogate_pg_loss,
        f"ratios u {T}, adv_t n {T}, epsilon u",
    ),
    "dpg_loss": (rlax.dpg_loss, f"a_t n {A}, dqda_t n {A}, clipping u"),
    "mpo_loss": (
        mpo,
        f"log_probs n 6 {T}, q n 6 {T}, temperature u, kl u {T}, alpha u",
    ),
    "mpo_loss over axis 1": (
        mpo_over_axis_1,
        f"log_probs n {T} 6, q n {T} 6, temperature u",
    ),
    "mpo_compute_weights_and_temperature_loss": (
        lambda q, temperature, epsilon: rlax.mpo_compute_weights_and_temperature_loss(
            q, penalty(temperature, epsilon), clipped
        ),
        f"q n 6 {T}, temperature u, epsilon u",
    ),
    "vmpo_loss": (
        vmpo,
        f"log_probs n {T} 2, advantages n {T} 2, temperature u, kl u {T} 2, alpha u",
    ),
    "vmpo_compute_weights_and_temperature_loss": (
        vmpo_weights,
        f"advantages n {T} 2, restarting m {T} 2, importance u {T} 2, temperature u,"
        "epsilon u",
    ),
    "compute_parametric_kl_penalty_and_dual_loss": (
        lambda *x: kl_losses(*x, False),
        f"kl u {T} {A}, alpha u, epsilon u",
    ),
    "compute_parametric_kl_penalty_and_dual_loss per dimension": (
        lambda *x: kl_losses(*x, True),
        f"kl u {T} {A}, alpha u {A}, epsilon u",
    ),
    **discretes("softmax", lambda: rlax.softmax(0.7)),
    **discretes("clipped_entropy", lambda: rlax.clipped_entropy_softmax(0.7, 0.9)),
    **discretes("epsilon_greedy", lambda: rlax.epsilon_greedy(0.2)),
    **discretes("greedy", rlax.greedy),
    "epsilon_greedy of epsilon": (
        lambda p, e: rlax.epsilon_greedy().probs(p, e),
        f"preferences n {T} {A}, epsilon u",
    ),
    "epsilon_greedy.sample of epsilon": (
        lambda p, e: rlax.epsilon_greedy().sample(key(), p, e),
        f"preferences n {A}, epsilon u",
    ),
    "softmax of temperature": (
        lambda p, t: rlax.softmax(t).probs(p),
        f"logits n {T} {A}, temperature u",
    ),
    **gaussians("gaussian_diagonal", rlax.gaussian_diagonal),
    **gaussians("squashed_gaussian", rlax.squashed_gaussian, (SPEC,)),
    "gaussian_diagonal of one sigma": (
        lambda x, mu, s: rlax.gaussian_diagonal(s).logprob(x, mu),
        f"sample n {T} {A}, mu n {T} {A}, sigma u",
    ),
    "gaussian_diagonal of samples": (
        rlax.gaussian_diagonal().logprob,
        f"sample n 6 2 {T} {A}, mu n 2 {T} {A}, sigma u 2 {T} {A}",
    ),
    "categorical_sample": (
        lambda p: rlax.categorical_sample(key(), p),
        f"probs p {T} {A}",
    ),
    "categorical_importance_sampling_ratios": (
        rlax.categorical_importance_sampling_ratios,
        f"pi n {T} {A}, mu n {T} {A}, a_t i{A} {T}",
    ),
    "categorical_cross_entropy": (
        rlax.categorical_cross_entropy,
        f"labels p {T} {A}, logits n {T} {A}",
    ),
    "categorical_kl_divergence": (
        rlax.categorical_kl_divergence,
        f"p n {T} {A}, q n {T} {A}, temperature u",
    ),
    "multivariate_normal_kl_divergence": (
        rlax.multivariate_normal_kl_divergence,
        f"mu_0 n {T} {A}, sigma_0 u {T} {A}, mu_1 n {T} {A}, sigma_1 u {T} {A}",
    ),
    "sampled_policy_distillation_loss": (
        distilled,
        f"mean n {T} {A}, actions n 6 {T} {A}, weights u 6 {T}",
    ),
    "constant_policy_targets": (constant_targets, f"mean n {T} {A}, scale u"),
    # Learning.
    "l2_loss": (rlax.l2_loss, f"predictions n {T}, targets n {T}"),
    "l2_loss of matrices": (
        rlax.l2_loss,
        f"predictions n {T} {A}, targets n {T} {A}",
    ),
    "l2_loss alone": (rlax.l2_loss, f"predictions n {T}"),
    "expectile_loss": (
        rlax.expectile_loss,
        f"predictions n {T}, targets n {T}, expectile u",
    ),
    "huber_loss": (rlax.huber_loss, f"x n {T}, delta u"),
    "likelihood": (rlax.likelihood, f"predictions u {T}, targets u {T}"),
    "log_loss": (rlax.log_loss, f"predictions u {T}, targets m {T}"),
    "clip_gradient": (rlax.clip_gradient, f"x n {T}, low n, high u"),
    "gradient of clip_gradient": (
        lambda x, low, high: jax.grad(
            lambda x: jnp.sum(5.0 * rlax.clip_gradient(x, low, high))
        )(x),
        f"x n {T}, low n, high u",
    ),
    "normalize": (over_state(rlax.normalize), f"{STATE}, x n {T}, indices i{A} {T}"),
    "unnormalize": (
        over_state(rlax.unnormalize),
        f"{STATE}, x n {T}, indices i{A} {T}",
    ),
    "normalize of one index": (
        over_state(rlax.normalize),
        f"{STATE}, x n {T}, indices i{A}",
    ),
    "unnormalize_linear": (
        over_state(rlax.unnormalize_linear),
        f"{STATE}, inputs n {T} {A}, indices i{A} {T}",
    ),
    "unnormalize_linear of one": (
        over_state(rlax.unnormalize_linear),
        f"{STATE}, inputs n {A}, indices i{A}",
    ),
    "art": (
        over_state(lambda *x: rlax.art(*x[:3], x[3], 1e-2, 10.0)),
        f"{STATE}, targets n {T}, indices i{A} {T}, step_size u",
    ),
    "art of one": (
        over_state(lambda *x: rlax.art(*x, 0.1, 1e-2, 10.0)),
        f"{STATE}, targets n, indices i{A}",
    ),
    "pop": (
        lambda w, b, *s: rlax.pop(
            {"w": w, "b": b}, state_of(*s[:3]), state_of(*s[3:], s[0])
        ),
        f"w n 2 {A}, b n {A}, {STATE}, new_shift n {A}, new_scale u {A}",
    ),
    "popart": (updated, f"w n 2 {A}, b n {A}, targets n {T}, indices i{A} {T}"),
    "create_ema": (moments, f"x n {T}"),
    "conditional_update": (
        rlax.conditional_update,
        f"new n {T}, old n {T}, is_time m",
    ),
    "periodic_update": (
        lambda new, old, steps: rlax.periodic_update(new, old, steps, 2),
        f"new n {T}, old n {T}, steps i9",
    ),
    "embed_oar": (
        lambda *x: rlax.embed_oar(*x, A),
        f"features n {T} 2, action i{A} {T}, reward n {T}",
    ),
    "embed_oar of a batch": (
        lambda *x: rlax.embed_oar(*x, A),
        f"features n {T} {B} 2, action i{A} {T} {B}, reward n {T} {B}",
    ),
    "extract_subsequences": (
        lambda x, s: rlax.extract_subsequences(x, s, 2),
        f"trajectories n {T} {B} 3, start_indices i{T - 1} {B} 2",
    ),
    "sample_start_indices": (
        lambda: rlax.sample_start_indices(key(), 4, 2, 7),
        "",
    ),
    "fix_step_type_on_interruptions": (
        rlax.fix_step_type_on_interruptions,
        f"step_type i3 {T} {B}",
    ),
    # Exploration.
    "add_gaussian_noise": (
        lambda a, s: rlax.add_gaussian_noise(key(), a, s),
        f"action n {A}, stddev u",
    ),
    "add_ornstein_uhlenbeck_noise": (
        lambda *x: rlax.add_ornstein_uhlenbeck_noise(key(), *x),
        f"action n {A}, noise_tm1 n {A}, damping u, stddev u",
    ),
    "add_dirichlet_noise": (
        lambda *x: rlax.add_dirichlet_noise(key(), *x),
        f"prior p {B} {A}, alpha u, fraction u",
    ),
    "episodic_memory_intrinsic_rewards": (novelty, f"embeddings n {T} 3"),
    "knn_query": (top, f"data n 6 3, query_points n {B} 3"),
    # General value functions.
    "pixel_control_rewards": (
        lambda x: rlax.pixel_control_rewards(x, 2),
        f"observations n {T + 1} 4 4 2",
    ),
    "pixel_control_loss": (
        lambda *x: rlax.pixel_control_loss(*x, 2),
        f"observations n {T + 1} 4 4 2, actions i{A} {T}, q n {T + 1} 2 2 {A},"
        "discount u",
    ),
    "feature_control_rewards": (
        rlax.feature_control_rewards,
        f"features n {T + 1} {A}",
    ),
    "feature_control_rewards of potentials": (
        lambda x, d: rlax.feature_control_rewards(x, "potential", d),
        f"features n {T + 1} {A}, discount u",
    ),
    # Arrays and trees.
    "batched_index": (rlax.batched_index, f"values n {T} {A}, indices i{A} {T}"),
    "batched_index with keepdims": (
        lambda *x: rlax.batched_index(*x, keepdims=True),
        f"values n {T} {A}, indices i{A} {T}",
    ),
    "one_hot": (lambda x: rlax.one_hot(x, A), f"indices i{A} {T}"),
    "lhs_broadcast": (rlax.lhs_broadcast, f"source n {T}, target n {T} {A}"),
    "replace_masked": (
        rlax.replace_masked,
        f"data n {T} {A}, replacement n {T} {A}, mask m {T}",
    ),
    "replace_masked by zeros": (
        lambda data, mask: rlax.replace_masked(data, None, mask),
        f"data n {T} {A}, mask m {T}",
    ),
    "tree_replace_masked": (
        lambda data, new, mask: rlax.tree_replace_masked([data], [new], mask),
        f"data n {T} {A}, replacement n {T} {A}, mask m {T}",
    ),
    "tree_select": (rlax.tree_select, f"pred m, on_true n {T}, on_false n {T}"),
    "tree_select of a mask": (
        rlax.tree_select,
        f"pred m {T}, on_true n {T}, on_false n {T}",
    ),
    "tree_map_zipped": (
        lambda x, y: rlax.tree_map_zipped(lambda *z: z[0] * z[1], [[x], [y]]),
        f"x n {T}, y n {T}",
    ),
    "tree_split_leaves": (rlax.tree_split_leaves, f"x n {T} {A}"),
    "tree_split_leaves of axis 1": (
        lambda x: rlax.tree_split_leaves({"x": x}, axis=1, keepdim=True),
        f"x n {T} {A}",
    ),
    "tree_split_key": (lambda x: rlax.tree_split_key(key(), [x, x]), "x n"),
    "tree_fn": (lambda x: rlax.tree_fn(rlax.sigmoid)(x), f"x n {T}"),
    "transpose_last_axis_to_first": (
        rlax.transpose_last_axis_to_first,
        f"x n {T} {A}",
    ),
    "transpose_first_axis_to_last": (
        rlax.transpose_first_axis_to_last,
        f"x n {T} {A}",
    ),
    "AllSum": (lambda x: rlax.AllSum()(x, axis=0), f"x n {T} {A}"),
    # Transforms.
    **{
        name: (getattr(rlax, name), f"x n {T}")
        for name in ("identity", "sigmoid", "signed_logp1", "signed_expm1")
    },
    "logit": (rlax.logit, f"x u {T}"),
    "signed_hyperbolic": (rlax.signed_hyperbolic, f"x n {T}, eps u"),
    "signed_parabolic": (rlax.signed_parabolic, f"x n {T}, eps u"),
    "power": (rlax.power, f"x n {T}, p u"),
    "transform_to_2hot": (
        lambda x, low, high: rlax.transform_to_2hot(x, low, high, 9),
        f"scalar n {T}, low z, high u",
    ),
    "transform_from_2hot": (
        lambda x, low, high: rlax.transform_from_2hot(x, low, high, 9),
        f"probs p {T} 9, low z, high u",
    ),
    "DISCOUNT_TRANSFORM_PAIR.apply": (rlax.DISCOUNT_TRANSFORM_PAIR.apply, f"x u {T}"),
    "DISCOUNT_TRANSFORM_PAIR.apply_inv": (
        rlax.DISCOUNT_TRANSFORM_PAIR.apply_inv,
        f"x u {T}",
    ),
    **{
        f"{name}.apply": (lambda x, make=make: make().apply(x), f"x n {T}")
        for name, make in TX.items()
    },
    **{
        f"{name}.apply_inv": (
            lambda x, make=make: make().apply_inv(x),
            f"x p {T} 9",
        )
        for name, make in TX.items()
    },
}


def programs():
    """Calls that RLax's own examples make, beside the table."""
    linear = {"w": jnp.ones((2, A)), "b": jnp.zeros(A)}
    init, update = rlax.popart(A, 0.1, 1e-2, 10.0)

    def popart_of_a_batch(index):
        targets = jnp.arange(1.0, 4.0)
        params, state = update(linear, init(), targets, index)
        values = rlax.unnormalize(state, jnp.ones(3), index)
        return params, state, values, rlax.normalize(state, values, index)

    for name, index in {
        "an array": jnp.array(1),
        "NumPy": np.array(1),
        "a number": 1,
        "an array for each": jnp.ones(3, jnp.int32),
        "zeros like the values": jnp.zeros_like(jnp.ones(3), jnp.int32),
        "minus one": jnp.array(-1),
    }.items():
        yield (
            f"PopArt: one index of {name}",
            functools.partial(popart_of_a_batch, index),
        )
    q = jnp.array([1.0, 3.0, 2.0])
    for name, seed in {
        "a legacy key": jax.random.PRNGKey(0),
        "a typed key": jax.random.key(0),
        "a key of NumPy": np.asarray(jax.random.PRNGKey(0)),
    }.items():
        yield from {
            f"epsilon_greedy: {name}": functools.partial(
                lambda seed: rlax.epsilon_greedy(0.5).sample(seed, q), seed
            ),
            f"softmax: {name}": functools.partial(
                lambda seed: rlax.softmax(0.5).sample(seed, q), seed
            ),
            f"gaussian_diagonal: {name}": functools.partial(
                lambda seed: rlax.gaussian_diagonal(0.5).sample(seed, q), seed
            ),
            f"add_gaussian_noise: {name}": functools.partial(
                lambda seed: rlax.add_gaussian_noise(seed, q, 0.1), seed
            ),
            f"add_dirichlet_noise: {name}": functools.partial(
                lambda seed: rlax.add_dirichlet_noise(seed, q[None], 0.3, 0.2), seed
            ),
            f"sample_start_indices: {name}": functools.partial(
                lambda seed: rlax.sample_start_indices(seed, 2, 2, 5), seed
            ),
            f"tree_split_key: {name}": functools.partial(
                lambda seed: rlax.tree_split_key(seed, [1, 2]), seed
            ),
        }.items()
    yield (
        "q_learning: a batch of actions and rewards in NumPy",
        lambda: jax.vmap(rlax.q_learning)(
            jnp.ones((2, A)), np.array([0, 1]), np.ones(2), np.ones(2), jnp.ones((2, A))
        ),
    )
    yield (
        "q_lambda: one discount for all streams",
        lambda: jax.vmap(rlax.q_lambda, in_axes=(1, 1, 1, None, 1, None))(
            jnp.ones((T, B, A)),
            jnp.zeros((T, B), jnp.int32),
            jnp.ones((T, B)),
            jnp.ones(T),
            jnp.ones((T, B, A)),
            0.9,
        ),
    )
    yield (
        "gaussian_diagonal: samples under means",
        lambda: rlax.gaussian_diagonal().logprob(
            jnp.ones((10, 8, 100, 3)), jnp.zeros((8, 100, 3)), jnp.ones((8, 100, 3))
        ),
    )


# --- The cases.


def arguments(spec):
    """Names, kinds and NumPy arrays of an op's arguments."""
    found = []
    for i, one in enumerate(filter(None, spec.split(","))):
        name, kind, *shape = one.split()
        found.append((name, kind, drawn(kind, tuple(map(int, shape)), i)))
    return found


def called(op, args, changes):
    """The op with its arguments as JAX arrays, but those changed."""
    values = [changes.get(i, jnp.asarray(x)) for i, (_, _, x) in enumerate(args)]
    return op(*values)


def traced(run):
    """The output's shape and dtype alone, since tracing costs less than compiling."""
    outputs = jax.tree.leaves(jax.eval_shape(run))
    return [np.zeros(x.shape, x.dtype) for x in outputs]


def changed(args, i, mutation):
    _, kind, x = args[i]
    return MUTATIONS[mutation](x, kind)


def of_op(name, op, spec):
    args = arguments(spec)

    def case(changes, label):
        run = functools.partial(called, op, args, changes)
        full = f"{name}: {label}"
        chosen = zlib.crc32(full.encode()) % COMPUTED == 0
        if chosen or any(word in label for word in DOUBTFUL):
            return full, run
        return full, functools.partial(traced, run)

    yield case({}, "as it is")
    yield (
        f"{name}: in jit",
        lambda: traced(lambda: jax.jit(op)(*(jnp.asarray(x) for *_, x in args))),
    )
    if args:
        yield (
            f"{name}: in vmap",
            lambda: traced(lambda: jax.vmap(op)(*(stacked(x, 0) for *_, x in args))),
        )
    for i, (arg, _, _) in enumerate(args):
        for mutation in MUTATIONS:
            new = changed(args, i, mutation)
            if new is not None:
                yield case({i: new}, f"{arg} {mutation}")
    for mutation in TOGETHER if len(args) > 1 else ():
        new = {i: changed(args, i, mutation) for i in range(len(args))}
        new = {i: x for i, x in new.items() if x is not None}
        if len(new) > 1:
            yield case(new, f"all {mutation}")
    pairs = [
        (i, first, j, second)
        for i, j in itertools.combinations(range(len(args)), 2)
        for first, second in itertools.product(PAIRED, PAIRED)
    ]
    random = np.random.default_rng(zlib.crc32(name.encode()))
    chosen = random.permutation(len(pairs))[:PAIRS_PER_OP] if pairs else ()
    for at in sorted(chosen):
        i, first, j, second = pairs[at]
        new = {i: changed(args, i, first), j: changed(args, j, second)}
        if all(x is not None for x in new.values()):
            yield case(new, f"{args[i][0]} {first}, {args[j][0]} {second}")


def cases():
    """Names of all cases and functions without arguments that run them."""
    for name, (op, spec) in OPS.items():
        yield from of_op(name, op, spec)
    for name, run in programs():
        yield f"example {name}", run
