"""PPO on an Atari game, from pixels.

    python examples/rl/atari.py --steps 10000000 --out demo/pong
    python examples/rl/atari.py --environment breakout

The learning rule is ppo.py's; here are a convolutional network and the game, as it is
usually shown: 84 x 84 grey pixels, the last four of every fourth frame, rewards cut to
-1, 0 or 1 (in training, not in evaluation). The default number of steps is a trial run:
it tells how many frames pass in a second. A good player of Pong takes some millions of
steps, which is many hours on two cores.
Sources: Schulman et al., 2017, arXiv:1707.06347; Mnih et al., 2015, Human-level Control
through Deep Reinforcement Learning, Nature 518 (network and picture).
"""

import functools
import time

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import ppo
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from rollouts import Actor

import haiku as hk
import rlax

SKIP = 4  # frames that pass in one step


class Game(AtariVectorEnv):
    """Copies of one game that start anew as experiment.vector's environments do."""

    def __init__(self, game: str, count: int, **options):
        again = AutoresetMode.SAME_STEP
        super().__init__(game, count, autoreset_mode=again, frameskip=SKIP, **options)

    def step(self, actions):
        """Says beside the last observations which they are."""
        *results, ended, cut, info = super().step(actions)
        return *results, ended, cut, {**info, "_final_obs": ended | cut}


def whole_games(game: str, count: int, wrappers=(), **render):
    """Games with their true score."""
    return Game(game, count, reward_clipping=False)


def forward(x, actions):
    """Logits and value of pictures [B, 4, 84, 84]: one network with two heads."""
    x = jnp.moveaxis(x, 1, -1).astype(jnp.float32) / 255
    for channels, size, stride in (32, 8, 4), (64, 4, 2), (64, 3, 1):
        layer = hk.Conv2D(channels, size, stride, padding="VALID")
        x = jax.nn.relu(layer(x))
    x = jax.nn.relu(hk.Linear(512)(hk.Flatten()(x)))
    small = hk.initializers.Orthogonal(0.01)
    logits = hk.Linear(actions, w_init=small, name="policy")(x)
    return logits, hk.Linear(1, name="value")(x)[..., 0]


def network(actions: int):
    return hk.without_apply_rng(hk.transform(lambda x: forward(x, actions)))


def policy(params, observations, first, memory):
    actions = params["policy"]["b"].size
    return network(actions).apply(params, observations)[0], memory


def act(params, observations, key):
    """Draws actions: the likeliest alone may leave a game standing still for ever."""
    key = jax.random.key(0) if key is None else key
    key, draw_key = jax.random.split(key)
    logits, _ = policy(params, observations, None, None)
    return rlax.softmax().sample(draw_key, logits), key


def updater(network, optimizer, options):
    """As ppo.updater, but the loop over minibatches is Python's.

    On CPUs, XLA's convolutions are thirty times slower inside a compiled loop.
    """
    loss = ppo.minibatch_loss(network, options)
    steps = jax.jit(lambda params, batch: ppo.steps(network, params, batch, options))
    descend = jax.jit(lambda *x: ppo.descend(loss, optimizer, *x))

    def update(params, state, key, batch):
        data = steps(params, batch)
        for epoch_key in jax.random.split(key, options.epochs):
            order = jax.random.permutation(epoch_key, batch.r_t.size)
            for rows in order.reshape(options.minibatches, -1):
                params, state = descend(params, state, data, rows)
        return params, state

    return update


def learn(options, seed, report):
    games = Game(options.environment, options.environments, episodic_life=True)
    net = network(int(games.single_action_space.n))
    key, init_key = jax.random.split(jax.random.key(seed))
    params = ppo.start(net, games, init_key)
    optimizer = ppo.optimizer(options)
    (params, state, key), first = report.resume((params, optimizer.init(params), key))
    actor = Actor(policy, games, seed, played=report.played, steps=first)
    update = updater(net, optimizer, options)

    each = options.length * options.environments
    seconds = []  # of acting and learning; the first time compiles
    for step in range(first, options.steps, each):
        report(step, params, (params, state, key), **speed(seconds[-1:], each))
        start = time.perf_counter()
        key, update_key = jax.random.split(key)
        rollout = actor(params, options.length)
        acted = time.perf_counter()
        params, state = update(params, state, update_key, rollout)
        jax.block_until_ready(params)
        seconds.append((acted - start, time.perf_counter() - acted))
    games.close()
    print(speed(seconds[1:], each))
    return params


def speed(seconds, steps: int):
    """Frames of the game that pass in a second, and the share of time spent acting."""
    if not seconds:
        return {}
    acting, learning = np.mean(seconds, 0).tolist()
    frames = SKIP * steps / (acting + learning)
    return {"frames_per_second": frames, "acting": acting / (acting + learning)}


parser = experiment.parser(
    __doc__,
    environment="pong",
    steps=10_240,
    seeds=1,
    evaluations=1,
    episodes=4,
)
ppo.add_options(
    parser,
    length=128,
    epochs=4,
    minibatches=4,
    learning_rate=2.5e-4,
    epsilon=0.1,
    discount=0.99,
    lambda_=0.95,
    entropy=0.01,
)
main = functools.partial(experiment.main, learn, act, parser, vector=whole_games)

if __name__ == "__main__":
    main()
