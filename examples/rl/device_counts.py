"""One training on several numbers of devices: do the numbers agree, and how fast is it.

For `anakin.py --compare 1 2 4 8`. `train(options, seed, devices, report)` trains, and
returns an `anakin.Trained`; `act` is what is evaluated.
"""

import json

import experiment
import matplotlib.pyplot as plt
import minatar
import numpy as np
import pictures


def told(trained, devices: int) -> str:
    return (
        f"{len(trained.returns)} updates in {trained.dispatches} dispatches, "
        f"{trained.speed:,.0f} steps/s on {named(devices)}"
    )


def named(devices: int) -> str:
    return f"{devices} device{'s' if devices > 1 else ''}"


def compare(train, act, options):
    """Trains each seed on each number of devices; returns scores by number."""
    environments = minatar.vector(options.environment, options.episodes)
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
        row = {"devices": devices, "speed": speed, "same": same, "scores": scores}
        rows.append(row)
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
    for i, (devices, [(trained, _), *_]) in enumerate(runs.items()):
        updates = np.arange(1, len(trained.returns) + 1)
        steps = options.length * options.environments * updates
        width = 1.5 + 2 * (len(runs) - 1 - i)  # so that those below are seen
        curves.plot(steps, trained.returns, lw=width, label=named(devices))
    curves.set(xlabel="steps in the environments", ylabel="return of an episode")
    curves.set_title(f"anakin on {options.environment}, seed {options.seed}")
    curves.legend(frameon=False)
    names = [str(row["devices"]) for row in rows]
    speeds.bar(names, [row["speed"] for row in rows], color=pictures.BLUE)
    speeds.set(xlabel="devices", ylabel="steps per second")
    for axes in curves, speeds:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
