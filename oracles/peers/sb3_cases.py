"""stable-baselines3 and sb3-contrib: statistics, noise, distributions, TQC, TRPO."""

import gymnasium
import numpy as np
import torch
from recorder import NumpyRecorder, TorchRecorder
from sb3_contrib.common.maskable.distributions import MaskableCategorical
from sb3_contrib.common.utils import conjugate_gradient_solver, quantile_huber_loss
from stable_baselines3.common import distributions, vec_env
from stable_baselines3.common import noise as noise_of
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import explained_variance


class Game(gymnasium.Env):
    """Gives always the same reward."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, reward):
        self.reward = float(reward)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), self.reward, False, False, {}


def statistics(count, mean, square_sum):
    """Theirs start at a variance, and have a count above 0."""
    state = RunningMeanStd(shape=mean.shape)
    state.count, state.mean, state.var = float(count), mean, square_sum / count
    return state


def numbers(state):
    return state.count, state.mean, state.var * state.count


def update(count, mean, square_sum, x):
    state = statistics(count, mean, square_sum)
    state.update(x)
    return numbers(state)


def merge(count, mean, square_sum, other_count, other_mean, other_square_sum):
    state = statistics(count, mean, square_sum)
    state.combine(statistics(other_count, other_mean, other_square_sum))
    return numbers(state)


def normalizer(rewards, **options):
    games = [lambda reward=reward: Game(reward) for reward in rewards]
    return vec_env.VecNormalize(vec_env.DummyVecEnv(games), **options)


def standardize(x, count, mean, square_sum, *, clip=np.inf):
    norm = normalizer([0.0], clip_obs=clip)
    norm.obs_rms = statistics(count, mean, square_sum)
    return norm.normalize_obs(x)


def scale_rewards(
    r_t, discount_t, return_tm1, count, mean, square_sum, max_abs, *, clip=np.inf
):
    """One step: ours reads a whole sequence, then scales its rewards by one number."""
    gamma = float(discount_t[0, 0])
    norm = normalizer(r_t[0], gamma=gamma, clip_reward=clip, norm_obs=False)
    norm.reset()
    norm.ret_rms = statistics(count, mean, square_sum)
    norm.returns = return_tm1 / gamma  # Ours has the discount in it.
    scaled = norm.step(np.zeros(r_t.shape[1], int))[1]
    largest = max(max_abs, np.abs(norm.returns).max())
    return scaled[None], gamma * norm.returns, *numbers(norm.ret_rms), largest


def ornstein_uhlenbeck_step(noise_tm1, noise, *, theta, sigma, dt, mean):
    process = noise_of.OrnsteinUhlenbeckActionNoise(
        mean * np.ones(3), sigma * np.ones(3), theta, dt, noise_tm1, np.float64
    )
    np.random.seed(0)
    return process()


def on_numpy(random):
    recorder = NumpyRecorder("stable-baselines3", "stable-baselines3")
    each = recorder.each
    state = {"count": 5.0, "mean": [0.3, -1.0], "square_sum": [4.0, 7.0]}
    other = {"other_count": 2.0, "other_mean": [2.0, 0.0]}
    other["other_square_sum"] = [0.5, 1.0]
    x = random.standard_normal((4, 2))
    each(
        *([{}], "update_running_statistics", "RunningMeanStd", update),
        {**state, "x": x},
    )
    each(
        *([{}], "merge_running_statistics", "RunningMeanStd", merge),
        {**state, **other},
    )
    clips = [{}, {"clip": 0.5}]
    each(clips, "standardize", "VecNormalize", standardize, {"x": x, **state})
    each(
        *(clips, "scale_rewards", "VecNormalize", scale_rewards),
        {
            **{"r_t": [[0.3, -2.0]], "discount_t": [[0.9, 0.9]]},
            **{"return_tm1": [1.0, 0.2], "max_abs": 3.0},
            **{"count": 5.0, "mean": 0.3, "square_sum": 4.0},
        },
    )
    each(
        *([{}], "explained_variance", "explained_variance"),
        lambda prediction_t, target_t: explained_variance(prediction_t, target_t),
        {"prediction_t": x[:, 0], "target_t": x[:, 0] + x[:, 1]},
    )
    np.random.seed(0)
    each(
        [{"theta": 0.3, "sigma": 0.4, "dt": 0.1, "mean": 0.2}],
        *("ornstein_uhlenbeck_step", "OrnsteinUhlenbeckActionNoise"),
        ornstein_uhlenbeck_step,
        {"noise_tm1": random.standard_normal(3), "noise": np.random.normal(size=3)},
    )
    return recorder


def multi_categorical(logits, sizes):
    return distributions.MultiCategoricalDistribution(sizes).proba_distribution(logits)


def multi_logprob(sample, logits, sizes):
    return multi_categorical(logits, sizes).log_prob(sample)


def multi_entropy(logits, sizes):
    return multi_categorical(logits, sizes).entropy()


def multi_kl(p_logits, q_logits, sizes):
    both = (multi_categorical(x, sizes) for x in (p_logits, q_logits))
    # One row per component.
    return distributions.kl_divergence(*both).reshape(len(p_logits), -1).sum(-1)


def sample_and_logprob(noise, mu, sigma):
    # Without the number that it adds to 1 - tanh².
    squashed = distributions.SquashedDiagGaussianDistribution(3, epsilon=0.0)
    torch.manual_seed(0)
    action, log_pi = squashed.log_prob_from_params(mu[None], sigma.log()[None])
    return action[0], log_pi[0]


def on_torch(random):
    recorder = TorchRecorder("stable-baselines3", "stable-baselines3")
    for sizes in [2, 3], [4]:
        p, q = random.standard_normal((2, 2, sum(sizes)))
        sample = np.stack([random.integers(size, size=2) for size in sizes], -1)
        for method, function, arguments in (
            ("logprob", multi_logprob, {"sample": sample, "logits": p}),
            ("entropy", multi_entropy, {"logits": p}),
            ("kl", multi_kl, {"p_logits": p, "q_logits": q}),
        ):
            recorder.each(
                *([{"sizes": sizes}], f"multi_discrete.{method}"),
                *("MultiCategoricalDistribution", function, arguments),
                [k for k in arguments if k != "sample"],
            )
    torch.manual_seed(0)
    noise = {"noise": torch.randn(3).numpy()}
    policy = {"mu": random.standard_normal(3), "sigma": random.uniform(0.3, 1, 3)}
    recorder.each(
        *([{}], "tanh_gaussian.sample_and_logprob", "SquashedDiagGaussianDistribution"),
        *(sample_and_logprob, {**noise, **policy}, [*policy]),
    )
    return recorder


def masked(logits, mask, temperature):
    return MaskableCategorical(logits=(logits / temperature)[None], masks=mask[None])


def masked_probs(logits, mask, temperature=1.0):
    return masked(logits, mask, temperature).probs[0]


def masked_entropy(logits, mask, temperature=1.0):
    return masked(logits, mask, temperature).entropy()[0]


def masked_logprob(sample, logits, mask, temperature=1.0):
    return masked(logits, mask, temperature).log_prob(sample)[0]


def tqc_loss(dist_q_tm1, tau, r_t, discount_t, dist_q_t, *, num_dropped):
    critics, atoms = dist_q_t.shape
    kept = dist_q_t.flatten().sort()[0][: critics * (atoms - num_dropped)]
    target = (r_t + discount_t * kept)[None]
    losses = [
        quantile_huber_loss(z[None], target, tau[:, None], sum_over_quantiles=False)
        for z in dist_q_tm1
    ]
    return torch.stack(losses)


def contrib(random):
    recorder = TorchRecorder("sb3-contrib", "sb3-contrib")
    policy = {"logits": random.standard_normal(4)}
    policy["mask"] = np.array([True, False, True, True])
    for method, function, sample in (
        ("probs", masked_probs, {}),
        ("entropy", masked_entropy, {}),
        ("logprob", masked_logprob, {"sample": 2}),
    ):
        recorder.each(
            *([{}, {"temperature": 0.5}], f"masked_softmax.{method}"),
            *("MaskableCategorical", function, {**sample, **policy}, ["logits"]),
        )
    recorder.each(
        *([{"num_dropped": n} for n in (0, 2)], "tqc_loss", "quantile_huber_loss"),
        tqc_loss,
        {
            "dist_q_tm1": 2 * random.standard_normal((2, 4)),
            "tau": [0.1, 0.3, 0.6, 0.9],
            **{"r_t": 0.3, "discount_t": 0.9},
            "dist_q_t": 2 * random.standard_normal((3, 5)),
        },
        ["dist_q_tm1"],
    )
    root = random.standard_normal((4, 4))
    recorder.case(
        *("conjugate_gradient", "conjugate_gradient_solver"),
        # Its earlier iterates are not the textbook's.
        lambda matrix, b: conjugate_gradient_solver(lambda x: matrix @ x, b),
        {"matrix": root @ root.T + np.eye(4), "b": random.standard_normal(4)},
    )
    return recorder


def main():
    torch.set_default_dtype(torch.float64)
    random = np.random.default_rng(5)
    first, second = on_numpy(random), on_torch(random)
    first.cases += second.cases
    for recorder in (first, contrib(random)):
        recorder.write()


if __name__ == "__main__":
    main()
