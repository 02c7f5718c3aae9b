"""Losses of today's RL on a batch, ours compiled, and those of TorchRL and TRL.

`beyond.py` runs each function here in its own process. A row is an op of `rlax`: its
values over a batch of 256, and with their gradient.
"""

import functools
import pathlib
import statistics
import sys
import time
import types

import numpy as np

B, N, A, K, D, GAMMA, ALPHA = 256, 2, 6, 25, 8, 0.99, 0.2
GROUP, TOKENS = 16, 256
# Networks that give what they read, as in the oracles.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracles/peers"))


def timed(f, repeats=30):
    """Median milliseconds of `f()`, after three calls that do not count."""
    for _ in range(3):
        f()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        f()
        found.append(1e3 * (time.perf_counter() - start))
    return statistics.median(found)


@functools.cache
def data():
    """Arguments of all rows, float32, batch first."""
    random = np.random.default_rng(0)

    def normal(*shape):
        return random.standard_normal(shape, np.float32)

    x = {
        "r_t": normal(B),
        "log_pi_t": -random.random(B, np.float32),
        "q_tm1": normal(B, N),
        "q_t": normal(B, N),
        "v_tm1": normal(B),
        "adv_t": normal(B),
        "log_mu_t": -random.random(B, np.float32),
        "v_old_tm1": normal(B),
        "target_tm1": normal(B),
        "logits_t": normal(B, A),
        "qa_tm1": normal(B, N, A),
        "qa_t": normal(B, N, A),
        "a_tm1": random.integers(A, size=B),
        "atoms_tm1": normal(B, N, K),
        "atoms_t": normal(B, N, K),
        "action_t": np.tanh(normal(B, D)),
        "a_pi_t": np.tanh(normal(B, D)),
        "mu_t": normal(B, D),
        "sigma_t": 0.5 + random.random((B, D), np.float32),
        "legal_t": random.random((B, A)) < 0.7,
        "post_logits": normal(B, 8, 8),
        "prior_logits": normal(B, 8, 8),
        "scalar": 10 * normal(16 * 64),
        "observation": 10 * normal(1024, 1024),
        "squashed": normal(1024, 1024),
        "features": normal(B, 64),
        "others": normal(B, 64),
        "log_pi": -random.random((GROUP, TOKENS), np.float32),
        "adv": normal(GROUP),
        "kept": np.arange(TOKENS) < random.integers(32, TOKENS, GROUP)[:, None],
        "agents": normal(B, 4),
        "desirable": random.random(B) < 0.5,
        "pairs": -0.1 - 10 * random.random((4, B), np.float32),
    }
    x["legal_t"][:, 0] = True
    x["log_mu"] = x["log_pi"] + 0.1 * normal(GROUP, TOKENS)
    x["log_ref"] = x["log_pi"] + 0.1 * normal(GROUP, TOKENS)
    return x


def mixing():
    """Weights of a mixing network of 4 agents and width 32, float32."""
    random = np.random.default_rng(1)
    shapes = (4, 32), (32,), (32,), ()
    return [random.standard_normal(n).astype(np.float32) for n in shapes]


# ---- Ours ---------------------------------------------------------------------------


