"""verl's formulas of policy losses on tokens."""

import numpy as np
from recorder import TorchRecorder
from verl.trainer.ppo import core_algos


def main():
    recorder = TorchRecorder("verl", "verl")
    random = np.random.default_rng(1)
    t = 7
    v, old, target = random.standard_normal((3, t))
    mask = np.array([1, 1, 0, 1, 1, 1, 0], bool)

    def value_loss(v_tm1, v_old_tm1, target_tm1, mask_t):
        return core_algos.compute_value_loss(
            v_tm1[None], target_tm1[None], v_old_tm1[None], mask_t[None], 0.2
        )[0]

    recorder.case(
        "clipped_value_loss",
        "compute_value_loss",
        value_loss,
        {"v_tm1": v, "v_old_tm1": old, "target_tm1": target, "mask_t": mask},
        {"epsilon": 0.2},
        reached=["v_tm1"],
    )

    for estimator, name in ("k1", "k1"), ("k2", "k2"), ("k3", "k3"), ("abs", "abs"):

        def kl(log_p, log_q, name=name):
            return core_algos.kl_penalty(log_p, log_q, name)

        recorder.case(
            "sampled_kl_divergence",
            "kl_penalty",
            kl,
            dict(zip(("log_p", "log_q"), -random.random((2, t)), strict=True)),
            {"estimator": estimator},
            reached=["log_p", "log_q"],
        )
    recorder.write()


if __name__ == "__main__":
    main()
