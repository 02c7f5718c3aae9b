"""QMIX: players that act apart learn values that are mixed into one, monotonically.

    python examples/rl/qmix.py
    python examples/rl/qmix.py --mixer sum --name vdn
    python examples/rl/qmix.py --mixer none --name independent

Each player has a value of each of its own actions. A mixing network, whose weights
depend on the state and are positive, makes of them the value of what all do together,
which learns from the common reward. As it rises with every player's value, each player
still finds the best joint action by taking its own best. With `--mixer sum` the values
are only added up (VDN), with `--mixer none` each player learns alone. Both players see
everything here, so no memory is needed; they explore at random, as in the paper.
Sources: Rashid et al., 2018, QMIX: Monotonic Value Function Factorisation for Deep
Multi-Agent Reinforcement Learning, arXiv:1803.11485; Sunehag et al., 2017, arXiv:
1706.05296 (VDN).
"""

import functools

import experiment
import games
import jax
import jax.numpy as jnp
import optax
import replay
import two_steps
from two_steps import ACTIONS, GAME, PLAYERS

import haiku as hk
import rlax

parser = experiment.parser(
    __doc__, environment="TwoSteps", steps=24_000, episodes=10, evaluations=10
)
add = parser.add_argument
add("--mixer", choices=["qmix", "sum", "none"], default="qmix", help="%(default)s")
add("--environments", type=int, default=8, help="side by side; %(default)s")
add("--batch-size", type=int, default=64, help="transitions; %(default)s")
add("--capacity", type=int, default=1000, help="transitions kept; %(default)s")
add("--learning-rate", type=float, default=3e-3, help="%(default)s, sinks to 0")
add("--copy-period", type=int, default=100, help="of the target; %(default)s")
add("--discount", type=float, default=0.99, help="%(default)s")


def players(s):
    """Each player's values [N, A] of its actions, by one network for all."""
    seen = jnp.concatenate([jnp.tile(s, [PLAYERS, 1]), jnp.eye(PLAYERS)], -1)
    return hk.nets.MLP([64, ACTIONS])(seen)


def mixer(s, q, width: int = 8):
    """The value of what players with values q [N] do together, in state s."""
    w_1 = hk.Linear(PLAYERS * width)(s).reshape(PLAYERS, width)
    w_2, b_1 = hk.Linear(width)(s), hk.Linear(width)(s)
    b_2 = hk.nets.MLP([width, 1])(s)[0]
    return rlax.qmix_value(q, w_1, b_1, w_2, b_2)


player_values = hk.without_apply_rng(hk.transform(players))
mixed_value = hk.without_apply_rng(hk.transform(mixer))


def td_errors(params, target, transition, options):
    """Of one transition: one error, or one of each player who learns alone."""
    s_tm1, actions, r_t, discount_t, s_t = transition
    q_tm1 = player_values.apply(params["players"], s_tm1)
    q_t = player_values.apply(target["players"], s_t).max(-1)
    q_tm1 = jax.vmap(rlax.batched_index)(q_tm1, actions)

    def together(params, s, q):
        if options.mixer == "qmix":
            return mixed_value.apply(params["mixer"], s, q)
        return q.sum() if options.mixer == "sum" else q

    target_tm1 = r_t + discount_t * together(target, s_t, q_t)
    return jax.lax.stop_gradient(target_tm1) - together(params, s_tm1, q_tm1)


def updater(optimizer, options):
    """Makes the compiled function of many steps: play, remember, learn."""

    def loss(params, target, batch):
        errors = functools.partial(td_errors, params, target, options=options)
        return rlax.l2_loss(jax.vmap(errors)(batch)).mean()

    def step(carry, key):
        params, target, state, memory, now, count = carry
        keys = jax.random.split(key, 3)
        shape = options.environments, PLAYERS
        actions = jax.random.randint(keys[0], shape, 0, ACTIONS)
        play = functools.partial(games.play, GAME)
        each = jax.random.split(keys[1], options.environments)
        now, played = jax.vmap(play)(now, actions, each)
        discount_t = options.discount * (1.0 - played.ended_t)
        memory = replay.add(
            memory, (played.s_tm1, actions, played.r_t, discount_t, played.s_t)
        )
        batch = replay.sample(memory, keys[2], options.batch_size)
        gradient = jax.grad(loss)(params, target, batch)
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(params, updates)
        target = rlax.periodic_update(params, target, count, options.copy_period)
        return (params, target, state, memory, now, count + 1), None

    return jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[0])


def act(params, states, memory):
    values = jax.vmap(player_values.apply, (None, 0))(params["players"], states)
    return values.argmax(-1), memory


def learn(options, seed, report):
    count = options.environments
    each = max(1, options.steps // options.evaluations // count)
    rate = optax.linear_schedule(options.learning_rate, 0.0, options.steps // count)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
    key, *keys = jax.random.split(jax.random.key(seed), 3)
    now = jnp.zeros([count], int)
    seen = GAME.observe(now[0])
    params = {
        "players": jax.jit(player_values.init)(keys[0], seen),
        "mixer": jax.jit(mixed_value.init)(keys[1], seen, jnp.zeros(PLAYERS)),
    }
    one = seen, jnp.zeros(PLAYERS, int), 0.0, 0.0, seen
    memory = replay.empty(options.capacity, one)
    training = params, params, optimizer.init(params), memory, now, jnp.array(1)
    training, first = report.resume(training)
    update = updater(optimizer, options)
    for step in range(first, options.steps, each * count):
        report(step, training[0], training)
        keys = jax.random.split(jax.random.fold_in(key, step), each)
        training = update(training, keys)
    return training[0]


main = functools.partial(experiment.main, learn, act, parser, vector=two_steps.vector)

if __name__ == "__main__":
    main()
