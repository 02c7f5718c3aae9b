"""What agents that learn values share; they differ in their network and its loss.

The network of most recent parameters acts, and learns toward an older copy. Each copy
carries values back by the steps of one transition, and CartPole's values reach over a
hundred steps: transitions of five steps get there in a fifth of the copies. As the
actions of a balanced pole have nearly the same value, where little noise upsets the
policy, the learning rate falls to zero and the policy that is evaluated has averaged
parameters. `off_policy.py` has the loop.
"""

from collections.abc import Callable
from typing import NamedTuple

import compiled
import experiment
import jax
import jax.numpy as jnp
import minatar
import off_policy
import optax

import haiku as hk
import rlax

# Other defaults for MinAtar's games.
BOARDS = {"steps": 100_000, "warm_up": 5000, "evaluations": 5, "episodes": 100}
BOARDS |= {"updates": 16, "batch_size": 32, "learning_rate": 1e-3, "copy_period": 64}


def parser(description: str, *, environment="CartPole-v1", steps=50_000, **defaults):
    """The options of these agents."""
    options = experiment.parser(description, environment=environment, steps=steps)
    off_policy.add_options(options, every=64, updates=32, capacity=50_000, n_step=5)

    def add(name, default, what):
        kind = type(default)
        options.add_argument(
            name, type=kind, default=default, help=f"{what}; %(default)s"
        )

    add("--learning-rate", 2e-3, "at first; falls to 0")
    add("--copy-period", 64, "updates until the target network is a new copy")
    add("--average", 0.002, "weight of new parameters in the averaged ones")
    add("--explore", 0.16, "fraction of the steps in which epsilon falls")
    add("--epsilon", 0.05, "chance of a random action after that")
    options.set_defaults(**defaults)
    return options


class Rule(NamedTuple):
    """A network that gives values of actions, and how it learns them."""

    init: Callable  # key, observations -> params
    loss: Callable  # params, target_params, key, transitions -> [B]
    q_values: Callable  # params, observations -> [B, A]
    noisy: Callable | None = None  # params, key, observations -> [B, A], to explore
    priority: float | None = None  # by the loss to this power transitions are drawn


def torso(x):
    """What a network makes of vectors [B, D], or of boards [B, H, W, C]."""
    return hk.nets.MLP([64, 64], activate_final=True)(x) if x.ndim == 2 else board(x)


def board(x, size: int = 128):
    """What a network makes of boards [..., H, W, C]: one convolution and a layer."""
    x = jax.nn.relu(convolution(x.astype(jnp.float32), 16))
    return jax.nn.relu(hk.Linear(size)(x.reshape(*x.shape[:-3], -1)))


def convolution(x, channels: int):
    """A convolution of 3x3, as one product: on a CPU, XLA's own are slow in loops."""
    height, width = x.shape[-3] - 2, x.shape[-2] - 2
    places = [(i, j) for i in range(3) for j in range(3)]
    patches = [x[..., i : i + height, j : j + width, :] for i, j in places]
    return hk.Linear(channels, name="convolution")(jnp.concatenate(patches, -1))


def agent(rule: Rule, options) -> off_policy.Agent:
    """An agent that learns by this rule."""
    rate = optax.linear_schedule(
        options.learning_rate, 0, off_policy.updates_of(options)
    )
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))

    def init(key, observations, _):
        params = rule.init(key, observations)
        return params, params, params, optimizer.init(params), 0

    def explore(state, key, observations, share):
        noise_key, key = jax.random.split(key)
        if rule.noisy is not None:
            q = rule.noisy(state[0], noise_key, observations)
        else:
            q = rule.q_values(state[0], observations)
        falling = 1 - (1 - options.epsilon) * share / options.explore
        policy = rlax.epsilon_greedy(jnp.maximum(falling, options.epsilon))
        return policy.sample(key, q)

    def mean_loss(params, target_params, key, transitions, weights):
        losses = rule.loss(params, target_params, key, transitions)
        return jnp.mean(weights * losses), losses

    def update(state, key, transitions, weights=1.0):
        params, target_params, average, optimizer_state, count = state
        grads, losses = jax.grad(mean_loss, has_aux=True)(
            params, target_params, key, transitions, weights
        )
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        count = count + 1
        target_params = rlax.periodic_update(
            params, target_params, count, options.copy_period
        )
        average = optax.incremental_update(params, average, options.average)
        state = params, target_params, average, optimizer_state, count
        return state if rule.priority is None else (state, losses)

    return off_policy.Agent(
        init, explore, update, lambda state: state[2], rule.priority
    )


def main(rule, parser, boards=BOARDS):
    """Makes the program of `rule(actions, options)`."""

    def run(argv=None):
        recipes = dict.fromkeys(minatar.GAMES, boards)
        defaults = experiment.tuned(parser, recipes, argv)
        options = defaults.parse_args(argv)
        environments = minatar.vector(options.environment, 1)
        chosen = rule(int(environments.single_action_space.n), options)
        environments.close()

        def act(params, observations, memory):
            return chosen.q_values(params, observations).argmax(-1), memory

        def learn(options, seed, report):
            rule = agent(chosen, options)
            return compiled.train(rule, options, seed, report, vector=minatar.vector)

        return experiment.main(learn, act, defaults, vector=minatar.vector, argv=argv)

    return run
