"""Formulas of papers in plain PyTorch: policies, several agents, options.

Written from the papers, for ops and modes that no library here has.
"""

import numpy as np
import torch
from recorder import TorchRecorder

STOP = "stop_target_gradients"
BOTH = [{}, {STOP: False}]


def kept(stop, x):
    return x.detach() if stop else x


def advantage_weighted_policy_loss(
    log_pi_t, adv_t, temperature=1.0, *, weight="exp", max_weight=100.0
):
    w = (adv_t / temperature).exp().clamp(max=max_weight)
    if weight == "binary":
        w = (adv_t > 0) * 1.0
    return -w.detach() * log_pi_t


def td3_bc_policy_loss(q_t, a_pi_t, a_t, alpha=2.5):
    scale = alpha / q_t.abs().mean().detach()
    return -scale * q_t.mean() + (a_pi_t - a_t).square().mean()


def flow_actions(matrix, shift, x_0, num_steps=10):
    x = x_0
    for i in range(num_steps):
        x = x + (torch.tanh(matrix @ x) + i / num_steps * shift) / num_steps
    return x


def fql_policy_loss(q_t, a_pi_t, a_flow_t, alpha=10.0, *, normalize_q=False):
    scale = 1 / q_t.abs().mean().detach() if normalize_q else 1.0
    distance = (a_pi_t - a_flow_t.detach()).square().mean()
    return alpha * distance - scale * q_t.mean()


def cmpo_policy(prior_logits, adv_t, *, clip=1.0):
    weights = prior_logits.exp() * adv_t.clamp(-clip, clip).exp()
    return weights / weights.sum()


def gumbel_improved_policy(prior_logits, q_t, visits, v_t, epsilon=1e-8):
    """Appendix D equation 33 for the value of the actions without a visit."""
    prior = prior_logits.softmax(0)
    seen = [a for a in range(len(q_t)) if visits[a] > 0]
    number = visits.sum()
    mass = sum(prior[a] for a in seen)
    mean = sum(prior[a] * q_t[a] for a in seen) / mass
    mixed = (v_t + number * mean) / (1 + number)
    completed = torch.stack([q_t[a] if a in seen else mixed for a in range(len(q_t))])
    low, high = completed.min(), completed.max()
    scaled = (completed - low) / (high - low).clamp(min=epsilon)
    return (prior_logits + (50 + visits.max()) * 0.1 * scaled).softmax(0)


def option_losses(beta_t, q_t, o_tm1, *, cost=0.0):
    best = q_t.max()
    value = (1 - beta_t) * q_t[o_tm1] + beta_t * best
    return value, beta_t * (q_t[o_tm1] - best + cost).detach()


def magic_box(x):
    return (x - x.detach()).exp()


def dice_loss(log_pi_t, r_t, discount_t, baseline_t=None, mask_t=None):
    steps = range(len(r_t)) if mask_t is None else mask_t.nonzero()[:, 0].tolist()
    loss, log_pi, weight = 0, 0, 1.0
    for t in steps:
        log_pi = log_pi + log_pi_t[t]
        loss = loss - weight * magic_box(log_pi) * r_t[t].detach()
        if baseline_t is not None:
            cost = (1 - magic_box(log_pi_t[t])) * baseline_t[t].detach()
            loss = loss - weight * cost
        weight = weight * discount_t[t].detach()
    return loss


def coma_advantage(q_t, a_t, pi_t):
    return q_t[a_t] - sum(p * q for p, q in zip(pi_t, q_t, strict=True))


def qmix_value(q_t, w_1, b_1, w_2, b_2):
    hidden = q_t @ w_1.abs() + b_1
    hidden = torch.where(hidden > 0, hidden, hidden.exp() - 1)
    return hidden @ w_2.abs() + b_2


def successor_feature_td_error(psi_tm1, a_tm1, phi_t, discount_t, psi_t, a_t, **stop):
    target = phi_t + discount_t * psi_t[a_t]
    return kept(stop.get(STOP, True), target) - psi_tm1[a_tm1]


def gpi_action_values(psi_t, w):
    number, actions, _ = psi_t.shape
    return torch.stack(
        [
            torch.stack([(psi_t[i, a] * w).sum() for i in range(number)]).max()
            for a in range(actions)
        ]
    )


