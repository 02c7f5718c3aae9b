"""A language model over two processes, one of which is killed: the curve hides it.

    python examples/distributed.py                 # make demo-distributed
    python examples/distributed.py --out FOLDER

It trains the same model twice on the same text: in one process with four devices, and
in two with two each, over `jax.distributed`. In the middle of the second training one
process gets SIGKILL, which no program can catch; the other notices and ends, both start
again, and go on from the last checkpoint. Both curves are drawn, and must coincide.

A worker is the program of docs/scaling.md: rules, a checkpoint and the loader's
position are all that differs from a program for one device.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

BATCH, CONTEXT, EVERY = 16, 64, 10


# ---- The worker: what runs in each process -------------------------------------------


def forward(tokens):
    """Logits of the next letters, ``[B, T, V]``."""
    import haiku as hk

    config = hk.nets.DecoderConfig(
        vocab_size=128, model_size=64, num_layers=2, num_heads=4, max_length=CONTEXT
    )
    return hk.nets.Decoder(config)(tokens)


def windows():
    """Overlapping windows of Python's help, ``[CONTEXT + 1]`` letters each."""
    import numpy as np
    from char_transformer import read_text

    letters, text = read_text()
    assert len(letters) <= 128
    starts = range(0, len(text) - CONTEXT - 1, CONTEXT)
    return [np.asarray(text[i : i + CONTEXT + 1], np.int32) for i in starts]


