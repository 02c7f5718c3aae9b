"""TorchRL's world models, normalisers, distributions and noise."""

import numpy as np
import torch
from recorder import TorchRecorder
from tensordict import TensorDict
from torchrl import modules, objectives
from torchrl.data import Unbounded
from torchrl_stubs import Fixed, Half, critics_of_action, reader, td3_loss, transition


def two_hot_encode(scalar, **options):
    return objectives.two_hot_encode(scalar, bins(**options))


def two_hot_decode(probs, **options):
    # Theirs takes logits, and so divides by the sum of the rounded ones.
    return objectives.two_hot_decode(probs.log(), bins(**options)) * probs.sum(-1)


def smoothed_target_action(noise, a_t, *, stddev, noise_clip, min_action, max_action):
    """The action that the critics of TD3 see."""
    seen = []

    def keep(action):
        seen.append(action.detach())
        return action.sum(-1, keepdim=True)

    loss = td3_loss(
        critics_of_action(keep),
        policy_noise=stddev,
        noise_clip=noise_clip,
        bounds=(min_action, max_action),
        deactivate_vmap=True,
    )
    loss.actor_network.module = reader(lambda x: x, "action")
    torch.manual_seed(0)
    loss(transition(0 * a_t, a_t, action=0 * a_t))
    return seen[2][0]


def rnd_error(prediction, target):
    loss = objectives.RNDLoss(Half(0), Half(1), update_fraction=1.0)
    observation = torch.cat([prediction, target])[None]
    return loss(TensorDict({"next": {"observation": observation}}, [1]))[
        "loss_predictor"
    ].double()


def qmix_value(q_t, w_1, b_1, w_2, b_2):
    agents, width = w_1.shape
    mixer = modules.QMixer((1,), width, agents, "cpu")
    mixer.hyper_w_1, mixer.hyper_b_1 = Fixed(w_1), Fixed(b_1)
    mixer.hyper_w_final, mixer.V = Fixed(w_2), Fixed(b_2)
    return mixer(q_t[:, None], torch.zeros(1))[0]


def bins(min_value, max_value, num_bins):
    return objectives.symexp(torch.linspace(min_value, max_value, num_bins))


def balanced_kl_loss(
    post_logits,
    prior_logits,
    *,
    free_nats=1.0,
    dynamics_weight=1.0,
    representation_weight=0.1,
):
    dynamics, representation = objectives.categorical_kl_terms(
        post_logits, prior_logits, free_nats, unimix=0.0
    )
    return dynamics_weight * dynamics + representation_weight * representation


def percentile_scale(
    x, state_low, state_high, *, low=0.05, high=0.95, decay=0.99, minimum=1.0
):
    norm = modules.PercentileValueNorm(
        quantiles=(low, high), rate=1 - decay, min_scale=minimum
    )
    norm.load_state_dict({"low": state_low[None], "high": state_high[None]})
    norm.update(x[:, None])
    return norm.scale()[0], norm.low[0], norm.high[0]


def update_running_statistics(count, mean, square_sum, x):
    norm = modules.RunningValueNorm(shape=mean.shape)
    norm.load_state_dict({"count": count, "mean": mean, "m2": square_sum})
    norm.update(x)
    return norm.count, norm.mean, norm.m2


def ornstein_uhlenbeck_step(noise_tm1, noise, *, theta, sigma, dt, mean):
    process = modules.OrnsteinUhlenbeckProcessModule(
        Unbounded(noise_tm1.shape),
        theta=theta,
        sigma=sigma,
        dt=dt,
        mu=mean,
        eps_init=1.0,
        eps_end=1.0,
    )
    torch.manual_seed(0)
    state = {
        "action": torch.zeros_like(noise_tm1)[None],
        "is_init": torch.zeros(1, 1, dtype=torch.bool),
        "_ou_prev_noise": noise_tm1[None],
        "_ou_steps": torch.ones(1, dtype=torch.long),
    }
    return process(TensorDict(state, [1]))["_ou_prev_noise"][0]


def masked(logits, mask, temperature):
    # Its own mask: it writes there.
    return modules.MaskedCategorical(logits=logits / temperature, mask=mask.clone())


def masked_probs(logits, mask, temperature=1.0):
    return masked(logits, mask, temperature).probs


def masked_entropy(logits, mask, temperature=1.0):
    return masked(logits, mask, temperature).entropy()


def masked_logprob(sample, logits, mask, temperature=1.0):
    return masked(logits, mask, temperature).log_prob(sample)


def squashed(mu, sigma, min_action=-1.0, max_action=1.0):
    return modules.TanhNormal(mu, sigma, low=min_action, high=max_action)


def squashed_logprob(sample, mu, sigma, **bounds):
    return squashed(mu, sigma, **bounds).log_prob(sample)


def squashed_mode(mu, sigma, **bounds):
    return squashed(mu, sigma, **bounds).deterministic_sample


