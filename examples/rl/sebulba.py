"""Sebulba: actor threads with environments on the host, a learner over many devices.

    python examples/rl/sebulba.py
    python examples/rl/sebulba.py --cpu-devices 5 --actor-devices 1
    python examples/rl/sebulba.py --compare 1 2 4 8 --steps 50000

For environments that JAX can't compile. Some devices act: each actor is a thread with
its own gymnasium environments, which asks one of these devices for actions and puts
what happened into a queue. The other devices learn: the learner takes some rollouts,
splits them over its devices as `hk.parallel.data()` says, and publishes new parameters.
A full queue makes the actors wait, an empty one the learner. A rollout by parameters
more than `--oldest` updates old is thrown away; V-trace corrects for the rest (see
impala.py, whose loss this is). An actor that dies or hangs is replaced, with a line
that says so; after too many replacements the run ends. Two runs of one seed differ.
Source: Hessel et al., 2021, Podracer architectures for scalable Reinforcement Learning,
arXiv:2104.06272.
"""

import json
import time

import experiment
import gymnasium
import impala
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import tqdm
from actors import Actors
from jax.sharding import AxisType
from rollouts import Actor

import haiku as hk

RULES = hk.parallel.data()
network = hk.parallel.sharded(impala.network, RULES)

parser = experiment.parser(__doc__, environment="CartPole-v1", steps=300_000)
impala.add_options(parser)
add = parser.add_argument
add("--actor-devices", type=int, default=1, help="the others learn; %(default)s")
add("--cpu-devices", type=int, metavar="N", help="make the CPU N devices")
add("--compare", type=int, nargs="+", metavar="N", help="measure with N actors each")
act, policy = impala.act, impala.policy


def split_devices(options):
    """The devices that act, and a mesh of those that learn; one device does both."""
    devices, count = jax.devices(), options.actor_devices
    if len(devices) == 1:
        acting, learning = devices, devices
    elif 0 < count < len(devices):
        acting, learning = devices[:count], devices[count:]
    else:
        raise ValueError(
            f"{count} of {len(devices)} devices shall act: at least one must, and at "
            f"least one must learn. Give --actor-devices 1 to {len(devices) - 1}."
        )
    auto = (AxisType.Auto,)
    mesh = jax.make_mesh((len(learning),), ("data",), axis_types=auto, devices=learning)
    return acting, mesh


def train(options, seed: int, report, resume=lambda training: (training, 0)):
    """Trains once; returns parameters and what happened."""
    acting, mesh = split_devices(options)
    optimizer, each = impala.optimizer(options)
    with gymnasium.make(options.environment) as environment:
        example = jnp.zeros(environment.observation_space.shape)

    def make(number: int):
        vector = experiment.vector(options.environment, options.environments)
        return Actor(policy, vector, 100 * seed + number, steps=first)

    def update(params, state, batch):
        gradient = jax.grad(impala.loss)(params, batch, options)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    with jax.set_mesh(mesh):
        params = network.init(jax.random.key(seed), example)
        state = hk.parallel.follow(optimizer.init)(params)
    (params, state), first = resume((params, state))
    update = jax.jit(update, out_shardings=hk.parallel.shardings((params, state)))

    def to_actors(params):
        return [jax.device_put(params, device) for device in acting]

    with Actors(make, options, to_actors(params)) as actors:
        figures = actors.figures
        for step in range(first, options.steps, each):
            acting_now = actors.published.params[0]
            report(step, acting_now, (params, state), lag=figures.age)
            start = time.perf_counter()
            rows = actors.batch()
            taken = time.perf_counter()
            with jax.set_mesh(mesh):
                batch = hk.parallel.global_batch(rows, RULES)
                params, state = jax.block_until_ready(update(params, state, batch))
            actors.publish(to_actors(params))
            figures.learned += each
            if step > first:  # the first one compiles
                figures.idle += taken - start
                figures.busy += time.perf_counter() - taken
                figures.timed += each
    return actors.published.params[0], figures


def learn(options, seed, report):
    params, figures = train(options, seed, report, report.resume)
    tqdm.tqdm.write(figures.told(options))
    return params


def compare(options):
    """Measures with each number of actors; returns the figures by number."""
    rows = []
    for count in options.compare:
        options.actors = count
        with tqdm.tqdm(total=options.steps, desc=f"{count} actors") as bar:

            def report(done, *_, bar=bar, **__):
                bar.update(done - bar.n)

            _, figures = train(options, options.seed, report)
        print(figures.told(options))
        rows.append({
            "actors": count,
            "frames per second": figures.speed,
            "learner's idle share": figures.idle_share,
            "rollouts in the queue": float(np.mean(figures.depths)),
            "age of parameters": float(np.mean(figures.ages)),
            "oldest": max(figures.ages),
        })  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / options.name
    file.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    draw(options, rows, file.with_suffix(".png"))
    return rows


def draw(options, rows, path):
    """Each figure against the number of actors."""
    shown = list(rows[0])[1:5]
    figure, panels = plt.subplots(1, len(shown), figsize=(11, 3), layout="constrained")
    actors = [row["actors"] for row in rows]
    for axes, name in zip(panels, shown):
        axes.plot(actors, [row[name] for row in rows], "o-", color="#2A6FDB", lw=2)
        axes.set(xlabel="actor threads", title=name, xticks=actors)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv=None, **others):
    """Learns with each seed, or compares numbers of actors."""
    options = parser.parse_args(argv)
    if options.cpu_devices:
        jax.config.update("jax_num_cpu_devices", options.cpu_devices)
    if options.compare:
        return compare(options)
    return experiment.main(learn, act, parser, argv=argv, **others)


if __name__ == "__main__":
    main()
