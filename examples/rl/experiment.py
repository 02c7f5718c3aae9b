"""What every agent here shares: seeds, progress, evaluation, curves, checkpoints.

An agent's file holds its learning rule, and ends with

    main = functools.partial(experiment.main, learn, act, parser)

    if __name__ == "__main__":
        main()

`learn(options, seed, report)` trains once and returns what it learned, a tree of
arrays. It calls `report(step, learned, **shown)` as often as it likes: that moves the
progress bar, and evaluates when an evaluation is due; `report.best` is what did best
so far, and may be what `learn` returns. `act(learned, observations, memory)` chooses
actions without exploration, [B] or [B, A] for observations [B, ...], and returns them
with its memory for the next step. That memory is None at the start of an episode, and
stays None in a feed-forward policy; `act` is compiled.
"""

import argparse
import functools
import json
import pathlib
import time

import gymnasium
import jax
import matplotlib
import numpy as np
import orbax.checkpoint
import tqdm
from gymnasium.vector import AutoresetMode

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
    add("--show", type=pathlib.Path, metavar="CHECKPOINT", help="only evaluate this")
    options.set_defaults(**defaults)
    return options


def vector(environment: str, count: int, wrappers=()):
    """`count` environments side by side; one step ends an episode and starts the next.

    `info["final_obs"][i]` is the last observation of an episode that just ended.
    """
    return gymnasium.make_vec(
        environment,
        num_envs=count,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        wrappers=wrappers,
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


def evaluate(act, environments, seed: int):
    """The return of the first episode in each environment, [B].

    `act` takes observations and memory, and returns actions and memory.
    """
    observations, _ = environments.reset(seed=seed)
    returns = np.zeros(environments.num_envs)
    running, memory = np.ones_like(returns, bool), None
    while running.any():
        actions, memory = act(observations, memory)
        observations, rewards, ended, cut, _ = environments.step(np.asarray(actions))
        returns += rewards * running
        running &= ~(ended | cut)
    return returns


class Report:
    """One seed's progress: shown in a bar, and evaluated at even distances."""

    def __init__(self, act, environments, options, seed: int):
        self.act, self.environments, self.options = jax.jit(act), environments, options
        self.bar = tqdm.tqdm(total=options.steps, desc=f"seed {seed}", unit="step")
        self.curve = []  # (step, mean return)
        self.best = None  # what the best evaluation so far was of; the last of equals
        self.evaluating = 0.0  # seconds, which are not the learner's

    def __call__(self, step: int, learned, **shown):
        """Tells that `step` steps are done, with numbers to show beside the bar."""
        self.bar.update(min(step, self.options.steps) - self.bar.n)
        due = len(self.curve) * self.options.steps / self.options.evaluations
        if due <= step < self.options.steps:
            value = float(self.evaluate(learned, CURVE_SEED).mean())
            if all(value >= former for _, former in self.curve):
                self.best = learned
            self.curve.append((step, value))
            shown["evaluation"] = value
        if shown:
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()})

    def evaluate(self, learned, seed: int):
        """Returns of an episode in each environment, timed apart."""
        start = time.perf_counter()
        returns = evaluate(lambda *x: self.act(learned, *x), self.environments, seed)
        self.evaluating += time.perf_counter() - start
        return returns


def main(learn, act, options, *, wrappers=(), vector=vector, argv=None):
    """Learns with each seed; writes curve, figures, checkpoints; returns the means.

    `vector(environment, count, wrappers)` makes what `act` is evaluated in.
    """
    chosen = options.parse_args(argv)
    environments = vector(chosen.environment, chosen.episodes, wrappers)
    if chosen.show:
        return [show(act, chosen.show, environments)]

    results = []
    with orbax.checkpoint.StandardCheckpointer() as checkpoints:
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            start = time.perf_counter()
            report = Report(act, environments, chosen, seed)
            learned = learn(chosen, seed, report)
            minutes = (time.perf_counter() - start - report.evaluating) / 60
            report(chosen.steps, learned)
            returns = report.evaluate(learned, TEST_SEED)
            report.curve.append((chosen.steps, float(returns.mean())))
            report.bar.close()
            results.append({
                "seed": seed,
                "mean": float(returns.mean()),
                "deviation": float(returns.std()),
                "minutes": round(minutes, 2),
                "curve": report.curve,
            })  # fmt: skip
            path = chosen.out / f"{chosen.name}-{seed}"
            checkpoints.save(path.resolve(), learned, force=True)
            print(
                f"seed {seed}: {spread(returns)} over {len(returns)} episodes, after "
                f"{minutes:.1f} minutes; kept in {path}"
            )
    environments.close()
    means = [x["mean"] for x in results]
    write(chosen, results, means)
    if chosen.at_least is not None and np.mean(means) < chosen.at_least:
        options.exit(1, f"that is less than {chosen.at_least:g}\n")
    return means


def show(act, checkpoint: pathlib.Path, environments):
    """Evaluates what an earlier run kept."""
    with orbax.checkpoint.StandardCheckpointer() as checkpoints:
        learned = checkpoints.restore(checkpoint.resolve())
    act = functools.partial(jax.jit(act), learned)
    returns = evaluate(act, environments, TEST_SEED)
    environments.close()
    print(f"{spread(returns)} over {len(returns)} episodes")
    return float(returns.mean())


def write(options, results, means):
    """The figures as JSON, the curves as a picture, and a line for people."""
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / options.name
    about = {k: str(v) for k, v in vars(options).items()}
    figures = json.dumps({"options": about, "seeds": results}, indent=1)
    file.with_suffix(".json").write_text(figures + "\n")
    draw(options, results, file.with_suffix(".png"))
    print(
        f"{options.name} on {options.environment}: {spread(means)} over {len(means)} "
        f"seeds; curve: {file}.png"
    )


def spread(values):
    return f"{np.mean(values):.4g} +- {np.std(values):.3g}"


def draw(options, results, path):
    """Each seed's evaluations, and their mean."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for one in results:
        axes.plot(*np.transpose(one["curve"]), color="#2A6FDB", alpha=0.35, lw=1)
    if len({len(x["curve"]) for x in results}) == 1:
        steps, means = np.mean([x["curve"] for x in results], 0).T
        axes.plot(steps, means, color="#2A6FDB", lw=2)
        axes.annotate(f"{means[-1]:.4g}", (steps[-1], means[-1]), weight="bold")
    axes.set(xlabel="steps in the environment", ylabel="return of an episode")
    axes.set_title(f"{options.name} on {options.environment}", weight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(left=0)
    figure.savefig(path, dpi=150)
    plt.close(figure)
