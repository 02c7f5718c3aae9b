"""Every op of RLax with arguments for one stream, for tests that run them all.

A row holds a function, and the kinds and shapes of its arguments. Time is the leading
axis of the ops in `SEQUENCES`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import rlax

T, A, B = 5, 3, 2


def atoms(like):
    """As many atoms as like has logits; the number may be symbolic."""
    steps = jax.lax.iota(like.dtype, like.shape[-1])
    return 4 * steps / (like.shape[-1] - 1) - 2


def levels(like):
    return jnp.asarray([0.25, 0.75], like.dtype)


def penalty(alpha, epsilon=0.1, per_dimension=False):
    return rlax.LagrangePenalty(alpha, epsilon, per_dimension)


class Normal:
    """A distribution with distrax's interface."""

    def __init__(self, mean):
        self.mean = mean
        self.batch_shape, self.event_shape = mean.shape[:-1], mean.shape[-1:]

    def sample(self, *, seed, sample_shape):
        shape = (*sample_shape, *self.mean.shape)
        noise = jax.random.normal(seed, shape, self.mean.dtype)
        return jnp.broadcast_to(self.mean, noise.shape) + noise

    def log_prob(self, value):
        return -0.5 * jnp.sum(
            jnp.square(value - jnp.broadcast_to(self.mean, value.shape)), -1
        )


def targets_loss(mean):
    d = Normal(mean)
    targets = rlax.constant_policy_targets(d, jax.random.PRNGKey(0), 3)
    return rlax.sampled_policy_distillation_loss(d, targets)


def key():
    return jax.random.PRNGKey(0)


def popart(w, b, targets, indices):
    init, update = rlax.popart(3, 0.1, 1e-2, 10.0)
    params, state = update({"w": w, "b": b}, init(), targets, indices)
    normalized = rlax.normalize(state, targets, indices)
    values = rlax.unnormalize(state, normalized, indices)
    return params["w"], params["b"], normalized, values


def ema(x):
    init, update = rlax.create_ema(0.9)
    moments, state = update(x, init(x))
    return moments.mean, moments.variance, state.mu


def ngu(x):
    rewards, state = rlax.episodic_memory_intrinsic_rewards(
        x, 2, 1.0, max_memory_size=9
    )
    return rewards, rlax.episodic_memory_intrinsic_rewards(x, 2, 1.0, state)[0]


def vmpo(log_p, advantages, temperature, kl, alpha):
    constraints = [(kl, penalty(alpha))]
    return rlax.vmpo_loss(log_p, advantages, penalty(temperature), constraints)[0]


def mpo(log_p, q, temperature, kl, alpha):
    constraints = [(kl, penalty(alpha))]
    return rlax.mpo_loss(log_p, q, penalty(temperature), constraints)[0]


def discrete(make):
    def f(logits, action):
        d = make()
        return d.probs(logits), d.logprob(action, logits), d.entropy(logits)

    return f


def greedily(preferences):
    d = rlax.greedy()  # without the log probability, which is -inf
    return d.probs(preferences), d.entropy(preferences)


def continuous(make, spec=()):
    def f(sample, mu, sigma):
        d = make()
        out = [g(sample, mu, sigma, *spec) for g in (d.prob, d.logprob)]
        out += [d.entropy(mu, sigma), d.kl_to_standard_normal(mu, sigma)]
        out.append(d.sample(key(), mu, sigma, *spec))
        return (*out, d.kl(mu, sigma, 2 * mu, sigma))

    return f


def mpo_weights(q, temperature):
    constraint = penalty(temperature)
    return rlax.mpo_compute_weights_and_temperature_loss(q, constraint, lambda x: x)[:2]


def vmpo_weights(advantages, restarting, importance, temperature):
    return rlax.vmpo_compute_weights_and_temperature_loss(
        *(advantages, restarting, importance, penalty(temperature), lambda x: x, 0.5)
    )


def trees(x, y, mask):
    tree, other = {"x": x}, {"x": y}
    zipped = rlax.tree_map_zipped(lambda a, b: a * b, [tree, other])
    return (
        rlax.tree_replace_masked(tree, other, mask),
        rlax.tree_fn(rlax.sigmoid)(zipped),
        rlax.tree_split_leaves(tree, axis=1),
        rlax.transpose_first_axis_to_last(rlax.transpose_last_axis_to_first(tree)),
        jax.random.bits(rlax.tree_split_key(key(), tree)[0], ()),
    )


def pairs(x):
    squashed = rlax.compose_tx(rlax.IDENTITY_PAIR, rlax.SIGNED_LOGP1_PAIR)
    two_hot = rlax.twohot_pair(-2.0, 2.0, 9)
    probs = rlax.transform_to_2hot(x, -2.0, 2.0, 9)
    mean = rlax.transform_from_2hot(probs, -2.0, 2.0, 9)
    return squashed.apply_inv(squashed.apply(x)), two_hot.apply(x), mean


def round_trip(pair, x, probs):
    return pair.apply(x), pair.apply_inv(probs), pair.apply_inv(pair.apply(x))


