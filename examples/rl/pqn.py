r"""PQN: deep Q-learning from many games at once, without a memory or a target network.

    python examples/rl/pqn.py
    python examples/rl/pqn.py --environment breakout --steps 1000000 \
        --environments 128 --length 32 --epochs 2 --name pqn_breakout

What DQN needs a memory and an old copy for is that its steps are alike, and that values
are learned toward themselves. Here many games side by side give steps that differ, and
layer normalisation bounds what a wrong value does to the next ones. The games are
played for a while; each step's target is the blend of all n-step returns (lambda
returns) with the values of the network itself, and is learned by a few epochs over what
was played, which is then thrown away. Games and learning are one compiled program.
Source: Gallici et al., 2024, Simplifying Deep Temporal Difference Learning,
arXiv:2407.04811.
"""

import functools

import compiled
import experiment
import games
import jax
import jax.numpy as jnp
import minatar
import numpy as np
import optax
import value_agent

import haiku as hk
import rlax


def network(actions: int):
    """Values of actions, [B, A], of vectors [B, D] or boards [B, H, W, C]."""

    def normal(x):
        return jax.nn.relu(hk.LayerNorm(-1, True, True)(x))

    def forward(x):
        x = x.astype(jnp.float32)
        if x.ndim == 4:
            x = hk.Flatten()(normal(value_agent.convolution(x, 16)))
        for size in [64, 64] if x.shape[-1] < 100 else [128]:
            x = normal(hk.Linear(size)(x))
        return hk.Linear(actions)(x)

    return hk.without_apply_rng(hk.transform(forward))


def returns(net, params, played, options):
    """What each step's value is learned toward, [T, B]."""
    v_t = hk.BatchApply(lambda s_t: net.apply(params, s_t).max(-1))(played.s_t)
    return rlax.lambda_returns(
        played.r_t,
        options.discount * (1.0 - played.ended_t),
        v_t,
        options.lambda_,
        truncation_t=played.cut_t,
        bootstrap_t=v_t,
    )


def loss(net, params, s_tm1, a_tm1, return_tm1):
    q_tm1 = rlax.batched_index(net.apply(params, s_tm1), a_tm1)
    return rlax.l2_loss(q_tm1, return_tm1).mean()


def updater(net, game, optimizer, options):
    """Makes the function that plays, and learns from what was played."""
    steps = options.length * options.environments
    epsilon = optax.linear_schedule(
        1.0, options.epsilon, options.explore * options.steps / steps
    )

    def play(params, policy, carry, key):
        states, s_tm1 = carry
        keys = jax.random.split(key, options.environments + 1)
        a_tm1 = policy.sample(keys[0], net.apply(params, s_tm1))
        states, step = jax.vmap(functools.partial(games.play, game))(
            states, a_tm1, keys[1:]
        )
        return (states, jax.vmap(game.observe)(states)), step

    def descend(carry, batch):
        params, state = carry
        gradient = jax.grad(functools.partial(loss, net))(params, *batch)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def update(training, number):
        params, state, states, key = training
        key, play_key, *epoch_keys = jax.random.split(key, options.epochs + 2)
        policy = rlax.epsilon_greedy(epsilon(number))
        (states, _), played = jax.lax.scan(
            functools.partial(play, params, policy),
            (states, jax.vmap(game.observe)(states)),
            jax.random.split(play_key, options.length),
        )
        data = played.s_tm1, played.a_tm1, returns(net, params, played, options)
        data = jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), data)
        for epoch_key in epoch_keys:
            rows = jax.random.permutation(epoch_key, steps).reshape(
                options.minibatches, -1
            )
            (params, state), _ = jax.lax.scan(
                lambda carry, row: descend(carry, jax.tree.map(lambda x: x[row], data)),
                (params, state),
                rows,
            )
        over = played.ended_t | played.cut_t
        return (params, state, states, key), (played.r_t, over)

    return update


def learn(options, seed, report):
    game = compiled.game_of(options.environment, compiled.DISCRETE)
    net = network(int(game.action_space.n))
    steps = options.length * options.environments
    count = -(-options.steps // steps) * options.epochs * options.minibatches
    optimizer = optax.chain(
        optax.clip_by_global_norm(10.0),
        optax.radam(optax.linear_schedule(options.learning_rate, 0.0, count)),
    )
    key, init_key, start_key = jax.random.split(jax.random.key(seed), 3)
    states = jax.jit(jax.vmap(game.start))(
        jax.random.split(start_key, options.environments)
    )
    params = jax.jit(net.init)(init_key, jax.vmap(game.observe)(states))
    training, first = report.resume((params, optimizer.init(params), states, key))
    update = updater(net, game, optimizer, options)
    for step in range(first, options.steps, steps):
        report(step, training[0], training)
        training, played = update(training, step // steps)
        for rewards, over in zip(*map(np.asarray, played)):
            report.played(rewards, over)
    return training[0]


parser = experiment.parser(__doc__, environment="CartPole-v1", steps=500_000)
add = parser.add_argument
add("--environments", type=int, default=32, help="side by side; %(default)s")
add("--length", type=int, default=64, help="steps before an update; %(default)s")
add("--epochs", type=int, default=4, help="over those steps; %(default)s")
add("--minibatches", type=int, default=16, help="of an epoch; %(default)s")
add("--learning-rate", type=float, default=2.5e-4, help="%(default)s, sinks to 0")
add("--discount", type=float, default=0.99, help="%(default)s")
add("--lambda", type=float, default=0.9, dest="lambda_", help="%(default)s")
add("--explore", type=float, default=0.2, help="of the steps until epsilon is least")
add("--epsilon", type=float, default=0.2, help="at least; %(default)s")


def main(argv=None):
    game = compiled.game_of(parser.parse_args(argv).environment, compiled.DISCRETE)
    net = network(int(game.action_space.n))

    def act(params, observations, memory):
        return net.apply(params, observations).argmax(-1), memory

    return experiment.main(learn, act, parser, vector=minatar.vector, argv=argv)


if __name__ == "__main__":
    main()