def work(folder: pathlib.Path, steps: int) -> None:
    """Trains, on as many processes as there are; process 0 writes the curve."""
    import grain
    import jax
    import jax.numpy as jnp
    import optax
    from jax.sharding import AxisType

    import haiku as hk

    rules = hk.parallel.fully_sharded()
    jax.set_mesh(
        jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    )
    net = hk.parallel.sharded(hk.transform(forward), rules)
    params = net.init(jax.random.key(0), jnp.zeros([BATCH, CONTEXT], jnp.int32))
    optimizer = optax.adam(3e-3)
    opt_state = hk.parallel.follow(optimizer.init)(params)

    def loss_fn(params, tokens):
        logits = net.apply(params, None, tokens[:, :-1])
        return jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
        )

    def step(state, tokens):
        loss, grads = jax.value_and_grad(loss_fn)(state["params"], tokens)
        updates, opt_state = optimizer.update(grads, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "optimizer": opt_state}, loss

    state = {"params": params, "optimizer": opt_state}
    step = jax.jit(
        step, donate_argnums=0, out_shardings=(hk.parallel.shardings(state), None)
    )
    index, count = hk.parallel.batch_shard(rules)
    loader = iter(
        grain.MapDataset.source(windows())
        .seed(0)
        .shuffle()
        .repeat()[index::count]
        .batch(BATCH // count)
        .to_iter_dataset()
    )
    curve = folder / "curve.jsonl"
    with hk.checkpoint.Checkpoints(folder / "steps", every=EVERY) as checkpoints:
        state, at = checkpoints.restore(state, loader)
        for i in range(0 if at is None else at + 1, steps):
            tokens = hk.parallel.global_batch(next(loader), rules)
            state, loss = step(state, tokens)
            if jax.process_index() == 0:
                with curve.open("a") as file:
                    print(json.dumps({"step": i, "loss": float(loss)}), file=file)
            checkpoints.save(i, state, loader)
            if checkpoints.stopping:
                break


def worker(arguments) -> None:
    """One process: its devices, the others, and the training."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 4 // arguments.count)
    if arguments.count > 1:
        jax.distributed.initialize(
            f"127.0.0.1:{arguments.port}",
            arguments.count,
            arguments.index,
            heartbeat_timeout_seconds=10,
        )
    work(arguments.out, arguments.steps)


# ---- The job manager: starts processes, kills one, starts again ----------------------


def start(count: int, out: pathlib.Path, steps: int) -> list[subprocess.Popen]:
    """All processes of a training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out.mkdir(parents=True, exist_ok=True)
    flags = ["--steps", str(steps), "--port", str(port), "--count", str(count)]
    command = [sys.executable, __file__, "--out", str(out), *flags]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    logs = [(out / f"process_{i}.log").open("a") for i in range(count)]
    return [
        subprocess.Popen(
            [*command, "--index", str(i)], env=environment, stdout=log, stderr=log
        )
        for i, log in enumerate(logs)
    ]


def steps_done(out: pathlib.Path) -> int:
    """How many steps the curve has."""
    curve = out / "curve.jsonl"
    return len(curve.read_text().splitlines()) if curve.exists() else 0


def wait_until(out: pathlib.Path, step: int, running: list[subprocess.Popen]) -> None:
    """Waits for a step; raises if a process ends before."""
    while steps_done(out) <= step:
        ended = [process for process in running if process.poll() is not None]
        if ended:
            sys.exit(f"A process ended with {ended[0].poll()}: see {out}/process_*.log")
        time.sleep(0.1)


def finish(running: list[subprocess.Popen], out: pathlib.Path) -> None:
    """Waits for all; raises if one fails."""
    codes = [process.wait() for process in running]
    if any(codes):
        sys.exit(f"Processes ended with {codes}: see {out}/process_*.log")


def curve_of(out: pathlib.Path) -> dict[int, float]:
    """The loss of each step; of one that ran twice, the later."""
    lines = map(json.loads, (out / "curve.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines}


def draw(one, two, killed, resumed, target) -> None:
    """Both curves, and where the process was killed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4))
    axis.plot(*zip(*sorted(one.items())), lw=5, color="#c9d8ee", label="one process")
    axis.plot(
        *zip(*sorted(two.items())), lw=1.2, color="#1d4e9e", label="two processes"
    )
    axis.axvline(killed, color="#b33", lw=1)
    axis.annotate(
        f"killed at {killed},\nwent on from {resumed}",
        (killed, axis.get_ylim()[1]),
        xytext=(6, -30),
        textcoords="offset points",
        color="#b33",
    )
    axis.set(xlabel="step", ylabel="loss, nats per letter")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, dpi=150)


def main() -> None:
    """Trains twice, kills one process of the second training, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--port", type=int, help="of a worker; not for you")
    parser.add_argument("--count", type=int, help="of workers; not for you")
    parser.add_argument("--index", type=int, help="of a worker; not for you")
    arguments = parser.parse_args()
    if arguments.index is not None:
        worker(arguments)
        return
    out, steps = arguments.out, arguments.steps
    alone, together = out / "one_process", out / "two_processes"
    for folder in (alone, together):
        if folder.exists():
            sys.exit(f"{folder} is there already: remove it, or give another --out.")
    begun = time.perf_counter()
    finish(start(1, alone, steps), alone)
    print(f"one process: {steps} steps, {time.perf_counter() - begun:.0f} s")

    begun = time.perf_counter()
    running = start(2, together, steps)
    wait_until(together, steps // 2, running)
    running[1].send_signal(signal.SIGKILL)
    kill = time.perf_counter()
    codes = [process.wait() for process in running]
    seconds, killed = time.perf_counter() - kill, max(curve_of(together))
    print(f"killed one of two at step {killed}; the other ended {seconds:.1f} s later")
    assert codes[1] == -signal.SIGKILL and codes[0] != 0
    again = steps_done(together)
    finish(start(2, together, steps), together)
    lines = (together / "curve.jsonl").read_text().splitlines()
    resumed = json.loads(lines[again])["step"]
    print(
        f"both went on from step {resumed}: {time.perf_counter() - begun:.0f} s in all"
    )

    one, two = curve_of(alone), curve_of(together)
    assert list(one) == sorted(two) == list(range(steps))
    apart = max(abs(one[i] - two[i]) for i in one)
    draw(one, two, killed, resumed, out / "distributed.png")
    print(f"losses {one[0]:.3f} to {one[steps - 1]:.3f}, at most {apart:.1e} apart")
    if apart > 1e-3:
        sys.exit("The curves differ.")


if __name__ == "__main__":
    main()
