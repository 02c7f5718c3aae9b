"""PyTorch's distributions, special functions, linear algebra and derivatives."""

import numpy as np
import torch
from recorder import TorchRecorder
from torch import distributions as d
from torch.nn import functional as F


def squashed(mu, sigma, min_action=-1.0, max_action=1.0):
    half = (max_action - min_action) / 2
    steps = [d.TanhTransform(), d.AffineTransform(min_action + half, half)]
    return d.TransformedDistribution(d.Independent(d.Normal(mu, sigma), 1), steps)


def sample_and_logprob(noise, mu, sigma, **bounds):
    """The noise is what the distribution draws with the seed 0."""
    torch.manual_seed(0)
    policy = squashed(mu, sigma, **bounds)
    action = policy.rsample()
    return action, policy.log_prob(action)


def scaled_beta(alpha, beta, min_action=0.0, max_action=1.0):
    scale = d.AffineTransform(min_action, max_action - min_action)
    return d.TransformedDistribution(d.Independent(d.Beta(alpha, beta), 1), [scale])


def beta_entropy(alpha, beta, min_action=0.0, max_action=1.0):
    # A density on a longer interval is lower.
    entropy = d.Beta(alpha, beta).entropy() + np.log(max_action - min_action)
    return entropy.sum(-1)


def beta_mean(alpha, beta, min_action=0.0, max_action=1.0):
    return min_action + (max_action - min_action) * d.Beta(alpha, beta).mean


def beta_kl(alpha_0, beta_0, alpha_1, beta_1, **bounds):
    return d.kl_divergence(d.Beta(alpha_0, beta_0), d.Beta(alpha_1, beta_1)).sum(-1)


def von_mises_entropy(loc, concentration):
    i_0, i_1 = torch.special.i0(concentration), torch.special.i1(concentration)
    return torch.log(2 * np.pi * i_0) - concentration * i_1 / i_0 + 0 * loc


def mixture(logits, mu, sigma):
    parts = d.Independent(d.Normal(mu, sigma), 1)
    return d.MixtureSameFamily(d.Categorical(logits=logits), parts)


def legal(logits, mask, temperature=1.0):
    """The distribution over the legal actions alone."""
    return d.Categorical(logits=logits[mask] / temperature)


def masked_probs(logits, mask, temperature=1.0):
    kept = legal(logits, mask, temperature).probs
    return torch.zeros(mask.shape).masked_scatter(mask, kept)


def masked_kl(p_logits, q_logits, mask, temperature=1.0):
    both = (legal(x, mask, temperature) for x in (p_logits, q_logits))
    return d.kl_divergence(*both)


def split_probs(logits, sizes):
    return tuple(d.Categorical(logits=x).probs for x in logits.split(sizes, -1))


def balanced_kl(
    post_logits,
    prior_logits,
    *,
    free_nats=1.0,
    dynamics_weight=1.0,
    representation_weight=0.1,
):
    def kl(post, prior):
        both = d.Categorical(logits=post), d.Categorical(logits=prior)
        return d.kl_divergence(*both).sum().clamp(min=free_nats)

    dynamics = kl(post_logits.detach(), prior_logits)
    representation = kl(post_logits, prior_logits.detach())
    return dynamics_weight * dynamics + representation_weight * representation


def solve(matrix, b):
    return torch.linalg.solve((matrix + matrix.T) / 2, b)


def fisher_vector_product(features, params, vector, *, damping=0.1):
    old = d.Categorical(logits=(features @ params).detach())

    def kl(params):
        return d.kl_divergence(old, d.Categorical(logits=features @ params)).mean()

    _, product = torch.autograd.functional.hvp(kl, params, vector, create_graph=True)
    return product + damping * vector


def muzero_loss(
    policy_logits,
    policy_targets,
    value_logits,
    value_targets,
    reward_logits,
    reward_targets,
    *,
    mask_t=1.0,
    value_weight=0.25,
    reward_weight=1.0,
):
    loss = F.cross_entropy(policy_logits, policy_targets, reduction="none")
    value = F.cross_entropy(value_logits, value_targets, reduction="none")
    reward = F.cross_entropy(reward_logits, reward_targets, reduction="none")
    loss = loss + value_weight * value + reward_weight * F.pad(reward, (1, 0))
    loss = loss * mask_t
    return loss[0] + loss[1:].mean()


