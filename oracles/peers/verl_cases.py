"""verl's losses, advantages and weights of language-model RL."""

import types

import numpy as np
import torch
from recorder import TorchRecorder
from verl import DataProto
from verl.trainer.ppo import core_algos, rollout_corr_helper
from verl.utils import torch_functional
from verl.workers.config import ActorConfig
from verl.workers.reward_manager.dapo import DAPORewardManager

recorder = TorchRecorder("verl", "verl")
random = np.random.default_rng(1)
T, G = 7, 3
MASK = np.array([1, 1, 0, 1, 1, 1, 0], bool)
MASKS = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 1, 0]], bool)
AGGREGATION = {
    "token_mean": "token-mean",
    "sequence_mean": "seq-mean-token-mean",
    "sequence_sum": "seq-mean-token-sum",
    "constant": "seq-mean-token-sum-norm",
}
NO_DUAL_CLIP = 1e9  # verl always clips: at 3 unless something else is given.


def actor(epsilon=0.2, epsilon_high=None, dual_clip=None, **options):
    return ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size=1,
        clip_ratio=epsilon,
        clip_ratio_low=epsilon,
        clip_ratio_high=epsilon if epsilon_high is None else epsilon_high,
        clip_ratio_c=dual_clip or NO_DUAL_CLIP,
        **options,
    )


def all_rows(aggregation):
    """Counts empty sequences too, in "constant", which is ours; verl leaves it open."""
    return {"global_batch_size": G} if aggregation == "constant" else {}


def logs(*shape):
    """Log-probabilities under two policies."""
    log_mu = -random.exponential(1, shape)
    return log_mu + 0.4 * random.standard_normal(shape), log_mu


def token_loss(loss, options, log_pi, log_mu, adv, mask, aggregation, weight=None):
    """A policy loss of a group, with the KL penalty's options left out."""
    keys = "epsilon", "epsilon_high", "dual_clip", "global_batch_info"
    config = actor(**{k: options[k] for k in keys if k in options})
    adv = adv if adv.shape == log_pi.shape else adv[:, None] + 0 * log_pi.detach()
    args = log_mu, log_pi, adv, mask.to(log_pi.dtype), aggregation, config, weight
    return getattr(core_algos, f"compute_policy_loss_{loss}")(*args)[0]


