"""TorchRL's losses of critics and actors, world models, distributions and noise.

Its losses take networks. Those here read what they give out of the observation, which
holds a log-probability, an action, and the critics' values.
"""

import numpy as np
import torch
from recorder import TorchRecorder
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch.distributions import Categorical, Distribution
from torchrl import modules, objectives
from torchrl.data import Unbounded

GAMMA = 0.9


class GivenAction(Distribution):
    """Draws a given action, and says that it had a given log-probability."""

    arg_constraints = {}
    has_rsample = True

    def __init__(self, action, log_pi):
        super().__init__(log_pi.shape, action.shape[-1:], validate_args=False)
        self.action, self.log_pi = action, log_pi

    def rsample(self, shape=()):
        return self.action.expand(*shape, *self.action.shape)

    sample = rsample
    mean = mode = property(lambda self: self.action)

    def log_prob(self, action):
        return self.log_pi + 0 * action.sum(-1)


class Critic(torch.nn.Module):
    """Gives its row of the observation's values [N K], after log_pi and the action."""

    def __init__(self, index, number):
        super().__init__()
        self.row = torch.nn.Parameter(torch.eye(number)[index])

    def forward(self, observation, action=None):
        values = observation[..., 2:].unflatten(-1, (len(self.row), -1))
        return torch.einsum("...nk,n->...k", values, self.row)


class OfAction(torch.nn.Module):
    """A critic that is a function of the action alone."""

    def __init__(self, function):
        super().__init__()
        self.function, self.one = function, torch.nn.Parameter(torch.ones(()))

    def forward(self, observation, action):
        return self.one * self.function(action) + 0 * observation.sum(-1, keepdim=True)


def critics(number, key="state_action_value", inputs=("observation", "action")):
    return [
        TensorDictModule(Critic(i, number), in_keys=[*inputs], out_keys=[key])
        for i in range(number)
    ]


def critics_of_action(function):
    return [
        TensorDictModule(
            OfAction(function),
            in_keys=["observation", "action"],
            out_keys=["state_action_value"],
        )
        for _ in range(2)
    ]


def reader(read, out_key):
    """A network that reads its output out of the observation."""
    return TensorDictModule(
        lambda observation: read(observation) + 0,
        in_keys=["observation"],
        out_keys=[out_key],
    )


def actor():
    return ProbabilisticTensorDictSequential(
        reader(lambda x: x[..., 1:2], "given_action"),
        reader(lambda x: x[..., 0], "given_log_pi"),
        ProbabilisticTensorDictModule(
            in_keys={"action": "given_action", "log_pi": "given_log_pi"},
            out_keys=["action"],
            distribution_class=GivenAction,
            return_log_prob=True,
        ),
    )


def transition(tm1, t=None, r_t=0.0, terminal=False, action=0.0):
    """A batch of one: observations, reward, end."""
    row = torch.full((1, 1), bool(terminal))
    return TensorDict(
        {
            "observation": tm1[None],
            "action": torch.as_tensor(action).reshape(1, -1),
            "next": {
                "observation": (tm1 if t is None else t)[None],
                "reward": torch.as_tensor(r_t).reshape(1, 1),
                "done": row,
                "terminated": row,
            },
        },
        [1],
    )


def observe(values, log_pi=0.0, action=0.0):
    head = [torch.as_tensor(x).reshape(1) for x in (log_pi, action)]
    return torch.cat([*head, values.flatten()])


def soft(loss, number, temperature=None, **options):
    """A loss of the family of SAC with this temperature, which may be traced."""
    loss = loss(
        *(actor(), critics(number)),
        num_qvalue_nets=number,
        fixed_alpha=True,
        target_entropy=options.pop("target_entropy", 0.0),
        **options,
    )
    loss.make_value_estimator(gamma=GAMMA)
    if temperature is not None:
        loss.log_alpha = torch.as_tensor(temperature).log()
    return loss


def errors(loss, q_tm1):
    """The TD errors whose squares these losses add up."""
    return -torch.autograd.grad(loss, q_tm1, create_graph=True)[0] / 2


# Ops of ours, as calls of TorchRL.


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


def td3_loss(critics, **options):
    loss = objectives.TD3Loss(
        reader(lambda x: x[..., 1:2], "action"),
        critics,
        **{"num_qvalue_nets": len(critics), "bounds": (-1, 1), **options},
    )
    loss.make_value_estimator(gamma=GAMMA)
    return loss


def td3_td_error(q_tm1, r_t, discount_t, q_t):
    loss = td3_loss(critics(len(q_t)), loss_function="l2")
    data = transition(observe(q_tm1), observe(q_t), r_t, discount_t == 0)
    return errors(loss(data)["loss_qvalue"], q_tm1)


