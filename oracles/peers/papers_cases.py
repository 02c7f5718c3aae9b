"""Formulas of papers in plain PyTorch, for the ops of control and value learning.

Written from the papers, for ops and modes that no library here has. `stop` of a formula
says whether its target is a constant.
"""

import math

import numpy as np
import torch
from recorder import TorchRecorder

STOP = "stop_target_gradients"
BOTH = [{}, {STOP: False}]


def kept(stop, x):
    return x.detach() if stop else x


# Values


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


# Policies


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


# World models


def symexp_bins(min_value, max_value, num_bins):
    places = [
        min_value + i * (max_value - min_value) / (num_bins - 1)
        for i in range(num_bins)
    ]
    return torch.tensor([math.copysign(math.expm1(abs(x)), x) for x in places])


def two_hot(scalar, **options):
    bins = symexp_bins(**options)
    rows = []
    for x in scalar:
        x = x.clamp(bins[0], bins[-1])
        high = max(1, sum(float(b) < float(x) for b in bins))
        low, weights = high - 1, [0 * x] * len(bins)
        weights[high] = (x - bins[low]) / (bins[high] - bins[low])
        weights[low] = (bins[high] - x) / (bins[high] - bins[low])
        rows.append(torch.stack(weights))
    return torch.stack(rows)


def two_hot_mean(probs, **options):
    return probs @ symexp_bins(**options)


def hl_gauss(scalar, *, min_value, max_value, num_bins, sigma_ratio=0.75):
    width = (max_value - min_value) / num_bins
    edges = [min_value + i * width for i in range(num_bins + 1)]
    rows = []
    for y in scalar:
        y = y.clamp(min_value, max_value)
        z = [torch.erf((e - y) / (math.sqrt(2) * sigma_ratio * width)) for e in edges]
        masses = [z[i + 1] - z[i] for i in range(num_bins)]
        rows.append(torch.stack(masses) / (z[-1] - z[0]))
    return torch.stack(rows)


def hl_gauss_mean(probs, *, min_value, max_value, num_bins, sigma_ratio=0.75):
    width = (max_value - min_value) / num_bins
    centres = [min_value + (i + 0.5) * width for i in range(num_bins)]
    return probs @ torch.tensor(centres)


def uniform_mix(logits, fraction=0.01):
    size = logits.shape[-1]
    return ((1 - fraction) * logits.softmax(-1) + fraction / size).log()


# Replay, normalisers, traces


def prioritized_probabilities(priority, mask=None, exponent=0.6):
    if not priority.any():
        priority = torch.ones_like(priority)
    powers = priority**exponent
    powers = powers if mask is None else powers * mask
    return powers / powers.sum()


def importance_sampling_weights(
    probability, exponent=0.4, *, size=None, normalize="max"
):
    size = size or len(probability)
    weights = [float(p > 0) and float(size * p) ** -exponent for p in probability]
    top = max(weights) if normalize == "max" else 1.0
    return torch.tensor(weights) / top


def r2d2_priority(td_error_t, mask_t=None, *, eta=0.9):
    errors = td_error_t if mask_t is None else td_error_t[mask_t]
    return eta * errors.abs().max() + (1 - eta) * errors.abs().mean()


def masked_update(count, mean, square_sum, x, mask):
    """Of all numbers so far, which have this mean and sum of squares."""
    square_sum, total = square_sum + count * mean**2, count * mean
    for row, counts in zip(x, mask, strict=True):
        if counts:
            count, total, square_sum = count + 1, total + row, square_sum + row**2
    return count, total / count, square_sum - total**2 / count


def merge(count, mean, square_sum, other_count, other_mean, other_square_sum):
    total = count + other_count
    new = (count * mean + other_count * other_mean) / total
    spread = count * (mean - new) ** 2 + other_count * (other_mean - new) ** 2
    return total, new, square_sum + other_square_sum + spread


def standardize(x, count, mean, square_sum, *, clip=math.inf, epsilon=1e-8):
    return ((x - mean) / (square_sum / count + epsilon).sqrt()).clamp(-clip, clip)


