"""Anakin: games and learner in one compiled program over all devices.

    python examples/rl/anakin.py
    python examples/rl/anakin.py --environment breakout --name anakin_breakout
    python examples/rl/anakin.py --cpu-devices 8 --compare 1 2 4 8

The games are written in JAX (games.py), so acting and learning are one program: `vmap`
over games, `scan` over their steps, and `scan` over updates. The host starts it once
for many updates, and nothing travels between host and devices until they are done. Each
device has its part of the games, with their random numbers, and all parameters;
`hk.parallel.data()` says so. Only sums travel between devices: of gradients, and of the
statistics that PPO normalises advantages with. A minibatch is some of the steps of all
games, so shuffling stays within a device. The learning rule is that of ppo.py.
Source: Hessel et al., 2021, Podracer architectures for scalable Reinforcement Learning,
arXiv:2104.06272.
"""

import functools
import time
from typing import Any, NamedTuple

import device_counts
import experiment
import games
import jax
import jax.numpy as jnp
import minatar
import numpy as np
import ppo
import tqdm
import value_agent
from compiled import DISCRETE, game_of
from jax.sharding import AxisType
from rollouts import Rollout

import haiku as hk

RULES = hk.parallel.data()


class Training(NamedTuple):
    """All that an update changes."""

    params: Any  # on every device
    state: Any  # of the optimizer, on every device
    games: Any  # [B], each device has its part
    keys: jax.Array  # [B], of the games
    key: jax.Array  # of the minibatches


def network(shape, actions: int):
    """Logits and value of what a player sees, an array of this shape."""

    def forward(x):
        x = value_agent.board(x, 64) if len(shape) == 3 else x
        return ppo.forward(x, actions)

    return hk.without_apply_rng(hk.transform(forward))


def rows(x):
    """[T, B, ...] as [B * T, ...]: this way round each device keeps its games."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])


def updater(game: games.Game, net, optimizer, options):
    """Makes the function of one update: act for a while, then learn from it."""
    loss_of_rows = ppo.minibatch_loss(net, options)
    shape = options.length, int(game.action_space.n)

    def chance(key):
        """A game's next key, and all that chance decides in its steps, [T, ...]."""
        key, act_key, step_key, start_key = jax.random.split(key, 4)
        firsts = jax.vmap(game.start)(jax.random.split(start_key, options.length))
        noise = jax.random.gumbel(act_key, shape)
        return key, (noise, jax.random.split(step_key, options.length), firsts)

    def act(params, states, drawn):
        """One step of each game, by the policy's choice."""
        noise, keys, firsts = drawn
        logits, _ = net.apply(params, jax.vmap(game.observe)(states))
        a_tm1 = jnp.argmax(logits + noise, -1)  # what rlax.softmax().sample does
        play = jax.vmap(functools.partial(games.play_on, game))
        states, step = play(states, a_tm1, keys, firsts)
        return states, Rollout(step.s_tm1, None, logits, *step[1:])

    def values(params, observations):
        _, v = net.apply(params, rows(observations))
        return v.reshape(-1, options.length).T  # [T, B]

    def loss(params, *minibatch):
        return loss_of_rows(params, *jax.tree.map(rows, minibatch))

    def update(training: Training, _):
        params, state, states, keys, key = training
        key, epochs_key = jax.random.split(key)
        keys, drawn = jax.vmap(chance, out_axes=(0, 1))(keys)
        states, batch = jax.lax.scan(functools.partial(act, params), states, drawn)
        v_tm1, v_t = values(params, batch.s_tm1), values(params, batch.s_t)
        data = batch, *ppo.advantages(v_tm1, v_t, batch, options)
        params, state = ppo.epochs(
            loss, optimizer, params, state, epochs_key, data, options
        )
        played = batch.r_t, batch.ended_t | batch.cut_t
        return Training(params, state, states, keys, key), played

    return update


def compiled(update, training: Training, updates: int):
    """So many updates as one program; it also gives rewards and ends, [U, T, B]."""

    def loop(training: Training):
        return jax.lax.scan(update, training, length=updates)

    placed = hk.parallel.shardings(training)
    return jax.jit(loop, out_shardings=(placed, None)).lower(training).compile()