def sac_policy_loss(log_pi_t, q_t, temperature):
    loss = soft(objectives.SACLoss, len(q_t), temperature)
    return loss(transition(observe(q_t, log_pi_t)))["loss_actor"]


def redq_policy_loss(log_pi_t, q_t, temperature):
    loss = soft(objectives.REDQLoss, len(q_t), temperature, min_alpha=1e-9)
    return loss(transition(observe(q_t, log_pi_t)))["loss_actor"]


def sac_temperature_loss(log_temperature, log_pi_t, target_entropy):
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


def smoothed_target_action(noise, a_t, *, stddev, noise_clip, bounds):
    """The action that the critics of TD3 see; without noise, draws it."""
    seen = []

    def keep(action):
        seen.append(action.detach())
        return action.sum(-1, keepdim=True)

    loss = td3_loss(
        critics_of_action(keep),
        policy_noise=stddev,
        noise_clip=noise_clip,
        bounds=bounds,
        deactivate_vmap=True,
    )
    loss.actor_network.module = reader(lambda x: x, "action")
    torch.manual_seed(0)
    loss(transition(0 * a_t, a_t, action=0 * a_t))
    return seen[2][0]


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


class Row(torch.nn.Module):
    """Gives the first number of the observation."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, observation, action):
        return observation[..., :1] * self.one


class Half(torch.nn.Module):
    """Gives one half of the observation."""

    def __init__(self, half):
        super().__init__()
        self.half = half

    def forward(self, observation):
        return observation.chunk(2, -1)[self.half]


def rnd_error(prediction, target):
    loss = objectives.RNDLoss(Half(0), Half(1), update_fraction=1.0)
    observation = torch.cat([prediction, target])[None]
    return loss(TensorDict({"next": {"observation": observation}}, [1]))[
        "loss_predictor"
    ].double()


class Fixed(torch.nn.Module):
    """Gives the same whatever the state."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, state):
        return self.value.flatten().expand(*state.shape[:-1], -1)


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


def drawn(function, *arguments):
    """The numbers that a function draws first with the seed 0."""
    torch.manual_seed(0)
    return function(*arguments).numpy()


def values(recorder, random):
    step = {"q_tm1": random.standard_normal(3), "r_t": 0.3, "discount_t": GAMMA}
    step["q_t"] = random.standard_normal(3)
    policy = {"log_pi_t": -0.7, "temperature": 0.3}
    for end in ({}, {"discount_t": 0.0}):
        case = {**step, **policy, **end}
        recorder.case("sac_td_error", "SACLoss", sac_td_error, case, None, ["q_tm1"])
        worst = int(np.argmin(step["q_t"]))  # Left out, which leaves these two.
        case["subset"] = [i for i in range(3) if i != worst]
        recorder.case("sac_td_error", "REDQLoss", redq_td_error, case, None, ["q_tm1"])
        recorder.case(
            "td3_td_error", "TD3Loss", td3_td_error, {**step, **end}, None, ["q_tm1"]
        )
    subset = {
        **step,
        **policy,
        "q_tm1": random.standard_normal(2),
        "q_t": random.standard_normal(5),
        "subset": [3, 1],
    }
    recorder.case("sac_td_error", "SACLoss", sac_td_error, subset, None, ["q_tm1"])

    case = {"log_pi_t": -0.7, "q_t": random.standard_normal(3), "temperature": 0.3}
    both = ["log_pi_t", "q_t"]
    recorder.case("sac_policy_loss", "SACLoss", sac_policy_loss, case, None, both)
    recorder.case(
        *("sac_policy_loss", "REDQLoss", redq_policy_loss, case),
        *({"reduce": "mean"}, both),
    )
    recorder.case(
        *("sac_temperature_loss", "SACLoss", sac_temperature_loss),
        {"log_temperature": -1.2, "log_pi_t": -0.7, "target_entropy": -2.0},
        {"form": "log"},
        ["log_temperature"],
    )

    q_tm1, q_t = random.standard_normal((2, 3, 4))
    logits = random.standard_normal(4)
    for discount in (GAMMA, 0.0):
        recorder.case(
            *("discrete_sac_td_error", "DiscreteSACLoss", discrete_sac_td_error),
            {
                **{"q_tm1": q_tm1, "a_tm1": 2, "r_t": 0.3, "discount_t": discount},
                **{"q_t": q_t, "logits_t": logits, "temperature": 0.3},
            },
            None,
            ["q_tm1"],
        )
    recorder.case(
        *("discrete_sac_policy_loss", "DiscreteSACLoss", discrete_sac_policy_loss),
        {"logits_t": logits, "q_t": q_t, "temperature": 0.3},
        None,
        ["logits_t"],
    )

    for dropped in (0, 1, 3):
        recorder.case(
            *("tqc_loss", "TQCLoss"),
            lambda dropped=dropped, **x: tqc_loss(num_dropped=dropped, **x),
            {
                "dist_q_tm1": 2 * random.standard_normal((1, 4)),
                "tau": (np.arange(4) + 0.5) / 4,
                "r_t": 0.3,
                "discount_t": GAMMA,
                "dist_q_t": 2 * random.standard_normal((3, 4)),
                "log_pi_t": -0.7,
                "temperature": 0.3,
            },
            {"num_dropped": dropped},
            ["dist_q_tm1"],
        )


