"""TorchRL's losses of critics and actors."""

import numpy as np
import torch
from recorder import TorchRecorder
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch.distributions import Categorical
from torchrl import modules, objectives
from torchrl_stubs import (
    GAMMA,
    Row,
    actor,
    critics,
    critics_of_action,
    errors,
    observe,
    reader,
    soft,
    td3_loss,
    transition,
)


def sac_td_error(q_tm1, r_t, discount_t, q_t, log_pi_t, temperature, subset=None):
    q_t = q_t if subset is None else q_t[subset]
    loss = soft(objectives.SACLoss, len(q_t), temperature, loss_function="l2")
    data = transition(observe(q_tm1), observe(q_t, log_pi_t), r_t, discount_t == 0)
    return errors(loss(data)["loss_qvalue"], q_tm1)


def redq_td_error(q_tm1, r_t, discount_t, q_t, log_pi_t, temperature, subset):
    number = len(q_t)
    loss = soft(
        *(objectives.REDQLoss, number, temperature),
        loss_function="l2",
        sub_sample_len=len(subset),
        min_alpha=1e-9,
    )
    data = transition(observe(q_tm1), observe(q_t, log_pi_t), r_t, discount_t == 0)
    value = q_t[subset].min() - temperature * log_pi_t
    for seed in range(99):  # Until it draws this subset.
        torch.manual_seed(seed)
        out = loss(data.clone())
        if torch.allclose(out["next.state_value"], value):
            # The mean over the critics, not their sum.
            return number * errors(out["loss_qvalue"], q_tm1)
    raise ValueError("The smallest values of the subset aren't its target.")


def td3_td_error(q_tm1, r_t, discount_t, q_t):
    loss = td3_loss(critics(len(q_t)), loss_function="l2")
    data = transition(observe(q_tm1), observe(q_t), r_t, discount_t == 0)
    return errors(loss(data)["loss_qvalue"], q_tm1)


def sac_policy_loss(log_pi_t, q_t, temperature):
    loss = soft(objectives.SACLoss, len(q_t), temperature)
    return loss(transition(observe(q_t, log_pi_t)))["loss_actor"]


def redq_policy_loss(log_pi_t, q_t, temperature, *, reduce):
    loss = soft(objectives.REDQLoss, len(q_t), temperature, min_alpha=1e-9)
    return loss(transition(observe(q_t, log_pi_t)))["loss_actor"]


def sac_temperature_loss(log_temperature, log_pi_t, target_entropy, *, form):
    entropy = float(target_entropy)
    loss = soft(objectives.SACLoss, 2, log_temperature.exp(), target_entropy=entropy)
    return loss(transition(observe(torch.zeros(2), log_pi_t)))["loss_alpha"]


def discrete_sac(q_tm1, logits_tm1, q_t, logits_t, a_tm1, r_t, discount_t, temperature):
    """The losses of both, of values and logits side by side."""
    number, actions = q_t.shape
    policy = ProbabilisticTensorDictSequential(
        reader(lambda x: x[..., -actions:], "logits"),
        ProbabilisticTensorDictModule(
            in_keys=["logits"], out_keys=["action"], distribution_class=Categorical
        ),
    )
    values = critics(number + 1, "action_value", ["observation"])[:number]
    loss = objectives.DiscreteSACLoss(
        *(policy, values),
        action_space="categorical",
        num_actions=actions,
        num_qvalue_nets=number,
        loss_function="l2",
        fixed_alpha=True,
        target_entropy=0.0,
    )
    loss.make_value_estimator(gamma=GAMMA)
    loss.log_alpha = temperature.log()
    data = transition(
        observe(torch.cat([q_tm1, logits_tm1[None]])),
        observe(torch.cat([q_t, logits_t[None]])),
        *(r_t, discount_t == 0),
    )
    data["action"] = a_tm1.reshape(1)
    return loss(data)


def discrete_sac_td_error(q_tm1, a_tm1, r_t, discount_t, q_t, logits_t, temperature):
    losses = discrete_sac(
        *(q_tm1, logits_t, q_t, logits_t, a_tm1, r_t, discount_t, temperature)
    )
    return errors(losses["loss_qvalue"], q_tm1)[:, a_tm1]


def discrete_sac_policy_loss(logits_t, q_t, temperature):
    zero = torch.tensor(0)
    losses = discrete_sac(
        *(q_t, logits_t, q_t, logits_t, zero, zero * 1.0, zero, temperature)
    )
    return losses["loss_actor"]


