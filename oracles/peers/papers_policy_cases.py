"""Formulas of papers, for modes of PPO and language-model RL without a peer."""

import numpy as np
import torch
from recorder import TorchRecorder

recorder = TorchRecorder("the paper's formula", "torch", "papers_policy")
random = np.random.default_rng(5)
T, G = 7, 3
MASK = np.array([0, 1, 0, 1, 1, 1, 0], bool)
MASKS = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 1, 0]], bool)
ESTIMATORS = {  # Schulman 2020; the ratio there is e^-d.
    "k1": lambda d: d,
    "k2": lambda d: d**2 / 2,
    "k3": lambda d: (-d).exp() - 1 + d,
    "abs": lambda d: d.abs(),
}


def logs(*shape):
    """Log-probabilities under two policies."""
    log_mu = -random.exponential(1, shape)
    return log_mu + 0.4 * random.standard_normal(shape), log_mu


def spread(kept, mask):
    """Values of the kept elements, among zeros."""
    return torch.zeros(mask.shape, dtype=kept.dtype).masked_scatter(mask, kept)


def cases_of_ppo():
    def value_loss(v_tm1, v_old_tm1, target_tm1, mask_t):  # 2005.12729 §3: the maximum.
        clipped = torch.clamp(v_tm1, v_old_tm1 - 0.2, v_old_tm1 + 0.2)
        squares = (v_tm1 - target_tm1) ** 2, (clipped - target_tm1) ** 2
        return torch.minimum(*squares)[mask_t].mean() / 2

    v, old, target = random.standard_normal((3, T))
    recorder.case(
        "clipped_value_loss",
        "arXiv 2005.12729 section 3, with a minimum",
        value_loss,
        {"v_tm1": v, "v_old_tm1": old, "target_tm1": target, "mask_t": MASK},
        {"epsilon": 0.2, "combine": "min"},
        reached=["v_tm1"],
    )

    for options in {"epsilon": 0.5}, {"center": False}, {"center": False, "ddof": 1}:

        def normalized(adv_t, mask_t, center=True, epsilon=1e-8, ddof=0):
            kept = adv_t[mask_t]
            scale = kept.std(correction=ddof) + epsilon
            return spread((kept - kept.mean() * center) / scale, mask_t)

        recorder.case(
            "normalize_advantages",
            "standard score",
            lambda adv_t, mask_t, options=options: normalized(adv_t, mask_t, **options),
            {"adv_t": 5 + 3 * random.standard_normal(T), "mask_t": MASK},
            options,
            reached=["adv_t"],
        )

    def adapted(coefficient, kl):
        if kl < 0.1 / 2:
            return coefficient / 3
        return coefficient * 3 if kl > 0.1 * 2 else coefficient

    for estimator, gradient in ("k3", None), ("k3", "k2"), ("k1", "k2"):

        def divergence(log_p, log_q, estimator=estimator, gradient=gradient):
            d = log_p - log_q
            estimate = ESTIMATORS[estimator](d)
            if gradient is None:
                return estimate
            return estimate.detach() + d**2 / 2 - (d**2 / 2).detach()

        log_p, log_q = logs(T)
        log_p[:2], log_q[:2] = [-20, -0.1], [-0.1, -200]  # verl's k3 ends at 10.
        recorder.case(
            "sampled_kl_divergence",
            "Schulman 2020, Approximating KL divergence",
            divergence,
            {"log_p": log_p, "log_q": log_q},
            {"estimator": estimator, "gradient_estimator": gradient},
            reached=["log_p", "log_q"],
        )

    for kl in 0.04, 0.06, 0.19, 0.21:
        recorder.case(
            "adaptive_kl_coefficient",
            "arXiv 1707.06347 section 4",
            adapted,
            {"coefficient": 0.3, "kl": kl},
            {"target_kl": 0.1, "tolerance": 2.0, "factor": 3.0},
            reached=[],
        )

    recorder.case(
        "adaptive_kl_coefficient",
        "arXiv 1909.08593 section 2.2",
        lambda coefficient, kl: coefficient * (1 + 0.3 * (kl / 6 - 1).clamp(-0.5, 0.5)),
        {"coefficient": 0.3, "kl": 8.4},
        {"target_kl": 6.0, "rule": "proportional", "gain": 0.3, "error_clip": 0.5},
        reached=[],
    )

    def decoupled(log_pi_t, log_prox_t, log_mu_t, adv_t, mask_t):
        prox_of_mu = (log_prox_t - log_mu_t).exp().clamp(max=1.1).detach()
        ratio = (log_pi_t - log_prox_t.detach()).exp()
        surrogate = torch.minimum(ratio * adv_t, ratio.clamp(0.9, 1.2) * adv_t)
        return -(prox_of_mu * surrogate)[mask_t].mean()

    log_pi, log_mu = logs(T)
    recorder.case(
        "decoupled_surrogate_pg_loss",
        "arXiv 2110.00641 section 3, 2505.24298 equation 5",
        decoupled,
        {
            "log_pi_t": log_pi,
            "log_prox_t": log_mu + 0.3 * random.standard_normal(T),
            "log_mu_t": log_mu,
            "adv_t": random.standard_normal(T),
            "mask_t": MASK,
        },
        {
            "epsilon": 0.1,
            "epsilon_high": 0.2,
            "max_weight": 1.1,
            "use_stop_gradient": False,
        },
        reached=["log_pi_t", "adv_t"],
    )