def losses_ours(*names):
    import jax
    import jax.numpy as jnp

    import rlax

    tau = (np.arange(K, dtype=np.float32) + 0.5) / K
    symexp = rlax.symexp_twohot_pair()
    tanh, masked = rlax.tanh_gaussian(), rlax.masked_softmax()

    def squares(op):
        """The mean of the squared errors of all critics."""
        return lambda *x: jnp.sum(jnp.square(jax.vmap(op)(*x))) / B

    def mean(op):
        return lambda *x: jnp.mean(jax.vmap(op)(*x))

    # Functions of arguments by name; the first argument gets a gradient.
    ops = {
        "sac_td_error": (
            squares(lambda q0, r, q, p: rlax.sac_td_error(q0, r, GAMMA, q, p, ALPHA)),
            "q_tm1 r_t q_t log_pi_t",
        ),
        "td3_td_error": (
            squares(lambda q0, r, q: rlax.td3_td_error(q0, r, GAMMA, q)),
            "q_tm1 r_t q_t",
        ),
        "sac_policy_loss": (
            mean(lambda q, log_pi: rlax.sac_policy_loss(log_pi, q, ALPHA)),
            "q_t log_pi_t",
        ),
        "discrete_sac_td_error": (
            squares(
                lambda q0, a, r, q, logits: rlax.discrete_sac_td_error(
                    q0, a, r, GAMMA, q, logits, ALPHA
                )
            ),
            "qa_tm1 a_tm1 r_t qa_t logits_t",
        ),
        "tqc_loss": (
            mean(
                lambda z0, r, z, log_pi: jnp.sum(
                    rlax.tqc_loss(
                        *(z0, tau, r, GAMMA, z, 2), log_pi_t=log_pi, temperature=ALPHA
                    )
                )
            ),
            "atoms_tm1 r_t atoms_t log_pi_t",
        ),
        "iql_value_loss": (mean(rlax.iql_value_loss), "v_tm1 q_tm1"),
        "cql_loss": (
            mean(lambda q, a: rlax.cql_loss(q[0], q[0, a])),
            "qa_tm1 a_tm1",
        ),
        "td3_bc_policy_loss": (
            lambda q, a_pi, a: rlax.td3_bc_policy_loss(q[:, 0], a_pi, a),
            "q_t a_pi_t action_t",
        ),
        "balanced_kl_loss": (
            mean(rlax.balanced_kl_loss),
            "post_logits prior_logits",
        ),
        "symlog": (rlax.symlog, "observation"),
        "symexp": (rlax.symexp, "squashed"),
        "symexp_twohot_pair": (symexp.apply, "scalar"),
        "rnd_error": (mean(rlax.rnd_error), "features others"),
        "tanh_gaussian": (
            lambda mu, sigma, a: tanh.logprob(a, mu, sigma),
            "mu_t sigma_t action_t",
        ),
        "masked_softmax": (masked.entropy, "logits_t legal_t"),
        "grpo_loss": (
            lambda pi, mu, adv, ref, kept: rlax.grpo_loss(
                pi, mu, adv, ref, mask_t=kept
            ),
            "log_pi log_mu adv log_ref kept",
        ),
        "dapo_loss": (
            lambda pi, mu, adv, kept: rlax.dapo_loss(
                pi, mu, adv, mask_t=kept, epsilon_high=0.28
            ),
            "log_pi log_mu adv kept",
        ),
        "cispo_loss": (
            lambda pi, mu, adv, kept: rlax.cispo_loss(pi, mu, adv, mask_t=kept),
            "log_pi log_mu adv kept",
        ),
        "dr_grpo_loss": (
            lambda pi, mu, adv, kept: rlax.dr_grpo_loss(pi, mu, adv, mask_t=kept),
            "log_pi log_mu adv kept",
        ),
        "gspo_loss": (
            lambda pi, mu, adv, kept: rlax.gspo_loss(pi, mu, adv, mask_t=kept),
            "log_pi log_mu adv kept",
        ),
        "dpo_loss": (
            lambda x: jnp.mean(rlax.dpo_loss(x[0], x[1], x[2], x[3], 0.1)),
            "pairs",
        ),
        "ipo_loss": (
            lambda x: jnp.mean(rlax.ipo_loss(x[0], x[1], x[2], x[3], 0.1)),
            "pairs",
        ),
        "simpo_loss": (
            lambda x: rlax.simpo_loss(x[0], x[1], 1, 1, 2.0, margin=0.5),
            "pairs",
        ),
        "orpo_loss": (lambda x: rlax.orpo_loss(x[0], x[1]), "pairs"),
        "kto_loss": (
            lambda x, desirable: jnp.mean(rlax.kto_loss(x[0], x[1], desirable)),
            "pairs desirable",
        ),
        "bradley_terry_loss": (
            lambda x: jnp.mean(rlax.bradley_terry_loss(x[0], x[1])),
            "pairs",
        ),
        "qmix_value": (
            lambda q: jax.vmap(lambda q: rlax.qmix_value(q, *mixing()))(q),
            "agents",
        ),
        "advantage_weighted_policy_loss": (
            lambda log_pi, q, v: jnp.mean(
                rlax.advantage_weighted_policy_loss(log_pi, jnp.min(q, -1) - v)
            ),
            "log_pi_t q_t v_tm1",
        ),
        "clipped_surrogate_pg_loss": (
            lambda pi, mu, adv: rlax.clipped_surrogate_pg_loss(
                jnp.exp(pi - mu), adv, 0.2
            ),
            "log_pi_t log_mu_t adv_t",
        ),
        "clipped_value_loss": (
            lambda *x: 2 * rlax.clipped_value_loss(*x, 0.2),
            "v_tm1 v_old_tm1 target_tm1",
        ),
    }
    found = {}
    for name in names:
        op, arguments = ops[name]
        x = [jnp.asarray(data()[k]) for k in arguments.split()]
        value = jax.jit(op)
        found[name] = timed(lambda f=value, x=x: f(*x).block_until_ready())
        found[f"numbers of {name}"] = [float(jnp.sum(value(*x)))]
        if jnp.issubdtype(x[0].dtype, jnp.floating):
            both = jax.jit(jax.value_and_grad(lambda *x, op=op: jnp.sum(op(*x))))
            found[f"{name}, gradient"] = timed(
                lambda f=both, x=x: jax.block_until_ready(f(*x))
            )
    return found