def percentile_scale(x, low, width):
    state = rlax.PercentileScaleState(low, low + width)
    scale, state = rlax.percentile_scale(x, state, minimum=0.1, decay=0.5)
    return scale, *state


def running_statistics(x, y, mask):
    state = rlax.running_statistics(x.shape[1:])
    state = rlax.update_running_statistics(state, x, mask=mask != 0)
    other = rlax.update_running_statistics(rlax.running_statistics(y.shape[1:]), y)
    return rlax.standardize(y, rlax.merge_running_statistics(state, other), clip=2.0)


def scale_rewards(r, discount):
    state = rlax.init_return_scale()
    scaled, state = rlax.scale_rewards(r, discount, state, max_return=1.0)
    return rlax.scale_rewards(scaled, discount, state, clip=1.0)[0]


def masked(p, q, action, mask):
    d, mask = rlax.masked_softmax(0.7), mask != 0
    picked = jnp.where(mask.any(-1), d.logprob(action, p, mask), 0)
    picked = jnp.where(jnp.isneginf(picked), 0, picked)  # of an illegal action
    return d.probs(p, mask), picked, d.entropy(p, mask), d.kl(p, q, mask)


def several(d, p, q, action):
    return (*d.probs(p), d.logprob(action, p), d.entropy(p), d.kl(p, q))


def tanh_gaussian(x, mu, sigma):
    d = rlax.tanh_gaussian(-2.0, 1.0)
    out = d.logprob(x, mu, sigma), *d.sample_and_logprob(key(), mu, sigma)
    return (*out, d.sample(key(), mu, sigma), d.mode(mu, sigma))


def scaled_beta(x, alpha, beta):
    d = rlax.scaled_beta(0.0, 2.0)
    a, b = 1 + alpha, 1 + beta
    out = d.logprob(x, a, b), d.entropy(a, b), d.kl(a, b, b, a), d.mean(a, b)
    return (*out, jax.lax.stop_gradient(d.sample(key(), a, b)))


def von_mises(x, loc, concentration):
    d = rlax.von_mises()
    out = d.logprob(x, loc, concentration), d.entropy(loc, concentration)
    return (*out, d.sample(key(), loc, concentration))


def zero_targets(mean):
    return rlax.zero_policy_targets(Normal(mean), key(), 3).actions


def popart_by_parts(shift, scale, x, inputs, indices):
    state = rlax.PopArtState(shift, scale, 1 + shift**2)
    moved = rlax.art(state, x, indices, 0.1, 1e-2, 10.0)
    return (
        rlax.unnormalize_linear(state, inputs, indices),
        rlax.unnormalize(state, x, indices[0]),
        rlax.normalize(moved, x, indices),
        rlax.pop({"w": inputs, "b": shift}, state, moved),
    )


PAIR = rlax.SIGNED_HYPERBOLIC_PAIR
# Kinds: n normal, u in (0, 1), p probabilities, i in 0 .. A - 1; then the shape.
Q = ["n", A], ["i"], ["n"], ["u"], ["n", A]
STEP = ["n"], ["u"]
SEQUENCE = ["n", T], ["u", T]
Q_SEQUENCE = ["n", T, A], ["i", T], *SEQUENCE, ["n", T, A]
RETRACE = ["n", T, A], ["n", T, A], ["i", T], ["i", T], *SEQUENCE, ["p", T, A], ["u", T]
VTRACE = ["n", T], ["n", T], *SEQUENCE, ["u", T]
FRAMES = ["n", T + 1, 4, 4, 2]