def scale_rewards(
    r_t,
    discount_t,
    return_tm1,
    count,
    mean,
    square_sum,
    max_abs,
    *,
    clip=math.inf,
    epsilon=1e-8,
    max_return=None,
):
    returns, carried = [], return_tm1
    for r, discount in zip(r_t, discount_t, strict=True):
        returns.append(carried + r)
        carried = discount * returns[-1]
    every = torch.stack(returns).flatten()
    new = masked_update(count, mean, square_sum, every, [True] * len(every))
    largest = torch.maximum(max_abs, every.abs().max())
    scale = (new[2] / new[0] + epsilon).sqrt()
    if max_return is not None:
        scale = torch.maximum(scale, largest / max_return)
    return (r_t / scale).clamp(-clip, clip), carried, *new, largest


def upgo_returns(r_t, discount_t, v_t, stop_target_gradients=False):
    following, out = v_t[-1], [None] * len(r_t)
    for t in reversed(range(len(r_t))):
        if t + 1 < len(r_t):
            better = r_t[t + 1] + discount_t[t + 1] * v_t[t + 1] >= v_t[t]
            following = torch.where(better, following, v_t[t])
        following = out[t] = r_t[t] + discount_t[t] * following
    return kept(stop_target_gradients, torch.stack(out))


def eligibility_trace(
    trace_tm1, gradient, discount_t, lambda_, *, kind="accumulating", step_size=None
):
    decayed = discount_t * lambda_ * trace_tm1
    if kind == "replacing":
        return torch.where(gradient != 0, gradient, decayed)
    if kind == "dutch":
        overlap = step_size * discount_t * lambda_ * (trace_tm1 * gradient).sum()
        return decayed + (1 - overlap) * gradient
    return decayed + gradient


def scale_gradient(x, scale):
    return x.detach() + (x - x.detach()) * scale.detach()


def conjugate_gradient(matrix, b, *, iterations):
    x, residual, direction = 0 * b, b, b
    for _ in range(iterations):
        product = matrix @ direction
        length = (residual @ residual) / (direction @ product)
        x, rest = x + length * direction, residual - length * product
        direction = rest + (rest @ rest) / (residual @ residual) * direction
        residual = rest
    return x


# Exploration, diagnostics


def adapt_parameter_noise(stddev, distance, target_distance, factor=1.01):
    return stddev * factor if distance <= target_distance else stddev / factor


def clip_fraction(
    prob_ratios_t, epsilon, adv_t=None, mask_t=None, *, epsilon_high=None
):
    high = epsilon if epsilon_high is None else epsilon_high
    hits = []
    for i, ratio in enumerate(prob_ratios_t.tolist()):
        above, below = ratio > 1 + high, ratio < 1 - epsilon
        if adv_t is not None:
            above, below = above and adv_t[i] > 0, below and adv_t[i] < 0
        if mask_t is None or mask_t[i]:
            hits.append(float(above or below))
    return torch.tensor(sum(hits) / len(hits))


def explained_variance(prediction_t, target_t, mask_t):
    rest = (target_t - prediction_t)[mask_t]
    return 1 - rest.var(correction=0) / target_t[mask_t].var(correction=0)


