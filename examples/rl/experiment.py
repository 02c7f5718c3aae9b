"""What every agent here shares: seeds, progress, evaluation, curves, checkpoints.

An agent's file holds its learning rule, and ends with

    main = functools.partial(experiment.main, learn, act, parser)

    if __name__ == "__main__":
        main()

`learn(options, seed, report)` trains once and returns what it learned, a tree of
arrays. Its loop is

    training, first = report.resume(training)
    for step in range(first, options.steps, each):
        report(step, learned, training)
        ...

`training` is a tree with all that the loop needs to go on: a run that was killed goes
on from the last one that was saved, with --resume. `learned` is what is evaluated, now
and then. `report.played(rewards, over)` may be told what happened in the environments
[B]; the mean return of the last 100 episodes is then kept too, which is what some
publish.

`act(learned, observations, memory)` chooses actions without exploration, [B] or [B, A]
for observations [B, ...], and returns them with its memory for the next step. That
memory is None at the start of an episode, and stays None in a feed-forward policy;
`act` is compiled.
"""

import argparse
import collections
import copy
import functools
import json
import pathlib
import shutil
import time

import gymnasium
import jax
import numpy as np
import orbax.checkpoint
import pictures
import tqdm
from gymnasium.vector import AutoresetMode

import haiku as hk

# Far from the seeds that environments are trained with, and from each other: the curve
# is drawn from other episodes than those that the final figure is the mean of.
CURVE_SEED, TEST_SEED = 1_000_000, 2_000_000


def parser(description: str, *, environment: str, steps: int, **defaults):
    """The options that all agents have; an agent adds its own."""
    options = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Defaults are those of the table in examples/README.md.",
    )
    add = options.add_argument
    add("--environment", default=environment, help="%(default)s")
    add("--steps", type=int, default=steps, help="in the environment; %(default)s")
    add("--seed", type=int, default=0, help="the first seed; %(default)s")
    add("--seeds", type=int, default=3, help="one after the other; %(default)s")
    add("--evaluations", type=int, default=20, help="points of the curve; %(default)s")
    add("--episodes", type=int, default=20, help="of each evaluation; %(default)s")
    add("--at-least", type=float, metavar="RETURN", help="fail if the mean is less")
    add("--out", type=pathlib.Path, default=pathlib.Path("demo/rl"), help="demo/rl")
    name = pathlib.Path(options.prog).stem
    add("--name", default=name, help=f"of the files that are written; {name}")
    add("--resume", action="store_true", help="go on where a killed run stopped")
    add("--save-every", type=float, default=20, help="seconds; %(default)s")
    add("--show", type=pathlib.Path, metavar="FOLDER", help="play what it learned")
    options.set_defaults(**defaults)
    return options


def tuned(options, recipes: dict, argv=None):
    """The options, with other defaults where the environment has a recipe."""
    options = copy.deepcopy(options)
    options.set_defaults(
        **recipes.get(options.parse_known_args(argv)[0].environment, {})
    )
    return options


def vector(environment: str, count: int, wrappers=(), **render):
    """`count` environments side by side; one step ends an episode and starts the next.

    `info["final_obs"][i]` is the last observation of an episode that just ended.
    """
    return gymnasium.make_vec(
        environment,
        num_envs=count,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        wrappers=wrappers,
        **render,
    )


def last_observations(observations, info):
    """`observations` with those of the next episode put back to those of the last.

    These are what a value bootstraps from: where an episode was cut off (truncated),
    its last state's value still counts.
    """
    if "final_obs" not in info:
        return observations
    ended = np.array(observations)
    for i in np.flatnonzero(info["_final_obs"]):
        ended[i] = info["final_obs"][i]
    return ended


