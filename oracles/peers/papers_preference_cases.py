"""Formulas of papers on preferences."""

import numpy as np
import torch
from recorder import TorchRecorder
from torch.nn.functional import logsigmoid

recorder = TorchRecorder("the paper's formula", "torch", "papers_preference")
random = np.random.default_rng(6)


def main():
    names = "log_pi_chosen", "log_pi_rejected", "log_ref_chosen", "log_ref_rejected"

    def dpo(log_pi_chosen, log_pi_rejected, log_ref_chosen, log_ref_rejected):
        return 0.5 * (
            (log_pi_chosen - log_ref_chosen) - (log_pi_rejected - log_ref_rejected)
        )

    for variant, call, loss in [
        (
            "sigmoid",
            "arXiv 2305.18290 equation 7, with smoothing",
            lambda h: -0.7 * logsigmoid(h) - 0.3 * logsigmoid(-h),
        ),
        (
            "robust",
            "arXiv 2403.00409",
            lambda h: (-0.7 * logsigmoid(h) + 0.3 * logsigmoid(-h)) / (1 - 0.6),
        ),
        ("hinge", "arXiv 2305.10425", lambda h: torch.relu(1 - h)),
    ]:
        log_pi = -random.exponential(20, (4, 5))
        log_pi[0, -2], log_pi[1, -1] = -2e4, -2e4  # 1e4 times either sign.
        recorder.case(
            "dpo_loss",
            call,
            lambda loss=loss, **arguments: loss(dpo(**arguments)),
            dict(zip(names, log_pi)),
            {"beta": 0.5, "label_smoothing": 0.3, "variant": variant},
            reached=names[:2],
        )

    def ipo(**arguments):
        return (2 * dpo(**arguments) - 1 / (2 * 0.2)) ** 2

    recorder.case(
        "ipo_loss",
        "arXiv 2310.12036 equation 17",
        ipo,
        dict(zip(names, -random.exponential(20, (4, 5)))),
        {"beta": 0.2},
        reached=names[:2],
    )

    def simpo(log_pi_chosen, log_pi_rejected, length_chosen, length_rejected):
        rewards = log_pi_chosen / length_chosen, log_pi_rejected / length_rejected
        return -logsigmoid(2.5 * rewards[0] - 2.5 * rewards[1] - 1.4)

    lengths = random.integers(1, 30, (2, 5))
    arguments = dict(zip(names, -random.exponential(2, (2, 5)) * lengths))
    recorder.case(
        "simpo_loss",
        "arXiv 2405.14734 equation 6",
        simpo,
        arguments | dict(zip(("length_chosen", "length_rejected"), lengths)),
        {"beta": 2.5, "margin": 1.4},
        reached=names[:2],
    )

    def bradley_terry(score_chosen, score_rejected):  # 2312.09244 equation 2: centring.
        preference = -logsigmoid(score_chosen - score_rejected)
        return preference + 0.1 * (score_chosen + score_rejected) ** 2

    scores = "score_chosen", "score_rejected"
    recorder.case(
        "bradley_terry_loss",
        "arXiv 2203.02155 equation 1",
        bradley_terry,
        dict(zip(scores, 3 * random.standard_normal((2, 5)))),
        {"center_coefficient": 0.1},
        reached=scores,
    )

    def orpo(log_pi_chosen, log_pi_rejected):
        odds = [x.exp() / (1 - x.exp()) for x in (log_pi_chosen, log_pi_rejected)]
        return -log_pi_chosen - 0.5 * logsigmoid((odds[0] / odds[1]).log())

    recorder.case(
        "orpo_loss",
        "arXiv 2403.07691 equations 6 and 7",
        orpo,
        dict(zip(names, -random.exponential(2, (2, 5)))),
        {"lambda_": 0.5},
        reached=names[:2],
    )

    def kto(log_pi, log_ref, desirable, kl):
        gain = 0.3 * (log_pi - log_ref - kl.clamp(min=0).detach())
        return torch.where(
            desirable, 1.2 * (1 - torch.sigmoid(gain)), 0.8 * (1 - torch.sigmoid(-gain))
        )

    log_pi, log_ref = -random.exponential(20, (2, 5))
    log_pi[-1], log_ref[0] = -1e4, -1e4
    recorder.case(
        "kto_loss",
        "arXiv 2402.01306 equation 8",
        kto,
        {
            "log_pi": log_pi,
            "log_ref": log_ref,
            "desirable": np.array([1, 1, 0, 0, 1], bool),
            "kl": 0.7,
        },
        {"beta": 0.3, "desirable_weight": 1.2, "undesirable_weight": 0.8},
        reached=["log_pi"],
    )
    recorder.write()


if __name__ == "__main__":
    main()
