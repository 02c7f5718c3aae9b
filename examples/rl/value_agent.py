"""The loop that DQN, C51 and QR-DQN share: act, remember, learn from memory.

Those agents differ in their network and its loss; they give `learn` both. Sizes and
rates are those that CleanRL publishes for CartPole (Huang et al., 2022, JMLR 23), with
two differences: several environments go on side by side, and the learning rate falls to
zero, so that the last parameters are good ones.
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
        description, environment="CartPole-v1", steps=500_000, **defaults
    )
    add = options.add_argument
    add("--environments", type=int, default=16, help="side by side; 16")
    add("--updates", type=int, default=2, help="after a step in each of them; 2")
    add("--batch-size", type=int, default=128, help="transitions of an update; 128")
    add("--capacity", type=int, default=10_000, help="transitions kept; 10,000")
    add("--warm-up", type=int, default=10_000, help="steps before learning; 10,000")
    add("--learning-rate", type=float, default=2.5e-4, help="falls to 0; 2.5e-4")
    add("--copy-period", type=int, default=50, help="updates per new target; 50")
    add("--discount", type=float, default=0.99, help="0.99")
    add("--explore", type=float, default=0.4, help="fraction of the steps; 0.4")
    add("--epsilon", type=float, default=0.05, help="after that; 0.05")
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
        params, target_params, optimizer_state, count = state
        grads = jax.grad(loss)(params, target_params, transitions, options)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        count = count + 1
        target_params = rlax.periodic_update(
            params, target_params, count, options.copy_period
        )
        return (params, target_params, optimizer_state, count), None

    def act(params, observations, key, round):
        q = q_values(params, observations)
        policy = rlax.epsilon_greedy(epsilon(round))
        return policy.sample(jax.random.fold_in(key, round), q)

    @jax.jit  # Learning and acting in one call: there and back once in each round.
    def update_and_act(state, batches, observations, key, round):
        state, _ = jax.lax.scan(update, state, batches)
        return state, act(state[0], observations, key, round)

    key, init_key = jax.random.split(jax.random.key(seed))
    params = init(init_key, observations)
    state = params, params, optimizer.init(params), 0
    memory = Replay(options.capacity, seed)
    for round in range(rounds):
        if memory.size < min(options.warm_up, options.capacity):
            actions = environments.action_space.sample()
        else:
            batches = memory.batches(options.updates, options.batch_size)
            state, actions = update_and_act(state, batches, observations, key, round)
        s_tm1 = observations
        observations, rewards, ended, _, info = environments.step(np.asarray(actions))
        s_t = experiment.last_observations(observations, info)
        discounts = np.float32(options.discount * ~ended)
        memory.add(s_tm1, actions, np.float32(rewards), discounts, s_t)
        report((round + 1) * options.environments, state[0])
    environments.close()
    return state[0]
