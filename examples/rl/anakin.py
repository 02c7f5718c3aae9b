"""Anakin: environments and learner in one compiled program over all devices.

    python examples/rl/anakin.py
    python examples/rl/anakin.py --cpu-devices 8 --compare 1 2 4 8

The environment is written in JAX (cartpole.py), so acting and learning are one program:
`vmap` over environments, `scan` over their steps, and `scan` over updates. The host
starts it once for many updates, and nothing travels between host and devices until they
are done. Each device has its part of the environments, with their random numbers, and
all parameters; `hk.parallel.data()` says so. Only sums travel between devices: of
gradients, and of the statistics that PPO normalises advantages with. A minibatch is
some of the steps of all environments, so shuffling stays within a device. The learning
rule is that of ppo.py; scores are measured in gymnasium's CartPole-v1.
Source: Hessel et al., 2021, Podracer architectures for scalable Reinforcement Learning,
arXiv:2104.06272.
"""

import json
import time
from typing import Any, NamedTuple

import cartpole
import experiment
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import ppo
import tqdm
from jax.sharding import AxisType
from rollouts import Rollout

import haiku as hk
import rlax

RULES = hk.parallel.data()
network = hk.parallel.sharded(ppo.network(2), RULES)


class Environment(NamedTuple):
    """One cart, and what goes with it."""

    cart: cartpole.CartPole
    key: jax.Array  # of its random numbers
    first: jax.Array  # whether an episode begins
    score: jax.Array  # the rewards of this episode so far
    last: jax.Array  # the return of the last episode that came to an end


class Training(NamedTuple):
    """All that an update changes."""

    params: Any  # on every device
    state: Any  # of the optimizer, on every device
    environments: Environment  # [B], each device has its part
    key: jax.Array  # of the minibatches


def begin(key) -> Environment:
    key, start_key = jax.random.split(key)
    zero = jnp.float32(0)
    return Environment(cartpole.start(start_key), key, jnp.array(True), zero, zero)


def step(params, environment: Environment):
    """One step of one environment, by the policy's choice."""
    key, act_key, start_key = jax.random.split(environment.key, 3)
    s_tm1 = cartpole.observation(environment.cart)
    logits, _ = network.apply(params, s_tm1)
    a_tm1 = rlax.softmax().sample(act_key, logits)
    cart, r_t, ended, cut = cartpole.step(environment.cart, a_tm1)
    s_t = cartpole.observation(cart)
    first, score = ended | cut, environment.score + r_t
    after = Environment(
        jax.tree.map(
            lambda x, y: jnp.where(first, x, y), cartpole.start(start_key), cart
        ),
        key,
        first,
        jnp.where(first, 0, score),
        jnp.where(first, score, environment.last),
    )
    return after, Rollout(
        s_tm1, environment.first, logits, a_tm1, r_t, ended, cut & ~ended, s_t
    )


def rollout(params, environment: Environment, length: int):
    """`length` steps of one environment, [T]."""
    return jax.lax.scan(lambda now, _: step(params, now), environment, length=length)


def updater(optimizer, options):
    """Makes the function of one update: act for a while, then learn from it."""
    loss = ppo.minibatch_loss(network, options)

    def update(training: Training, _):
        params, state, environments, key = training
        key, epochs_key = jax.random.split(key)
        act = jax.vmap(rollout, in_axes=(None, 0, None), out_axes=(0, 1))
        environments, batch = act(params, environments, options.length)  # [T, B]
        _, v_tm1 = network.apply(params, batch.s_tm1)
        _, v_t = network.apply(params, batch.s_t)
        data = batch, *ppo.advantages(v_tm1, v_t, batch, options)
        params, state = ppo.epochs(
            loss, optimizer, params, state, epochs_key, data, options
        )
        return Training(params, state, environments, key), environments.last.mean()

    return update


def compiled(optimizer, options, training: Training):
    """The whole training loop, of so many updates, as one program."""
    update = updater(optimizer, options)

    def updates(training: Training):
        return jax.lax.scan(update, training, length=options.updates)

    placed = hk.parallel.shardings(training)
    return jax.jit(updates, out_shardings=(placed, None)).lower(training).compile()


class Trained(NamedTuple):
    """What a training came to."""

    params: Any
    returns: np.ndarray  # after each update, the mean of the environments' last ones
    dispatches: int  # times that the host started the program
    speed: float  # steps per second


