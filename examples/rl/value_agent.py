"""The loop that DQN, C51 and QR-DQN share: act, remember, learn from memory.

Those agents differ in their network and its loss; they give `learn` both. Sizes are
those that CleanRL publishes for CartPole (Huang et al., 2022, JMLR 23). Several
environments go on side by side, and the learning rate starts higher and falls to zero.
As the actions of a balanced pole have nearly the same value, where little noise upsets
the policy, the policy that is evaluated has averaged parameters; and what `learn`
returns are those of the best evaluation on the way. The final figure comes from other
episodes than these.
An episode that is cut off by the time limit still has a future to bootstrap from: its
discount stays (Pardo et al., 2018, Time Limits in Reinforcement Learning,
arXiv:1712.00378).
"""

import experiment
import jax
import numpy as np
import optax
from replay import Replay

import rlax


def parser(description: str, **defaults):
    """The options of these agents."""
    options = experiment.parser(
        description, environment="CartPole-v1", steps=300_000, evaluations=30
    )

    def add(name, default, what):
        kind = type(default)
        options.add_argument(
            name, type=kind, default=default, help=f"{what}; %(default)s"
        )

    add("--environments", 16, "side by side")
    add("--updates", 2, "after a step in each of them")
    add("--batch-size", 128, "transitions of an update")
    add("--capacity", 10_000, "transitions kept")
    add("--warm-up", 10_000, "steps before learning")
    add("--learning-rate", 1e-3, "at first; falls to 0")
    add("--copy-period", 50, "updates until the target network is a new copy")
    add("--average", 0.002, "weight of new parameters in the averaged ones")
    add("--discount", 0.99, "of later rewards")
    add("--explore", 0.4, "fraction of the steps in which epsilon falls")
    add("--epsilon", 0.05, "chance of a random action after that")
    options.set_defaults(**defaults)
    return options


def learn(init, loss, q_values, options, seed: int, report):
    """Trains with one seed; returns parameters.

    `init(key, observations)` gives them, `q_values(params, observations)` is [B, A],
    and `loss(params, target_params, transitions, options)` is a number, for transitions
    `(s_tm1, a_tm1, r_t, discount_t, s_t)`, each [B, ...].
    """
    environments = experiment.vector(options.environment, options.environments)
    observations, _ = environments.reset(seed=1000 * seed)
    environments.action_space.seed(seed)
    rounds = max(1, options.steps // options.environments)
    rate = optax.linear_schedule(options.learning_rate, 0, rounds * options.updates)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
    epsilon = optax.linear_schedule(1, options.epsilon, int(options.explore * rounds))

    def update(state, transitions):
        params, target_params, average, optimizer_state, count = state
        grads = jax.grad(loss)(params, target_params, transitions, options)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        count = count + 1
        target_params = rlax.periodic_update(
            params, target_params, count, options.copy_period
        )
        average = optax.incremental_update(params, average, options.average)
        return (params, target_params, average, optimizer_state, count), None

    def act(params, observations, key, round):
        q = q_values(params, observations)
        policy = rlax.epsilon_greedy(epsilon(round))
        return policy.sample(jax.random.fold_in(key, round), q)

    @jax.jit  # Learning and acting in one call: there and back once in each round.
    def update_and_act(state, batches, observations, key, round):
        state, _ = jax.lax.scan(update, state, batches)
        return state, act(state[0], observations, key, round)

    key, init_key = jax.random.split(jax.random.key(seed))
    params = jax.jit(init)(init_key, observations)
    state = params, params, params, optimizer.init(params), 0
    memory = Replay(options.capacity, seed)
    for round in range(rounds):
        if memory.size < min(options.warm_up, options.capacity):
            actions = environments.action_space.sample()
        else:
            batches = memory.batches(options.updates, options.batch_size)
            state, actions = update_and_act(state, batches, observations, key, round)
        average = state[2]
        s_tm1 = observations
        observations, rewards, ended, _, info = environments.step(np.asarray(actions))
        s_t = experiment.last_observations(observations, info)
        discounts = np.float32(options.discount * ~ended)
        memory.add(s_tm1, actions, np.float32(rewards), discounts, s_t)
        report((round + 1) * options.environments, average)
    environments.close()
    return report.best
