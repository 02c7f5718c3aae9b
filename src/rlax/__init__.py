"""RLax: reinforcement learning building blocks in JAX.

Pure functions of one stream of data, to be vmapped, jitted and differentiated; no whole
algorithms. Names follow the data: `_tm1` is the source state of a transition, `_t` its
destination, so that a TD error reads `r_t + discount_t * v_t - v_tm1`. Functions of a
sequence take time first, and any further axes as batch. Arguments that don't fit
raise `ContractError`.
"""

# Warns if DeepMind's rlax lies in this folder.
from rlax import _foreign as _foreign

# Arrays, trees, gradients, errors.
from rlax._core.all_sum import AllSum
from rlax._core.arrays import batched_index, lhs_broadcast, one_hot
from rlax._core.errors import ContractError
from rlax._core.gradients import clip_gradient
from rlax._core.masks import replace_masked
from rlax._core.trees import (
    transpose_first_axis_to_last,
    transpose_last_axis_to_first,
    tree_fn,
    tree_map_zipped,
    tree_replace_masked,
    tree_select,
    tree_split_key,
    tree_split_leaves,
)

# Exploration.
from rlax._exploration.curiosity import episodic_memory_intrinsic_rewards
from rlax._exploration.episodic_memory import knn_query
from rlax._exploration.noise import (
    adapt_parameter_noise,
    add_dirichlet_noise,
    add_gaussian_noise,
    add_ornstein_uhlenbeck_noise,
    ornstein_uhlenbeck_step,
)
from rlax._exploration.prediction_errors import IcmOutput, icm_losses, rnd_error

# Losses, statistics, updates, data.
from rlax._learning.diagnostics import (
    clip_fraction,
    effective_sample_size,
    explained_variance,
)
from rlax._learning.embedding import embed_oar
from rlax._learning.interruptions import fix_step_type_on_interruptions
from rlax._learning.losses import (
    categorical_cross_entropy,
    expectile_loss,
    huber_loss,
    l2_loss,
    likelihood,
    log_loss,
)
from rlax._learning.moving_averages import EmaMoments, EmaState, create_ema
from rlax._learning.natural_gradient import conjugate_gradient, fisher_vector_product
from rlax._learning.periodic_update import conditional_update, periodic_update
from rlax._learning.popart import (
    PopArtState,
    art,
    normalize,
    pop,
    popart,
    unnormalize,
    unnormalize_linear,
)
from rlax._learning.replay import (
    importance_sampling_weights,
    prioritized_probabilities,
    r2d2_priority,
)
from rlax._learning.running_statistics import (
    ReturnScaleState,
    RunningStatistics,
    init_return_scale,
    merge_running_statistics,
    running_statistics,
    scale_rewards,
    standardize,
    update_running_statistics,
)
from rlax._learning.subsequences import extract_subsequences, sample_start_indices
from rlax._learning.traces import eligibility_trace
from rlax._learning.unrolled import muzero_loss, scale_gradient
from rlax._learning.world_models import (
    PercentileScaleState,
    balanced_kl_loss,
    percentile_scale,
    uniform_mix,
)

