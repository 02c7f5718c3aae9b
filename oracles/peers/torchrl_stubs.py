"""Networks that give what they are to give, and TorchRL's losses with them.

They read it out of the observation, which holds a log-probability, an action, and the
critics' values.
"""

import torch
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch.distributions import Distribution
from torchrl import objectives

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


def td3_loss(critics, **options):
    loss = objectives.TD3Loss(
        reader(lambda x: x[..., 1:2], "action"),
        critics,
        **{"num_qvalue_nets": len(critics), "bounds": (-1, 1), **options},
    )
    loss.make_value_estimator(gamma=GAMMA)
    return loss


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


class Fixed(torch.nn.Module):
    """Gives the same whatever the state."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, state):
        return self.value.flatten().expand(*state.shape[:-1], -1)
