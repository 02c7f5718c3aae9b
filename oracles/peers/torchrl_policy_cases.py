"""TorchRL's PPO and its losses of language-model RL.

The networks of a loss are stand-ins, which read log-probabilities and values from the
data.
"""

import math

import numpy as np
import torch
from recorder import TorchRecorder
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torchrl.objectives import ClipPPOLoss, KLPENPPOLoss
from torchrl.objectives.llm import DAPO, GRPOLoss, MCAdvantage

recorder = TorchRecorder("TorchRL", "torchrl", "torchrl_policy")
random = np.random.default_rng(3)
T, G = 7, 3
MASK = np.array([1, 1, 0, 1, 1, 1, 0], bool)
MASKS = np.array([[1, 1, 0, 1, 1], [0, 1, 0, 0, 0], [1, 0, 1, 1, 0]], bool)


class Interpolation(torch.nn.Module):
    """Logits of two actions: the first has one of two log-probabilities."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, log_pi, log_prox):
        log_p = self.weight * log_pi + (1 - self.weight) * log_prox
        return torch.stack([log_p, torch.log1p(-log_p.exp())], -1)


def policy(module, inputs, outputs, distribution):
    return ProbabilisticTensorDictSequential(
        TensorDictModule(module, in_keys=inputs, out_keys=outputs),
        ProbabilisticTensorDictModule(
            *(outputs, ["action"]),
            distribution_class=distribution,
            return_log_prob=True,
        ),
    )


CRITIC = TensorDictModule(lambda v: v[:, None], in_keys=["v"], out_keys=["state_value"])


def ppo(
    log_pi,
    log_mu,
    adv,
    *,
    log_prox=None,
    v=None,
    v_old=None,
    target=None,
    mask=None,
    **o,
):
    """Losses of a stream."""
    zeros = torch.zeros_like(log_mu)
    column = {"advantage": adv, "value_target": target, "state_value": v_old}
    data = {
        "log_pi": log_pi,
        "log_prox": log_mu if log_prox is None else log_prox,
        "action_log_prob": log_mu,
        "action": zeros.long(),
        "v": zeros if v is None else v,
        "mask": zeros == 0 if mask is None else mask,
        **{k: (zeros if x is None else x)[:, None] for k, x in column.items()},
    }
    actor = policy(
        *(Interpolation(), ["log_pi", "log_prox"], ["logits"]),
        torch.distributions.Categorical,
    )
    loss = ClipPPOLoss(
        *(actor, CRITIC),
        entropy_bonus=False,
        loss_critic_type="l2",
        critic_coeff=1.0,
        delay_actor=log_prox is not None,
        **o,
    )
    loss.loss_mask_key = "mask"
    if log_prox is not None:
        for weight in loss.target_actor_network_params.values(True, True):
            weight.data.zero_()
    return loss(TensorDict(data, [len(adv)]))


def bounds(epsilon, epsilon_high=None):
    return epsilon if epsilon_high is None else (epsilon, epsilon_high)


def logs(*shape):
    """Log-probabilities under two policies."""
    log_mu = -0.2 - random.exponential(1, shape)
    return np.minimum(log_mu + 0.4 * random.standard_normal(shape), -0.05), log_mu


def cases_of_ppo():
    for options in {"epsilon": 0.2}, {"epsilon": 0.1, "epsilon_high": 0.3}:

        def surrogate(prob_ratios_t, adv_t, mask_t, options=options):
            base = torch.full_like(adv_t, -5)
            return ppo(
                *(base + prob_ratios_t.log(), base, adv_t),
                mask=mask_t,
                clip_epsilon=bounds(**options),
            )["loss_objective"]

        recorder.case(
            "clipped_surrogate_pg_loss",
            "ClipPPOLoss",
            surrogate,
            {
                "prob_ratios_t": np.exp(random.standard_normal(T)),
                "adv_t": random.standard_normal(T),
                "mask_t": MASK,
            },
            options,
            reached=["prob_ratios_t"],
        )

        def decoupled(log_pi_t, log_prox_t, log_mu_t, adv_t, mask_t, options=options):
            return ppo(
                *(log_pi_t, log_mu_t, adv_t),
                log_prox=log_prox_t,
                mask=mask_t,
                clip_epsilon=bounds(**options),
            )["loss_objective"]

        log_pi, log_mu = logs(T)
        recorder.case(
            "decoupled_surrogate_pg_loss",
            "ClipPPOLoss(delay_actor=True)",
            decoupled,
            {
                "log_pi_t": log_pi,
                "log_prox_t": 0.3 * log_pi + 0.7 * log_mu,
                "log_mu_t": log_mu,
                "adv_t": random.standard_normal(T),
                "mask_t": MASK,
            },
            options,
            reached=["log_pi_t"],
        )

    for epsilon in 0.2, 1.0:

        def value_loss(v_tm1, v_old_tm1, target_tm1, mask_t, epsilon=epsilon):
            log_pi = torch.full_like(v_tm1, -1)
            return ppo(
                *(log_pi, log_pi, 0 * v_tm1),
                v=v_tm1,
                v_old=v_old_tm1,
                target=target_tm1,
                mask=mask_t,
                clip_value=epsilon,
            )["loss_critic"].mul(0.5)  # They leave out the half.

        v, old, target = random.standard_normal((3, T))
        recorder.case(
            "clipped_value_loss",
            "ClipPPOLoss(clip_value)",
            value_loss,
            {"v_tm1": v, "v_old_tm1": old, "target_tm1": target, "mask_t": MASK},
            {"epsilon": epsilon},
            reached=["v_tm1"],
        )

    def normalized(adv_t):
        log_pi = torch.full_like(adv_t, -1)
        options = {"normalize_advantage": True, "reduction": "none"}
        return -ppo(log_pi, log_pi, adv_t, **options)["loss_objective"].reshape(-1)

    recorder.case(
        "normalize_advantages",
        "ClipPPOLoss(normalize_advantage=True)",
        normalized,
        {"adv_t": 5 + 3 * random.standard_normal(T)},
        {"ddof": 1},
    )

    def doubled(coefficient, kl):
        """After data whose KL divergence, of two normal distributions, is kl."""
        actor = policy(
            lambda m: (m, torch.ones_like(m)), ["m"], ["loc", "scale"],
            torch.distributions.Normal,
        )  # fmt: skip
        loss = KLPENPPOLoss(actor, CRITIC, dtarg=0.1, beta=float(coefficient))
        one = torch.ones(1, dtype=kl.dtype)
        data = {"m": one * math.sqrt(2 * kl), "loc": 0 * one, "scale": one, "v": one}
        data |= {"action": one, "action_log_prob": one}
        data |= {"advantage": one[:, None], "value_target": one[:, None]}
        loss(TensorDict(data, [1]))
        return loss.beta

    for kl in 0.03, 0.08, 0.14, 0.4:
        recorder.case(
            "adaptive_kl_coefficient",
            "KLPENPPOLoss",
            doubled,
            {"coefficient": 0.3, "kl": kl},
            {"target_kl": 0.1},
            reached=[],
        )


class Model(torch.nn.Module):
    """Gives log-probabilities of tokens, and says which ones count."""

    in_keys, out_keys = (), ()

    def __init__(self, log_pi, mask):
        super().__init__()
        self.log_pi, self.mask = log_pi, mask

    def get_dist(self, data, **options):
        return self

    _get_sft_dist = get_dist

    def log_prob(self, tokens):
        return self.log_pi


def group_loss(kind, log_pi, log_mu, adv, mask, log_ref=None, beta=None, **options):
    loss = kind(
        Model(log_pi, mask), entropy_bonus=False, kl_to_ref_coeff=beta, **options
    )
    adv = adv if adv.ndim == 2 else adv[:, None].expand(mask.shape)
    data = {
        "advantage": adv[..., None],
        ("tokens", "full"): mask.long(),
        ("log_probs", "full"): log_mu,
    }
    if log_ref is not None:
        data["next", "ref_log_probs", "full"] = log_ref
    out = loss(TensorDict(data, [len(mask)]))
    return out.loss_objective + (0 if log_ref is None else out.loss_kl_to_ref)


def cases_of_groups():
    for options in {}, {"epsilon_high": 0.28}:

        def per_token(log_pi_t, log_mu_t, adv_t, mask_t, options=options):
            out = group_loss(
                *(GRPOLoss, log_pi_t[None], log_mu_t[None], adv_t[None], mask_t[None]),
                clip_epsilon=bounds(0.2, **options),
                aggregation="none",
            )
            return out.reshape(T)

        log_pi, log_mu = logs(T)
        recorder.case(
            "token_policy_losses",
            'GRPOLoss(aggregation="none")',
            per_token,
            {
                "log_pi_t": log_pi,
                "log_mu_t": log_mu,
                "adv_t": random.standard_normal(T),
                "mask_t": MASK,
            },
            options,
            reached=["log_pi_t"],
        )

    for op, kind, aggregation, options in [
        ("grpo_loss", GRPOLoss, "sequence_mean", {}),
        ("grpo_loss", GRPOLoss, "token_mean", {"beta": 0.1, "epsilon_high": 0.3}),
        ("dapo_loss", DAPO, "token_mean", {"epsilon_high": 0.28}),
    ]:
        theirs = {
            "clip_epsilon": bounds(0.2, options.get("epsilon_high")),
            "aggregation": {"sequence_mean": "prompt_mean"}.get(
                aggregation, aggregation
            ),
            "beta": options.get("beta"),
        }
        log_pi, log_mu = logs(G, 5)
        arguments = {
            "log_pi_t": log_pi,
            "log_mu_t": log_mu,
            "adv": random.standard_normal(G),
            "mask_t": MASKS,
        }
        if "beta" in options:
            arguments["log_ref_t"] = log_pi + 0.3 * random.standard_normal((G, 5))
            arguments["mask_t"] = (
                MASKS | True
            )  # Their KL term counts masked tokens as 0.

        def loss(
            log_pi_t, log_mu_t, adv, mask_t, log_ref_t=None, kind=kind, theirs=theirs
        ):
            return group_loss(
                kind, log_pi_t, log_mu_t, adv, mask_t, log_ref_t, **theirs
            )

        if op == "grpo_loss":
            options = options | {"aggregation": aggregation}
        recorder.case(op, kind.__name__, loss, arguments, options, reached=["log_pi_t"])

    def advantages(reward):
        transform = MCAdvantage(len(reward), "prompt", trajectory_return="sum")
        for r in reward.reshape(-1, 1, 1):
            step = TensorDict({"reward": r, "done": r == r}, [1])
            prompt = torch.zeros(1, dtype=int)
            out = transform.inv(TensorDict({"prompt": prompt, "next": step}, [1]))
        return out["advantage"].reshape(-1)

    recorder.case(
        "group_advantages",
        "MCAdvantage",
        advantages,
        {"reward": random.standard_normal(5)},
        reached=[],
    )


if __name__ == "__main__":
    cases_of_ppo()
    cases_of_groups()
    recorder.write()
