"""Formulas of papers in plain PyTorch: critics and value learning.

Written from the papers, for ops and modes that no library here has.
"""

import math

import numpy as np
import torch
from recorder import TorchRecorder

STOP = "stop_target_gradients"
BOTH = [{}, {STOP: False}]


def kept(stop, x):
    return x.detach() if stop else x


def soft_error(q_tm1, r_t, discount_t, q_t, log_pi_t, temperature, subset=None, **stop):
    rows = range(len(q_t)) if subset is None else subset.tolist()
    lowest = min((q_t[i] for i in rows), key=float)
    target = r_t + discount_t * (lowest - temperature * log_pi_t)
    return kept(stop.get(STOP, True), target) - q_tm1


def td3_td_error(q_tm1, r_t, discount_t, q_t, subset=None, **stop):
    zero = torch.zeros(())
    return soft_error(q_tm1, r_t, discount_t, q_t, zero, zero, subset, **stop)


def sac_temperature_loss(log_temperature, log_pi_t, target_entropy, *, form="exp"):
    x = log_temperature.exp() if form == "exp" else log_temperature
    return -x * (log_pi_t + target_entropy).detach()


def policy_terms(logits_t):
    """Actions, probabilities, log-probabilities, of those that can happen."""
    actions = [a for a, logit in enumerate(logits_t.tolist()) if logit > -math.inf]
    total = sum(logits_t[a].exp() for a in actions)
    return [(a, logits_t[a].exp() / total) for a in actions]


def discrete_sac_td_error(
    q_tm1, a_tm1, r_t, discount_t, q_t, logits_t, temperature, **stop
):
    value = 0
    for a, p in policy_terms(logits_t):
        value = value + p * (q_t[:, a].min() - temperature * p.log())
    return kept(stop.get(STOP, True), r_t + discount_t * value) - q_tm1[:, a_tm1]


def discrete_sac_policy_loss(logits_t, q_t, temperature):
    loss = 0
    for a, p in policy_terms(logits_t):
        loss = loss + p * (temperature * p.log() - q_t[:, a].min())
    return loss


def ensemble_value(q_t, subset=None, *, penalty=None):
    chosen = q_t if subset is None else q_t[subset]
    if penalty is None:
        return chosen.amin(0)
    mean = chosen.mean(0)
    return mean - penalty * (chosen - mean).square().mean(0).sqrt()


def tqc_loss(
    dist_q_tm1,
    tau,
    r_t,
    discount_t,
    dist_q_t,
    log_pi_t=0.0,
    temperature=0.0,
    *,
    num_dropped,
    huber_param=1.0,
    **stop,
):
    atoms = sorted(dist_q_t.flatten(), key=float)
    atoms = atoms[: len(atoms) - num_dropped * len(dist_q_t)]
    losses = []
    for critic in dist_q_tm1:
        terms = []
        for theta, level in zip(critic, tau, strict=True):
            for z in atoms:
                target = r_t + discount_t * (z - temperature * log_pi_t)
                error = kept(stop.get(STOP, True), target) - theta
                size, k = error.abs(), huber_param
                huber = error**2 / 2 if size <= k else k * (size - k / 2)
                huber = size if k == 0 else huber
                terms.append((level - float(error < 0)).abs().detach() * huber)
        losses.append(sum(terms) / len(terms))
    return torch.stack(losses)


def expectile_q_learning(
    dist_q_tm1, tau_q_tm1, a_tm1, r_t, discount_t, dist_q_t_selector, dist_q_t, **stop
):
    action = int(dist_q_t_selector.mean(0).argmax())
    loss = 0
    for theta, level in zip(dist_q_tm1[:, a_tm1], tau_q_tm1, strict=True):
        for sample in dist_q_t[:, action]:
            error = kept(stop.get(STOP, True), r_t + discount_t * sample) - theta
            weight = level if error >= 0 else 1 - level
            loss = loss + weight * error**2 / len(dist_q_t)
    return loss