def effective_sample_size(log_weights, mask, *, normalize=True):
    weights = log_weights[mask].exp()
    size = weights.sum() ** 2 / weights.square().sum()
    return size / mask.sum() if normalize else size


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
                ("sac_td_error", soft_error, soft, "1801.01290 eq. 8"),
                ("td3_td_error", td3_td_error, step, "1802.09477 eq. 10"),
            ):
                names = reached or [*numbers]
                each([options], op, source, function, {**numbers, **more}, names)
    each(
        *([{}], "sac_temperature_loss", "1812.05905 eq. 18", sac_temperature_loss),
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
                *([options], "discrete_sac_td_error", "1910.07207 eq. 10-12"),
                *(discrete_sac_td_error, step),
                [k for k in step if k != "a_tm1"] if options else ["q_tm1"],
            )
        each(
            *([{}], "discrete_sac_policy_loss", "1910.07207 eq. 12"),
            discrete_sac_policy_loss,
            {"logits_t": policy, "q_t": q_t, "temperature": 0.3},
            ["logits_t"],
        )
    for more in {}, {"subset": [0, 2]}:
        each(
            *([{}, {"penalty": 0.5}], "ensemble_value", "2101.05982 alg. 1"),
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
        *("tqc_loss", "2005.04269 eq. 8-11", tqc_loss, atoms, ["dist_q_tm1"]),
    )
    each(
        *([{**dropped, STOP: False}], "tqc_loss", "2005.04269 eq. 8-11", tqc_loss),
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
            *([options], "expectile_q_learning", "1902.08102 def. 3.3"),
            *(expectile_q_learning, expectiles, names),
        )
    q_tm1, q_t, q_target = random.standard_normal((3, 4))
    step |= {"q_tm1": q_tm1, "q_t": q_t, "q_target_tm1": q_target}
    warm = {"temperature": 0.5}
    each(
        [{}, warm, {**warm, "munchausen": 0.0}, {**warm, "log_clip": -0.1}],
        *("munchausen_q_learning", "2007.14430 eq. 1", munchausen_q_learning),
        *(step, ["q_tm1"]),
    )
    each(
        [{**warm, STOP: False, "log_clip": -9.0}],
        *("munchausen_q_learning", "2007.14430 eq. 1", munchausen_q_learning),
        *(step, [k for k in step if k != "a_tm1"]),
    )
    each(
        *([{"num_cosines": 5}, {"num_cosines": 5, "first": 1}], "quantile_embedding"),
        *("1806.06923 eq. 4", quantile_embedding),
        *({"tau": random.uniform(size=(2, 2))}, ["tau"]),
    )
    each(
        *([{}], "fqf_fractions", "1911.02140 section 3.1", fqf_fractions),
        *({"logits": random.standard_normal(4)}, ["logits"]),
    )
    each(
        *([{}], "fqf_fraction_loss", "1911.02140 eq. 9", fqf_fraction_loss),
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
            *([{}, {"temperature": 0.5}], "cql_loss", "2006.04779 eq. 4", cql_loss),
            *({**values, **more}, ["q_t", "q_data"]),
        )
    for v in -2.0, 2.0:
        each(
            *([{}, {"expectile": 0.9}], "iql_value_loss", "2110.06169 eq. 5"),
            iql_value_loss,
            *({"v_tm1": v, "q_tm1": random.standard_normal(2)}, ["v_tm1"]),
        )


def policies(each, random):
    each(
        [{"weight": "binary"}, {"temperature": 0.5, "max_weight": 20.0}],
        *("advantage_weighted_policy_loss", "2006.15134 eq. 3-4"),
        advantage_weighted_policy_loss,
        {"log_pi_t": random.standard_normal(4), "adv_t": [-1.0, 0.0, 1.0, 7.0]},
        ["log_pi_t"],
    )
    actions = dict(zip(("a_pi_t", "a_t"), random.standard_normal((2, 4, 2))))
    q_t = {"q_t": random.standard_normal(4)}
    each(
        *([{}], "td3_bc_policy_loss", "2106.06860 eq. 3-5", td3_bc_policy_loss),
        *({**q_t, **actions}, ["q_t", "a_pi_t"]),
    )
    each(
        *([{}, {"alpha": 3.0, "normalize_q": True}], "fql_policy_loss"),
        *("2502.02538 eq. 7-8", fql_policy_loss),
        {**q_t, "a_pi_t": actions["a_pi_t"], "a_flow_t": actions["a_t"]},
        ["q_t", "a_pi_t"],
    )
    field = {
        "matrix": random.standard_normal((3, 3)),
        **dict(zip(("shift", "x_0"), random.standard_normal((2, 3)))),
    }
    each(
        *([{}, {"num_steps": 1}], "flow_actions", "2502.02538 section 4"),
        *(flow_actions, field, [*field]),
    )
    logits, adv = random.standard_normal((2, 4)) * [[1.0], [2.0]]
    each(
        *([{}, {"clip": 0.5}], "cmpo_policy", "2104.06159 eq. 7", cmpo_policy),
        *({"prior_logits": logits, "adv_t": adv}, []),
    )
    search = {"prior_logits": logits, "q_t": adv, "visits": [2, 0, 1, 0], "v_t": 0.3}
    each(
        *([{}], "gumbel_improved_policy", "Danihelka et al. 2022 eq. 10, 33"),
        *(gumbel_improved_policy, search, ["prior_logits", "q_t", "v_t"]),
    )
    each(
        *([{}, {"cost": 0.1}], "option_losses", "1609.05140 eq. 3, theorem 2"),
        option_losses,
        *({"beta_t": 0.3, "q_t": logits, "o_tm1": 1}, ["beta_t", "q_t"]),
    )
    each(
        *([{}], "magic_box", "1802.05098 eq. 7", magic_box, {"x": logits}, ["x"]),
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
            *([{}], "dice_loss", "1802.05098 eq. 6, 13", dice_loss),
            *({**episode, **given}, ["log_pi_t"]),
        )
    pi = np.exp(logits) / np.exp(logits).sum()
    each(
        *([{}], "coma_advantage", "1705.08926 eq. 4", coma_advantage),
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
        *([{}], "qmix_value", "1803.11485 eq. 5", qmix_value, mixing, [*mixing]),
    )
    psi = {
        **{"psi_tm1": random.standard_normal((3, 2)), "a_tm1": 2},
        **{"phi_t": random.standard_normal(2), "discount_t": 0.9},
        **{"psi_t": random.standard_normal((3, 2)), "a_t": 0},
    }
    for options in BOTH:
        each(
            *([options], "successor_feature_td_error", "1606.05312 eq. 4"),
            *(successor_feature_td_error, psi),
            ["psi_tm1", "phi_t", "discount_t", "psi_t"] if options else ["psi_tm1"],
        )
    features = {
        "psi_t": random.standard_normal((2, 3, 4)),
        "w": random.standard_normal(4),
    }
    each(
        *([{}], "gpi_action_values", "1606.05312 eq. 7-8", gpi_action_values),
        *(features, [*features]),
    )