def cases_of_ppo():
    for options, stopped in [
        ({"epsilon": 0.2}, True),
        ({"epsilon": 0.2, "epsilon_high": 0.28}, True),
        ({"epsilon": 0.2, "dual_clip": 1.5}, False),
    ]:

        def surrogate(prob_ratios_t, adv_t, mask_t, options=options):
            zeros = torch.zeros_like(adv_t)[None]
            return token_loss(
                *("vanilla", options, prob_ratios_t.log()[None], zeros),
                *(adv_t[None], mask_t[None], "token-mean"),
            )

        recorder.case(
            "clipped_surrogate_pg_loss",
            "compute_policy_loss_vanilla",
            surrogate,
            {
                "prob_ratios_t": np.exp(random.standard_normal(T)),
                "adv_t": random.standard_normal(T),
                "mask_t": MASK,
            },
            options | {"use_stop_gradient": stopped},
            reached=["prob_ratios_t"] + ["adv_t"] * (not stopped),
        )

    for epsilon in 0.2, 1e9:

        def value_loss(v_tm1, v_old_tm1, target_tm1, mask_t, epsilon=epsilon):
            return core_algos.compute_value_loss(
                *(v_tm1[None], target_tm1[None], v_old_tm1[None], mask_t[None]), epsilon
            )[0]

        v, old, target = random.standard_normal((3, T))
        recorder.case(
            "clipped_value_loss",
            "compute_value_loss",
            value_loss,
            {"v_tm1": v, "v_old_tm1": old, "target_tm1": target, "mask_t": MASK},
            {"epsilon": epsilon},
            reached=["v_tm1"],
        )

    def whiten(adv_t, mask_t):  # 1e-8 is in the variance there.
        return torch_functional.masked_whiten(adv_t, mask_t) * mask_t

    for mask in MASK, np.ones(T, bool):
        recorder.case(
            "normalize_advantages",
            "masked_whiten",
            whiten,
            {"adv_t": 5 + 3 * random.standard_normal(T), "mask_t": mask},
            {"ddof": 1},
            reached=["adv_t"],
        )

    for estimator in "k1", "k2", "k3", "abs":
        for gradient in None, "k2":
            name = estimator + "+" * bool(gradient)  # Straight through: k2's gradient.
            log_p, log_q = logs(T)
            # Their k3 is cut off at 10.
            log_q[0] = -2 if estimator == "k3" else -200
            recorder.case(
                "sampled_kl_divergence",
                f'kl_penalty("{name}")',
                lambda log_p, log_q, name=name: core_algos.kl_penalty(
                    log_p, log_q, name
                ),
                {"log_p": log_p, "log_q": log_q},
                {"estimator": estimator, "gradient_estimator": gradient},
                reached=["log_p", "log_q"],
            )

    def proportional(coefficient, kl):  # Their gain is steps / horizon.
        controller = core_algos.AdaptiveKLController(float(coefficient), 6.0, 100)
        controller.update(float(kl), 10)
        return torch.tensor(controller.value)

    for kl in 5.5, 6.5, 1.0, 60.0:
        recorder.case(
            "adaptive_kl_coefficient",
            "AdaptiveKLController",
            proportional,
            {"coefficient": 0.3, "kl": kl},
            {"target_kl": 6.0, "rule": "proportional", "gain": 0.1},
            reached=[],
        )


