"""TRL's losses, advantages and weights of groups.

A trainer's loss is called with a stand-in for the trainer: its configuration, and a
model that gives log-probabilities.
"""

import collections
import copy
import tempfile
import types

import accelerate
import numpy as np
import torch
import trl
from recorder import TorchRecorder
from trl.experimental import cpo, orpo
from trl.rewards import get_soft_overlong_punishment

recorder = TorchRecorder("TRL", "trl")
random = np.random.default_rng(2)
T, G = 7, 3
MASK = np.array([1, 1, 0, 1, 1, 1, 0], bool)
MASKS = np.array([[1, 1, 0, 1, 1], [0, 1, 0, 0, 0], [1, 0, 1, 1, 0]], bool)
FOLDER = tempfile.gettempdir()
KINDS = "GRPO", "RLOO", "DPO", "KTO", "Reward"
CONFIGS = {
    kind: kind(FOLDER, report_to=[], use_cpu=True, bf16=False)
    for kind in (
        *(getattr(trl, f"{name}Config") for name in KINDS),
        *(cpo.CPOConfig, orpo.ORPOConfig),
    )
}  # Made before the accelerator, whose state they reset.
ACCELERATOR = accelerate.Accelerator(cpu=True)


def trainer(config, **attributes):
    """Whatever losses read of a trainer."""
    config = copy.copy(CONFIGS[config])
    attributes = {
        "args": config,
        "accelerator": ACCELERATOR,
        "model": types.SimpleNamespace(training=False),
        "aux_loss_enabled": False,
        "current_gradient_accumulation_steps": 1,
        "precompute_ref_logps": True,
        "_entropy_bonus_enabled": False,
        "_metrics": collections.defaultdict(lambda: collections.defaultdict(list)),
        "_total_train_tokens": 0,
        "_tp_size": 1,
    } | attributes
    return types.SimpleNamespace(**(vars(config) | attributes))


def grpo(log_pi, log_mu, adv, mask, log_ref=None, weight=None, **options):
    """The loss of a group."""
    ids = torch.ones_like(log_pi, dtype=int)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": ids,
        "completion_ids": ids,
        "completion_mask": mask.long(),
        "advantages": adv,
        "old_per_token_logps": log_mu,
        "ref_per_token_logps": log_ref,
        "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": weight,
    }
    options = {"epsilon_low": options.pop("epsilon", 0.2)} | options
    options.setdefault("epsilon_high", options["epsilon_low"])
    self = trainer(
        trl.GRPOConfig,
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_pi, 0 * log_pi, None),
        use_vllm=weight is not None,
        **({"max_completion_length": mask.shape[1]} | options),
    )
    self.args.delta = options.get("delta")
    self.args.use_bias_correction_kl = False
    return trl.GRPOTrainer._compute_loss(self, None, inputs)


def scored(kind, config, reward, log_pi, log_mu, mask, **options):
    """What a trainer makes of a group of generated responses."""
    n, t = log_pi.shape
    ids = [[1]] * n, [[1] * t] * n
    log_mu, masks, texts = log_mu.tolist(), mask.long().tolist(), [""] * n
    generated = {
        trl.GRPOTrainer: (*ids, masks, texts, log_mu, {}, None, mask.sum()),
        trl.RLOOTrainer: (*ids, log_mu),
    }[kind]
    tokenizer = types.SimpleNamespace(
        batch_decode=lambda *_, **__: texts, pad_token_id=0, eos_token_id=1
    )
    self = trainer(
        config,
        model=types.SimpleNamespace(training=True, is_gradient_checkpointing=False),
        _generate=lambda _: generated,
        _calculate_rewards=lambda *_: reward[:, None],
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_pi, None, None),
        _logs=collections.defaultdict(list, rewards=collections.defaultdict(list)),
        _pending_extra_logs={},
        _pending_metrics={},
        _tokenizer=tokenizer,
        processing_class=tokenizer,
        tools=None,
        environments=None,
        environment_factories=None,
        reward_weights=torch.ones(1),
        reward_func_names=[""],
        use_vllm=True,
        num_generations=n,
        beta=0.0,
        **options,
    )
    return kind._generate_and_score_completions(self, [{"prompt": ""}] * n)


def logs(*shape):
    """Log-probabilities under two policies."""
    log_mu = -random.exponential(1, shape)
    return log_mu + 0.4 * random.standard_normal(shape), log_mu