def world_models(each, random):
    bins = [
        {"min_value": -3.0, "max_value": 3.0, "num_bins": 7},
        {"min_value": -2.0, "max_value": 3.0, "num_bins": 6},
    ]
    probs = [random.uniform(size=(2, size)) for size in (7, 6)]
    for options, p in zip(bins, probs, strict=True):
        each(
            *([options], "symexp_twohot_pair.apply", "2301.04104 eq. 10", two_hot),
            *({"scalar": [-90.0, -1.2, 0.3, 2.0, 90.0]}, ["scalar"]),
        )
        each(
            *([options], "symexp_twohot_pair.apply_inv", "2301.04104 eq. 11"),
            *(two_hot_mean, {"probs": p}, ["probs"]),
        )
        options = {**options, "sigma_ratio": 1.5}
        each(
            *([options], "hl_gauss_pair.apply", "2403.03950 eq. 5-6", hl_gauss),
            *({"scalar": [-9.0, -1.2, 0.3, 2.0, 9.0]}, ["scalar"]),
        )
        each(
            *([options], "hl_gauss_pair.apply_inv", "2403.03950 eq. 5-6"),
            *(hl_gauss_mean, {"probs": p}, ["probs"]),
        )
    each(
        *([{}, {"fraction": 0.3}], "uniform_mix", "2301.04104 section 3"),
        *(uniform_mix, {"logits": 2 * random.standard_normal((2, 4))}, ["logits"]),
    )