# Policies.
from rlax._policies.bounded_actions import (
    ScaledBeta,
    TanhGaussian,
    scaled_beta,
    tanh_gaussian,
)
from rlax._policies.constraints import (
    LagrangePenalty,
    compute_parametric_kl_penalty_and_dual_loss,
)
from rlax._policies.continuous import gaussian_diagonal, squashed_gaussian
from rlax._policies.dice import dice_loss, magic_box
from rlax._policies.discrete import (
    categorical_sample,
    clipped_entropy_softmax,
    epsilon_greedy,
    greedy,
    masked_softmax,
    multi_discrete,
    softmax,
)
from rlax._policies.divergences import (
    categorical_importance_sampling_ratios,
    categorical_kl_divergence,
    multivariate_normal_kl_divergence,
    sampled_kl_divergence,
)
from rlax._policies.flow import flow_actions, flow_matching_loss, fql_policy_loss
from rlax._policies.gaussian_mixture import GaussianMixture, gaussian_mixture
from rlax._policies.group_losses import (
    cispo_loss,
    dapo_loss,
    dr_grpo_loss,
    grpo_loss,
    gspo_loss,
)
from rlax._policies.groups import (
    aggregate_token_losses,
    group_advantages,
    soft_overlong_penalty,
)
from rlax._policies.improvement import cmpo_policy, gumbel_improved_policy
from rlax._policies.maximum_entropy import (
    discrete_sac_policy_loss,
    sac_policy_loss,
    sac_temperature_loss,
    smoothed_target_action,
)
from rlax._policies.mpo import mpo_compute_weights_and_temperature_loss, mpo_loss
from rlax._policies.offline import (
    advantage_weighted_policy_loss,
    td3_bc_policy_loss,
)
from rlax._policies.options import OptionOutput, option_losses
from rlax._policies.policy_gradients import (
    dpg_loss,
    entropy_loss,
    policy_gradient_loss,
    qpg_loss,
    rm_loss,
    rpg_loss,
)
from rlax._policies.preferences import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    orpo_loss,
    simpo_loss,
)
from rlax._policies.proximal import (
    adaptive_kl_coefficient,
    clipped_surrogate_pg_loss,
    clipped_value_loss,
    decoupled_surrogate_pg_loss,
    normalize_advantages,
)
from rlax._policies.targets import (
    PolicyTarget,
    constant_policy_targets,
    sampled_policy_distillation_loss,
    zero_policy_targets,
)
from rlax._policies.tokens import (
    rlhf_rewards,
    token_advantages,
    token_policy_losses,
    truncated_importance_weights,
)
from rlax._policies.vmpo import vmpo_compute_weights_and_temperature_loss, vmpo_loss
from rlax._policies.von_mises import VonMises, von_mises

# Returns.
from rlax._returns.multistep import (
    discounted_returns,
    lambda_returns,
    n_step_bootstrapped_returns,
    truncated_generalized_advantage_estimation,
)
from rlax._returns.off_policy import (
    general_off_policy_returns_from_action_values,
    general_off_policy_returns_from_q_and_v,
    importance_corrected_td_errors,
)
from rlax._returns.upgo import upgo_returns
from rlax._returns.vtrace import (
    leaky_vtrace,
    leaky_vtrace_td_error_and_advantage,
    vtrace,
    vtrace_td_error_and_advantage,
)

# Values.
from rlax._values.categorical import (
    categorical_double_q_learning,
    categorical_l2_project,
    categorical_q_learning,
    categorical_td_learning,
)
from rlax._values.ensembles import (
    discrete_sac_td_error,
    ensemble_value,
    sac_td_error,
    td3_td_error,
    tqc_loss,
)
from rlax._values.expectile import expectile_q_learning
from rlax._values.histograms import hl_gauss_pair
from rlax._values.implicit_quantile import (
    fqf_fraction_loss,
    fqf_fractions,
    quantile_embedding,
)
from rlax._values.mixing import coma_advantage, qmix_value
from rlax._values.munchausen import munchausen_q_learning
from rlax._values.offline import cql_loss, iql_value_loss
from rlax._values.pixel_control import (
    feature_control_rewards,
    pixel_control_loss,
    pixel_control_rewards,
)
from rlax._values.quantile import (
    quantile_expected_sarsa,
    quantile_q_learning,
    quantile_regression_loss,
)
from rlax._values.scalar import (
    double_q_learning,
    expected_sarsa,
    persistent_q_learning,
    q_learning,
    qv_learning,
    qv_max,
    sarsa,
    td_learning,
)
from rlax._values.sequences import (
    q_lambda,
    retrace,
    retrace_continuous,
    sarsa_lambda,
    td_lambda,
)
from rlax._values.squashed import (
    transformed_general_off_policy_returns_from_action_values,
    transformed_lambda_returns,
    transformed_n_step_q_learning,
    transformed_n_step_returns,
    transformed_q_lambda,
    transformed_retrace,
)
from rlax._values.successor import gpi_action_values, successor_feature_td_error
from rlax._values.transforms import (
    DISCOUNT_TRANSFORM_PAIR,
    HYPERBOLIC_SIN_PAIR,
    IDENTITY_PAIR,
    SIGNED_HYPERBOLIC_PAIR,
    SIGNED_LOGP1_PAIR,
    TxPair,
    compose_tx,
    identity,
    logit,
    power,
    sigmoid,
    signed_expm1,
    signed_hyperbolic,
    signed_logp1,
    signed_parabolic,
    symexp,
    symlog,
)
from rlax._values.two_hot import (
    muzero_pair,
    symexp_twohot_pair,
    transform_from_2hot,
    transform_to_2hot,
    twohot_pair,
    unbiased_transform_pair,
)