# ---- Theirs -------------------------------------------------------------------------


def times(losses):
    """The same of functions of tensors."""
    import torch

    found = {}
    for name, (f, arguments) in losses.items():
        x = [torch.from_numpy(np.asarray(data()[k])) for k in arguments.split()]
        floats = x[0].is_floating_point()

        def value(f=f, x=x):
            with torch.no_grad():
                return f(*x)

        found[name] = timed(value)
        found[f"numbers of {name}"] = [float(value().sum())]
        if floats:
            x = [x[0].requires_grad_(), *x[1:]]

            def both(f=f, x=x):
                return torch.autograd.grad(f(*x).sum(), x[0])

            found[f"{name}, gradient"] = timed(both)
    return found


def losses_torchrl():
    import torch
    import torchrl_stubs as stubs
    from tensordict import TensorDict
    from tensordict.nn import (
        ProbabilisticTensorDictModule,
        ProbabilisticTensorDictSequential,
        TensorDictModule,
    )
    from torchrl import modules, objectives

    def observe(values, log_pi=None, action=None):
        """What the stand-ins for networks read."""
        none = values.new_zeros(B)
        head = [none if x is None else x for x in (log_pi, action)]
        return torch.cat([torch.stack(head, -1), values.flatten(1)], -1)

    never, none = torch.zeros(B, 1, dtype=torch.bool), torch.zeros(B, 1)

    def steps(tm1, t=None, r_t=None, action=None):
        reward = none if r_t is None else r_t[:, None]
        following = {"observation": tm1 if t is None else t, "reward": reward}
        return TensorDict(
            {
                "observation": tm1,
                "action": none if action is None else action,
                "next": following | {"done": never, "terminated": never},
            },
            [B],
        )

    def with_gamma(loss):
        loss.make_value_estimator(gamma=GAMMA)
        return loss

    given = {"fixed_alpha": True, "target_entropy": 0.0, "alpha_init": ALPHA}

    def soft(kind, **options):
        networks = stubs.actor(), stubs.critics(N)
        return with_gamma(kind(*networks, num_qvalue_nets=N, **given, **options))

    sac = soft(objectives.SACLoss, loss_function="l2")
    tqc = soft(objectives.TQCLoss, top_quantiles_to_drop_per_net=2)
    td3 = with_gamma(
        objectives.TD3Loss(
            stubs.reader(lambda x: x[..., 1:2], "action"),
            stubs.critics(N),
            **{"num_qvalue_nets": N, "bounds": (-1, 1), "loss_function": "l2"},
        )
    )
    iql = with_gamma(
        objectives.IQLLoss(
            *(stubs.actor(), stubs.critics(N)),
            stubs.reader(lambda x: x[..., 1:2], "state_value"),
            **{"num_qvalue_nets": N, "expectile": 0.7},
        )
    )
    policy = ProbabilisticTensorDictSequential(
        stubs.reader(lambda x: x[..., -A:], "logits"),
        ProbabilisticTensorDictModule(
            in_keys=["logits"],
            out_keys=["action"],
            distribution_class=torch.distributions.Categorical,
        ),
    )
    discrete = with_gamma(
        objectives.DiscreteSACLoss(
            policy,
            stubs.critics(N + 1, "action_value", ["observation"])[:N],
            **{"action_space": "categorical", "num_actions": A, "num_qvalue_nets": N},
            **given,
            loss_function="l2",
        )
    )
    values = modules.QValueActor(
        stubs.reader(lambda x: x[..., 2:], "action_value"),
        **{"in_keys": ["observation"], "action_space": "categorical"},
    )
    cql = with_gamma(objectives.DiscreteCQLLoss(values, action_space="categorical"))
    td3_bc = objectives.TD3BCLoss(
        stubs.reader(lambda x: x[..., 1:], "action"),
        [
            TensorDictModule(
                stubs.Row(),
                in_keys=["observation", "action"],
                out_keys=["state_action_value"],
            )
            for _ in range(2)
        ],
        **{"bounds": (-1, 1), "alpha": 2.5},
    )
    rnd = objectives.RNDLoss(stubs.Half(0), stubs.Half(1), update_fraction=1.0)
    ppo = objectives.ClipPPOLoss(
        ProbabilisticTensorDictSequential(
            stubs.reader(
                lambda x: torch.stack([x, torch.log1p(-x.exp())], -1), "logits"
            ),
            ProbabilisticTensorDictModule(
                in_keys=["logits"],
                out_keys=["action"],
                distribution_class=torch.distributions.Categorical,
                return_log_prob=True,
            ),
        ),
        TensorDictModule(lambda v: v[:, None], in_keys=["v"], out_keys=["state_value"]),
        entropy_bonus=False,
        **{"loss_critic_type": "l2", "critic_coeff": 1.0, "clip_value": 0.2},
    )
    bins = torch.linspace(-20, 20, 255)
    w_1, b_1, w_2, b_2 = (torch.from_numpy(np.asarray(x)) for x in mixing())
    mixer = modules.QMixer((1,), 32, 4, "cpu")
    mixer.hyper_w_1, mixer.hyper_b_1 = stubs.Fixed(w_1), stubs.Fixed(b_1)
    mixer.hyper_w_final, mixer.V = stubs.Fixed(w_2), stubs.Fixed(b_2)

    def rollout(log_mu, log_pi=None, adv=None, v=None, old=None, target=None):
        columns = {"advantage": adv, "value_target": target, "state_value": old}
        return TensorDict(
            {
                "observation": log_mu if log_pi is None else log_pi,
                "action_log_prob": log_mu,
                "action": torch.zeros(B, dtype=torch.int64),
                "v": none[:, 0] if v is None else v,
                **{k: none if x is None else x[:, None] for k, x in columns.items()},
            },
            [B],
        )

    def loss_of(x):
        return x[0] if isinstance(x, tuple) else x

    def discrete_sac(q0, a, r, q, logits):
        tm1, t = (observe(torch.cat([x.flatten(1), logits], -1)) for x in (q0, q))
        return loss_of(discrete.qvalue_loss(steps(tm1, t, r, a)))

    def td3_bc_loss(q, a_pi, a):
        x = TensorDict({"observation": torch.cat([q[:, :1], a_pi], -1), "action": a}, B)
        return loss_of(td3_bc.actor_loss(x))

    def balanced_kl(post, prior):
        dynamics, representation = objectives.categorical_kl_terms(
            post, prior, free_nats=1.0, unimix=0.0
        )
        return (dynamics + 0.1 * representation).mean()

    return times(
        {
            "sac_td_error": (
                lambda q0, r, q, log_pi: loss_of(
                    sac.qvalue_v2_loss(steps(observe(q0), observe(q, log_pi), r))
                ),
                "q_tm1 r_t q_t log_pi_t",
            ),
            "td3_td_error": (
                lambda q0, r, q: loss_of(
                    td3.value_loss(steps(observe(q0), observe(q), r))
                ),
                "q_tm1 r_t q_t",
            ),
            "sac_policy_loss": (
                lambda q, log_pi: loss_of(
                    sac.actor_loss(steps(observe(q, log_pi)))
                ).mean(),
                "q_t log_pi_t",
            ),
            "discrete_sac_td_error": (discrete_sac, "qa_tm1 a_tm1 r_t qa_t logits_t"),
            "tqc_loss": (
                lambda z0, r, z, log_pi: loss_of(
                    tqc.qvalue_v2_loss(steps(observe(z0), observe(z, log_pi), r))
                ),
                "atoms_tm1 r_t atoms_t log_pi_t",
            ),
            "iql_value_loss": (
                lambda v, q: loss_of(iql.value_loss(steps(observe(q, None, v)))),
                "v_tm1 q_tm1",
            ),
            "cql_loss": (
                lambda q, a: loss_of(
                    cql.cql_loss(
                        steps(observe(q[:, 0]), action=a).set("pred_val", q[:, 0])
                    )
                ),
                "qa_tm1 a_tm1",
            ),
            "td3_bc_policy_loss": (td3_bc_loss, "q_t a_pi_t action_t"),
            "balanced_kl_loss": (balanced_kl, "post_logits prior_logits"),
            "symlog": (objectives.symlog, "observation"),
            "symexp": (objectives.symexp, "squashed"),
            "symexp_twohot_pair": (
                lambda x: objectives.two_hot_encode(objectives.symlog(x), bins),
                "scalar",
            ),
            "tanh_gaussian": (
                lambda mu, sigma, a: modules.TanhNormal(mu, sigma).log_prob(a),
                "mu_t sigma_t action_t",
            ),
            "masked_softmax": (
                lambda logits, legal: modules.MaskedCategorical(
                    logits=logits, mask=legal
                ).entropy(),
                "logits_t legal_t",
            ),
            "clipped_surrogate_pg_loss": (
                lambda pi, mu, adv: ppo(rollout(mu, pi, adv))["loss_objective"],
                "log_pi_t log_mu_t adv_t",
            ),
            "clipped_value_loss": (
                lambda v, old, target: loss_of(
                    ppo.loss_critic(rollout(none[:, 0], v=v, old=old, target=target))
                ).mean(),
                "v_tm1 v_old_tm1 target_tm1",
            ),
            "qmix_value": (
                lambda q: mixer(q[..., None], torch.zeros(B, 1))[:, 0],
                "agents",
            ),
            "advantage_weighted_policy_loss": (
                lambda log_pi, q, v: loss_of(
                    iql.actor_loss(steps(observe(q, log_pi, v)))
                ).mean(),
                "log_pi_t q_t v_tm1",
            ),
            "rnd_error": (
                lambda x, y: rnd(
                    TensorDict({"next": {"observation": torch.cat([x, y], -1)}}, B)
                )["loss_predictor"],
                "features others",
            ),
        }
    )