def token_losses(
    log_pi,
    log_mu,
    adv,
    mask,
    level="token",
    clipping="surrogate",
    low=0.8,
    high=1.2,
    dual_clip=None,
):
    log_pi, log_mu, adv = log_pi[mask], log_mu.detach()[mask], adv.detach()[mask]
    log_ratio = log_pi - log_mu
    if level != "token":
        log_ratio = log_ratio.mean() + 0 * log_ratio  # 2507.18071 equation 7
    if level == "sequence_token":  # Equation 14
        log_ratio = log_ratio.detach() + log_pi - log_pi.detach()
    ratio = log_ratio.exp()
    clipped = ratio.clamp(low, high)
    if clipping == "cispo":  # 2506.13585 equation 4
        return spread(-clipped.detach() * adv * log_pi, mask)
    surrogate = ratio * adv
    if clipping == "surrogate":  # 1707.06347 equation 7
        surrogate = torch.minimum(surrogate, clipped * adv)
    if dual_clip:  # 1912.09729 equation 5
        bounded = torch.maximum(surrogate, dual_clip * adv)
        surrogate = torch.where(adv < 0, bounded, surrogate)
    return spread(-surrogate, mask)


def cases_of_tokens():
    for call, theirs, ours in [
        ("arXiv 2507.18071 equation 7", {"level": "sequence"}, {}),
        (
            "arXiv 2507.18071 equation 7",
            {"level": "sequence", "low": 0.99, "high": 1.01, "dual_clip": 1.01},
            {"epsilon": 0.01, "dual_clip": 1.01},
        ),
        (
            "arXiv 2507.18071 equation 14",
            {"level": "sequence_token", "clipping": "none"},
            {},
        ),
        ("arXiv 2506.13585 equation 4", {"level": "sequence", "clipping": "cispo"}, {}),
        ("arXiv 2506.13585 equation 4", {"clipping": "cispo"}, {}),
        ("arXiv 1912.09729 equation 5", {"dual_clip": 2.0}, {"dual_clip": 2.0}),
    ]:
        log_pi, log_mu = logs(T)
        # The first kept token's ratio is large, and a gap's would overflow.
        log_pi[1], log_mu[1], log_mu[2] = -0.2, -2.2, -2000
        adv = random.standard_normal(T)
        adv[1] = -1
        if "level" not in theirs:  # Ratios of e^200, which are clipped.
            log_pi[3:5], log_mu[3:5], adv[3:5] = -0.1, -200.1, [-0.7, 0.7]
        ours = {
            "ratio_level": theirs.get("level", "token"),
            "clipping": theirs.get("clipping", "surrogate"),
        } | ours
        recorder.case(
            "token_policy_losses",
            call,
            lambda log_pi_t, log_mu_t, adv_t, mask_t, options=theirs: token_losses(
                log_pi_t, log_mu_t, adv_t, mask_t, **options
            ),
            {"log_pi_t": log_pi, "log_mu_t": log_mu, "adv_t": adv, "mask_t": MASK},
            ours,
            reached=["log_pi_t"],
        )

    def gae(r_t, v_tm1, lambda_, discount_t, mask_t, bootstrap):
        """Of kept tokens: a reward until the next one is the token's."""
        kept = [t for t in range(T) if mask_t[t]]
        lambda_, discount_t = lambda_.expand(T), discount_t.expand(T)
        advantage, ends = [0 * v_tm1[0]] * (T + 1), [*kept[1:], T]
        after = {k: v_tm1[n] if n < T else bootstrap for k, n in zip(kept, ends)}
        for k, n in [*zip(kept, ends)][::-1]:
            error = r_t[k:n].sum() + discount_t[k] * after[k] - v_tm1[k]
            advantage[k] = error + discount_t[k] * lambda_[k] * advantage[n]
        return torch.stack(advantage[:T])

    for per_token in False, True:
        floats = {
            "r_t": random.standard_normal(T),
            "v_tm1": random.standard_normal(T),
            "lambda_": random.uniform(0.5, 1, T) if per_token else 0.9,
            "discount_t": random.uniform(0.5, 1, T) if per_token else 0.8,
            "bootstrap": 1.5,
        }
        for stopped in False, True:
            recorder.case(
                "token_advantages",
                "arXiv 1506.02438 equation 16, of kept tokens",
                gae,
                floats | {"mask_t": MASK},
                {"stop_target_gradients": True} if stopped else {},
                reached=[] if stopped else [*floats],
            )

    for estimator, divergence in ESTIMATORS.items():

        def rewards(reward, log_pi_t, log_ref_t, mask_t, divergence=divergence):
            r_t = -0.2 * divergence(log_pi_t - log_ref_t)[mask_t]
            r_t[-1] += reward.clamp(-1.0, 1.0)
            return spread(r_t, mask_t)

        log_pi, log_ref = logs(T)
        log_pi[3] = -200 if estimator != "k3" else -5
        recorder.case(
            "rlhf_rewards",
            "arXiv 1909.08593 equation 2",
            rewards,
            {"reward": -1.5, "log_pi_t": log_pi, "log_ref_t": log_ref, "mask_t": MASK},
            {"beta": 0.2, "estimator": estimator, "reward_clip": 1.0},
            reached=[],
        )

    for level in "token", "sequence", "geometric":
        for outside in "clip", "zero":
            for mean in (0.0, 40.0) if level == "sequence" else (0.0,):

                def weights(log_pi_t, log_mu_t, mask_t, level=level, outside=outside):
                    kept = (log_pi_t - log_mu_t)[mask_t]
                    of_all = {"sequence": kept.sum(), "geometric": kept.mean()}
                    kept = (of_all.get(level, kept) + 0 * kept).exp()
                    inside = (kept >= 0.8) & (kept <= 1.5)
                    if outside == "zero":
                        return spread(torch.where(inside, kept, 0), mask_t)
                    return spread(kept.clamp(0.8, 1.5), mask_t)

                log_pi, log_mu = logs(T)
                log_mu = log_pi + 0.5 * (log_mu - log_pi) - mean
                recorder.case(
                    "truncated_importance_weights",
                    "Liu and Li 2025, When Speed Kills Stability",
                    weights,
                    {"log_pi_t": log_pi, "log_mu_t": log_mu, "mask_t": MASK},
                    {
                        "level": level,
                        "outside": outside,
                        "min_weight": 0.8,
                        "max_weight": 1.5,
                    },
                    reached=[],
                )