def offline(recorder, random):
    q_t = random.standard_normal(3)
    log_mu = np.array([-np.log(2), -1.3, 0.4])  # Theirs draws uniformly from [-1, 1].
    for options in ({}, {"temperature": 2.0}):
        recorder.case(
            *("cql_loss", "CQLLoss"),
            lambda options=options, **x: cql_loss(**x, **options),
            {"q_t": q_t, "q_data": 0.4, "log_mu_t": log_mu},
            options,
            ["q_t", "q_data"],
        )
    recorder.case(
        *("cql_loss", "DiscreteCQLLoss", discrete_cql_loss),
        {"q_t": random.standard_normal(4), "q_data": 0.4},
        None,
        ["q_t", "q_data"],
    )
    for v, expectile in ((-2.0, 0.7), (2.0, 0.7), (0.1, 0.9)):
        recorder.case(
            *("iql_value_loss", "IQLLoss"),
            lambda expectile=expectile, **x: iql_value_loss(**x, expectile=expectile),
            {"v_tm1": v, "q_tm1": random.standard_normal(2)},
            {"expectile": expectile},
            ["v_tm1"],
        )
    for temperature in (1.0, 0.3):
        recorder.case(
            *("advantage_weighted_policy_loss", "IQLLoss"),
            lambda temperature=temperature, **x: advantage_weighted_policy_loss(
                **x, temperature=temperature
            ),
            {"log_pi_t": random.standard_normal(4), "adv_t": [-1.0, 0.2, 1.0, 7.0]},
            {"temperature": temperature},
            ["log_pi_t"],
        )
    actions = random.uniform(-1, 1, (2, 4, 2))
    recorder.case(
        *("td3_bc_policy_loss", "TD3BCLoss"),
        lambda **x: td3_bc_policy_loss(**x, alpha=1.5),
        {"q_t": random.standard_normal(4), "a_pi_t": actions[0], "a_t": actions[1]},
        {"alpha": 1.5},
        ["q_t", "a_pi_t"],
    )


def world_models(recorder, random):
    x = np.array([-300.0, -1.5, -0.1, 0.0, 0.2, 40.0])
    small = np.array([-3.0, -0.5, 0.0, 1.0, 6.0])
    recorder.case("symlog", "symlog", lambda x: objectives.symlog(x), {"x": x}, {}, "x")
    recorder.case(
        *("symexp", "symexp", lambda x: objectives.symexp(x)), {"x": small}, {}, "x"
    )
    for low, high, number in ((-20.0, 20.0, 7), (-2.0, 3.0, 6)):
        options = {"min_value": low, "max_value": high, "num_bins": number}
        recorder.case(
            *("symexp_twohot_pair.apply", "two_hot_encode"),
            lambda scalar, options=options: objectives.two_hot_encode(
                scalar, bins(**options)
            ),
            {"scalar": [-8.0, -0.3, 0.0, 2.0, 30.0]},
            options,
        )
        logits = random.standard_normal((2, number))
        probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        recorder.case(
            *("symexp_twohot_pair.apply_inv", "two_hot_decode"),
            # Theirs takes logits, and so divides by the sum of the rounded ones.
            lambda probs, options=options: (
                objectives.two_hot_decode(probs.log(), bins(**options)) * probs.sum(-1)
            ),
            {"probs": probs},
            options,
        )
    post, prior = random.standard_normal((2, 3, 4))
    for options in (
        {"free_nats": 0.1},
        {"free_nats": 9.0},
        {"free_nats": 0.5, "dynamics_weight": 0.8, "representation_weight": 0.2},
    ):
        recorder.case(
            *("balanced_kl_loss", "categorical_kl_terms"),
            lambda options=options, **x: balanced_kl_loss(**x, **options),
            {"post_logits": post, "prior_logits": prior},
            options,
            ["post_logits", "prior_logits"],
        )
    for low, high, options in (
        (0.0, 0.0, {}),
        (-1.0, 9.0, {}),
        (-1.0, 2.0, {"low": 0.1, "high": 0.8, "decay": 0.9, "minimum": 0.01}),
    ):
        recorder.case(
            *("percentile_scale", "PercentileValueNorm"),
            lambda options=options, **x: percentile_scale(**x, **options),
            {
                **{"x": random.standard_normal(7)},
                **{"state_low": low, "state_high": high},
            },
            options,
            [],
        )