def cases_of_tokens():
    for loss, options in [
        ("vanilla", {}),
        ("vanilla", {"epsilon": 0.1, "epsilon_high": 0.3}),
        ("vanilla", {"dual_clip": 1.5}),
        ("vanilla", {"clipping": "none", "epsilon": 1e9}),
        ("gspo", {"ratio_level": "sequence_token"}),
        ("gspo", {"ratio_level": "sequence_token", "epsilon": 0.01}),
        ("cispo", {"clipping": "cispo"}),
        ("cispo", {"clipping": "cispo", "epsilon": 0.5, "epsilon_high": 0.1}),
    ]:

        def per_token(
            log_pi_t, log_mu_t, adv_t, mask_t, weight_t, loss=loss, o=options
        ):
            """A token's loss: the sum of all, where its advantage alone isn't 0."""
            return torch.stack(
                [
                    token_loss(
                        *(loss, o, log_pi_t[None], log_mu_t[None]),
                        *((adv_t * one)[None], mask_t[None]),
                        *("seq-mean-token-sum", weight_t[None]),
                    )
                    for one in torch.eye(T, dtype=adv_t.dtype)
                ]
            )

        log_pi, log_mu = logs(T)
        log_pi[0] = log_mu[0] + 2
        recorder.case(
            "token_policy_losses",
            f"compute_policy_loss_{loss}",
            per_token,
            {
                "log_pi_t": log_pi,
                "log_mu_t": log_mu,
                "adv_t": random.standard_normal(T) * [-1, 1, 1, 1, 1, 1, 1],
                "mask_t": MASK,
                "weight_t": random.uniform(0, 2, T),
            },
            options,
            reached=["log_pi_t"],
        )

    def aggregate(loss_t, mask_t, aggregation="token_mean", constant=None):
        rows = all_rows(aggregation)
        return core_algos.agg_loss(
            loss_t, mask_t, AGGREGATION[aggregation], loss_scale_factor=constant, **rows
        )

    for options in [
        *({"aggregation": k} for k in AGGREGATION),
        {"aggregation": "constant", "constant": 9},
    ]:
        recorder.case(
            "aggregate_token_losses",
            "agg_loss",
            lambda loss_t, mask_t, o=options: aggregate(loss_t, mask_t, **o),
            {"loss_t": random.standard_normal((G, 5)), "mask_t": MASKS},
            options,
            reached=["loss_t"],
        )

    def gae(r_t, v_tm1, lambda_, discount_t, mask_t):
        stream = (x[None] for x in (r_t, v_tm1, mask_t.to(r_t.dtype)))
        targets = core_algos.compute_gae_advantage_return(*stream, discount_t, lambda_)[
            1
        ]
        return (targets[0] - v_tm1) * mask_t  # The advantages come whitened.

    for lambda_, discount in (1.0, 1.0), (0.9, 0.8):
        recorder.case(
            "token_advantages",
            "compute_gae_advantage_return",
            gae,
            {
                "r_t": random.standard_normal(T) * MASK,  # Rewards in gaps are lost.
                "v_tm1": random.standard_normal(T),
                "lambda_": lambda_,
                "discount_t": discount,
                "mask_t": MASK,
            },
            {},
        )

    def rewards(reward, log_pi_t, log_ref_t, mask_t):
        scores = torch.zeros_like(log_pi_t)
        scores[mask_t.nonzero()[-1]] = reward
        return core_algos.compute_rewards(scores, log_pi_t, log_ref_t, 0.2) * mask_t

    log_pi, log_ref = logs(T)
    log_pi[1] = -200
    recorder.case(
        "rlhf_rewards",
        "compute_rewards",
        rewards,
        {"reward": 1.5, "log_pi_t": log_pi, "log_ref_t": log_ref, "mask_t": MASK},
        {"beta": 0.2},
        reached=[],
    )

    for level in "token", "sequence":
        for low, outside in (0.0, "clip"), (0.5, "zero"):

            def weights(log_pi_t, log_mu_t, mask_t, level=level, low=low):
                threshold = f"{low}_3.0" if low else 3.0
                return rollout_corr_helper.compute_rollout_correction_weights(
                    (log_pi_t - log_mu_t)[None], mask_t[None], level, threshold
                )[0][0]

            log_pi, log_mu = logs(T)
            if (level, outside) != ("sequence", "zero"):  # All 0 is refused.
                log_mu[1] = -200
            recorder.case(
                "truncated_importance_weights",
                "compute_rollout_correction_weights",
                weights,
                {"log_pi_t": log_pi, "log_mu_t": log_mu, "mask_t": MASK},
                {
                    "level": level,
                    "max_weight": 3,
                    "min_weight": low,
                    "outside": outside,
                },
                reached=[],
            )


