"""Q(lambda) on Catch: whole episodes, whose rewards reach back through all steps.

    python examples/rl/catch_q_lambda.py

The target of an action's value mixes returns over one step, over two, and so on, the
longer ones weighted by lambda: the one reward at the end moves the values of all nine
steps at once, where `catch_q.py` carries it back by one step in each episode.
Source: Peng and Williams, 1994, Incremental Multi-Step Q-Learning.
"""

import functools

import catch
import experiment
import jax
import jax.numpy as jnp
import optax
from catch_q import act, network

import rlax

parser = experiment.parser(__doc__, environment="Catch", steps=45_000, episodes=100)
parser.add_argument("--learning-rate", type=float, default=3e-3, help="3e-3")
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--epsilon", type=float, default=0.1, help="chance exploring; 0.1")
parser.add_argument("--lambda", type=float, default=0.9, dest="lambda_", help="0.9")


def play(params, epsilon: float, key):
    """One episode: boards [T + 1, ...], actions, rewards and ends [T]."""

    def step(game, key):
        q = network.apply(params, catch.board(game))
        action = rlax.epsilon_greedy(epsilon).sample(key, q)
        following, reward, ended = catch.step(game, action)
        return following, (catch.board(game), action, reward, ended)

    start_key, key = jax.random.split(key)
    keys = jax.random.split(key, catch.STEPS)
    last, (boards, *rest) = jax.lax.scan(step, catch.start(start_key), keys)
    return jnp.concatenate([boards, catch.board(last)[None]]), *rest


def loss(params, boards, a_tm1, r_t, ended, options):
    q = jax.vmap(network.apply, in_axes=(None, 0))(params, boards)  # [T + 1, A]
    discount_t = options.discount * (1 - ended)
    errors = rlax.q_lambda(q[:-1], a_tm1, r_t, discount_t, q[1:], options.lambda_)
    return jnp.mean(rlax.l2_loss(errors))


def learn(options, seed: int, report):
    optimizer = optax.adam(options.learning_rate)

    def episode(carry, key):
        params, state = carry
        played = play(params, options.epsilon, key)
        gradient = jax.grad(loss)(params, *played, options)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def episodes(carry, keys):
        return jax.lax.scan(episode, carry, keys)[0]

    key, init_key, start_key = jax.random.split(jax.random.key(seed), 3)
    params = jax.jit(network.init)(init_key, catch.board(catch.start(start_key)))
    carry, first = report.resume((params, optimizer.init(params)))
    keys = jax.random.split(key, options.steps // catch.STEPS)
    chunk = max(1, len(keys) // options.evaluations)
    for done in range(first // catch.STEPS, len(keys), chunk):
        report(done * catch.STEPS, carry[0], carry)
        carry = episodes(carry, keys[done : done + chunk])
    return carry[0]


main = functools.partial(experiment.main, learn, act, parser, vector=catch.vector)

if __name__ == "__main__":
    main()