def tqc_loss(
    dist_q_tm1, tau, r_t, discount_t, dist_q_t, log_pi_t, temperature, *, num_dropped
):
    # Their loss is a sum over critics, as many as in the target: all the same here.
    number = len(dist_q_t)
    loss = soft(
        *(objectives.TQCLoss, number, temperature),
        top_quantiles_to_drop_per_net=num_dropped,
    )
    data = transition(
        observe(dist_q_tm1.expand(number, -1)),
        observe(dist_q_t, log_pi_t),
        *(r_t, discount_t == 0),
    )
    return loss(data)["loss_qvalue"].reshape(1) / number


def cql_loss(q_t, q_data, log_mu_t, *, temperature=1.0):
    """The critics see a random action, the policy's, and that of the next state."""

    def value(action):
        given = torch.where(action == 0.2, q_t[1], q_t[0])
        given = torch.where(action == 0.3, q_t[2], given)
        return torch.where(action == 0.1, q_data, given)

    # More than one random action: it takes the mean of such sums, not one sum.
    loss = objectives.CQLLoss(
        *(actor(), critics_of_action(value)),
        target_entropy=0.0,
        num_random=1,
        temperature=temperature,
        deactivate_vmap=True,
    )
    loss.make_value_estimator(gamma=GAMMA)
    torch.manual_seed(0)
    none = torch.zeros(1)
    tm1, t = observe(none, log_mu_t[1], 0.2), observe(none, log_mu_t[2], 0.3)
    # Two critics, which are the same.
    return loss(transition(tm1, t, action=0.1))["loss_cql"] / 2


def discrete_cql_loss(q_t, q_data):
    network = modules.QValueActor(
        reader(lambda x: x[..., 2:], "action_value"),
        in_keys=["observation"],
        action_space="categorical",
    )
    loss = objectives.DiscreteCQLLoss(network, action_space="categorical")
    loss.make_value_estimator(gamma=GAMMA)
    # The action taken is one of `q_t` for them.
    data = transition(observe(q_t))
    data["action"] = torch.tensor([1])
    return loss(data)["loss_cql"] + q_t[1] - q_data


def iql(v_tm1, q_tm1, log_pi_t=0.0, *, expectile=0.7, temperature=1.0):
    loss = objectives.IQLLoss(
        *(actor(), critics(len(q_tm1))),
        reader(lambda x: x[..., 1:2], "state_value"),
        num_qvalue_nets=len(q_tm1),
        expectile=expectile,
        temperature=1 / temperature,  # Theirs is the inverse.
    )
    loss.make_value_estimator(gamma=GAMMA)
    return loss(transition(observe(q_tm1, log_pi_t, v_tm1)))


def iql_value_loss(v_tm1, q_tm1, **options):
    return iql(v_tm1, q_tm1, **options)["loss_value"]


def advantage_weighted_policy_loss(log_pi_t, adv_t, **options):
    zero = torch.tensor(0.0)
    return torch.stack(
        [
            iql(zero, adv.expand(2), log_pi, **options)["loss_actor"]
            for log_pi, adv in zip(log_pi_t, adv_t, strict=True)
        ]
    )


def td3_bc_policy_loss(q_t, a_pi_t, a_t, *, alpha):
    loss = objectives.TD3BCLoss(
        reader(lambda x: x[..., 1:], "action"),
        [
            TensorDictModule(
                Row(),
                in_keys=["observation", "action"],
                out_keys=["state_action_value"],
            )
            for _ in range(2)
        ],
        bounds=(-1, 1),
        alpha=alpha,
    )
    observation = torch.cat([q_t[:, None], a_pi_t], -1)
    data = TensorDict({"observation": observation, "action": a_t}, [len(q_t)])
    return loss.actor_loss(data)[0]