def cases_of_groups():
    for name, options in [
        ("grpo", {}),
        ("grpo", {"scale": "none"}),
        ("rloo", {"baseline": "leave_one_out", "scale": "none"}),
    ]:

        def advantages(reward, mask, name=name, options=options):
            if name == "grpo":
                options = {"norm_adv_by_std_in_grpo": options.get("scale") != "none"}
            else:
                options = {}
            compute = getattr(core_algos, f"compute_{name}_outcome_advantage")
            kept = reward[mask][:, None]  # [G, one token]
            out = torch.zeros_like(reward)
            index = np.zeros(len(kept), int)
            out[mask] = compute(kept, torch.ones_like(kept), index, **options)[0][:, 0]
            return out

        for mask in np.ones(5, bool), np.array([1, 1, 0, 1, 0], bool):
            recorder.case(
                "group_advantages",
                f"compute_{name}_outcome_advantage",
                advantages,
                {"reward": random.standard_normal(5), "mask": mask},
                options,
                reached=[],
            )

    for op, loss, aggregation, options in [
        ("grpo_loss", "vanilla", "sequence_mean", {}),
        ("grpo_loss", "vanilla", "token_mean", {"beta": 0.1, "epsilon_high": 0.3}),
        ("grpo_loss", "vanilla", "sequence_sum", {"epsilon": 0.1}),
        ("dapo_loss", "vanilla", "token_mean", {}),
        ("dr_grpo_loss", "vanilla", "constant", {}),
        ("dr_grpo_loss", "vanilla", "constant", {"max_length": 9}),
        ("gspo_loss", "gspo", "sequence_mean", {"epsilon": 0.1, "epsilon_high": 0.15}),
        ("gspo_loss", "gspo", "sequence_mean", {"token_level": True}),
        ("cispo_loss", "cispo", "token_mean", {}),
        ("cispo_loss", "cispo", "token_mean", {"epsilon": 0.2, "epsilon_high": 0.3}),
    ]:
        # Our defaults, where verl has others.
        epsilons = {
            "dapo_loss": {"epsilon_high": 0.28},
            "gspo_loss": {"epsilon": 3e-4, "epsilon_high": 4e-4},
            "cispo_loss": {"epsilon": 1.0, "epsilon_high": 4.0},
        }.get(op, {}) | options
        if op == "dr_grpo_loss":
            epsilons["global_batch_info"] = all_rows(aggregation) | {
                "loss_scale_factor": options.get("max_length")
            }

        def group_loss(
            log_pi_t,
            log_mu_t,
            adv,
            mask_t,
            log_ref_t=None,
            weight_t=None,
            loss=loss,
            aggregation=AGGREGATION[aggregation],
            options=epsilons,
        ):
            total = token_loss(
                *(loss, options, log_pi_t, log_mu_t, adv, mask_t),
                *(aggregation, weight_t),
            )
            if log_ref_t is None:
                return total
            kl = core_algos.kl_penalty(log_pi_t, log_ref_t, "low_var_kl")
            kl = core_algos.agg_loss(kl, mask_t, aggregation)
            return total + options.get("beta", 0.04) * kl

        log_pi, log_mu = logs(G, 5)
        arguments = {
            "log_pi_t": log_pi,
            "log_mu_t": log_mu,
            "adv": random.standard_normal(G),
            "mask_t": MASKS,
            "weight_t": random.uniform(0, 2, (G, 5)),
        }
        if op == "gspo_loss" and "token_level" not in options:
            del arguments["weight_t"]  # Then tokens have equal gradients, as in ours.
        if op == "grpo_loss":
            options = options | {"aggregation": aggregation}
            arguments["log_ref_t"] = log_pi + 0.3 * random.standard_normal((G, 5))
        if options.get("token_level"):
            arguments["adv"] = random.standard_normal((G, 5))
        recorder.case(
            op,
            f"compute_policy_loss_{loss}",
            group_loss,
            arguments,
            options,
            reached=["log_pi_t"],
        )

    lengths = [1, 3, 5, 6]  # Beyond the maximum verl goes on below -1.

    def overlong(length):
        buffer = types.SimpleNamespace(enable=True, len=4, penalty_factor=1, log=False)
        reward = DAPORewardManager(
            types.SimpleNamespace(eos_token="", decode=lambda *_, **__: ""),
            0,
            lambda **_: 0.0,
            max_resp_len=6,
            overlong_buffer_cfg=buffer,
        )
        n, size = len(length), int(length.max())
        kept = torch.arange(size) < length[:, None]
        data = DataProto.from_dict(
            {
                "prompts": torch.ones(n, 1, dtype=int),
                "responses": torch.ones(n, size, dtype=int),
                "attention_mask": torch.cat([torch.ones(n, 1) > 0, kept], 1),
            },
            {
                "data_source": np.full(n, "", object),
                "reward_model": np.full(n, {"ground_truth": ""}, object),
            },
        )
        return reward(data).sum(1)

    recorder.case(
        "soft_overlong_penalty",
        "DAPORewardManager",
        overlong,
        {"length": lengths},
        {"max_length": 6, "buffer_length": 4},
    )


if __name__ == "__main__":
    cases_of_ppo()
    cases_of_tokens()
    cases_of_groups()
    recorder.write()