def evaluate(act, environments, seed: int, watch=lambda: None):
    """The return of the first episode in each environment, [B].

    `act` takes observations and memory, and returns actions and memory. `watch` is
    called before each step.
    """
    observations, _ = environments.reset(seed=seed)
    returns = np.zeros(environments.num_envs)
    running, memory = np.ones_like(returns, bool), None
    while running.any():
        watch()
        actions, memory = act(observations, memory)
        observations, rewards, ended, cut, _ = environments.step(np.asarray(actions))
        returns += rewards * running
        running &= ~(ended | cut)
    return returns


class Report:
    """One seed's progress: shown in a bar, evaluated at even distances, and saved."""

    def __init__(self, act, environments, options, seed: int, checkpoints=None):
        self.act, self.environments, self.options = jax.jit(act), environments, options
        self.checkpoints = checkpoints
        self.saved, self.saved_at = 0, time.perf_counter()  # the step, and when
        self.bar = tqdm.tqdm(total=options.steps, desc=f"seed {seed}", unit="step")
        self.curve = []  # (step, mean return)
        self.started, self.evaluating = time.perf_counter(), 0.0  # seconds
        self.running = 0.0  # the returns of the episodes that go on, [B]
        self.ended = collections.deque(maxlen=100)  # those of the last ones

    def resume(self, training):
        """The training that was saved last and its step, or this one and 0."""
        if self.checkpoints is None:
            return training, 0
        saved = {"training": training, "figures": self._figures()}
        saved, step = self.checkpoints.restore(saved)
        if step is None:
            return training, 0
        self.saved = step
        figures = saved["figures"]
        curve, ended = figures["curve"], figures["ended"]
        self.curve = [(int(x), float(y)) for x, y in curve if not np.isnan(y)]
        self.ended.extend(ended[~np.isnan(ended)].tolist())
        self.started -= figures["seconds"]
        self.bar.update(min(step, self.options.steps))
        return saved["training"], step

    def __call__(self, step: int, learned, training=None, **shown):
        """Tells that `step` steps are done, with numbers to show beside the bar."""
        self.bar.update(min(step, self.options.steps) - self.bar.n)
        due = len(self.curve) * self.options.steps / self.options.evaluations
        if due <= step < self.options.steps:
            value = float(self.evaluate(learned, CURVE_SEED).mean())
            self.curve.append((step, value))
            shown["evaluation"] = value
        if shown:
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()})
        if training is not None and self.checkpoints is not None:
            self._save(step, training)

    def played(self, rewards, over):
        """Takes down the rewards of a step, [B], and where episodes are over."""
        self.running = self.running + np.asarray(rewards)
        self.ended.extend(self.running[over].tolist())
        self.running = np.where(over, 0.0, self.running)

    def evaluate(self, learned, seed: int):
        """Returns of an episode in each environment, timed apart."""
        start = time.perf_counter()
        returns = evaluate(lambda *x: self.act(learned, *x), self.environments, seed)
        self.evaluating += time.perf_counter() - start
        return returns

    def seconds(self):
        """How long learning took so far."""
        return time.perf_counter() - self.started - self.evaluating

    def _figures(self):
        """What was measured so far, in arrays of fixed size."""

        def filled(values, *shape):
            values = np.array(values, np.float64).reshape(-1, *shape[1:])
            return np.concatenate([values, np.full(shape, np.nan)])[: shape[0]]

        return {
            "curve": filled(self.curve, self.options.evaluations + 1, 2),
            "ended": filled(self.ended, self.ended.maxlen),
            "seconds": self.seconds(),
        }

    def _save(self, step, training):
        due = time.perf_counter() - self.saved_at >= self.options.save_every
        if due and step > self.saved:
            # NumPy's arrays may change while files are written.
            training = jax.tree.map(
                lambda x: x.copy() if isinstance(x, np.ndarray) else x, training
            )
            saved = {"training": training, "figures": self._figures()}
            self.checkpoints.save(step, saved)
            self.saved, self.saved_at = step, time.perf_counter()
        if self.checkpoints.stopping:
            raise SystemExit(
                f"Stopped after {step} steps; --resume goes on from there."
            )


