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


def mixture_logprob(sample, logits, mu, sigma):
    parts = stats.norm(mu, sigma).logpdf(sample).sum(-1)
    return special.logsumexp(special.log_softmax(logits) + parts)


def effective_sample_size(log_weights, *, normalize=True):
    size = 1 / np.sum(special.softmax(log_weights) ** 2)
    return size / len(log_weights) if normalize else size


def main():
    recorder = NumpyRecorder("SciPy", "scipy")
    random = np.random.default_rng(7)
    for options in ({}, {"sigma_ratio": 2.0}):
        options = {"min_value": -2.0, "max_value": 3.0, "num_bins": 5, **options}
        recorder.case(
            *("hl_gauss_pair.apply", "truncnorm.cdf"),
            lambda scalar, options=options: hl_gauss(scalar, **options),
            {"scalar": [-9.0, -1.9, 0.1, 3.0]},
            options,
        )
    shape = {"alpha": random.uniform(1, 4, 3), "beta": random.uniform(0.5, 2, 3)}
    for options in ({}, {"min_action": -2.0, "max_action": 0.5}):
        low, high = options.get("min_action", 0.0), options.get("max_action", 1.0)
        for method, function, arguments in (
            (
                "logprob",
                lambda sample, options=options, **x: (
                    beta(**x, **options).logpdf(sample).sum(-1)
                ),
                {"sample": low + (high - low) * np.array([0.1, 0.5, 0.8])},
            ),
            (
                "entropy",
                lambda options=options, **x: beta(**x, **options).entropy().sum(-1),
                {},
            ),
            ("mean", lambda options=options, **x: beta(**x, **options).mean(), {}),
        ):
            recorder.case(
                f"scaled_beta.{method}",
                f"beta.{'logpdf' if method == 'logprob' else method}",
                function,
                {**arguments, **shape},
                options,
            )
    angle = {"loc": [0.3, -2.0, 3.0], "concentration": [0.2, 5.0, 300.0]}
    recorder.case(
        *("von_mises.logprob", "vonmises.logpdf"),
        lambda sample, loc, concentration: stats.vonmises(concentration, loc).logpdf(
            sample
        ),
        {"sample": [1.0, -2.5, 3.1], **angle},
    )
    recorder.case(
        *("von_mises.entropy", "vonmises.entropy"),
        lambda loc, concentration: stats.vonmises(concentration, loc).entropy(),
        angle,
    )
    recorder.case(
        *("gaussian_mixture.logprob", "norm.logpdf, logsumexp", mixture_logprob),
        {
            "sample": random.standard_normal(2),
            "logits": random.standard_normal(3),
            "mu": random.standard_normal((3, 2)),
            "sigma": random.uniform(0.3, 2, (3, 2)),
        },
    )
    for normalize in (True, False):
        recorder.case(
            *("effective_sample_size", "softmax"),
            lambda normalize=normalize, **x: effective_sample_size(
                **x, normalize=normalize
            ),
            {"log_weights": 2 * random.standard_normal(6)},
            {"normalize": normalize},
        )
    recorder.write()


if __name__ == "__main__":
    main()