def munchausen_q_learning(
    q_tm1,
    a_tm1,
    r_t,
    discount_t,
    q_t,
    q_target_tm1,
    temperature=0.03,
    munchausen=0.9,
    *,
    log_clip=-1.0,
    **stop,
):
    log_pi_tm1 = (q_target_tm1 / temperature).log_softmax(0)
    log_pi_t = (q_t / temperature).log_softmax(0)
    bonus = (temperature * log_pi_tm1[a_tm1]).clamp(log_clip, 0)
    value = (log_pi_t.exp() * (q_t - temperature * log_pi_t)).sum()
    target = r_t + munchausen * bonus + discount_t * value
    return kept(stop.get(STOP, True), target) - q_tm1[a_tm1]


def quantile_embedding(tau, num_cosines=64, *, first=0):
    rows = [torch.cos(math.pi * i * tau) for i in range(first, first + num_cosines)]
    return torch.stack(rows, -1)


def fqf_fractions(logits):
    tau = [torch.zeros(())]
    for p in logits.exp() / logits.exp().sum():
        tau.append(tau[-1] + p)
    middles = [(low + high) / 2 for low, high in zip(tau, tau[1:], strict=False)]
    return torch.stack(tau), torch.stack(middles)


def fqf_fraction_loss(tau, q_tau, q_tau_hat):
    loss = 0
    for i in range(1, len(tau) - 1):
        slope = 2 * q_tau[i - 1] - q_tau_hat[i] - q_tau_hat[i - 1]
        loss = loss + tau[i] * slope.detach()
    return loss


def cql_loss(q_t, q_data, temperature=1.0, *, log_mu_t=0.0):
    total = ((q_t - log_mu_t) / temperature).exp().sum()
    return temperature * total.log() - q_data


def iql_value_loss(v_tm1, q_tm1, expectile=0.7):
    u = q_tm1.min().detach() - v_tm1
    return (expectile if u >= 0 else 1 - expectile) * u**2


def critics(each, random):
    step = {
        "q_tm1": random.standard_normal(3),
        **{"r_t": 0.3, "discount_t": 0.9},
        "q_t": random.standard_normal(4),
    }
    soft = {**step, "log_pi_t": -0.7, "temperature": 0.3}
    subset = {"subset": [2, 0]}
    for options, reached in ({}, ["q_tm1"]), ({STOP: False}, None):
        for more in {}, subset:
            for op, function, numbers, source in (
                ("sac_td_error", soft_error, soft, "arXiv 1801.01290 equation 8"),
                ("td3_td_error", td3_td_error, step, "arXiv 1802.09477 equation 10"),
            ):
                names = reached or [*numbers]
                each([options], op, source, function, {**numbers, **more}, names)
    each(
        *(
            [{}],
            "sac_temperature_loss",
            "arXiv 1812.05905 equation 18",
            sac_temperature_loss,
        ),
        {"log_temperature": -1.2, "log_pi_t": -0.7, "target_entropy": -2.0},
        ["log_temperature"],
    )
    q_tm1, q_t = random.standard_normal((2, 3, 4))
    logits = random.standard_normal(4)
    impossible = np.where(np.arange(4) == 1, -np.inf, logits)
    for policy in logits, impossible:
        step = {"q_tm1": q_tm1, "a_tm1": 2, "r_t": 0.3, "discount_t": 0.9}
        step |= {"q_t": q_t, "logits_t": policy, "temperature": 0.3}
        for options in BOTH:
            each(
                *(
                    [options],
                    "discrete_sac_td_error",
                    "arXiv 1910.07207 equations 10-12",
                ),
                *(discrete_sac_td_error, step),
                [k for k in step if k != "a_tm1"] if options else ["q_tm1"],
            )
        each(
            *([{}], "discrete_sac_policy_loss", "arXiv 1910.07207 equation 12"),
            discrete_sac_policy_loss,
            {"logits_t": policy, "q_t": q_t, "temperature": 0.3},
            ["logits_t"],
        )
    for more in {}, {"subset": [0, 2]}:
        each(
            *([{}, {"penalty": 0.5}], "ensemble_value", "arXiv 2101.05982 algorithm 1"),
            *(ensemble_value, {"q_t": random.standard_normal((3, 2)), **more}, ["q_t"]),
        )
    atoms = {
        "dist_q_tm1": random.standard_normal((2, 4)),
        "tau": [0.1, 0.3, 0.6, 0.9],
        **{"r_t": 0.3, "discount_t": 0.9},
        "dist_q_t": random.standard_normal((3, 5)),
        **{"log_pi_t": -0.7, "temperature": 0.3},
    }
    dropped = {"num_dropped": 2}
    each(
        [{**dropped, "huber_param": k} for k in (0.0, 0.5, 1.0)],
        *(
            "tqc_loss",
            "arXiv 2005.04269 equations 8-11",
            tqc_loss,
            atoms,
            ["dist_q_tm1"],
        ),
    )
    each(
        *(
            [{**dropped, STOP: False}],
            "tqc_loss",
            "arXiv 2005.04269 equations 8-11",
            tqc_loss,
        ),
        *(atoms, [k for k in atoms if k != "tau"]),
    )


