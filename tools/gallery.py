"""Runs the examples, and keeps what they draw and print for docs/gallery/examples.md.

    python tools/gallery.py            # all of them: 90 minutes on two cores
    python tools/gallery.py vae dqn    # these
    python tools/gallery.py --left demo/rl dqn ppo   # of agents that were trained

Pictures go to docs/images/gallery as small PNGs, of as many colours as fit, and films
as GIFs; what a program printed goes beside them as text. The examples need
`pip install 'renga-jax[demo,interop]'`, and fashion Debian's package
dataset-fashion-mnist.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
KEPT = ROOT / "docs" / "images" / "gallery"
WIDTH, BYTES = 800, 60_000


@dataclasses.dataclass(frozen=True)
class Example:
    """A program, and what it leaves that is worth keeping."""

    command: str  # as it stands on the page
    pictures: dict[str, str] = dataclasses.field(default_factory=dict)  # name: file
    text: bool = False  # whether to keep what it prints
    writes: bool = True  # whether it takes --out
    film: str = ""  # the folder of an agent, of which an episode is filmed


def agent(
    file: str,
    options: str = "",
    name: str | None = None,
    *,
    seeds: int = 1,
    film: bool = False,
) -> Example:
    """An agent's learning curves; with three seeds those of the table of scores."""
    words = [f"python examples/rl/{file}.py", options, f"--name {name}" if name else ""]
    words.append("" if seeds == 3 else f"--seeds {seeds}")
    name, command = name or file, " ".join(filter(None, words))
    return Example(command, {name: f"{name}.png"}, film=f"{name}-0" if film else "")


EXAMPLES = {
    "demo": Example(
        "python examples/demo.py",
        {
            "demo_learning_curve": "learning_curve.png",
            "demo_wrong_digits": "wrong_digits.png",
            "demo_graph": "graph.png",
            "demo_table": "table.png",
        },
    ),
    "vae": Example("python examples/vae.py", {"vae": "vae.png"}),
    "vqvae": Example("python examples/vqvae.py", {"vqvae": "vqvae.png"}),
    "gan": Example("python examples/gan.py", {"gan": "gan.png"}),
    "diffusion": Example(
        "python examples/diffusion.py", {"diffusion": "diffusion.png"}, text=True
    ),
    "fashion": Example(
        "python examples/fashion.py", {"fashion": "fashion.png"}, text=True
    ),
    "pruning": Example("python examples/pruning.py", {"pruning": "pruning.png"}),
    "resnet_digits": Example(
        "python examples/resnet_digits.py", text=True, writes=False
    ),
    "sentence_search": Example(
        "python examples/sentence_search.py", text=True, writes=False
    ),
    "flax_interop": Example("python examples/flax_interop.py", text=True, writes=False),
    "char_lstm": Example(
        "python examples/char_lstm.py --steps 600 --write 250", text=True, writes=False
    ),
    "char_transformer": Example(
        "python examples/char_transformer.py --steps 600 --write 250",
        text=True,
        writes=False,
    ),
    "gpt": Example("python examples/gpt.py --seeds 3", {"gpt": "gpt.png"}, text=True),
    "language_models": Example(
        "python examples/language_models.py",
        {"language_models": "language_models.png"},
        text=True,
    ),
    "lora": Example("python examples/lora.py", {"lora": "lora.png"}, text=True),
    "speculative": Example(
        "python examples/speculative.py", {"speculative": "speculative.png"}, text=True
    ),
    "distributed": Example(
        "python examples/distributed.py",
        {"distributed": "distributed.png"},
        text=True,
    ),
    "catch_q": agent("catch_q"),
    "catch_q_lambda": agent("catch_q_lambda"),
    "catch_popart": agent("catch_popart"),
    "catch_plain": agent("catch_popart", "--plain", "catch_plain"),
    "dqn": agent("dqn", seeds=3, film=True),
    "dqn_mountain_car": agent(
        "dqn",
        "--environment MountainCar-v0 --steps 120000",
        "dqn_mountain_car",
        seeds=3,
        film=True,
    ),
    "double_dqn": agent("dqn", "--double", "double_dqn", seeds=3),
    "munchausen_dqn": agent("munchausen_dqn", seeds=3),
    "c51": agent("c51", seeds=3),
    "qr_dqn": agent("qr_dqn", seeds=3),
    "iqn": agent("iqn", seeds=3),
    "rainbow": agent("rainbow", seeds=3),
    "pqn": agent("pqn", seeds=3),
    "ppo": agent("ppo"),
    "ppo_acrobot": agent(
        "ppo", "--environment Acrobot-v1", "ppo_acrobot", seeds=3, film=True
    ),
    "ppo_lander": agent(
        "ppo", "--environment LunarLander-v3", "ppo_lander", seeds=3, film=True
    ),
    "ppo_lstm": agent("ppo_lstm"),
    "a2c": agent("a2c"),
    "vmpo": agent("vmpo"),
    "muzero": agent("muzero", seeds=3),
    "trpo": agent("trpo", "--evaluations 5", seeds=3),
    "impala": agent("impala", "--evaluations 10", seeds=3),
    "anakin": Example(
        "python examples/rl/anakin.py --cpu-devices 8 --compare 1 2 4 8",
        {"anakin": "anakin.png"},
        text=True,
    ),
    "sebulba": agent("sebulba"),
    "sebulba_actors": Example(
        "python examples/rl/sebulba.py --compare 1 2 4 8 --steps 50000",
        {"sebulba_actors": "sebulba.png"},
        text=True,
    ),
    "sac": agent("sac", seeds=3, film=True),
    "sac_car": agent(
        "sac", "--environment MountainCarContinuous-v0", "sac_car", seeds=3
    ),
    "td3": agent("td3", "--compiled", seeds=3),
    "ddpg": agent("ddpg", "--compiled", seeds=3),
    "tqc": agent("tqc", "--compiled", seeds=3),
    "crossq": agent("crossq", "--compiled", seeds=3),
    "td3_bc": agent("td3_bc", seeds=3),
    "iql": agent("iql", seeds=3),
    "rnd": agent("rnd", "--evaluations 5", seeds=3),
    "r2d2": agent("r2d2", seeds=3),
    "dreamer": agent("dreamer", seeds=3),
    "qmix": agent("qmix", seeds=3),
    "grpo": agent("grpo", seeds=3),
    "atari": Example("python examples/rl/atari.py --steps 5120 --seeds 1", text=True),
}
MINATAR = {
    "breakout": ("dqn", "rainbow"),
    "asterix": ("dqn", "rainbow"),
    "freeway": ("dqn", "rainbow", "anakin"),
    "space_invaders": ("dqn", "rainbow", "anakin"),
    "seaquest": ("dqn", "rainbow", "anakin"),
}
for game, files in MINATAR.items():
    for file in files:
        options = "--evaluations 4" if file == "anakin" else "--compiled"
        EXAMPLES[f"{file}_{game}"] = agent(
            file,
            f"--environment {game} {options}",
            f"{file}_{game}",
            seeds=3,
            film=file == "dqn",
        )


