"""Losses of today's RL on a batch, ours compiled, and those of TorchRL and TRL.

`beyond.py` runs each function here in its own process. A row is an op of `rlax`: its
values over a batch of 256, and with their gradient.
"""

import functools
import pathlib
import sys

import numpy as np

B, N, A, K, D, GAMMA, ALPHA = 256, 2, 6, 25, 8, 0.99, 0.2
GROUP, TOKENS = 16, 256
# Networks that give what they read, as in the oracles.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracles/peers"))


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
        "log_ratio_t": 0.2 * normal(B),
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
        "chosen": -10 * random.random((4, B), np.float32),
        "score": normal(2, B),
        "length": random.integers(1, 400, B),
    }
    x["legal_t"][:, 0] = True
    x["log_mu"] = x["log_pi"] + 0.1 * normal(GROUP, TOKENS)
    x["log_ref"] = x["log_pi"] + 0.1 * normal(GROUP, TOKENS)
    return x


# ---- Ours ---------------------------------------------------------------------------


def losses_ours(*names):
    import jax
    import jax.numpy as jnp
    from beyond import timed

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
            squares(lambda q0, r, q, l: rlax.sac_td_error(q0, r, GAMMA, q, l, ALPHA)),
            "q_tm1 r_t q_t log_pi_t",
        ),
        "td3_td_error": (
            squares(lambda q0, r, q: rlax.td3_td_error(q0, r, GAMMA, q)),
            "q_tm1 r_t q_t",
        ),
        "sac_policy_loss": (
            mean(lambda q, l: rlax.sac_policy_loss(l, q, ALPHA)),
            "q_t log_pi_t",
        ),
        "discrete_sac_td_error": (
            squares(
                lambda q0, a, r, q, l: rlax.discrete_sac_td_error(
                    q0, a, r, GAMMA, q, l, ALPHA
                )
            ),
            "qa_tm1 a_tm1 r_t qa_t logits_t",
        ),
        "tqc_loss": (
            mean(
                lambda z0, r, z, l: jnp.sum(
                    rlax.tqc_loss(
                        *(z0, tau, r, GAMMA, z, 2), log_pi_t=l, temperature=ALPHA
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
        "soft_overlong_penalty": (
            lambda n: rlax.soft_overlong_penalty(n, 400, 100),
            "length",
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
    from beyond import timed

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
    bins = torch.linspace(-20, 20, 255)

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
                lambda q0, r, q, l: loss_of(
                    sac.qvalue_v2_loss(steps(observe(q0), observe(q, l), r))
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
                lambda q, l: loss_of(sac.actor_loss(steps(observe(q, l)))).mean(),
                "q_t log_pi_t",
            ),
            "discrete_sac_td_error": (discrete_sac, "qa_tm1 a_tm1 r_t qa_t logits_t"),
            "tqc_loss": (
                lambda z0, r, z, l: loss_of(
                    tqc.qvalue_v2_loss(steps(observe(z0), observe(z, l), r))
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
            "rnd_error": (
                lambda x, y: rnd(
                    TensorDict({"next": {"observation": torch.cat([x, y], -1)}}, B)
                )["loss_predictor"],
                "features others",
            ),
        }
    )