def policies(each, random):
    each(
        [{"weight": "binary"}, {"temperature": 0.5, "max_weight": 20.0}],
        *("advantage_weighted_policy_loss", "arXiv 2006.15134 equations 3-4"),
        advantage_weighted_policy_loss,
        {"log_pi_t": random.standard_normal(4), "adv_t": [-1.0, 0.0, 1.0, 7.0]},
        ["log_pi_t"],
    )
    actions = dict(zip(("a_pi_t", "a_t"), random.standard_normal((2, 4, 2))))
    q_t = {"q_t": random.standard_normal(4)}
    each(
        *(
            [{}],
            "td3_bc_policy_loss",
            "arXiv 2106.06860 equations 3-5",
            td3_bc_policy_loss,
        ),
        *({**q_t, **actions}, ["q_t", "a_pi_t"]),
    )
    each(
        *([{}, {"alpha": 3.0, "normalize_q": True}], "fql_policy_loss"),
        *("arXiv 2502.02538 equations 7-8", fql_policy_loss),
        {**q_t, "a_pi_t": actions["a_pi_t"], "a_flow_t": actions["a_t"]},
        ["q_t", "a_pi_t"],
    )
    field = {
        "matrix": random.standard_normal((3, 3)),
        **dict(zip(("shift", "x_0"), random.standard_normal((2, 3)))),
    }
    each(
        *([{}, {"num_steps": 1}], "flow_actions", "arXiv 2502.02538 section 4"),
        *(flow_actions, field, [*field]),
    )
    logits, adv = random.standard_normal((2, 4)) * [[1.0], [2.0]]
    each(
        *(
            [{}, {"clip": 0.5}],
            "cmpo_policy",
            "arXiv 2104.06159 equation 7",
            cmpo_policy,
        ),
        *({"prior_logits": logits, "adv_t": adv}, []),
    )
    search = {"prior_logits": logits, "q_t": adv, "visits": [2, 0, 1, 0], "v_t": 0.3}
    each(
        *([{}], "gumbel_improved_policy", "Danihelka et al. 2022 equations 10, 33"),
        *(gumbel_improved_policy, search, ["prior_logits", "q_t", "v_t"]),
    )
    each(
        *(
            [{}, {"cost": 0.1}],
            "option_losses",
            "arXiv 1609.05140 equation 3, theorem 2",
        ),
        option_losses,
        *({"beta_t": 0.3, "q_t": logits, "o_tm1": 1}, ["beta_t", "q_t"]),
    )
    each(
        *(
            [{}],
            "magic_box",
            "arXiv 1802.05098 equation 7",
            magic_box,
            {"x": logits},
            ["x"],
        ),
    )
    episode = {
        "log_pi_t": -random.uniform(0.1, 2, 5),
        "r_t": random.standard_normal(5),
        "discount_t": [0.9, 1.0, 0.8, 0.9, 0.9],
    }
    more = {"baseline_t": random.standard_normal(5)}
    more["mask_t"] = np.array([True, True, False, True, False])
    for given in {}, more:
        each(
            *([{}], "dice_loss", "arXiv 1802.05098 equations 6, 13", dice_loss),
            *({**episode, **given}, ["log_pi_t"]),
        )
    pi = np.exp(logits) / np.exp(logits).sum()
    each(
        *([{}], "coma_advantage", "arXiv 1705.08926 equation 4", coma_advantage),
        *({"q_t": adv, "a_t": 2, "pi_t": pi}, ["q_t", "pi_t"]),
    )
    mixing = {
        "q_t": random.standard_normal(3),
        "w_1": random.standard_normal((3, 4)),
        "b_1": random.standard_normal(4),
        "w_2": random.standard_normal(4),
        "b_2": 0.7,
    }
    each(
        *(
            [{}],
            "qmix_value",
            "arXiv 1803.11485 equation 5",
            qmix_value,
            mixing,
            [*mixing],
        ),
    )
    psi = {
        **{"psi_tm1": random.standard_normal((3, 2)), "a_tm1": 2},
        **{"phi_t": random.standard_normal(2), "discount_t": 0.9},
        **{"psi_t": random.standard_normal((3, 2)), "a_t": 0},
    }
    for options in BOTH:
        each(
            *([options], "successor_feature_td_error", "arXiv 1606.05312 equation 4"),
            *(successor_feature_td_error, psi),
            ["psi_tm1", "phi_t", "discount_t", "psi_t"] if options else ["psi_tm1"],
        )
    features = {
        "psi_t": random.standard_normal((2, 3, 4)),
        "w": random.standard_normal(4),
    }
    each(
        *(
            [{}],
            "gpi_action_values",
            "arXiv 1606.05312 equations 7-8",
            gpi_action_values,
        ),
        *(features, [*features]),
    )


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("the paper's formula", "torch", "papers_control")
    random = np.random.default_rng(11)
    policies(recorder.each, random)
    recorder.write()


if __name__ == "__main__":
    main()
