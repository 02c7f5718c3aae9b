"""Formulas of papers in plain PyTorch: world models, replay, statistics, traces.

Written from the papers, for ops and modes that no library here has.
"""

import math

import numpy as np
import torch
from recorder import TorchRecorder

STOP = "stop_target_gradients"


def kept(stop, x):
    return x.detach() if stop else x


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


def world_models(each, random):
    bins = [
        {"min_value": -3.0, "max_value": 3.0, "num_bins": 7},
        {"min_value": -2.0, "max_value": 3.0, "num_bins": 6},
    ]
    probs = [random.uniform(size=(2, size)) for size in (7, 6)]
    for options, p in zip(bins, probs, strict=True):
        each(
            *(
                [options],
                "symexp_twohot_pair.apply",
                "arXiv 2301.04104 equation 10",
                two_hot,
            ),
            *({"scalar": [-90.0, -1.2, 0.3, 2.0, 90.0]}, ["scalar"]),
        )
        each(
            *(
                [options],
                "symexp_twohot_pair.apply_inv",
                "arXiv 2301.04104 equation 11",
            ),
            *(two_hot_mean, {"probs": p}, ["probs"]),
        )
        options = {**options, "sigma_ratio": 1.5}
        each(
            *(
                [options],
                "hl_gauss_pair.apply",
                "arXiv 2403.03950 equations 5-6",
                hl_gauss,
            ),
            *({"scalar": [-9.0, -1.2, 0.3, 2.0, 9.0]}, ["scalar"]),
        )
        each(
            *([options], "hl_gauss_pair.apply_inv", "arXiv 2403.03950 equations 5-6"),
            *(hl_gauss_mean, {"probs": p}, ["probs"]),
        )
    each(
        *([{}, {"fraction": 0.3}], "uniform_mix", "arXiv 2301.04104 section 3"),
        *(uniform_mix, {"logits": 2 * random.standard_normal((2, 4))}, ["logits"]),
    )


def data(each, random):
    priority = {"priority": random.uniform(size=5)}
    mask = {"mask": np.array([True, False, True, True, False])}
    for given in priority, {**priority, **mask}, {"priority": np.zeros(5), **mask}:
        each(
            *([{}, {"exponent": 1.0}], "prioritized_probabilities"),
            *("arXiv 1511.05952 equation 1", prioritized_probabilities, given, []),
        )
    each(
        [{}, {"exponent": 1.0, "size": 50, "normalize": "none"}],
        *("importance_sampling_weights", "arXiv 1511.05952 section 3.4"),
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
        *([{}], "merge_running_statistics", "Chan et al. 1979"),
        *(merge, {**state, **other}, []),
    )
    each(
        *([{"epsilon": 0.1}, {"clip": 0.5}], "standardize", "definition"),
        *(standardize, {"x": x, **state}, ["x"]),
    )
    each(
        [{}, {"clip": 0.5}, {"max_return": 0.5, "epsilon": 0.1}],
        *("scale_rewards", "arXiv 2502.15280 equations 19-20", scale_rewards),
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
        *([{}], "scale_gradient", "arXiv 1911.08265 appendix G", scale_gradient),
        *({"x": random.standard_normal(3), "scale": 0.5}, ["x"]),
    )
    root = random.standard_normal((4, 4))
    each(
        *([{"iterations": 1}, {"iterations": 2}], "conjugate_gradient"),
        *("Hestenes and Stiefel 1952", conjugate_gradient),
        {"matrix": root @ root.T + np.eye(4), "b": random.standard_normal(4)},
    )


def checks(each, random):
    for distance in 0.1, 0.3:
        each(
            *(
                [{}, {"factor": 2.0}],
                "adapt_parameter_noise",
                "arXiv 1706.01905 equation 8",
            ),
            adapt_parameter_noise,
            {"stddev": 0.7, "distance": distance, "target_distance": 0.2},
        )
    ratios = np.array([0.5, 0.75, 1.0, 1.25, 1.7, 0.6])
    given = {"prob_ratios_t": ratios, "epsilon": 0.2}
    more = {"adv_t": [1.0, -1.0, 1.0, 1.0, -1.0, -1.0]}
    more["mask_t"] = np.array([True, True, True, False, True, True])
    for extra in {}, more:
        each(
            *(
                [{}, {"epsilon_high": 0.4}],
                "clip_fraction",
                "arXiv 1707.06347 equation 7",
            ),
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
    recorder = TorchRecorder("the paper's formula", "torch", "papers_data")
    random = np.random.default_rng(12)
    for section in world_models, data, checks:
        section(recorder.each, random)
    recorder.write()


if __name__ == "__main__":
    main()
