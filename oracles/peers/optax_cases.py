"""Optax's losses, where an op is made of them."""

import jax
import numpy as np
import optax
from recorder import JaxRecorder


def icm_losses(phi_prediction, phi_t, action_logits, a_tm1, beta=0.2):
    forward = optax.l2_loss(phi_prediction, phi_t).sum()
    inverse = optax.softmax_cross_entropy_with_integer_labels(action_logits, a_tm1)
    return forward, forward, inverse, beta * forward + (1 - beta) * inverse


def muzero_loss(
    policy_logits,
    policy_targets,
    value_logits,
    value_targets,
    reward_logits,
    reward_targets,
):
    policy = optax.softmax_cross_entropy(policy_logits, policy_targets)
    value = optax.softmax_cross_entropy(value_logits, value_targets)
    reward = optax.softmax_cross_entropy(reward_logits, reward_targets)
    first = policy + 0.25 * value
    return first[0] + (first[1:] + reward).mean()


def balanced_kl_loss(post_logits, prior_logits):
    """The value alone: both terms are the same divergence."""
    post, prior = jax.nn.log_softmax(post_logits), jax.nn.log_softmax(prior_logits)
    kl = optax.losses.kl_divergence_with_log_targets(prior, post).sum()
    return (1.0 + 0.1) * kl


def tqc_loss(dist_q_tm1, tau, r_t, discount_t, dist_q_t, *, num_dropped, huber_param):
    assert num_dropped == 0
    error = r_t + discount_t * dist_q_t.flatten() - dist_q_tm1[..., None]
    weight = abs(tau[:, None] - (error < 0))
    return (weight * optax.huber_loss(error, delta=huber_param)).mean((-2, -1))


def main():
    recorder = JaxRecorder("Optax", "optax")
    random = np.random.default_rng(8)
    pair = random.standard_normal((2, 4))
    recorder.case(
        *("rnd_error", "squared_error"),
        lambda prediction, target: optax.squared_error(prediction, target).mean(),
        {"prediction": pair[0], "target": pair[1]},
        None,
        ["prediction"],
    )
    recorder.case(
        *("flow_matching_loss", "squared_error"),
        lambda velocity, x_0, x_1: optax.squared_error(velocity, x_1 - x_0).mean(),
        {"velocity": pair[0], "x_0": pair[1], "x_1": random.standard_normal(4)},
        None,
        ["velocity"],
    )
    recorder.case(
        *("icm_losses", "l2_loss, softmax_cross_entropy_with_integer_labels"),
        icm_losses,
        {
            **{"phi_prediction": pair[0], "phi_t": pair[1]},
            **{"action_logits": random.standard_normal(3), "a_tm1": 2},
        },
    )
    steps = {}
    for name, rows, size in (("policy", 4, 3), ("value", 4, 5), ("reward", 3, 5)):
        steps[f"{name}_logits"] = random.standard_normal((rows, size))
        targets = random.uniform(size=(rows, size))
        steps[f"{name}_targets"] = targets / targets.sum(-1, keepdims=True)
    recorder.case(
        *("muzero_loss", "softmax_cross_entropy", muzero_loss),
        *(steps, None, [k for k in steps if k.endswith("logits")]),
    )
    recorder.each(
        [{"num_dropped": 0, "huber_param": k} for k in (0.3, 1.0)],
        *("tqc_loss", "huber_loss", tqc_loss),
        {
            "dist_q_tm1": random.standard_normal((2, 4)),
            "tau": [0.1, 0.3, 0.6, 0.9],
            **{"r_t": 0.3, "discount_t": 0.9},
            "dist_q_t": random.standard_normal((3, 5)),
        },
        ["dist_q_tm1"],
    )
    names = "post_logits", "prior_logits"
    recorder.case(
        *("balanced_kl_loss", "kl_divergence_with_log_targets", balanced_kl_loss),
        dict(zip(names, random.standard_normal((2, 3, 4)), strict=True)),
    )
    recorder.write()


if __name__ == "__main__":
    main()