def main(learn, act, options, *, wrappers=(), vector=vector, argv=None):
    """Learns with each seed; writes curve, figures, checkpoints; returns the means.

    `vector(environment, count, wrappers)` makes what `act` is evaluated in.
    """
    chosen = options.parse_args(argv)
    make = functools.partial(vector, chosen.environment, wrappers=wrappers)
    if chosen.show:
        return [show(act, chosen.show, make, chosen.episodes)]

    environments = make(chosen.episodes)
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    results = [trained(learn, act, chosen, environments, seed) for seed in seeds]
    environments.close()
    means = [x["mean"] for x in results]
    write(chosen, results, means)
    if chosen.at_least is not None and np.mean(means) < chosen.at_least:
        options.exit(1, f"that is less than {chosen.at_least:g}\n")
    return means


def trained(learn, act, options, environments, seed: int) -> dict:
    """Learns with one seed, keeps what it learned, and tells how it went."""
    path = options.out / f"{options.name}-{seed}"
    result = path / "result.json"
    if not options.resume:
        shutil.rmtree(path, ignore_errors=True)
    elif result.exists():
        figures = json.loads(result.read_text())
        if figures["curve"][-1][0] == options.steps:
            return figures
    with hk.checkpoint.Checkpoints(path / "training", keep=1) as checkpoints:
        report = Report(act, environments, options, seed, checkpoints)
        learned = learn(options, seed, report)
        minutes = report.seconds() / 60
    report(options.steps, learned)
    returns = report.evaluate(learned, TEST_SEED)
    report.curve.append((options.steps, float(returns.mean())))
    report.bar.close()
    with orbax.checkpoint.StandardCheckpointer() as kept:
        kept.save((path / "learned").resolve(), learned, force=True)
    print(
        f"seed {seed}: {spread(returns)} over {len(returns)} episodes, after "
        f"{minutes:.1f} minutes; kept in {path}"
    )
    figures = {
        "seed": seed,
        "mean": float(returns.mean()),
        "deviation": float(returns.std()),
        "training": float(np.mean(report.ended)) if report.ended else None,
        "minutes": round(minutes, 2),
        "curve": report.curve,
    }
    result.write_text(json.dumps(figures))
    return figures


def show(act, folder: pathlib.Path, make, episodes: int):
    """Evaluates what an earlier run kept, and films an episode of it."""
    with orbax.checkpoint.StandardCheckpointer() as kept:
        learned = kept.restore((folder / "learned").resolve())
    act = functools.partial(jax.jit(act), learned)
    environments = make(episodes)
    returns = evaluate(act, environments, TEST_SEED)
    environments.close()
    print(f"{spread(returns)} over {len(returns)} episodes")
    stage = make(1, render_mode="rgb_array")
    frames = []
    evaluate(act, stage, TEST_SEED, lambda: frames.append(stage.render()[0]))
    stage.close()
    film = folder.parent / f"{folder.name}.gif"
    pictures.film(frames, film)
    print(f"an episode: {film}")
    return float(returns.mean())


def write(options, results, means):
    """The figures as JSON, the curves as a picture, and a line for people."""
    options.out.mkdir(parents=True, exist_ok=True)
    file = str(options.out / options.name)  # a name may hold dots
    about = {k: str(v) for k, v in vars(options).items()}
    figures = json.dumps({"options": about, "seeds": results}, indent=1)
    pathlib.Path(f"{file}.json").write_text(figures + "\n")
    title = f"{options.name} on {options.environment}"
    pictures.curves([x["curve"] for x in results], title, f"{file}.png")
    training = [x["training"] for x in results]
    if None not in training:
        print(f"the last 100 episodes of learning: {spread(training)}")
    print(f"{title}: {spread(means)} over {len(means)} seeds; curve: {file}.png")


def spread(values):
    return f"{np.mean(values):.4g} +- {np.std(values):.3g}"