def cases_of_groups():
    for options, ours in [
        ({}, {}),
        ({"epsilon": 0.1, "epsilon_high": 0.3, "delta": 1.5}, {"dual_clip": 1.5}),
        ({"importance_sampling_level": "sequence"}, {"ratio_level": "sequence"}),
        # Their upper limit is the ratio's, and none is below.
        (
            {"loss_type": "cispo", "epsilon_high": 1.2},
            {"clipping": "cispo", "epsilon": 1.0, "epsilon_high": 0.2},
        ),
    ]:
        ours = {k: v for k, v in options.items() if k.startswith("epsilon")} | ours

        def per_token(log_pi_t, log_mu_t, adv_t, mask_t, weight_t, options=options):
            """A token's loss: the sum of all, where its weight alone isn't 0."""
            return torch.stack(
                [
                    grpo(
                        *(log_pi_t[None], log_mu_t[None], adv_t[None], mask_t[None]),
                        weight=(weight_t * one)[None],
                        **options,
                    )
                    * mask_t.sum()
                    for one in torch.eye(T, dtype=adv_t.dtype)
                ]
            )

        for adv in -0.8, 0.6:
            log_pi, log_mu = logs(T)
            log_pi[:2] = log_mu[:2] + [2, -2]
            recorder.case(
                "token_policy_losses",
                "GRPOTrainer",
                per_token,
                {
                    "log_pi_t": log_pi,
                    "log_mu_t": log_mu,
                    "adv_t": adv,
                    "mask_t": MASK,
                    "weight_t": random.uniform(0, 2, T),
                },
                ours,
                reached=["log_pi_t"],
            )

    for op, theirs, ours in [
        ("grpo_loss", {"loss_type": "grpo", "beta": 0.04}, {}),
        (
            "grpo_loss",
            {"loss_type": "bnpo", "beta": 0.1, "epsilon_high": 0.3},
            {"aggregation": "token_mean", "beta": 0.1, "epsilon_high": 0.3},
        ),
        ("dapo_loss", {"loss_type": "dapo", "epsilon_high": 0.28}, {}),
        ("dr_grpo_loss", {"loss_type": "dr_grpo"}, {}),
        (
            "dr_grpo_loss",
            {"loss_type": "dr_grpo", "max_completion_length": 9},
            {"max_length": 9},
        ),
        (
            "gspo_loss",
            {
                "loss_type": "grpo",
                "importance_sampling_level": "sequence",
                "epsilon": 3e-4,
                "epsilon_high": 4e-4,
            },
            {},
        ),
        ("cispo_loss", {"loss_type": "cispo", "epsilon_high": 5.0}, {}),
        (
            "cispo_loss",
            {"loss_type": "cispo", "epsilon_high": 1.1},
            {"epsilon_high": 0.1},
        ),
    ]:
        log_pi, log_mu = logs(G, 5)
        arguments = {
            "log_pi_t": log_pi,
            "log_mu_t": log_mu,
            "adv": random.standard_normal(G),
            "mask_t": MASKS,
            "weight_t": random.uniform(0, 2, (G, 5)),
        }
        if op == "grpo_loss":
            arguments["log_ref_t"] = log_pi + 0.3 * random.standard_normal((G, 5))
            del arguments["weight_t"]  # Theirs is the KL term's too.

        def group_loss(
            log_pi_t, log_mu_t, adv, mask_t, log_ref_t=None, weight_t=None, o=theirs
        ):
            return grpo(log_pi_t, log_mu_t, adv, mask_t, log_ref_t, weight_t, **o)

        recorder.case(
            op, "GRPOTrainer", group_loss, arguments, ours, reached=["log_pi_t"]
        )

    grpo_kind, rloo_kind = (
        (trl.GRPOTrainer, trl.GRPOConfig),
        (trl.RLOOTrainer, trl.RLOOConfig),
    )
    for kind, theirs, ours in [
        (grpo_kind, {}, {"epsilon": 1e-4}),
        (grpo_kind, {"scale_rewards": "none"}, {"scale": "none"}),
        (rloo_kind, {}, {"baseline": "leave_one_out", "scale": "none"}),
    ]:

        def advantages(reward, kind=kind, options=theirs):
            zeros = torch.zeros(len(reward), 1)
            args = reward, zeros, zeros, zeros == 0
            return scored(*kind, *args, **options)["advantages"]

        recorder.case(
            "group_advantages",
            kind[0].__name__,
            advantages,
            {"reward": random.standard_normal(5)},
            ours,
            reached=[],
        )

    for mode, ours in [
        ("token_truncate", {"min_weight": 0.5}),
        ("token_mask", {"min_weight": 0.5, "outside": "zero"}),
        ("sequence_truncate", {"level": "sequence", "min_weight": 0.5}),
        ("sequence_mask", {"level": "sequence", "outside": "zero"}),
    ]:

        def weights(log_pi_t, log_mu_t, mask_t, mode=mode, ours=ours):
            weight = scored(
                *grpo_kind,
                torch.zeros(1),
                *(log_pi_t[None], log_mu_t[None], mask_t[None]),
                vllm_importance_sampling_mode=mode,
                vllm_importance_sampling_clip_max=3.0,
                vllm_importance_sampling_clip_min=ours.get("min_weight"),
            )["importance_sampling_ratio"]
            return weight[0] * mask_t

        log_pi, log_mu = logs(T)
        log_pi[:2] = [-200, -1e-3]
        log_mu[:2] = [-1e-3, -200]
        recorder.case(
            "truncated_importance_weights",
            "GRPOTrainer",
            weights,
            {"log_pi_t": log_pi, "log_mu_t": log_mu, "mask_t": MASK},
            {"max_weight": 3.0} | ours,
            reached=[],
        )

    def overlong(length):
        punish = get_soft_overlong_punishment(10, 4)
        return torch.tensor(punish([[0] * n for n in length]))

    recorder.case(
        "soft_overlong_penalty",
        "get_soft_overlong_punishment",
        overlong,
        {"length": [1, 6, 7, 9, 10, 11, 30]},
        {"max_length": 10, "buffer_length": 4},
    )


if __name__ == "__main__":
    cases_of_groups()
    recorder.write()
