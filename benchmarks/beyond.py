"""Keras, TorchRL and TRL beside ours: import, a training step, returns, losses.

    pip install -r benchmarks/requirements-beyond.txt   # into a separate environment
    python benchmarks/beyond.py
    python benchmarks/beyond.py --only TRL TorchRL,     # tables whose name begins so

Each library runs in its own process, in turns, `ROUNDS` times; the figures are
medians, and their numbers are compared. Prints a table in Markdown.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import losses
from losses import timed

ROUNDS = 3
SRC = pathlib.Path(__file__).parent.parent / "src"
SIZES = [512] * 4 + [10]
BATCH, FEATURES, TIME = 128, 784, 128
GAMMA, LAMBDA = 0.99, 0.95


def data():
    import numpy as np

    random = np.random.default_rng(0)
    x = random.standard_normal([BATCH, FEATURES], dtype=np.float32)
    return x, random.integers(10, size=BATCH)


def trajectory():
    """Rewards, values, next values `[T, B]`, and logarithms of two policies."""
    import numpy as np

    random = np.random.default_rng(0)
    values = random.standard_normal([TIME + 1, BATCH], dtype=np.float32)
    reward, log_pi, log_mu = random.standard_normal([3, TIME, BATCH], dtype=np.float32)
    return reward, values[:-1], values[1:], 0.1 * log_pi, 0.1 * log_mu


# ---- Networks -----------------------------------------------------------------------


def network_ours():
    start = time.perf_counter()
    import haiku as hk

    imported = 1e3 * (time.perf_counter() - start)
    import jax
    import jax.numpy as jnp
    import optax

    x, labels = data()
    net = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP(SIZES)(x)))
    optimizer = optax.adam(1e-3)

    start = time.perf_counter()
    params = net.init(0, x)
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params, opt_state, x, labels):
        def loss_fn(params):
            losses = optax.softmax_cross_entropy_with_integer_labels(
                net.apply(params, x), labels
            )
            return jnp.mean(losses)

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    now = [params, opt_state]

    def train():
        *now[:], loss = step(*now, x, labels)
        return float(loss)

    train()
    first = 1e3 * (time.perf_counter() - start)
    return {"import": imported, "first step": first, "step": timed(train)}


def network_keras():
    os.environ["KERAS_BACKEND"] = "jax"
    start = time.perf_counter()
    import keras

    imported = 1e3 * (time.perf_counter() - start)
    x, labels = data()

    start = time.perf_counter()
    layers = [keras.layers.Dense(n, activation="relu") for n in SIZES[:-1]]
    net = keras.Sequential([keras.Input([FEATURES]), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(1e-3), loss)

    def train():
        return float(net.train_on_batch(x, labels))

    train()
    first = 1e3 * (time.perf_counter() - start)
    return {"import": imported, "first step": first, "step": timed(train)}


# ---- Returns ------------------------------------------------------------------------


def returns_ours():
    start = time.perf_counter()
    import rlax

    imported = 1e3 * (time.perf_counter() - start)
    import jax
    import jax.numpy as jnp

    reward, v_tm1, v_t, log_pi, log_mu = map(jnp.asarray, trajectory())
    discount = jnp.full_like(reward, GAMMA)
    rho = jnp.exp(log_pi - log_mu)
    values = jnp.concatenate([v_tm1, v_t[-1:]])
    gae = jax.jit(rlax.truncated_generalized_advantage_estimation)
    lambda_returns = jax.jit(rlax.lambda_returns)
    vtrace = jax.jit(rlax.vtrace)
    ops = {
        "GAE": lambda: gae(reward, discount, LAMBDA, values),
        "TD(lambda) returns": lambda: lambda_returns(reward, discount, v_t, LAMBDA),
        "V-trace": lambda: vtrace(v_tm1, v_t, reward, discount, rho) + v_tm1,
    }
    return {"import": imported} | _measured(ops, lambda x: x.block_until_ready())


def returns_torchrl():
    start = time.perf_counter()
    from torchrl.objectives.value import functional

    imported = 1e3 * (time.perf_counter() - start)
    import torch

    arrays = (torch.from_numpy(x)[..., None] for x in trajectory())
    reward, v_tm1, v_t, log_pi, log_mu = arrays
    done = torch.zeros_like(reward, dtype=torch.bool)
    end = {"done": done, "terminated": done, "time_dim": 0}
    ops = {
        "GAE": lambda: functional.vec_generalized_advantage_estimate(
            GAMMA, LAMBDA, v_tm1, v_t, reward, **end
        )[0],
        "TD(lambda) returns": lambda: functional.vec_td_lambda_return_estimate(
            GAMMA, LAMBDA, v_t, reward, **end
        ),
        "V-trace": lambda: functional.vtrace_advantage_estimate(
            GAMMA, log_pi, log_mu, v_tm1, v_t, reward, **end
        )[1],
    }
    with torch.no_grad():
        return {"import": imported} | _measured(ops, lambda x: x[..., 0])


def _measured(ops, ready):
    found = {}
    for name, op in ops.items():
        found[name] = timed(lambda op=op: ready(op()))
        found[f"numbers of {name}"] = [
            float(x) for x in ready(op())[:: TIME // 4, 0].tolist()
        ]
    return found


# ---- The table ----------------------------------------------------------------------

PAIRS = {
    "Keras 3 on JAX": (network_keras, network_ours),
    "TorchRL": (returns_torchrl, returns_ours),
    "TorchRL, losses": (losses.losses_torchrl, losses.losses_ours),
    "TRL, losses": (losses.losses_trl, losses.losses_ours),
}


def in_a_process(subject, *names):
    """What a function of this file or of `losses` returns, run in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-W", "ignore", __file__, subject.__name__, *names]
    out = subprocess.check_output(command, env=environment, text=True)
    return json.loads(out.splitlines()[-1])


def in_turns(theirs, ours):
    """What both measure; ours of losses is told which ones the peer has."""
    first = in_a_process(theirs)
    rows = [x for x in first if f"numbers of {x}" in first]
    return first, in_a_process(ours, *(rows if ours is losses.losses_ours else ()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[""], help="how tables begin")
    only = tuple(parser.parse_args().only)
    for name, pair in PAIRS.items():
        if not name.startswith(only):
            continue
        runs = [in_turns(*pair) for _ in range(ROUNDS)]
        print(f"\n| ms | {name} | ours | ratio |\n| --- | --: | --: | --: |")
        for row, value in runs[0][0].items():
            if isinstance(value, list):
                apart = max(
                    abs(a - b) / max(1, abs(a))
                    for a, b in zip(value, runs[0][1][row], strict=True)
                )
                if apart > 1e-3:
                    sys.exit(f"{row}: {apart:.2g} apart")
                continue
            theirs, ours = (statistics.median(r[i][row] for r in runs) for i in (0, 1))
            print(f"| {row} | {theirs:.3g} | {ours:.3g} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    subject = sys.argv[1] if len(sys.argv) > 1 else ""
    if subject in {f.__name__ for pair in PAIRS.values() for f in pair}:
        f = globals().get(subject) or getattr(losses, subject)
        print(json.dumps(f(*sys.argv[2:])))
    else:
        main()