def data(each, random):
    priority = {"priority": random.uniform(size=5)}
    mask = {"mask": np.array([True, False, True, True, False])}
    for given in priority, {**priority, **mask}, {"priority": np.zeros(5), **mask}:
        each(
            *([{}, {"exponent": 1.0}], "prioritized_probabilities"),
            *("1511.05952 eq. 1", prioritized_probabilities, given, []),
        )
    each(
        [{}, {"exponent": 1.0, "size": 50, "normalize": "none"}],
        *("importance_sampling_weights", "1511.05952 section 3.4"),
        *(importance_sampling_weights, {"probability": [0.1, 0.4, 0.0, 0.3]}, []),
    )
    errors = {"td_error_t": random.standard_normal(5)}
    for given in errors, {**errors, "mask_t": mask["mask"]}:
        each(
            *([{}, {"eta": 0.5}], "r2d2_priority", "Kapturowski et al. 2019 §2.3"),
            *(r2d2_priority, given, []),
        )
    state = {"count": 5.0, "mean": [0.3, -1.0], "square_sum": [4.0, 7.0]}
    x = random.standard_normal((4, 2))
    each(
        *([{}], "update_running_statistics", "definition of mean and variance"),
        *(masked_update, {**state, "x": x, "mask": [True, False, True, True]}, []),
    )
    other = {"other_count": 2.0, "other_mean": [2.0, 0.0]}
    other["other_square_sum"] = [0.5, 1.0]
    each(
        *([{}], "merge_running_statistics", "Chan et al. 1979 eq. 2.1"),
        *(merge, {**state, **other}, []),
    )
    each(
        *([{"epsilon": 0.1}, {"clip": 0.5}], "standardize", "definition"),
        *(standardize, {"x": x, **state}, ["x"]),
    )
    each(
        [{}, {"clip": 0.5}, {"max_return": 0.5, "epsilon": 0.1}],
        *("scale_rewards", "2502.15280 eq. 19-20", scale_rewards),
        {
            **{"r_t": x, "discount_t": np.where(x > 1, 0, 0.9)},
            **{"return_tm1": [1.0, 0.2], "max_abs": 1.5},
            **{"count": 5.0, "mean": 0.3, "square_sum": 4.0},
        },
        [],
    )
    for shape in (5,), (5, 2):
        names = ["r_t", "discount_t", "v_t"]
        r_t, v_t = random.standard_normal((2, *shape))
        steps = dict(zip(names, (r_t, random.uniform(size=shape), v_t)))
        for options in {}, {STOP: True}:
            each(
                *([options], "upgo_returns", "Vinyals et al. 2019 Methods"),
                *(upgo_returns, steps, [] if options else names),
            )
    traces = {
        **{"trace_tm1": random.standard_normal(4), "gradient": [0.3, 0.0, -1.0, 0.0]},
        **{"discount_t": 0.9, "lambda_": 0.8},
    }
    each(
        [{}, {"kind": "replacing"}, {"kind": "dutch", "step_size": 0.1}],
        *("eligibility_trace", "Sutton & Barto 2018 §12.4-12.6"),
        *(eligibility_trace, traces, [*traces]),
    )
    each(
        *([{}], "scale_gradient", "1911.08265 appendix G", scale_gradient),
        *({"x": random.standard_normal(3), "scale": 0.5}, ["x"]),
    )
    root = random.standard_normal((4, 4))
    each(
        *([{"iterations": 1}, {"iterations": 2}], "conjugate_gradient"),
        *("Hestenes and Stiefel 1952 §3", conjugate_gradient),
        {"matrix": root @ root.T + np.eye(4), "b": random.standard_normal(4)},
    )


def checks(each, random):
    for distance in 0.1, 0.3:
        each(
            *([{}, {"factor": 2.0}], "adapt_parameter_noise", "1706.01905 eq. 8"),
            adapt_parameter_noise,
            {"stddev": 0.7, "distance": distance, "target_distance": 0.2},
        )
    ratios = np.array([0.5, 0.75, 1.0, 1.25, 1.7, 0.6])
    given = {"prob_ratios_t": ratios, "epsilon": 0.2}
    more = {"adv_t": [1.0, -1.0, 1.0, 1.0, -1.0, -1.0]}
    more["mask_t"] = np.array([True, True, True, False, True, True])
    for extra in {}, more:
        each(
            *([{}, {"epsilon_high": 0.4}], "clip_fraction", "1707.06347 eq. 7"),
            *(clip_fraction, {**given, **extra}, []),
        )
    mask = more["mask_t"]
    pair = dict(zip(("prediction_t", "target_t"), random.standard_normal((2, 6))))
    each(
        *([{}], "explained_variance", "definition", explained_variance),
        *({**pair, "mask_t": mask}, []),
    )
    each(
        *([{}, {"normalize": False}], "effective_sample_size", "Kong 1992"),
        effective_sample_size,
        *({"log_weights": random.standard_normal(6), "mask": mask}, []),
    )


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("the paper's formula", "torch", "papers")
    random = np.random.default_rng(10)
    for section in critics, value_learning, policies, world_models, data, checks:
        section(recorder.each, random)
    recorder.write()


if __name__ == "__main__":
    main()