def world_models(each, random):
    x = {"x": [-300.0, -1.5, -0.1, 0.0, 0.2, 40.0]}
    each([{}], "symlog", "symlog", lambda x: objectives.symlog(x), x, ["x"])
    x = {"x": [-3.0, -0.5, 0.0, 1.0, 6.0]}
    each([{}], "symexp", "symexp", lambda x: objectives.symexp(x), x, ["x"])
    for low, high, number in ((-20.0, 20.0, 7), (-2.0, 3.0, 6)):
        pair = [{"min_value": low, "max_value": high, "num_bins": number}]
        each(
            *(pair, "symexp_twohot_pair.apply", "two_hot_encode", two_hot_encode),
            {"scalar": [-8.0, -0.3, 0.0, 2.0, 30.0]},
        )
        weights = random.uniform(size=(2, number))
        each(
            *(pair, "symexp_twohot_pair.apply_inv", "two_hot_decode", two_hot_decode),
            {"probs": weights / weights.sum(-1, keepdims=True)},
        )
    names = ["post_logits", "prior_logits"]
    v2 = {"dynamics_weight": 0.8, "representation_weight": 0.2}
    each(
        [{"free_nats": 0.1}, {"free_nats": 9.0}, {"free_nats": 0.5, **v2}],
        *("balanced_kl_loss", "categorical_kl_terms", balanced_kl_loss),
        dict(zip(names, random.standard_normal((2, 3, 4)), strict=True)),
        names,
    )
    for low, high in (0.0, 0.0), (-1.0, 9.0):
        each(
            [{}, {"low": 0.1, "high": 0.8, "decay": 0.9, "minimum": 0.01}],
            *("percentile_scale", "PercentileValueNorm", percentile_scale),
            {"x": random.standard_normal(7), "state_low": low, "state_high": high},
            [],
        )


def others(each, random):
    prediction, target = random.standard_normal((2, 4))
    each(
        *([{}], "rnd_error", "RNDLoss", rnd_error),
        *({"prediction": prediction, "target": target}, ["prediction"]),
    )
    mixing = {
        "q_t": random.standard_normal(3),
        "w_1": random.standard_normal((3, 4)),
        "b_1": random.standard_normal(4),
        "w_2": random.standard_normal(4),
        "b_2": 0.7,
    }
    each([{}], "qmix_value", "QMixer", qmix_value, mixing, [*mixing])
    for count in 0.0, 5.0:
        each(
            *([{}], "update_running_statistics", "RunningValueNorm"),
            update_running_statistics,
            {
                "count": count,
                "mean": (count > 0) * random.standard_normal(2),
                "square_sum": count * random.uniform(1, 2, 2),
                "x": random.standard_normal((4, 2)),
            },
            [],
        )
    torch.manual_seed(0)  # As before they draw.
    noise = {"noise": torch.randn(3).numpy()}
    each(
        [{"theta": 0.3, "sigma": 0.4, "dt": 0.1, "mean": 0.2}],
        *("ornstein_uhlenbeck_step", "OrnsteinUhlenbeckProcessModule"),
        *(ornstein_uhlenbeck_step, {"noise_tm1": random.standard_normal(3), **noise}),
    )
    names = "stddev", "noise_clip", "min_action", "max_action"
    each(
        [
            dict(zip(names, row, strict=True))
            for row in ((0.2, 0.5, -1.0, 1.0), (0.5, 0.3, -0.4, 0.3))
        ],
        *("smoothed_target_action", "TD3Loss", smoothed_target_action),
        {"a_t": [0.1, 0.2, -0.3], **noise},
    )


def distributions(each, random):
    policy = {"logits": random.standard_normal(4)}
    policy["mask"] = np.array([True, False, True, True])
    for method, function, sample in (
        ("probs", masked_probs, {}),
        ("entropy", masked_entropy, {}),
        ("logprob", masked_logprob, {"sample": 2}),
    ):
        each(
            *([{}, {"temperature": 0.5}], f"masked_softmax.{method}"),
            *("MaskedCategorical", function, {**sample, **policy}, ["logits"]),
        )
    policy = {"mu": random.standard_normal(3), "sigma": random.uniform(0.3, 1, 3)}
    sample = {"sample": [-0.7, 0.1, 0.6]}
    bounds = [{}, {"min_action": -2.0, "max_action": 1.0}]
    each(
        *(bounds, "tanh_gaussian.logprob", "TanhNormal", squashed_logprob),
        *({**sample, **policy}, ["sample", *policy]),
    )
    each(
        *(bounds, "tanh_gaussian.mode", "TanhNormal", squashed_mode),
        *(policy, ["mu"]),
    )


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("TorchRL", "torchrl", "torchrl_models")
    random = np.random.default_rng(4)
    for section in world_models, others, distributions:
        section(recorder.each, random)
    recorder.write()


if __name__ == "__main__":
    main()