def cases_of_groups():
    kept = np.array([1, 1, 0, 1, 1], bool)
    for baseline, scale, ddof, mask in [
        ("mean", "std", 0, kept),
        ("leave_one_out", "std", 1, kept),
        ("none", "std", 1, kept),
        ("none", "none", 1, kept),
        ("mean", "std", 1, np.arange(5) == 1),
        ("leave_one_out", "none", 1, np.arange(5) == 1),
    ]:

        def advantages(reward, mask, baseline=baseline, scale=scale, ddof=ddof):
            r = reward[mask]
            if len(r) == 1:  # Nothing to compare it with.
                return 0 * reward
            others = (r.sum() - r) / (len(r) - 1)
            base = {"mean": r.mean(), "leave_one_out": others, "none": 0}[baseline]
            scale = r.std(correction=ddof) + 1e-3 if scale == "std" else 1
            return spread((r - base) / scale, mask)

        recorder.case(
            "group_advantages",
            {
                "mean": "arXiv 2402.03300 section 4.1.2",
                "leave_one_out": "arXiv 2402.14740 section 3.2",
                "none": "arXiv 2501.03262",
            }[baseline],
            advantages,
            {"reward": random.standard_normal(5), "mask": mask},
            {"baseline": baseline, "scale": scale, "ddof": ddof, "epsilon": 1e-3},
            reached=[],
        )

    def group(
        log_pi_t, log_mu_t, adv, mask_t, combine, log_ref_t=None, weight_t=1, **o
    ):
        """A group's loss, of a function of each sequence's kept losses."""
        loss = torch.stack(
            [
                token_losses(log_pi_t[i], log_mu_t[i], adv[i], mask, **o)
                for i, mask in enumerate(mask_t)
            ]
        )
        loss = loss * weight_t
        if log_ref_t is not None:  # 2402.03300 equation 4
            log_ratio = log_ref_t - log_pi_t
            loss = loss + 0.3 * (log_ratio.exp() - log_ratio - 1)
        return combine([row[mask] for row, mask in zip(loss, mask_t)])

    def token_mean(rows):
        return torch.cat(rows).mean()

    def sequence_mean(rows):
        return torch.stack([x.mean() for x in rows if len(x)]).mean()

    def constant(rows, size=1):
        return torch.cat(rows).sum() / len(rows) / size

    def sequence_sum(rows):
        return torch.stack([x.sum() for x in rows if len(x)]).mean()

    for aggregation, call, combine in [
        ("token_mean", "arXiv 2503.14476 equation 8", token_mean),
        ("sequence_mean", "arXiv 2402.03300 equation 3", sequence_mean),
        ("sequence_sum", "arXiv 2503.20783 section 3.2, of sequences", sequence_sum),
        ("constant", "arXiv 2503.20783 section 3.2", lambda rows: constant(rows, 5)),
    ]:
        recorder.case(
            "aggregate_token_losses",
            f"arXiv {call}",
            lambda loss_t, mask_t, combine=combine: combine(
                [row[mask] for row, mask in zip(loss_t, mask_t)]
            ),
            {"loss_t": random.standard_normal((G, 5)), "mask_t": MASKS},
            {"aggregation": aggregation},
            reached=["loss_t"],
        )

    for op, call, combine, theirs, ours in [
        ("grpo_loss", "arXiv 2402.03300 equation 3", sequence_mean, {}, {"beta": 0.3}),
        (
            "grpo_loss",
            "arXiv 2503.20783 section 3.2",
            lambda rows: constant(rows, 9),
            {},
            {"beta": 0.3, "aggregation": "constant", "constant": 9},
        ),
        ("dapo_loss", "arXiv 2503.14476 equation 8", token_mean, {"high": 1.28}, {}),
        (
            "dr_grpo_loss",
            "arXiv 2503.20783 section 3.2",
            constant,
            {},
            {"max_length": 1},
        ),
        (
            "gspo_loss",
            "arXiv 2507.18071 equation 13",
            sequence_mean,
            {"level": "sequence_token", "low": 1 - 3e-4, "high": 1 + 4e-4},
            {"token_level": True},
        ),
        (
            "cispo_loss",
            "arXiv 2506.13585 equation 4",
            token_mean,
            {"clipping": "cispo", "low": 0, "high": 5},
            {},
        ),
    ]:
        log_pi, log_mu = logs(G, 5)
        log_mu[0, 2] = -2000  # A gap, whose ratio would overflow.
        arguments = {
            "log_pi_t": log_pi,
            "log_mu_t": log_mu,
            "adv": random.standard_normal((G, 5)),
            "mask_t": MASKS,
            "weight_t": random.uniform(0, 2, (G, 5)),
        }
        if op == "grpo_loss":
            arguments["log_ref_t"] = log_pi + 0.3 * random.standard_normal((G, 5))
        recorder.case(
            op,
            f"arXiv {call}",
            lambda combine=combine, theirs=theirs, **arguments: group(
                **arguments, combine=combine, **theirs
            ),
            arguments,
            ours,
            reached=["log_pi_t"],
        )

    def penalty(length):  # 2503.14476 equation 13
        rows = [(0 if n <= 6 else (6 - n) / 4 if n <= 10 else -1) for n in length]
        return torch.tensor(rows, dtype=length.dtype)

    recorder.case(
        "soft_overlong_penalty",
        "arXiv 2503.14476 equation 13",
        penalty,
        {"length": [0.5, 6.0, 6.25, 8.5, 10.0, 10.5, 1e6]},
        {"max_length": 10, "buffer_length": 4},
    )


if __name__ == "__main__":
    cases_of_ppo()
    cases_of_tokens()
    cases_of_groups()
    recorder.write()