def value_learning(each, random):
    step = {"a_tm1": 1, "r_t": 0.3, "discount_t": 0.9}
    expectiles = {
        "dist_q_tm1": random.standard_normal((4, 3)),
        "tau_q_tm1": [0.1, 0.3, 0.6, 0.9],
        **step,
        "dist_q_t_selector": random.standard_normal((2, 3)),
        "dist_q_t": random.standard_normal((5, 3)),
    }
    reached = ["dist_q_tm1", "tau_q_tm1"]
    target = ["r_t", "discount_t", "dist_q_t"]
    for options, names in ({}, reached), ({STOP: False}, reached + target):
        each(
            *([options], "expectile_q_learning", "arXiv 1902.08102 section 3"),
            *(expectile_q_learning, expectiles, names),
        )
    q_tm1, q_t, q_target = random.standard_normal((3, 4))
    step |= {"q_tm1": q_tm1, "q_t": q_t, "q_target_tm1": q_target}
    warm = {"temperature": 0.5}
    each(
        [{}, warm, {**warm, "munchausen": 0.0}, {**warm, "log_clip": -0.1}],
        *(
            "munchausen_q_learning",
            "arXiv 2007.14430 equation 1",
            munchausen_q_learning,
        ),
        *(step, ["q_tm1"]),
    )
    each(
        [{**warm, STOP: False, "log_clip": -9.0}],
        *(
            "munchausen_q_learning",
            "arXiv 2007.14430 equation 1",
            munchausen_q_learning,
        ),
        *(step, [k for k in step if k != "a_tm1"]),
    )
    each(
        *([{"num_cosines": 5}, {"num_cosines": 5, "first": 1}], "quantile_embedding"),
        *("arXiv 1806.06923 equation 4", quantile_embedding),
        *({"tau": random.uniform(size=(2, 2))}, ["tau"]),
    )
    each(
        *([{}], "fqf_fractions", "arXiv 1911.02140 section 3.1", fqf_fractions),
        *({"logits": random.standard_normal(4)}, ["logits"]),
    )
    each(
        *([{}], "fqf_fraction_loss", "arXiv 1911.02140 equation 9", fqf_fraction_loss),
        {
            "tau": [0.0, 0.2, 0.5, 0.9, 1.0],
            "q_tau": random.standard_normal(3),
            "q_tau_hat": random.standard_normal(4),
        },
        ["tau"],
    )
    values = {"q_t": random.standard_normal(4), "q_data": 0.4}
    for more in {}, {"log_mu_t": random.standard_normal(4)}:
        each(
            *(
                [{}, {"temperature": 0.5}],
                "cql_loss",
                "arXiv 2006.04779 equation 4",
                cql_loss,
            ),
            *({**values, **more}, ["q_t", "q_data"]),
        )
    for v in -2.0, 2.0:
        each(
            *(
                [{}, {"expectile": 0.9}],
                "iql_value_loss",
                "arXiv 2110.06169 equation 5",
            ),
            iql_value_loss,
            *({"v_tm1": v, "q_tm1": random.standard_normal(2)}, ["v_tm1"]),
        )


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("the paper's formula", "torch", "papers_values")
    random = np.random.default_rng(10)
    for section in critics, value_learning:
        section(recorder.each, random)
    recorder.write()


if __name__ == "__main__":
    main()