TRANSITION = {  # one transition, or any array
    "td_learning": (rlax.td_learning, ["n"], ["n"], ["u"], ["n"]),
    "sarsa": (rlax.sarsa, *Q, ["i"]),
    "expected_sarsa": (rlax.expected_sarsa, *Q, ["p", A]),
    "q_learning": (rlax.q_learning, *Q),
    "double_q_learning": (rlax.double_q_learning, *Q, ["n", A]),
    "persistent_q_learning": (rlax.persistent_q_learning, *Q, ["u"]),
    "qv_learning": (rlax.qv_learning, *Q[:-1], ["n"]),
    "qv_max": (rlax.qv_max, ["n"], ["n"], ["u"], ["n", A]),
    "categorical_td_learning": (
        lambda x, r, d, y: rlax.categorical_td_learning(atoms(x), x, r, d, atoms(x), y),
        *(["n", 4], ["n"], ["u"], ["n", 4]),
    ),
    "categorical_q_learning": (
        lambda x, a, r, d, y: rlax.categorical_q_learning(
            atoms(x), x, a, r, d, atoms(x), y
        ),
        *(["n", A, 4], ["i"], ["n"], ["u"], ["n", A, 4]),
    ),
    "categorical_double_q_learning": (
        lambda x, a, r, d, y, q: rlax.categorical_double_q_learning(
            atoms(x), x, a, r, d, atoms(x), y, q
        ),
        *(["n", A, 4], ["i"], ["n"], ["u"], ["n", A, 4], ["n", A]),
    ),
    "categorical_l2_project": (
        lambda z, p: rlax.categorical_l2_project(z, p, atoms(z)),
        *(["n", 5], ["p", 5]),
    ),
    "quantile_regression_loss": (
        lambda x, t, y: rlax.quantile_regression_loss(x, t, y, 0.7),
        *(["n", 4], ["u", 4], ["n", 5]),
    ),
    "quantile_expected_sarsa": (
        lambda x, *rest: rlax.quantile_expected_sarsa(x, levels(x), *rest),
        *(["n", 2, A], ["i"], ["n"], ["u"], ["n", 4, A], ["p", A]),
    ),
    "quantile_q_learning": (
        lambda x, *rest: rlax.quantile_q_learning(x, levels(x), *rest, 1.0),
        *(["n", 2, A], ["i"], ["n"], ["u"], ["n", 4, A], ["n", 4, A]),
    ),
    "dpg_loss": (lambda a, g: rlax.dpg_loss(a, g, 0.5), ["n", A], ["n", A]),
    "mpo_loss": (mpo, ["n", 6, T], ["n", 6, T], ["u"], ["u", T], ["u"]),
    "vmpo_loss": (vmpo, ["n", T, 4], ["n", T, 4], ["u"], ["u", T, 4], ["u"]),
    "kl_penalty": (
        lambda kl, alpha: rlax.compute_parametric_kl_penalty_and_dual_loss(
            [(kl, penalty(alpha, 0.1, True))], lambda x: x
        ),
        *(["u", T, A], ["u", A]),
    ),
    "softmax": (discrete(lambda: rlax.softmax(0.7)), ["n", T, A], ["i", T]),
    "clipped_entropy_softmax": (
        discrete(lambda: rlax.clipped_entropy_softmax(0.7, 0.9)),
        *(["n", T, A], ["i", T]),
    ),
    "epsilon_greedy": (discrete(lambda: rlax.epsilon_greedy(0.2)), ["n", A], ["i"]),
    "gaussian_diagonal": (
        continuous(rlax.gaussian_diagonal),
        *(["n", T, A], ["n", T, A], ["u", T, A]),
    ),
    "squashed_gaussian": (
        continuous(rlax.squashed_gaussian, (None,)),
        *(["u", T, A], ["n", T, A], ["n", T, A]),
    ),
    "categorical_importance_sampling_ratios": (
        rlax.categorical_importance_sampling_ratios,
        *(["n", T, A], ["n", T, A], ["i", T]),
    ),
    "categorical_cross_entropy": (
        rlax.categorical_cross_entropy,
        *(["p", T, A], ["n", T, A]),
    ),
    "categorical_kl_divergence": (
        rlax.categorical_kl_divergence,
        *(["n", T, A], ["n", T, A]),
    ),
    "multivariate_normal_kl_divergence": (
        rlax.multivariate_normal_kl_divergence,
        *(["n", T, A], ["u", T, A], ["n", T, A], ["u", T, A]),
    ),
    "policy_targets": (targets_loss, ["n", 4, A]),
    "transforms": (
        lambda x, p: [
            *(f(x) for f in (rlax.identity, rlax.sigmoid, rlax.signed_logp1)),
            *(rlax.signed_expm1(x), rlax.signed_hyperbolic(x), rlax.logit(p)),
            *(rlax.signed_parabolic(x, 0.1), rlax.power(x, 2.0)),
            *(rlax.HYPERBOLIC_SIN_PAIR.apply_inv(rlax.HYPERBOLIC_SIN_PAIR.apply(x)),),
            rlax.DISCOUNT_TRANSFORM_PAIR.apply_inv(
                rlax.DISCOUNT_TRANSFORM_PAIR.apply(p)
            ),
        ],
        *(["n", 4], ["u", 4]),
    ),
    "two_hot": (
        lambda x: [
            pair.apply_inv(pair.apply(x))
            for pair in (
                rlax.muzero_pair(-2.0, 2.0, 9, rlax.SIGNED_LOGP1_PAIR),
                rlax.unbiased_transform_pair(-2.0, 2.0, 9, rlax.SIGNED_LOGP1_PAIR),
            )
        ],
        ["n", 4],
    ),
    "losses": (
        lambda x, y, p: [
            *(rlax.l2_loss(x, y), rlax.l2_loss(x), rlax.huber_loss(x, 0.5)),
            *(rlax.expectile_loss(x, y, 0.8), rlax.likelihood(p, p)),
            rlax.log_loss(p, p),
        ],
        *(["n", 4], ["n", 4], ["u", 4]),
    ),
    "batched_index": (rlax.batched_index, ["n", 4, A], ["i", 4]),
    "one_hot": (lambda x, a: x * rlax.one_hot(a, A, x.dtype), ["n"], ["i", 4]),
    "lhs_broadcast": (rlax.lhs_broadcast, ["n", 4], ["n", 4, A]),
    "replace_masked": (rlax.replace_masked, ["n", 4, A], ["n", 4, A], ["i", 4]),
    "clip_gradient": (lambda x: rlax.clip_gradient(x, -0.1, 0.1), ["n", 4]),
    "add_gaussian_noise": (
        lambda a: rlax.add_gaussian_noise(key(), a, 0.1),
        ["n", A],
    ),
    "add_ornstein_uhlenbeck_noise": (
        lambda a, n: rlax.add_ornstein_uhlenbeck_noise(key(), a, n, 0.2, 0.1),
        *(["n", A], ["n", A]),
    ),
    "add_dirichlet_noise": (
        lambda p: rlax.add_dirichlet_noise(key(), p, 0.3, 0.25),
        ["p", 2, A],
    ),
    "episodic_memory_intrinsic_rewards": (ngu, ["n", 4, 3]),
    "knn_query": (
        lambda d, q: rlax.knn_query(d, q, 2).neighbor_neg_distances,
        *(["n", 6, 3], ["n", 2, 3]),
    ),
    "embed_oar": (
        lambda f, a, r: rlax.embed_oar(f, a, r, A),
        *(["n", 4, 2], ["i", 4], ["n", 4]),
    ),
    "extract_subsequences": (
        lambda x, s: rlax.extract_subsequences(x, s, 3),
        *(["n", T, 2, 3], ["i", 2, 4]),
    ),
    "popart": (popart, ["n", 2, A], ["n", A], ["n", 6], ["i", 6]),
    "create_ema": (ema, ["n", 4]),
    "tree_select": (
        lambda x, y, a: (
            rlax.conditional_update({"x": x}, {"x": y}, a == 1),
            rlax.tree_select(a == 1, x, y),
        ),
        *(["n", 4], ["n", 4], ["i"]),
    ),
    "art": (popart_by_parts, ["n", A], ["u", A], ["n", 4], ["n", 4, A], ["i", 4]),
    "mpo_weights": (mpo_weights, ["n", 6, T], ["u"]),
    "vmpo_weights": (vmpo_weights, ["n", T, 4], ["u", T, 4], ["u", T, 4], ["u"]),
    "greedy": (greedily, ["n", T, A]),
    "categorical_sample": (
        lambda p: rlax.categorical_sample(key(), p).astype(p.dtype) * p[..., 0],
        ["p", 4, A],
    ),
    "pairs": (pairs, ["n", 4]),
    "trees": (trees, ["n", 4, 2], ["n", 4, 2], ["i", 4]),
    "zero_policy_targets": (zero_targets, ["n", 4, A]),
    "periodic_update": (
        lambda x, y, a: rlax.periodic_update({"x": x}, {"x": y}, a, 2),
        *(["n", 4], ["n", 4], ["i"]),
    ),
    "fix_step_type_on_interruptions": (
        lambda x, a: x * rlax.fix_step_type_on_interruptions(a).astype(x.dtype),
        *(["n", T, 2], ["i", T, 2]),
    ),
    "sample_start_indices": (
        lambda x: jnp.asarray(x)[rlax.sample_start_indices(key(), 2, 2, 3)],
        ["n", 4],
    ),
    "all_sum": (lambda x: rlax.AllSum()(x, axis=0), ["n", 4, A]),
    # Continuous control.
    "sac_td_error": (rlax.sac_td_error, ["n", 4], *STEP, ["n", 5], ["n"], ["u"]),
    "td3_td_error": (
        lambda *x: rlax.td3_td_error(*x[:-1], subset=x[-1]),
        *(["n", 4], *STEP, ["n", 5], ["i", 2]),
    ),
    "discrete_sac_td_error": (
        rlax.discrete_sac_td_error,
        *(["n", 4, A], ["i"], *STEP, ["n", 5, A], ["n", A], ["u"]),
    ),
    "ensemble_value": (
        lambda q, i: (
            rlax.ensemble_value(q),
            rlax.ensemble_value(q, subset=i, penalty=0.5),
        ),
        *(["n", 4, 2], ["i", 3]),
    ),
    "tqc_loss": (
        lambda q0, tau, r, d, q, log_pi, alpha: rlax.tqc_loss(
            q0, tau, r, d, q, 1, log_pi_t=log_pi, temperature=alpha
        ),
        *(["n", 4, 2], ["u", 2], *STEP, ["n", 5, 6], ["n"], ["u"]),
    ),
    "sac_policy_loss": (rlax.sac_policy_loss, ["n"], ["n", 4], ["u"]),
    "sac_temperature_loss": (rlax.sac_temperature_loss, ["n"], ["n"], ["n"]),
    "discrete_sac_policy_loss": (
        rlax.discrete_sac_policy_loss,
        *(["n", A], ["n", 4, A], ["u"]),
    ),
    "smoothed_target_action": (
        lambda a: rlax.smoothed_target_action(key(), a),
        ["n", A],
    ),
    # World models, and values as histograms.
    "symlog": (lambda x: (rlax.symlog(x), rlax.symexp(x)), ["n", 4]),
    "symexp_twohot_pair": (
        lambda x, p: round_trip(rlax.symexp_twohot_pair(-2.0, 2.0, 9), x, p),
        *(["n", 4], ["p", 2, 9]),
    ),
    "hl_gauss_pair": (
        lambda x, p: round_trip(rlax.hl_gauss_pair(-2.0, 2.0, 9), x, p),
        *(["n", 4], ["p", 2, 9]),
    ),
    "percentile_scale": (percentile_scale, ["n", 4, A], ["n"], ["u"]),
    "balanced_kl_loss": (
        lambda x, y: rlax.balanced_kl_loss(x, y, free_nats=0.1),
        *(["n", 4, A], ["n", 4, A]),
    ),
    "uniform_mix": (rlax.uniform_mix, ["n", 4, A]),
    # Value learning.
    "munchausen_q_learning": (
        lambda *x: rlax.munchausen_q_learning(*x, 0.3),
        *(*Q, ["n", A]),
    ),
    "expectile_q_learning": (
        lambda x, *rest: rlax.expectile_q_learning(x, levels(x), *rest),
        *(["n", 2, A], ["i"], *STEP, ["n", 4, A], ["n", 5, A]),
    ),
    "quantile_embedding": (lambda t: rlax.quantile_embedding(t, 6), ["u", 4]),
    "fqf_fractions": (rlax.fqf_fractions, ["n", 4]),
    "fqf_fraction_loss": (
        lambda x, q: rlax.fqf_fraction_loss(rlax.fqf_fractions(x)[0], q[:2], q),
        *(["n", 3], ["n", 3]),
    ),
    # Replay, running statistics, traces.
    "prioritized_probabilities": (
        lambda p, i: rlax.prioritized_probabilities(p, mask=i != 0),
        *(["u", 4], ["i", 4]),
    ),
    "importance_sampling_weights": (rlax.importance_sampling_weights, ["u", 4]),
    "r2d2_priority": (rlax.r2d2_priority, ["n", 4]),
    "running_statistics": (running_statistics, ["n", 4, 2], ["n", 5, 2], ["i", 4]),
    "scale_rewards": (scale_rewards, ["n", T], ["u", T]),
    "eligibility_trace": (
        lambda *x: [
            rlax.eligibility_trace(*x, kind=kind, step_size=0.1)
            for kind in ("accumulating", "replacing", "dutch")
        ],
        *(["n", 4], ["n", 4], ["u"], ["u"]),
    ),
    # Diagnostics.
    "clip_fraction": (
        lambda p, a: rlax.clip_fraction(p, 0.2, adv_t=a),
        *(["u", 4], ["n", 4]),
    ),
    "explained_variance": (rlax.explained_variance, ["n", 4], ["n", 4]),
    "effective_sample_size": (rlax.effective_sample_size, ["n", 4]),
    # Distributions.
    "masked_softmax": (masked, ["n", 4, A], ["n", 4, A], ["i", 4], ["i", 4, A]),
    "multi_discrete": (
        lambda x, y, a: several(rlax.multi_discrete([3, 4]), x, y, a),
        *(["n", 2, 7], ["n", 2, 7], ["i", 2, 2]),
    ),
    "tanh_gaussian": (tanh_gaussian, ["u", 4, A], ["n", 4, A], ["u", 4, A]),
    "scaled_beta": (scaled_beta, ["u", 4, A], ["u", 4, A], ["u", 4, A]),
    "von_mises": (von_mises, ["n", 4], ["n", 4], ["u", 4]),
    "gaussian_mixture": (
        lambda x, logits, mu, sigma: (
            rlax.gaussian_mixture().logprob(x, logits, mu, sigma),
            rlax.gaussian_mixture().mean(logits, mu, sigma),
            rlax.gaussian_mixture().sample(key(), logits, mu, sigma),
        ),
        *(["n", 4], ["n", 5], ["n", 5, 4], ["u", 5, 4]),
    ),
    # Exploration, many agents, transfer, options, natural gradients.
    "rnd_error": (rlax.rnd_error, ["n", 4], ["n", 4]),
    "icm_losses": (
        lambda *x: tuple(rlax.icm_losses(*x)),
        *(["n", 4], ["n", 4], ["n", A], ["i"]),
    ),
    "adapt_parameter_noise": (rlax.adapt_parameter_noise, ["u"], ["u"], ["u"]),
    "ornstein_uhlenbeck_step": (
        lambda n: rlax.ornstein_uhlenbeck_step(key(), n),
        ["n", A],
    ),
    "qmix_value": (
        rlax.qmix_value,
        *(["n", 4], ["n", 4, 5], ["n", 5], ["n", 5], ["n"]),
    ),
    "coma_advantage": (rlax.coma_advantage, ["n", A], ["i"], ["p", A]),
    "magic_box": (rlax.magic_box, ["n", 4]),
    "dice_loss": (
        lambda *x: rlax.dice_loss(*x[:3], baseline_t=x[3]),
        *(["n", 4], ["n", 4], ["u", 4], ["n", 4]),
    ),
    "successor_feature_td_error": (
        rlax.successor_feature_td_error,
        *(["n", A, 4], ["i"], ["n", 4], ["u"], ["n", A, 4], ["i"]),
    ),
    "gpi_action_values": (rlax.gpi_action_values, ["n", 4, A, 5], ["n", 5]),
    "option_losses": (
        lambda *x: tuple(rlax.option_losses(*x)),
        *(["u"], ["n", A], ["i"]),
    ),
    "conjugate_gradient": (
        lambda d, b: rlax.conjugate_gradient(lambda x: d * x, b, iterations=3),
        *(["u", 4], ["n", 4]),
    ),
    "fisher_vector_product": (
        lambda x, v: rlax.fisher_vector_product(
            lambda y: jnp.sum(jnp.square(jnp.sin(y))), x, v
        ),
        *(["n", 4], ["n", 4]),
    ),
}

