"""SciPy's distributions and special functions."""

import numpy as np
from recorder import NumpyRecorder
from scipy import special, stats


def hl_gauss(scalar, *, min_value, max_value, num_bins, sigma_ratio=0.75):
    sigma = sigma_ratio * (max_value - min_value) / num_bins
    mean = np.clip(scalar, min_value, max_value)[:, None]
    low, high = (min_value - mean) / sigma, (max_value - mean) / sigma
    edges = np.linspace(min_value, max_value, num_bins + 1)
    return np.diff(stats.truncnorm(low, high, mean, sigma).cdf(edges))


def beta(alpha, beta, *, min_action=0.0, max_action=1.0):
    return stats.beta(alpha, beta, min_action, max_action - min_action)


def beta_logprob(sample, **options):
    return beta(**options).logpdf(sample).sum(-1)


def beta_entropy(**options):
    return beta(**options).entropy().sum(-1)


def beta_mean(**options):
    return beta(**options).mean()


def angle_logprob(sample, loc, concentration):
    return stats.vonmises(concentration, loc).logpdf(sample)


def angle_entropy(loc, concentration):
    return stats.vonmises(concentration, loc).entropy()


def mixture_logprob(sample, logits, mu, sigma):
    parts = stats.norm(mu, sigma).logpdf(sample).sum(-1)
    return special.logsumexp(special.log_softmax(logits) + parts)


def effective_sample_size(log_weights, *, normalize=True):
    size = 1 / np.sum(special.softmax(log_weights) ** 2)
    return size / len(log_weights) if normalize else size


def main():
    recorder = NumpyRecorder("SciPy", "scipy")
    random = np.random.default_rng(7)
    each = recorder.each
    bins = {"min_value": -2.0, "max_value": 3.0, "num_bins": 5}
    each(
        *([bins, {**bins, "sigma_ratio": 2.0}], "hl_gauss_pair.apply"),
        *("truncnorm.cdf", hl_gauss, {"scalar": [-9.0, -1.9, 0.1, 3.0]}),
    )
    shape = {"alpha": random.uniform(1, 4, 3), "beta": random.uniform(0.5, 2, 3)}
    sample = {"sample": [0.1, 0.3, 0.45]}
    bounds = [{}, {"min_action": -2.0, "max_action": 0.5}]
    for method, call, function, arguments in (
        ("logprob", "beta.logpdf", beta_logprob, {**sample, **shape}),
        ("entropy", "beta.entropy", beta_entropy, shape),
        ("mean", "beta.mean", beta_mean, shape),
    ):
        each(bounds, f"scaled_beta.{method}", call, function, arguments)
    angle = {"loc": [0.3, -2.0, 3.0], "concentration": [0.2, 5.0, 300.0]}
    each(
        *([{}], "von_mises.logprob", "vonmises.logpdf", angle_logprob),
        {"sample": [1.0, -2.5, 3.1], **angle},
    )
    each([{}], "von_mises.entropy", "vonmises.entropy", angle_entropy, angle)
    each(
        *([{}], "gaussian_mixture.logprob", "norm.logpdf, logsumexp", mixture_logprob),
        {
            "sample": random.standard_normal(2),
            "logits": random.standard_normal(3),
            "mu": random.standard_normal((3, 2)),
            "sigma": random.uniform(0.3, 2, (3, 2)),
        },
    )
    each(
        *([{}, {"normalize": False}], "effective_sample_size", "softmax"),
        *(effective_sample_size, {"log_weights": 2 * random.standard_normal(6)}),
    )
    recorder.write()


if __name__ == "__main__":
    main()
