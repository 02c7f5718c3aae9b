"""A small training in a process of its own, which tests end at a moment they choose.

Each step and each part of one is a line in a log, so that a test knows where the
process is. The state is large beside the model, so that many moments are moments of
writing.
"""

import hashlib
import multiprocessing
import os
import pathlib
import sys
import time

# Processes are forked from one that has imported all this: each starts in a moment.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["jax", "numpy", "haiku", "haiku.checkpoint", "optax", "orbax.checkpoint"]
    + ["checkpoint_training"]
)


class Batches:
    """Batches of a shuffled order; `get_state` says where it stands."""

    def __init__(self, rows):
        self._rows, self._next = rows, 0

    def __next__(self):
        import numpy as np

        order = np.random.default_rng(self._next // 4).permutation(len(self._rows))
        part = self._next % 4 * 8
        self._next += 1
        return self._rows[order[part : part + 8]]

    def get_state(self):
        return {"next": self._next}

    def set_state(self, state):
        self._next = state["next"]


def start(target, log, *arguments):
    """Runs a function in a new process; its prints go to the end of a file."""
    process = FORKS.Process(target=_with_log, args=(target, str(log), arguments))
    process.start()
    return process


def wait_for(log, text, process, seconds=60.0):
    """Waits until a line of the log begins with a text."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        lines = pathlib.Path(log).read_text().splitlines() if log.exists() else []
        if any(line.startswith(text) for line in lines):
            return
        if not process.is_alive():
            break
        time.sleep(0.002)
    raise AssertionError(f"no line {text!r} in:\n{pathlib.Path(log).read_text()}")


def keep_programs(folder):
    """Compiled programs stay on disk: the same one runs in many processes here."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def train(folder, steps, every, floats, slowly=False):
    """Trains, or goes on, and prints what it does, each loss to the bit."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    import haiku as hk

    keep_programs(pathlib.Path(folder).parent / "programs")
    net = hk.transform(
        lambda x: hk.nets.MLP([16, 1])(hk.dropout(hk.next_rng_key(), 0.1, x))
    )
    rows = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    batches, optimizer = Batches(rows), optax.adam(1e-2)

    @jax.jit
    def init(key):
        params = net.init(key, rows[:8])
        ballast = jax.random.normal(key, (floats,))
        opt_state = optimizer.init(params)
        return {"params": params, "opt": opt_state, "key": key, "ballast": ballast}

    def loss_of(params, key, x):
        return jnp.mean((net.apply(params, key, x)[:, 0] - x.sum(-1)) ** 2)

    def step(state, x):
        key, dropped = jax.random.split(state["key"])
        loss, grads = jax.value_and_grad(loss_of)(state["params"], dropped, x)
        updates, opt_state = optimizer.update(grads, state["opt"])
        params = optax.apply_updates(state["params"], updates)
        ballast = state["ballast"] * 1.01 + loss
        new = {"params": params, "opt": opt_state, "key": key, "ballast": ballast}
        return new, loss

    step = jax.jit(step, donate_argnums=0)
    state = init(jax.random.key(0))
    print("open")
    with hk.checkpoint.Checkpoints(folder, every=every, keep=2) as checkpoints:
        state, at = checkpoints.restore(state, batches)
        print("restored", at)
        print("compile")
        for i in range(0 if at is None else at + 1, steps):
            state, loss = step(state, next(batches))
            print("loss", i, float(loss).hex())
            if slowly and i % 2:
                print("eval", i)
                for _ in range(20):
                    time.sleep(0.01)
            print("save", i)
            checkpoints.save(i, state, batches)
            print("saved", i)
            if checkpoints.stopping:
                print("stops", i)
                break
        else:
            values = jax.tree.leaves(state | {"key": jax.random.key_data(state["key"])})
            text = b"".join(np.asarray(value).tobytes() for value in values)
            print("done", hashlib.sha256(text).hexdigest())
    print("end")


def _with_log(target, log, arguments):
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout.reconfigure(line_buffering=True)
    target(*arguments)


def write_without_room(folder):
    """A limit of the size of files stands for a full disk: the same calls fail."""
    import logging
    import resource

    import jax.numpy as jnp
    import numpy as np

    import haiku as hk

    logging.getLogger("absl").setLevel("CRITICAL")  # The log is a file too.
    noise = np.random.default_rng(0).normal(size=(300, 300))
    state = {"w": jnp.asarray(noise, jnp.float32)}

    def room(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def tell(name, act):
        try:
            print(name, act())
        except hk.checkpoint.CheckpointError as error:
            print(name, "CheckpointError", str(error).replace("\n", " "))

    def leave():
        with hk.checkpoint.Checkpoints(folder) as inner:
            inner.save(9, state)

    with hk.checkpoint.Checkpoints(folder) as checkpoints:
        checkpoints.save(0, state)
        checkpoints.wait()
        room(20_000)
        checkpoints.save(1, state)
        tell("wait:", checkpoints.wait)
        checkpoints.save(2, state)
        time.sleep(1.0)
        tell("save:", lambda: checkpoints.save(3, state))
        tell("steps:", checkpoints.steps)
        room(resource.RLIM_INFINITY)
        tell("restore:", lambda: checkpoints.restore(state)[1])
        tell("again:", lambda: checkpoints.save(4, state))
    room(20_000)
    tell("end:", leave)
    room(resource.RLIM_INFINITY)