TRANSITION |= {  # PPO
    "normalize_advantages": (
        lambda x, m: rlax.normalize_advantages(x, mask_t=m),
        *(["n", T], ["i", T]),
    ),
    "sampled_kl_divergence": (
        lambda p, q: [
            rlax.sampled_kl_divergence(p, q),
            rlax.sampled_kl_divergence(p, q, gradient_estimator="k2"),
        ],
        *(["n", 4], ["n", 4]),
    ),
    "adaptive_kl_coefficient": (
        lambda c, kl: [
            rlax.adaptive_kl_coefficient(c, kl, 0.1),
            rlax.adaptive_kl_coefficient(c, kl, 0.1, rule="proportional"),
        ],
        *(["u"], ["u"]),
    ),
}
TRANSITION |= {  # tokens of language models
    "token_policy_losses": (
        lambda pi, mu, adv, w, m, s: [
            rlax.token_policy_losses(
                *(pi, mu, adv),
                **{"mask_t": m, "ratio_level": level, "clipping": clipping},
                **{"weight_t": w, "segments_t": s, "dual_clip": 2.0},
            )
            for level in ("token", "sequence", "sequence_token")
            for clipping in ("surrogate", "cispo", "none")
        ],
        *(["n", T], ["n", T], ["n", T], ["u", T], ["i", T], ["i", T]),
    ),
    "truncated_importance_weights": (
        lambda pi, mu, m, s: [
            rlax.truncated_importance_weights(
                *(pi, mu),
                **{"mask_t": m, "level": level, "segments_t": s, "max_weight": 1e3},
            )
            for level in ("token", "sequence", "geometric")
        ],
        *(["n", T], ["n", T], ["i", T], ["i", T]),
    ),
    "rlhf_rewards": (
        lambda r, pi, ref, m, s: rlax.rlhf_rewards(
            *(r, pi, ref, 0.1),
            **{"mask_t": m, "reward_clip": 1.0, "segments_t": s},
        ),
        *(["n"], ["n", T], ["n", T], ["i", T], ["i", T]),
    ),
    "token_advantages": (
        lambda r, v, lam, d, b, m, s: rlax.token_advantages(
            *(r, v, lam),
            **{"discount_t": d, "bootstrap": b, "mask_t": m, "segments_t": s},
        ),
        *(["n", T], ["n", T], ["u"], ["u", T], ["n"], ["i", T], ["i", T]),
    ),
    "group_advantages": (
        lambda r, m: [
            rlax.group_advantages(r, baseline=baseline, mask=m)
            for baseline in ("mean", "leave_one_out", "none")
        ],
        *(["n", 4], ["i", 4]),
    ),
    "aggregate_token_losses": (
        lambda x, m, s: [
            rlax.aggregate_token_losses(x, m, how, segments_t=s, constant=3.0)
            for how in ("token_mean", "sequence_mean", "sequence_sum", "constant")
        ],
        *(["n", 4, T], ["i", 4, T], ["i", 4, T]),
    ),
    "grpo_loss": (
        lambda pi, mu, adv, ref, m: rlax.grpo_loss(pi, mu, adv, ref, mask_t=m),
        *(["n", 4, T], ["n", 4, T], ["n", 4], ["n", 4, T], ["i", 4, T]),
    ),
    "grpo_kin": (
        lambda pi, mu, adv, m: [
            *(loss(pi, mu, adv, mask_t=m) for loss in (rlax.dapo_loss, rlax.gspo_loss)),
            rlax.dr_grpo_loss(pi, mu, adv, mask_t=m),
            rlax.cispo_loss(pi, mu, adv, mask_t=m),
        ],
        *(["n", 4, T], ["n", 4, T], ["n", 4], ["i", 4, T]),
    ),
    "soft_overlong_penalty": (
        lambda x: rlax.soft_overlong_penalty(x, 1.0, 2.0),
        ["n", 4],
    ),
}
TRANSITION |= {  # preferences
    "dpo_loss": (
        lambda *x: [
            *(rlax.dpo_loss(*x, variant=v) for v in ("sigmoid", "robust", "hinge")),
            rlax.ipo_loss(*x),
        ],
        *(["n", 4], ["n", 4], ["n", 4], ["n", 4]),
    ),
    "simpo_loss": (
        lambda c, r, n: rlax.simpo_loss(c, r, jnp.asarray(n) + 1, jnp.asarray(n) + 2),
        *(["n", 4], ["n", 4], ["i", 4]),
    ),
    "kto_loss": (
        lambda pi, ref, a, kl: rlax.kto_loss(pi, ref, jnp.asarray(a) == 1, kl=kl),
        *(["n", 4], ["n", 4], ["i", 4], ["n"]),
    ),
    "orpo_loss": (
        lambda c, r: rlax.orpo_loss(*(-jnp.square(jnp.asarray(x)) for x in (c, r))),
        ["n", 4],
        ["n", 4],
    ),
    "bradley_terry_loss": (
        lambda c, r, m: rlax.bradley_terry_loss(c, r, m, center_coefficient=0.1),
        *(["n", 4], ["n", 4], ["n", 4]),
    ),
}
TRANSITION |= {  # offline and flow
    "cql_loss": (
        lambda q, x, mu: [rlax.cql_loss(q, x, 0.5, log_mu_t=mu), rlax.cql_loss(q, x)],
        *(["n", 4], ["n"], ["n", 4]),
    ),
    "iql_value_loss": (rlax.iql_value_loss, ["n"], ["n", 4]),
    "advantage_weighted_policy_loss": (
        lambda x, y: [
            rlax.advantage_weighted_policy_loss(x, y, weight=weight)
            for weight in ("exp", "binary")
        ],
        *(["n", 4], ["n", 4]),
    ),
    "td3_bc_policy_loss": (
        lambda q, x, y: [
            rlax.td3_bc_policy_loss(q, x, y),
            rlax.fql_policy_loss(q, x, y, normalize_q=True),
        ],
        *(["n", 4], ["n", 4, 3], ["n", 4, 3]),
    ),
    "flow_matching_loss": (rlax.flow_matching_loss, ["n", 4], ["n", 4], ["n", 4]),
    "flow_actions": (
        lambda w, x: rlax.flow_actions(lambda x, time: w * x + time, x, 3),
        *(["n", 4], ["n", 4]),
    ),
}
TRANSITION |= {  # planning
    "scale_gradient": (lambda x: rlax.scale_gradient({"x": x}, 0.5), ["n", 4]),
    "muzero_loss": (
        lambda *x: rlax.muzero_loss(*x[:6], mask_t=x[6]),
        *(["n", 3, A], ["p", 3, A], ["n", 3, 4], ["p", 3, 4]),
        *(["n", 2, 5], ["p", 2, 5], ["i", 3]),
    ),
    "gumbel_improved_policy": (
        lambda x, q, n, v: [
            rlax.gumbel_improved_policy(x, q, n, v, visit_offset=5.0),
            rlax.gumbel_improved_policy(x, q, n, v, mixed_value=False, rescale=False),
        ],
        *(["n", 4], ["n", 4], ["i", 4], ["n"]),
    ),
    "cmpo_policy": (rlax.cmpo_policy, ["n", 4], ["n", 4]),
}