def shrink(picture: pathlib.Path, to: pathlib.Path) -> None:
    """Writes a narrower copy, with a palette that keeps it small."""
    image = Image.open(picture).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    if image.width > WIDTH:
        size = WIDTH, round(image.height * WIDTH / image.width)
        image = image.resize(size, Image.Resampling.LANCZOS)
    for colours in 64, 32, 16, 8:
        image.quantize(colours, dither=Image.Dither.NONE).save(to, optimize=True)
        if to.stat().st_size <= BYTES:
            return


def run(name: str, example: Example, left: pathlib.Path | None) -> None:
    """Keeps what a program leaves: in a folder that is given, or one where it runs."""
    start = time.perf_counter()
    if left and example.text:
        raise SystemExit(f"What {name} prints is kept too: run it, without --left.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = left or pathlib.Path(temporary)
        if left is None:
            printed = program(example, folder)
            print(printed)
            if example.text:
                lines = [line.rstrip() for line in printed.rstrip().splitlines()]
                text = "\n".join(lines) + "\n"
                (KEPT / f"{name}.txt").write_text(text, encoding="utf-8")
        for kept, file in example.pictures.items():
            shrink(folder / file, KEPT / f"{kept}.png")
        if example.film:
            program(example, folder, "--show", str(folder / example.film))
            shutil.copy(folder / f"{example.film}.gif", KEPT / f"{name}.gif")
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def program(example: Example, folder: pathlib.Path, *more: str) -> str:
    """Runs it, writing into a folder; what it prints names the usual one."""
    words = [*example.command.split()[1:], *more]
    if example.writes:
        words += ["--out", str(folder)]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    shown = "demo/rl" if "/rl/" in example.command else "demo"
    return re.sub(re.escape(str(folder)), shown, done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[[], *EXAMPLES], metavar="NAME")
    parser.add_argument("--left", type=pathlib.Path, help="where the programs ran")
    options = parser.parse_args()
    names = options.names or EXAMPLES
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(EXAMPLES[name].command, flush=True)
        run(name, EXAMPLES[name], options.left)


if __name__ == "__main__":
    main()
