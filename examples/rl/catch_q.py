"""Online Q-learning on Catch: one game, one step, one update; nothing is remembered.

    python examples/rl/catch_q.py

The whole training between two evaluations is one compiled call: a scan over steps, with
the game's rules inside of it.
Source: Watkins, 1989, Learning from Delayed Rewards.
"""

import functools

import catch
import experiment
import jax
import jax.numpy as jnp
import optax

import haiku as hk
import rlax

parser = experiment.parser(__doc__, environment="Catch", steps=45_000, episodes=100)
parser.add_argument("--learning-rate", type=float, default=1e-3, help="1e-3")
parser.add_argument("--discount", type=float, default=0.99, help="0.99")
parser.add_argument("--epsilon", type=float, default=0.1, help="chance exploring; 0.1")


@hk.without_apply_rng
@hk.transform
def network(board):
    return hk.nets.MLP([50, 50, 3])(board.reshape(-1))


def learn(options, seed: int, report):
    optimizer = optax.adam(options.learning_rate)
    policy = rlax.epsilon_greedy(options.epsilon)

    def td_error(params, s_tm1, a_tm1, r_t, discount_t, s_t):
        q_tm1, q_t = network.apply(params, s_tm1), network.apply(params, s_t)
        return rlax.q_learning(q_tm1, a_tm1, r_t, discount_t, q_t)

    def loss(params, *transition):
        return rlax.l2_loss(td_error(params, *transition))

    def step(carry, key):
        params, state, game = carry
        act_key, start_key = jax.random.split(key)
        s_tm1 = catch.board(game)
        a_tm1 = policy.sample(act_key, network.apply(params, s_tm1))
        game, r_t, ended = catch.step(game, a_tm1)
        discount_t = options.discount * (1 - ended)
        s_t = catch.board(game)
        gradient = jax.grad(loss)(params, s_tm1, a_tm1, r_t, discount_t, s_t)
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(params, updates)
        again = catch.start(start_key)
        game = jax.tree.map(lambda x, y: jnp.where(ended, x, y), again, game)
        return (params, state, game), r_t

    @jax.jit
    def steps(carry, keys):
        return jax.lax.scan(step, carry, keys)

    key, init_key, start_key = jax.random.split(jax.random.key(seed), 3)
    game = catch.start(start_key)
    params = jax.jit(network.init)(init_key, catch.board(game))
    carry, first = report.resume((params, optimizer.init(params), game))
    keys = jax.random.split(key, options.steps)
    chunk = max(1, options.steps // options.evaluations)
    for done in range(first, options.steps, chunk):
        report(done, carry[0], carry)
        carry, rewards = steps(carry, keys[done : done + chunk])
    return carry[0]


def act(params, boards, memory):
    q = jax.vmap(network.apply, in_axes=(None, 0))(params, boards)
    return jnp.argmax(q, -1), memory


main = functools.partial(experiment.main, learn, act, parser, vector=catch.vector)

if __name__ == "__main__":
    main()