__version__ = "0.1.0"

__all__ = [
    "AllSum",
    "ContractError",
    "DISCOUNT_TRANSFORM_PAIR",
    "EmaMoments",
    "EmaState",
    "GaussianMixture",
    "HYPERBOLIC_SIN_PAIR",
    "IDENTITY_PAIR",
    "IcmOutput",
    "LagrangePenalty",
    "OptionOutput",
    "PercentileScaleState",
    "PolicyTarget",
    "PopArtState",
    "ReturnScaleState",
    "RunningStatistics",
    "SIGNED_HYPERBOLIC_PAIR",
    "SIGNED_LOGP1_PAIR",
    "ScaledBeta",
    "TanhGaussian",
    "TxPair",
    "VonMises",
    "adapt_parameter_noise",
    "adaptive_kl_coefficient",
    "add_dirichlet_noise",
    "add_gaussian_noise",
    "add_ornstein_uhlenbeck_noise",
    "advantage_weighted_policy_loss",
    "aggregate_token_losses",
    "art",
    "balanced_kl_loss",
    "batched_index",
    "bradley_terry_loss",
    "categorical_cross_entropy",
    "categorical_double_q_learning",
    "categorical_importance_sampling_ratios",
    "categorical_kl_divergence",
    "categorical_l2_project",
    "categorical_q_learning",
    "categorical_sample",
    "categorical_td_learning",
    "cispo_loss",
    "clip_fraction",
    "clip_gradient",
    "clipped_entropy_softmax",
    "clipped_surrogate_pg_loss",
    "clipped_value_loss",
    "cmpo_policy",
    "coma_advantage",
    "compose_tx",
    "compute_parametric_kl_penalty_and_dual_loss",
    "conditional_update",
    "conjugate_gradient",
    "constant_policy_targets",
    "cql_loss",
    "create_ema",
    "dapo_loss",
    "decoupled_surrogate_pg_loss",
    "dice_loss",
    "discounted_returns",
    "discrete_sac_policy_loss",
    "discrete_sac_td_error",
    "double_q_learning",
    "dpg_loss",
    "dpo_loss",
    "dr_grpo_loss",
    "effective_sample_size",
    "eligibility_trace",
    "embed_oar",
    "ensemble_value",
    "entropy_loss",
    "episodic_memory_intrinsic_rewards",
    "epsilon_greedy",
    "expected_sarsa",
    "expectile_loss",
    "expectile_q_learning",
    "explained_variance",
    "extract_subsequences",
    "feature_control_rewards",
    "fisher_vector_product",
    "fix_step_type_on_interruptions",
    "flow_actions",
    "flow_matching_loss",
    "fqf_fraction_loss",
    "fqf_fractions",
    "fql_policy_loss",
    "gaussian_diagonal",
    "gaussian_mixture",
    "general_off_policy_returns_from_action_values",
    "general_off_policy_returns_from_q_and_v",
    "gpi_action_values",
    "greedy",
    "group_advantages",
    "grpo_loss",
    "gspo_loss",
    "gumbel_improved_policy",
    "hl_gauss_pair",
    "huber_loss",
    "icm_losses",
    "identity",
    "importance_corrected_td_errors",
    "importance_sampling_weights",
    "init_return_scale",
    "ipo_loss",
    "iql_value_loss",
    "knn_query",
    "kto_loss",
    "l2_loss",
    "lambda_returns",
    "leaky_vtrace",
    "leaky_vtrace_td_error_and_advantage",
    "lhs_broadcast",
    "likelihood",
    "log_loss",
    "logit",
    "magic_box",
    "masked_softmax",
    "merge_running_statistics",
    "mpo_compute_weights_and_temperature_loss",
    "mpo_loss",
    "multi_discrete",
    "multivariate_normal_kl_divergence",
    "munchausen_q_learning",
    "muzero_loss",
    "muzero_pair",
    "n_step_bootstrapped_returns",
    "normalize",
    "normalize_advantages",
    "one_hot",
    "option_losses",
    "ornstein_uhlenbeck_step",
    "orpo_loss",
    "percentile_scale",
    "periodic_update",
    "persistent_q_learning",
    "pixel_control_loss",
    "pixel_control_rewards",
    "policy_gradient_loss",
    "pop",
    "popart",
    "power",
    "prioritized_probabilities",
    "q_lambda",
    "q_learning",
    "qmix_value",
    "qpg_loss",
    "quantile_embedding",
    "quantile_expected_sarsa",
    "quantile_q_learning",
    "quantile_regression_loss",
    "qv_learning",
    "qv_max",
    "r2d2_priority",
    "replace_masked",
    "retrace",
    "retrace_continuous",
    "rlhf_rewards",
    "rm_loss",
    "rnd_error",
    "rpg_loss",
    "running_statistics",
    "sac_policy_loss",
    "sac_td_error",
    "sac_temperature_loss",
    "sample_start_indices",
    "sampled_kl_divergence",
    "sampled_policy_distillation_loss",
    "sarsa",
    "sarsa_lambda",
    "scale_gradient",
    "scale_rewards",
    "scaled_beta",
    "sigmoid",
    "signed_expm1",
    "signed_hyperbolic",
    "signed_logp1",
    "signed_parabolic",
    "simpo_loss",
    "smoothed_target_action",
    "soft_overlong_penalty",
    "softmax",
    "squashed_gaussian",
    "standardize",
    "successor_feature_td_error",
    "symexp",
    "symexp_twohot_pair",
    "symlog",
    "tanh_gaussian",
    "td3_bc_policy_loss",
    "td3_td_error",
    "td_lambda",
    "td_learning",
    "token_advantages",
    "token_policy_losses",
    "tqc_loss",
    "transform_from_2hot",
    "transform_to_2hot",
    "transformed_general_off_policy_returns_from_action_values",
    "transformed_lambda_returns",
    "transformed_n_step_q_learning",
    "transformed_n_step_returns",
    "transformed_q_lambda",
    "transformed_retrace",
    "transpose_first_axis_to_last",
    "transpose_last_axis_to_first",
    "tree_fn",
    "tree_map_zipped",
    "tree_replace_masked",
    "tree_select",
    "tree_split_key",
    "tree_split_leaves",
    "truncated_generalized_advantage_estimation",
    "truncated_importance_weights",
    "twohot_pair",
    "unbiased_transform_pair",
    "uniform_mix",
    "unnormalize",
    "unnormalize_linear",
    "update_running_statistics",
    "upgo_returns",
    "vmpo_compute_weights_and_temperature_loss",
    "vmpo_loss",
    "von_mises",
    "vtrace",
    "vtrace_td_error_and_advantage",
    "zero_policy_targets",
]


def __dir__() -> list[str]:
    return __all__