def losses_trl():
    import torch
    import trl
    import trl_cases
    from trl.experimental import cpo, orpo
    from trl_preference_cases import model, tokens

    def group(options):
        def loss(pi, mu, adv, *rest):
            *ref, kept = rest
            return trl_cases.grpo(pi, mu, adv, kept, *ref, **options)

        return loss

    def pairs(loss_type):
        self = trl_cases.trainer(
            trl.DPOConfig, loss_types=[loss_type], loss_weights=[1.0], beta=0.1
        )

        def loss(x):
            inputs = tokens(2 * B) | {
                "ref_chosen_logps": x[2],
                "ref_rejected_logps": x[3],
            }
            log_pi = torch.cat([x[0], x[1]])
            return trl.DPOTrainer._compute_loss(self, model(log_pi), inputs, False)

        return loss

    def kto(x, desirable):
        self = trl_cases.trainer(
            trl.KTOConfig,
            calculate_KL=True,
            _compute_kl_logps=lambda *_: 0 * x[0],
            beta=0.1,
        )
        inputs = tokens(B) | {
            "label": desirable,
            "ref_logps": x[1],
            "ref_KL_logps": 0 * x[1],
        }
        return trl.KTOTrainer._compute_loss(self, model(x[0]), inputs, False)

    reward = trl_cases.trainer(trl.RewardConfig)
    reward.args.center_rewards_coefficient = 0.0

    def bradley_terry(x):
        scores = types.SimpleNamespace(logits=torch.cat([x[0], x[1]])[:, None])
        return trl.RewardTrainer.compute_loss(reward, lambda **_: scores, tokens(2 * B))

    def orpo_loss(x):
        return -x[0] - orpo.ORPOTrainer.odds_ratio_loss(odds, x[0], x[1])[0]

    odds = trl_cases.trainer(orpo.ORPOConfig, beta=0.1)
    simpo = trl_cases.trainer(
        cpo.CPOConfig, loss_type="simpo", beta=2.0, simpo_gamma=0.5
    )
    group_rows = {
        "grpo_loss": ({"loss_type": "grpo", "beta": 0.04}, "log_ref "),
        "dapo_loss": ({"loss_type": "dapo", "epsilon_high": 0.28}, ""),
        "dr_grpo_loss": ({"loss_type": "dr_grpo"}, ""),
        "cispo_loss": ({"loss_type": "cispo", "epsilon_high": 5.0}, ""),
        "gspo_loss": (
            {
                **{"loss_type": "grpo", "importance_sampling_level": "sequence"},
                **{"epsilon": 3e-4, "epsilon_high": 4e-4},
            },
            "",
        ),
    }
    return times(
        {
            name: (group(options), f"log_pi log_mu adv {reference}kept")
            for name, (options, reference) in group_rows.items()
        }
        | {
            "dpo_loss": (pairs("sigmoid"), "pairs"),
            "ipo_loss": (pairs("ipo"), "pairs"),
            "kto_loss": (kto, "pairs desirable"),
            "orpo_loss": (orpo_loss, "pairs"),
            "bradley_terry_loss": (bradley_terry, "pairs"),
            "simpo_loss": (
                lambda x: cpo.CPOTrainer.cpo_loss(simpo, x[0], x[1])[0],
                "pairs",
            ),
        }
    )