def online(each, random):
    step = {"q_tm1": random.standard_normal(3), "r_t": 0.3, "discount_t": GAMMA}
    step["q_t"] = random.standard_normal(3)
    policy = {"log_pi_t": -0.7, "temperature": 0.3}
    worst = int(np.argmin(step["q_t"]))
    others = {"subset": [i for i in range(3) if i != worst]}
    for end in {}, {"discount_t": 0.0}:
        case = {**step, **policy, **end}
        plain = [{}], "sac_td_error"
        each(*plain, "SACLoss", sac_td_error, case, ["q_tm1"])
        each(*plain, "REDQLoss", redq_td_error, {**case, **others}, ["q_tm1"])
        case = {**step, **end}
        each([{}], "td3_td_error", "TD3Loss", td3_td_error, case, ["q_tm1"])
    two = {"q_tm1": random.standard_normal(2), "q_t": random.standard_normal(5)}
    each(
        *([{}], "sac_td_error", "SACLoss", sac_td_error),
        *({**step, **policy, **two, "subset": [3, 1]}, ["q_tm1"]),
    )

    case = {"log_pi_t": -0.7, "q_t": random.standard_normal(3), "temperature": 0.3}
    for options, call, function in (
        ({}, "SACLoss", sac_policy_loss),
        ({"reduce": "mean"}, "REDQLoss", redq_policy_loss),
    ):
        each([options], "sac_policy_loss", call, function, case, ["log_pi_t", "q_t"])
    each(
        [{"form": "log"}],
        *("sac_temperature_loss", "SACLoss", sac_temperature_loss),
        {"log_temperature": -1.2, "log_pi_t": -0.7, "target_entropy": -2.0},
        ["log_temperature"],
    )

    q_tm1, q_t = random.standard_normal((2, 3, 4))
    policy = {"logits_t": random.standard_normal(4), "temperature": 0.3}
    for discount in GAMMA, 0.0:
        step = {"q_tm1": q_tm1, "a_tm1": 2, "r_t": 0.3, "discount_t": discount}
        each(
            *([{}], "discrete_sac_td_error", "DiscreteSACLoss", discrete_sac_td_error),
            *({**step, "q_t": q_t, **policy}, ["q_tm1"]),
        )
    each(
        *([{}], "discrete_sac_policy_loss", "DiscreteSACLoss"),
        *(discrete_sac_policy_loss, {"q_t": q_t, **policy}, ["logits_t"]),
    )
    each(
        [{"num_dropped": n} for n in (0, 1, 3)],
        *("tqc_loss", "TQCLoss", tqc_loss),
        {
            "dist_q_tm1": 2 * random.standard_normal((1, 4)),
            "tau": (np.arange(4) + 0.5) / 4,
            **{"r_t": 0.3, "discount_t": GAMMA},
            "dist_q_t": 2 * random.standard_normal((3, 4)),
            **{"log_pi_t": -0.7, "temperature": 0.3},
        },
        ["dist_q_tm1"],
    )


def offline(each, random):
    values = {"q_t": random.standard_normal(3), "q_data": 0.4}
    # Theirs draws uniformly from [-1, 1].
    values["log_mu_t"] = np.array([-np.log(2), -1.3, 0.4])
    each(
        *([{}, {"temperature": 2.0}], "cql_loss", "CQLLoss", cql_loss),
        *(values, ["q_t", "q_data"]),
    )
    values = {"q_t": random.standard_normal(4), "q_data": 0.4}
    each(
        *([{}], "cql_loss", "DiscreteCQLLoss", discrete_cql_loss),
        *(values, ["q_t", "q_data"]),
    )
    for v in -2.0, 2.0:
        each(
            *([{"expectile": x} for x in (0.7, 0.9)], "iql_value_loss", "IQLLoss"),
            iql_value_loss,
            *({"v_tm1": v, "q_tm1": random.standard_normal(2)}, ["v_tm1"]),
        )
    each(
        [{"temperature": x} for x in (1.0, 0.3)],
        *("advantage_weighted_policy_loss", "IQLLoss", advantage_weighted_policy_loss),
        {"log_pi_t": random.standard_normal(4), "adv_t": [-1.0, 0.2, 1.0, 7.0]},
        ["log_pi_t"],
    )
    a_pi_t, a_t = random.uniform(-1, 1, (2, 4, 2))
    each(
        *([{"alpha": 1.5}], "td3_bc_policy_loss", "TD3BCLoss", td3_bc_policy_loss),
        {"q_t": random.standard_normal(4), "a_pi_t": a_pi_t, "a_t": a_t},
        ["q_t", "a_pi_t"],
    )


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("TorchRL", "torchrl")
    random = np.random.default_rng(3)
    for section in online, offline:
        section(recorder.each, random)
    recorder.write()


if __name__ == "__main__":
    main()