def mesh(devices: int):
    """The first so many devices."""
    if devices > jax.device_count():
        raise ValueError(
            f"There are {jax.device_count()} devices, fewer than {devices}. Give "
            f"--cpu-devices {devices} to make the CPU so many."
        )
    chosen, kinds = jax.devices()[:devices], (AxisType.Auto,)
    return jax.make_mesh((devices,), ("data",), axis_types=kinds, devices=chosen)


def start(game: games.Game, net, optimizer, options, seed: int) -> Training:
    """The training before its first step, on the devices of `jax.set_mesh`."""
    games_key, init_key, key = jax.random.split(jax.random.key(seed), 3)
    keys, start_keys = jax.random.split(games_key, (2, options.environments))
    states = jax.jit(jax.vmap(game.start))(start_keys)
    seen = jax.jit(lambda states: jax.vmap(game.observe)(states)[0])(states)
    params = hk.parallel.sharded(net, RULES).init(init_key, seen)
    state = hk.parallel.follow(optimizer.init)(params)
    states, keys, key = hk.parallel.global_batch((states, keys, key), RULES)
    return Training(params, state, states, keys, key)


class Trained(NamedTuple):
    """What a training came to."""

    params: Any
    returns: np.ndarray  # after each update, the mean of the last 100 episodes
    dispatches: int  # times that the host started the program
    speed: float  # steps per second


def train(options, seed: int, devices: int, report) -> Trained:
    """Trains on the first so many devices."""
    game, optimizer = game_of(options.environment, DISCRETE), ppo.optimizer(options)
    seen = jax.eval_shape(lambda: game.observe(game.start(jax.random.key(0))))
    net = network(seen.shape, int(game.action_space.n))
    with jax.set_mesh(mesh(devices)):
        training = start(game, net, optimizer, options, seed)
        training, first = report.resume(training)
        update = updater(game, net, optimizer, options)
        program = compiled(update, training, options.updates)

    each = options.length * options.environments * options.updates
    returns, seconds = [], []
    for done in range(first, options.steps, each):
        report(done, on_one(training.params), training)
        begun = time.perf_counter()
        with jax.transfer_guard("disallow"):
            training, played = jax.block_until_ready(program(training))
        seconds.append(time.perf_counter() - begun)
        for rewards, over in zip(*map(np.asarray, played)):  # [T, B] of an update
            for step in zip(rewards, over):
                report.played(*step)
            returns.append(np.mean(report.ended or [0.0]))
    speed = each * len(seconds) / sum(seconds)
    return Trained(on_one(training.params), np.array(returns), len(seconds), speed)


def on_one(tree):
    """The same on the first device, where agents are evaluated."""
    return jax.device_put(tree, jax.devices()[0])


def learn(options, seed, report):
    devices = options.devices or jax.device_count()
    trained = train(options, seed, devices, report)
    tqdm.tqdm.write(device_counts.told(trained, devices))
    return trained.params


parser = experiment.parser(__doc__, environment="CartPole-v1", steps=262_144)
ppo.add_options(
    parser, environments=64, length=32, epochs=10, minibatches=4, evaluations=8
)
add = parser.add_argument
add("--updates", type=int, default=16, help="of a dispatch; %(default)s")
add("--devices", type=int, help="the first so many; all")
add("--cpu-devices", type=int, metavar="N", help="make the CPU N devices")
add("--compare", type=int, nargs="+", metavar="N", help="train on N devices each")
# Other defaults for MinAtar's games.
BOARDS = {"steps": 2**18, "epochs": 3, "minibatches": 8, "learning_rate": 2e-3}
BOARDS |= {"discount": 0.99, "lambda_": 0.95, "entropy": 0.01}


def act(params, observations, memory):
    """The likeliest actions."""
    actions = params["policy_out"]["b"].size
    logits, _ = network(observations.shape[1:], actions).apply(params, observations)
    return jnp.argmax(logits, -1), memory


def main(argv=None, **others):
    """Learns with each seed, or compares numbers of devices."""
    options = experiment.tuned(parser, dict.fromkeys(minatar.GAMES, BOARDS), argv)
    chosen = options.parse_args(argv)
    if chosen.cpu_devices:
        jax.config.update("jax_num_cpu_devices", chosen.cpu_devices)
    if chosen.compare:
        return device_counts.compare(train, act, chosen)
    return experiment.main(
        learn, act, options, vector=minatar.vector, argv=argv, **others
    )


if __name__ == "__main__":
    main()
