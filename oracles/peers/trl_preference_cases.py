"""TRL's losses of preferences."""

import types

import numpy as np
import torch
import trl
from recorder import TorchRecorder
from trl.experimental import cpo, orpo
from trl_cases import trainer

recorder = TorchRecorder("TRL", "trl", "trl_preference")
random = np.random.default_rng(7)


def model(log_pi):
    """Of responses of one token."""
    zeros = torch.zeros(len(log_pi), 1)
    shown = {"entropy": zeros, "mean_logits": zeros, "is_top1": zeros > 0}
    return lambda **_: types.SimpleNamespace(log_probs=log_pi[:, None], **shown)


def tokens(n):
    ones = torch.ones(n, 2, dtype=int)
    mask = torch.tensor([[0, 1]] * n)
    return {"input_ids": ones, "attention_mask": ones, "completion_mask": mask}


def each(loss):
    """A loss of one pair, of all pairs."""

    def losses(**arguments):
        rows = zip(*arguments.values(), strict=True)
        return torch.stack([loss(*(x[None] for x in row)).sum() for row in rows])

    return losses


def main():
    def dpo(
        log_pi_chosen, log_pi_rejected, log_ref_chosen, log_ref_rejected, **options
    ):
        self = trainer(
            trl.DPOConfig,
            loss_types=[options["loss_type"]],
            loss_weights=[1.0],
            **{k: v for k, v in options.items() if k != "loss_type"},
        )
        inputs = tokens(2) | {
            "ref_chosen_logps": log_ref_chosen,
            "ref_rejected_logps": log_ref_rejected,
        }
        log_pi = torch.cat([log_pi_chosen, log_pi_rejected])
        return trl.DPOTrainer._compute_loss(self, model(log_pi), inputs, False)

    names = "log_pi_chosen", "log_pi_rejected", "log_ref_chosen", "log_ref_rejected"
    for op, options in [
        ("dpo_loss", {"variant": "sigmoid"}),
        ("dpo_loss", {"variant": "robust", "label_smoothing": 0.1, "beta": 0.5}),
        ("dpo_loss", {"variant": "hinge"}),
        ("ipo_loss", {"beta": 0.1}),
        ("ipo_loss", {"beta": 0.5}),
    ]:
        theirs = {"beta": 0.1, "loss_type": options.get("variant", "ipo")} | options
        theirs.pop("variant", None)
        log_pi = -random.exponential(20, (4, 5))
        if op == "dpo_loss":  # β times their difference: ±1e4.
            log_pi[0, -2], log_pi[1, -1] = (
                -2e4 / theirs["beta"] / 2,
                -1e4 / theirs["beta"],
            )
        recorder.case(
            op,
            "DPOTrainer",
            each(lambda *args, theirs=theirs: dpo(*args, **theirs)),
            dict(zip(names, log_pi, strict=True)),
            options,
            reached=names[:2],
        )

    def conservative(chosen, rejected, *_):  # Without a reference.
        self = trainer(cpo.CPOConfig, loss_type="sigmoid", label_smoothing=0.2)
        return cpo.CPOTrainer.cpo_loss(self, chosen, rejected)[0]

    recorder.case(
        "dpo_loss",
        "CPOTrainer",
        lambda **log_pi: conservative(*log_pi.values()),
        dict(zip(names, [*-random.exponential(20, (2, 5)), [0.0] * 5, [0.0] * 5])),
        {"label_smoothing": 0.2},
        reached=names[:2],
    )

    def simpo(*log_pi, beta=2.0, margin=0.5):  # Of mean log-probabilities.
        self = trainer(cpo.CPOConfig, loss_type="simpo", beta=beta, simpo_gamma=margin)
        return cpo.CPOTrainer.cpo_loss(self, *log_pi)[0]

    for options in {}, {"beta": 10.0, "margin": 3.0}:

        def simpo_of_sums(
            log_pi_chosen, log_pi_rejected, length_chosen, length_rejected, o=options
        ):
            return simpo(
                log_pi_chosen / length_chosen, log_pi_rejected / length_rejected, **o
            )

        log_pi = -random.exponential(20, (2, 5))
        log_pi[0, -2] = log_pi[1, -1] = -1e4
        recorder.case(
            "simpo_loss",
            "CPOTrainer",
            simpo_of_sums,
            {
                "log_pi_chosen": log_pi[0],
                "log_pi_rejected": log_pi[1],
                "length_chosen": [5, 20, 12, 1, 1],
                "length_rejected": [9, 10, 30, 1, 1],
            },
            options,
            reached=names[:2],
        )

    for lambda_ in 0.1, 1.0:

        def orpo_loss(log_pi_chosen, log_pi_rejected, lambda_=lambda_):
            self = trainer(orpo.ORPOConfig, beta=lambda_)
            ratio = orpo.ORPOTrainer.odds_ratio_loss(
                self, log_pi_chosen, log_pi_rejected
            )[0]  # In single precision; to be subtracted.
            return -log_pi_chosen - ratio

        log_pi = -random.exponential(2, (2, 5))
        log_pi[1, -1] = -50.0
        recorder.case(
            "orpo_loss",
            "ORPOTrainer",
            orpo_loss,
            dict(zip(names, log_pi)),
            {"lambda_": lambda_},
            reached=names[:2],
        )

    for options in (
        {},
        {"beta": 0.5, "desirable_weight": 1.5, "undesirable_weight": 0.7},
    ):

        def kto(log_pi, log_ref, desirable, kl, options=options):
            self = trainer(
                trl.KTOConfig,
                calculate_KL=True,
                _compute_kl_logps=lambda *_: kl,  # Whose mean less this is their KL.
                **options,
            )
            inputs = tokens(1) | {
                "label": desirable,
                "ref_logps": log_ref,
                "ref_KL_logps": 0 * kl,
            }
            return trl.KTOTrainer._compute_loss(self, model(log_pi), inputs, False)

        for kl in 2.5, -1.0:
            log_pi, log_ref = -random.exponential(20, (2, 6))
            log_pi[-1] = -1e5

            def of_all(log_pi, log_ref, desirable, kl, kto=kto):
                kl = kl.expand(len(log_pi))
                return each(kto)(a=log_pi, b=log_ref, c=desirable, d=kl)

            recorder.case(
                "kto_loss",
                "KTOTrainer",
                of_all,
                {
                    "log_pi": log_pi,
                    "log_ref": log_ref,
                    "desirable": np.array([1, 1, 1, 0, 0, 0], bool),
                    "kl": kl,
                },
                options,
                reached=["log_pi"],
            )

    for coefficient in 0.0, 0.01:

        def bradley_terry(score_chosen, score_rejected, margin, c=coefficient):
            self = trainer(trl.RewardConfig)
            self.args.center_rewards_coefficient = c
            scores = torch.cat([score_chosen, score_rejected])[:, None]
            return trl.RewardTrainer.compute_loss(
                self,
                lambda **_: types.SimpleNamespace(logits=scores),
                tokens(2) | {"margin": margin},
            )

        score = 3 * random.standard_normal((2, 5))
        score[0, -2] = score[1, -1] = 1e4
        recorder.case(
            "bradley_terry_loss",
            "RewardTrainer",
            each(bradley_terry),
            {
                "score_chosen": score[0],
                "score_rejected": score[1],
                "margin": random.uniform(0, 3, 5),
            },
            {"center_coefficient": coefficient},
            reached=["score_chosen", "score_rejected"],
        )
    recorder.write()


if __name__ == "__main__":
    main()