SEQUENCES = {  # time leads; a batch may follow
    "lambda_returns": (rlax.lambda_returns, *SEQUENCE, ["n", T], ["u", T]),
    "discounted_returns": (rlax.discounted_returns, *SEQUENCE, ["n", T]),
    "n_step_bootstrapped_returns": (
        lambda *x: rlax.n_step_bootstrapped_returns(*x[:3], 3, x[3]),
        *(*SEQUENCE, ["n", T], ["u", T]),
    ),
    "truncated_generalized_advantage_estimation": (
        rlax.truncated_generalized_advantage_estimation,
        *(*SEQUENCE, ["u", T], ["n", T + 1]),
    ),
    "general_off_policy_returns_from_q_and_v": (
        rlax.general_off_policy_returns_from_q_and_v,
        *(["n", T - 1], ["n", T], *SEQUENCE, ["u", T - 1]),
    ),
    "general_off_policy_returns_from_action_values": (
        rlax.general_off_policy_returns_from_action_values,
        *(["n", T, A], ["i", T], *SEQUENCE, ["u", T], ["p", T, A]),
    ),
    "importance_corrected_td_errors": (
        rlax.importance_corrected_td_errors,
        *(*SEQUENCE, ["u", T], ["u", T], ["n", T + 1]),
    ),
    "vtrace": (rlax.vtrace, *VTRACE, ["u", T]),
    "leaky_vtrace_td_error_and_advantage": (
        lambda *x: tuple(rlax.leaky_vtrace_td_error_and_advantage(*x, 0.6)),
        *VTRACE,
    ),
    "vtrace_td_error_and_advantage": (
        lambda *x: tuple(rlax.vtrace_td_error_and_advantage(*x)),
        *(*VTRACE, ["u", T]),
    ),
    "td_lambda": (rlax.td_lambda, ["n", T], *SEQUENCE, ["n", T], ["u", T]),
    "sarsa_lambda": (rlax.sarsa_lambda, *Q_SEQUENCE, ["i", T], ["u", T]),
    "q_lambda": (rlax.q_lambda, *Q_SEQUENCE, ["u", T]),
    "retrace": (lambda *x: rlax.retrace(*x, 0.9), *RETRACE),
    "retrace_continuous": (
        rlax.retrace_continuous,
        *(["n", T], ["n", T - 1], ["n", T], *SEQUENCE, ["n", T - 1], ["u", T - 1]),
    ),
    "transformed_q_lambda": (
        lambda *x: rlax.transformed_q_lambda(*x, 0.8, tx_pair=PAIR),
        *Q_SEQUENCE,
    ),
    "transformed_retrace": (
        lambda *x: rlax.transformed_retrace(*x, 0.9, tx_pair=PAIR),
        *RETRACE,
    ),
    "transformed_n_step_q_learning": (
        lambda *x: rlax.transformed_n_step_q_learning(*x, 2, tx_pair=PAIR),
        *(["n", T, A], ["i", T], ["n", T, A], ["i", T], *SEQUENCE),
    ),
    "leaky_vtrace": (
        lambda *x: rlax.leaky_vtrace(*x[:5], 0.6, x[5]),
        *(*VTRACE, ["u", T]),
    ),
    "transformed_n_step_returns": (
        lambda *x: rlax.transformed_n_step_returns(PAIR, *x, 2),
        *(*SEQUENCE, ["n", T]),
    ),
    "transformed_general_off_policy_returns_from_action_values": (
        functools.partial(
            rlax.transformed_general_off_policy_returns_from_action_values, PAIR
        ),
        *(["n", T, A], ["i", T], *SEQUENCE, ["u", T], ["p", T, A]),
    ),
    "upgo_returns": (rlax.upgo_returns, *SEQUENCE, ["n", T]),
    "transformed_lambda_returns": (
        functools.partial(rlax.transformed_lambda_returns, PAIR),
        *(*SEQUENCE, ["n", T]),
    ),
    "policy_gradient_loss": (
        rlax.policy_gradient_loss,
        *(["n", T, A], ["i", T], ["n", T], ["u", T]),
    ),
    "entropy_loss": (rlax.entropy_loss, ["n", T, A], ["u", T]),
    "qpg_loss": (rlax.qpg_loss, ["n", T, A], ["n", T, A]),
    "rm_loss": (rlax.rm_loss, ["n", T, A], ["n", T, A]),
    "rpg_loss": (rlax.rpg_loss, ["n", T, A], ["n", T, A]),
    "clipped_surrogate_pg_loss": (
        lambda p, a: rlax.clipped_surrogate_pg_loss(p, a, 0.2),
        *(["u", T], ["n", T]),
    ),
    "decoupled_surrogate_pg_loss": (
        lambda *x: rlax.decoupled_surrogate_pg_loss(
            *x[:4], 0.2, False, epsilon_high=0.3, max_weight=2.0, mask_t=x[4]
        ),
        *(["n", T], ["n", T], ["n", T], ["n", T], ["i", T]),
    ),
    "clipped_value_loss": (
        lambda *x: rlax.clipped_value_loss(*x[:3], 0.2, mask_t=x[3]),
        *(["n", T], ["n", T], ["n", T], ["i", T]),
    ),
    "feature_control_rewards": (rlax.feature_control_rewards, ["n", T + 1, A]),
    "pixel_control_rewards": (lambda x: rlax.pixel_control_rewards(x, 2), FRAMES),
    "pixel_control_loss": (
        lambda o, a, q, d: rlax.pixel_control_loss(o, a, q, d, 2),
        *(FRAMES, ["i", T], ["n", T + 1, 2, 2, A], ["u", T]),
    ),
}
OPS = TRANSITION | SEQUENCES
# The derivative of a sampler takes seconds to compile, and nobody needs it.
NO_GRADIENT = {"add_dirichlet_noise"}
# These raise where there is no step.
NEED_A_STEP = {"upgo_returns", "decoupled_surrogate_pg_loss", "clipped_value_loss"}
# These keep a state or weights in single precision.
KEEP_FLOAT32 = {"policy_targets", "create_ema", "popart", "percentile_scale"}


def draw(kind, *shape, lead=(), seed=0, dtype=np.float32, axis=0):
    shape = (*shape[:axis], *lead, *shape[axis:])
    random = np.random.default_rng([seed, *map(ord, kind), *shape])
    if kind == "i":
        return jnp.asarray(random.integers(0, A, shape), jnp.int32)
    if kind == "u":
        return jnp.asarray(0.05 + 0.9 * random.random(shape), dtype)
    x = random.standard_normal(shape)
    if kind == "p":
        x = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    return jnp.asarray(x, dtype)


def arguments(name, **options):
    return [draw(*s, seed=i, **options) for i, s in enumerate(OPS[name][1:])]


def leaves_of(name):
    return lambda *x: jax.tree.leaves(OPS[name][0](*x))


def is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)