def others(recorder, random):
    recorder.case(
        *("rnd_error", "RNDLoss", rnd_error),
        dict(
            zip(("prediction", "target"), random.standard_normal((2, 4)), strict=True)
        ),
        None,
        ["prediction"],
    )
    weights = {
        "q_t": random.standard_normal(3),
        "w_1": random.standard_normal((3, 4)),
        "b_1": random.standard_normal(4),
        "w_2": random.standard_normal(4),
        "b_2": 0.7,
    }
    recorder.case("qmix_value", "QMixer", qmix_value, weights, None, [*weights])
    for count in (0.0, 5.0):
        recorder.case(
            *("update_running_statistics", "RunningValueNorm"),
            update_running_statistics,
            {
                "count": count,
                "mean": (count > 0) * random.standard_normal(2),
                "square_sum": count * random.uniform(1, 2, 2),
                "x": random.standard_normal((4, 2)),
            },
            None,
            [],
        )
    noise_tm1 = random.standard_normal(3)
    options = {"theta": 0.3, "sigma": 0.4, "dt": 0.1, "mean": 0.2}
    recorder.case(
        *("ornstein_uhlenbeck_step", "OrnsteinUhlenbeckProcessModule"),
        lambda **x: ornstein_uhlenbeck_step(**x, **options),
        {"noise_tm1": noise_tm1, "noise": drawn(torch.randn, 1, 3)[0]},
        options,
    )
    a_t = np.array([0.1, 0.2, -0.3])
    for stddev, clip, bounds in ((0.2, 0.5, (-1.0, 1.0)), (0.5, 0.3, (-0.4, 0.3))):
        recorder.case(
            *("smoothed_target_action", "TD3Loss"),
            lambda stddev=stddev, clip=clip, bounds=bounds, **x: smoothed_target_action(
                **x, stddev=stddev, noise_clip=clip, bounds=bounds
            ),
            {"a_t": a_t, "noise": drawn(torch.randn, 1, 3)[0]},
            {
                **{"stddev": stddev, "noise_clip": clip},
                **{"min_action": bounds[0], "max_action": bounds[1]},
            },
        )


def distributions(recorder, random):
    mask = np.array([True, False, True, True])
    logits = random.standard_normal(4)
    for temperature in (1.0, 0.5):

        def masked(logits, mask, temperature=temperature):
            # The mask fills its argument.
            return modules.MaskedCategorical(logits=logits / temperature, mask=mask)

        for method, function in (
            ("probs", lambda masked=masked, **x: masked(**x).probs),
            ("entropy", lambda masked=masked, **x: masked(**x).entropy()),
            (
                "logprob",
                lambda sample, masked=masked, **x: masked(**x).log_prob(sample),
            ),
        ):
            recorder.case(
                *(f"masked_softmax.{method}", "MaskedCategorical", function),
                {
                    **({"sample": 2} if method == "logprob" else {}),
                    **{"logits": logits, "mask": mask},
                },
                {"temperature": temperature},
                ["logits"],
            )
    mu, sigma = random.standard_normal(3), random.uniform(0.3, 1, 3)
    for low, high in ((-1.0, 1.0), (-2.0, 1.0)):

        def squashed(mu, sigma, low=low, high=high):
            return modules.TanhNormal(mu, sigma, low=low, high=high)

        options = {"min_action": low, "max_action": high}
        both = {"mu": mu, "sigma": sigma}
        recorder.case(
            *("tanh_gaussian.logprob", "TanhNormal"),
            lambda sample, squashed=squashed, **x: squashed(**x).log_prob(sample),
            {"sample": [-0.7, 0.1, 0.6], **both},
            options,
            ["sample", "mu", "sigma"],
        )
        recorder.case(
            *("tanh_gaussian.mode", "TanhNormal"),
            lambda squashed=squashed, **x: squashed(**x).deterministic_sample,
            both,
            options,
            ["mu"],
        )


def main():
    torch.set_default_dtype(torch.float64)
    recorder = TorchRecorder("TorchRL", "torchrl")
    random = np.random.default_rng(3)
    for cases in (values, offline, world_models, others, distributions):
        cases(recorder, random)
    recorder.write()


if __name__ == "__main__":
    main()