def train(options, seed: int, devices: int, report) -> Trained:
    """Trains on the first so many devices."""
    if devices > jax.device_count():
        raise ValueError(
            f"There are {jax.device_count()} devices, fewer than {devices}. Give "
            f"--cpu-devices {devices} to make the CPU so many."
        )
    optimizer = ppo.optimizer(options)
    environments_key, init_key, key = jax.random.split(jax.random.key(seed), 3)
    mesh = jax.make_mesh(
        (devices,),
        ("data",),
        axis_types=(AxisType.Auto,),
        devices=jax.devices()[:devices],
    )
    with jax.set_mesh(mesh):
        keys = jax.random.split(environments_key, options.environments)
        environments = jax.jit(jax.vmap(begin))(keys)
        environments, key = hk.parallel.global_batch((environments, key), RULES)
        params = network.init(init_key, jnp.zeros(4))
        state = hk.parallel.follow(optimizer.init)(params)
        training = Training(params, state, environments, key)
        training, first = report.resume(training)
        program = compiled(optimizer, options, training)

    each = options.length * options.environments * options.updates
    returns, seconds = [], 0.0
    for done in range(first, options.steps, each):
        report(done, on_one(training.params), training)
        start = time.perf_counter()
        with jax.transfer_guard("disallow"):
            training, some = jax.block_until_ready(program(training))
        seconds += time.perf_counter() - start
        returns.append(np.asarray(some))
    speed = each * len(returns) / seconds
    params = on_one(training.params)
    return Trained(params, np.concatenate(returns), len(returns), speed)


def on_one(tree):
    """The same on the first device, where agents are evaluated."""
    return jax.device_put(tree, jax.devices()[0])


def told(trained: Trained, devices: int) -> str:
    return (
        f"{len(trained.returns)} updates in {trained.dispatches} dispatches, "
        f"{trained.speed:,.0f} steps/s on {named(devices)}"
    )


def named(devices: int) -> str:
    return f"{devices} device{'s' if devices > 1 else ''}"


def learn(options, seed, report):
    devices = options.devices or jax.device_count()
    trained = train(options, seed, devices, report)
    tqdm.tqdm.write(told(trained, devices))
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
act = ppo.act


def compare(options):
    """Trains each seed on each number of devices; returns means by number."""
    environments = experiment.vector(options.environment, options.episodes)
    seeds = range(options.seed, options.seed + options.seeds)
    runs = {}
    for devices in options.compare:
        runs[devices] = []
        for seed in seeds:
            report = experiment.Report(act, environments, options, seed)
            trained = train(options, seed, devices, report)
            report(options.steps, trained.params)
            report.bar.close()
            score = report.evaluate(trained.params, experiment.TEST_SEED).mean()
            runs[devices].append((trained, float(score)))
            print(f"seed {seed}: {score:.4g}; {told(trained, devices)}")
    environments.close()
    write(options, runs)
    return {n: [score for _, score in some] for n, some in runs.items()}


def write(options, runs):
    """A table to read and as JSON, and a picture."""
    alone = runs[options.compare[0]]
    rows = []
    for devices, some in runs.items():
        apart = [abs(x.returns - y.returns) for (x, _), (y, _) in zip(some, alone)]
        same = min(int(np.argmax([*(d > 1e-4), True])) for d in apart)
        speed = float(np.mean([x.speed for x, _ in some]))
        scores = [score for _, score in some]
        rows.append({
            "devices": devices, "speed": speed, "same": same, "scores": scores
        })  # fmt: skip
        print(
            f"{named(devices)}: {speed:,.0f} steps/s; score "
            f"{experiment.spread(scores)}; returns within 1e-4 of those on "
            f"{options.compare[0]} for the first {same} of {len(apart[0])} updates"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / options.name
    file.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    draw(options, runs, rows, file.with_suffix(".png"))


def draw(options, runs, rows, path):
    """Curves of the first seed on top of each other, and the speeds."""
    figure, (curves, speeds) = plt.subplots(
        1, 2, figsize=(9, 4), layout="constrained", width_ratios=[2, 1]
    )
    each = options.length * options.environments
    for i, (devices, some) in enumerate(runs.items()):
        returns = some[0][0].returns
        steps = each * np.arange(1, len(returns) + 1)
        width = 1.5 + 2 * (len(runs) - 1 - i)  # so that those below are seen
        curves.plot(steps, returns, lw=width, label=named(devices))
    curves.set(xlabel="steps in the environments", ylabel="return of an episode")
    curves.set_title(f"anakin on {options.environment}, seed {options.seed}")
    curves.legend(frameon=False)
    names = [str(row["devices"]) for row in rows]
    speeds.bar(names, [row["speed"] for row in rows], color="#2A6FDB")
    speeds.set(xlabel="devices", ylabel="steps per second")
    for axes in curves, speeds:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None, **others):
    """Learns with each seed, or compares numbers of devices."""
    options = parser.parse_args(argv)
    if options.environment != "CartPole-v1":
        parser.error(f"cartpole.py is CartPole-v1, not {options.environment}")
    if options.cpu_devices:
        jax.config.update("jax_num_cpu_devices", options.cpu_devices)
    if options.compare:
        return compare(options)
    return experiment.main(learn, act, parser, argv=argv, **others)


if __name__ == "__main__":
    main()