def icm_losses(
    phi_prediction,
    phi_t,
    action_logits,
    a_tm1,
    *,
    reward_scale=1.0,
    beta=0.2,
    stop_target_gradients=True,
):
    target = phi_t.detach() if stop_target_gradients else phi_t
    forward = F.mse_loss(phi_prediction, target, reduction="sum") / 2
    inverse = F.cross_entropy(action_logits, a_tm1)
    loss = beta * forward + (1 - beta) * inverse
    return reward_scale * forward.detach(), forward, inverse, loss


def flow_matching_loss(velocity, x_0, x_1, *, reduction):
    return F.mse_loss(velocity, x_1 - x_0, reduction=reduction)


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("PyTorch", "torch")
    random = np.random.default_rng(9)
    mu, sigma = random.standard_normal(3), random.uniform(0.3, 1, 3)
    bounds = [{}, {"min_action": -2.0, "max_action": 0.5}]
    policy = {"mu": mu, "sigma": sigma}
    torch.manual_seed(0)
    noise = torch.randn(3).numpy()
    recorder.each(
        *(bounds, "tanh_gaussian.sample_and_logprob", "TransformedDistribution"),
        *(sample_and_logprob, {"noise": noise, **policy}, [*policy]),
    )
    recorder.each(
        *(bounds, "tanh_gaussian.logprob", "TransformedDistribution"),
        lambda sample, mu, sigma, **bounds: squashed(mu, sigma, **bounds).log_prob(
            sample
        ),
        {"sample": [-0.9, 0.0, 0.4], **policy},
        ["sample", *policy],
    )
    shape = {"alpha": random.uniform(1, 4, 3), "beta": random.uniform(0.5, 2, 3)}
    for options in bounds:
        low, high = options.get("min_action", 0.0), options.get("max_action", 1.0)
        recorder.each(
            *([options], "scaled_beta.logprob", "TransformedDistribution"),
            lambda sample, alpha, beta, **bounds: scaled_beta(
                alpha, beta, **bounds
            ).log_prob(sample),
            {"sample": low + (high - low) * np.array([0.1, 0.5, 0.8]), **shape},
            ["sample", *shape],
        )
    for method, function in ("entropy", beta_entropy), ("mean", beta_mean):
        recorder.each(
            *(bounds, f"scaled_beta.{method}", f"Beta.{method}"),
            *(function, shape, [*shape]),
        )
    pair = {f"{k}_{i}": x[::-1] if i else x for i in (0, 1) for k, x in shape.items()}
    recorder.each(
        *(bounds, "scaled_beta.kl", "kl_divergence", beta_kl, pair, [*pair]),
    )
    angle = {"loc": [0.3, -2.0, 3.0], "concentration": [0.2, 5.0, 300.0]}
    recorder.case(
        *("von_mises.logprob", "VonMises.log_prob"),
        lambda sample, **x: d.VonMises(**x).log_prob(sample),
        {"sample": [1.0, -2.5, 3.1], **angle},
        None,
        ["sample", *angle],
    )
    recorder.case(
        *("von_mises.entropy", "special.i0, special.i1", von_mises_entropy),
        *(angle, None, ["concentration"]),
    )
    parts = {
        "logits": random.standard_normal(4),
        "mu": random.standard_normal((4, 2)),
        "sigma": random.uniform(0.3, 2, (4, 2)),
    }
    recorder.case(
        *("gaussian_mixture.logprob", "MixtureSameFamily.log_prob"),
        lambda sample, **x: mixture(**x).log_prob(sample),
        {"sample": random.standard_normal(2), **parts},
        None,
        ["sample", *parts],
    )
    recorder.case(
        *("gaussian_mixture.mean", "MixtureSameFamily.mean"),
        lambda **x: mixture(**x).mean,
        *(parts, None, ["logits", "mu"]),
    )
    mask = np.array([True, False, True, True])
    logits, other = random.standard_normal((2, 4))
    logits[1] = -np.inf  # Masked, so what stands there doesn't count.
    choices = [{}, {"temperature": 0.5}]
    for method, function, arguments in (
        ("probs", masked_probs, {"logits": logits}),
        ("entropy", lambda **x: legal(**x).entropy(), {"logits": logits}),
        ("kl", masked_kl, {"p_logits": logits, "q_logits": other}),
    ):
        recorder.each(
            *(choices, f"masked_softmax.{method}", f"Categorical.{method}", function),
            *({**arguments, "mask": mask}, [*arguments]),
        )
    recorder.each(
        *([{"sizes": [1, 3, 2]}], "multi_discrete.probs", "Categorical.probs"),
        *(split_probs, {"logits": random.standard_normal((2, 6))}, ["logits"]),
    )
    names = ["post_logits", "prior_logits"]
    weights = {"dynamics_weight": 0.8, "representation_weight": 0.2}
    recorder.each(
        *([{"free_nats": 0.0}, {**weights, "free_nats": 9.0}], "balanced_kl_loss"),
        *("kl_divergence", balanced_kl),
        dict(zip(names, random.standard_normal((2, 2, 4)), strict=True)),
        names,
    )
    recorder.case(
        *("balanced_kl_loss", "kl_divergence", balanced_kl),
        dict(zip(names, 3 * random.standard_normal((2, 4)), strict=True)),
        *(None, names),
    )

    root = random.standard_normal((3, 3))
    recorder.case(
        *("conjugate_gradient", "linalg.solve", solve),
        {"matrix": root @ root.T + np.eye(3), "b": random.standard_normal(3)},
        *(None, ["matrix", "b"]),
    )
    recorder.each(
        *([{}, {"damping": 0.0}], "fisher_vector_product", "autograd.functional.hvp"),
        fisher_vector_product,
        {
            "features": random.standard_normal((4, 2)),
            **dict(zip(("params", "vector"), random.standard_normal((2, 2, 3)))),
        },
        ["features", "params", "vector"],
    )

    steps = {}
    for name, rows, size in (("policy", 4, 3), ("value", 4, 5), ("reward", 3, 5)):
        steps[f"{name}_logits"] = random.standard_normal((rows, size))
        targets = random.uniform(size=(rows, size))
        steps[f"{name}_targets"] = targets / targets.sum(-1, keepdims=True)
    steps["policy_targets"][-1] = 0  # An absorbing state.
    of_logits = [k for k in steps if k.endswith("logits")]
    recorder.each(
        *([{}, {"value_weight": 0.5, "reward_weight": 2.0}], "muzero_loss"),
        *("nn.functional.cross_entropy", muzero_loss, steps, of_logits),
    )
    recorder.case(
        *("muzero_loss", "nn.functional.cross_entropy", muzero_loss),
        {**steps, "mask_t": [True, True, True, False]},
        *(None, of_logits),
    )
    icm = {
        "phi_prediction": random.standard_normal(4),
        "phi_t": random.standard_normal(4),
        "action_logits": random.standard_normal(3),
    }
    for stop, reached in (True, ["phi_prediction", "action_logits"]), (False, [*icm]):
        recorder.each(
            [{"reward_scale": 2.0, "beta": 0.3, "stop_target_gradients": stop}],
            *("icm_losses", "nn.functional.mse_loss, cross_entropy", icm_losses),
            *({**icm, "a_tm1": 1}, reached),
        )
    names = ["velocity", "x_0", "x_1"]
    recorder.each(
        *([{"reduction": x} for x in ("mean", "sum")], "flow_matching_loss"),
        *("nn.functional.mse_loss", flow_matching_loss),
        dict(zip(names, random.standard_normal((3, 4)), strict=True)),
        ["velocity"],
    )
    recorder.each(
        *([{"reduction": x} for x in ("mean", "sum")], "rnd_error"),
        "nn.functional.mse_loss",
        lambda prediction, target, reduction: F.mse_loss(
            prediction, target, reduction=reduction
        ),
        dict(zip(("prediction", "target"), random.standard_normal((2, 4)))),
        ["prediction"],
    )
    recorder.write()


if __name__ == "__main__":
    main()
