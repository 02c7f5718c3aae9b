"""PPO of stable-baselines3: one epoch of one minibatch, without an optimizer."""

import types

import numpy as np
import torch
from recorder import TorchRecorder
from stable_baselines3 import PPO

recorder = TorchRecorder(*("stable-baselines3", "stable-baselines3", "sb3_policy"))
random = np.random.default_rng(4)
T = 7


def ppo(log_pi, v, adv, *, v_old=None, target=None, normalize=False, epsilon=0.2):
    """Both losses, which the logger gets, and leaves gradients."""
    zeros = torch.zeros_like(adv)
    v_old, target = (zeros if x is None else x for x in (v_old, target))
    losses = {}
    policy = types.SimpleNamespace(
        set_training_mode=lambda _: None,
        evaluate_actions=lambda *_: (v[:, None], log_pi, None),
        optimizer=types.SimpleNamespace(zero_grad=lambda: None, step=lambda: None),
        parameters=lambda: [],
    )
    data = types.SimpleNamespace(
        observations=None,
        actions=zeros,
        old_values=v_old,
        old_log_prob=zeros,
        advantages=adv,
        returns=target,
    )
    algorithm = types.SimpleNamespace(
        policy=policy,
        rollout_buffer=types.SimpleNamespace(
            get=lambda _: [data], values=v_old.numpy(), returns=target.numpy()
        ),
        logger=types.SimpleNamespace(record=lambda k, x, **_: losses.update({k: x})),
        action_space=None,
        _update_learning_rate=lambda _: None,
        _current_progress_remaining=1.0,
        _n_updates=0,
        batch_size=len(adv),
        n_epochs=1,
        clip_range=lambda _: epsilon,
        clip_range_vf=lambda _: epsilon,
        normalize_advantage=normalize,
        ent_coef=0.0,
        vf_coef=1.0,
        max_grad_norm=1e9,
        target_kl=None,
        verbose=0,
    )
    PPO.train(algorithm)
    return losses


def differentiable(value, x, gradient):
    """The value, with that gradient."""
    linear = (gradient * x).sum()
    return linear + (value - linear).detach()


def leaf(x):
    return x.detach().clone().requires_grad_()


def surrogate(prob_ratios_t, adv_t):
    log_pi, v = leaf(prob_ratios_t.log()), leaf(0 * adv_t)
    value = ppo(log_pi, v, adv_t)["train/policy_gradient_loss"]
    return differentiable(value, prob_ratios_t.log(), log_pi.grad)


def value_loss(v_tm1, v_old_tm1, target_tm1, epsilon):
    v, log_pi = leaf(v_tm1), leaf(0 * v_tm1)
    value = ppo(
        *(log_pi, v, 0 * v_old_tm1),
        v_old=v_old_tm1,
        target=target_tm1,
        epsilon=epsilon,
    )["train/value_loss"]
    return differentiable(value, v_tm1, v.grad) / 2  # They leave out the half.


def normalized(adv_t):
    """The policy loss's gradient at ratios of 1."""
    log_pi, v = leaf(0 * adv_t), leaf(0 * adv_t)
    ppo(log_pi, v, adv_t, normalize=True)
    return -len(adv_t) * log_pi.grad


def main():
    arguments = {
        "prob_ratios_t": np.exp(random.standard_normal(T)),
        "adv_t": random.standard_normal(T),
    }
    recorder.case(
        *("clipped_surrogate_pg_loss", "PPO.train", surrogate, arguments),
        options={"epsilon": 0.2},
        reached=["prob_ratios_t"],
    )
    for epsilon in 0.2, 1.0:
        v, old, target = random.standard_normal((3, T))
        recorder.case(
            "clipped_value_loss",
            "PPO.train",
            lambda epsilon=epsilon, **arguments: value_loss(
                **arguments, epsilon=epsilon
            ),
            {"v_tm1": v, "v_old_tm1": old, "target_tm1": target},
            {"epsilon": epsilon, "combine": "clipped"},
            reached=["v_tm1"],
        )
    recorder.case(
        "normalize_advantages",
        "PPO.train",
        normalized,
        {"adv_t": 5 + 3 * random.standard_normal(T)},
        {"ddof": 1},
    )
    recorder.write()


if __name__ == "__main__":
    main()
