"""A training step through `hk.parallel` on one device, beside the plain one.

    .venv/bin/python benchmarks/sharded.py             # ratios; 1.00 is no cost

Both steps run in turns in one process, on a mesh of one device and without a mesh;
figures are medians of CPU milliseconds. A run ends with an error where losses differ.
"""

import argparse
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "src"))

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType

import haiku as hk

NETS = {
    "4 layers of 128": hk.nets.DecoderConfig(
        vocab_size=65, model_size=128, num_layers=4, num_heads=4
    ),
    "12 layers of 256": hk.nets.DecoderConfig(
        vocab_size=65, model_size=256, num_layers=12, num_heads=4
    ),
    "mixture, 4 layers of 128": hk.nets.DecoderConfig(
        vocab_size=65,
        model_size=128,
        num_layers=4,
        num_heads=4,
        experts=hk.nets.ExpertsConfig(4, 2, 256),
    ),
}
TOKENS = np.random.default_rng(0).integers(0, 65, (12, 65)).astype(np.int32)


def trainer(config, rules):
    """A function that takes one step and returns its loss."""
    net = hk.transform(lambda tokens: hk.nets.Decoder(config)(tokens))
    net = net if rules is None else hk.parallel.sharded(net, rules)
    optimizer = optax.adam(1e-3)
    params = net.init(jax.random.key(0), TOKENS[:, :-1])
    opt_state = hk.parallel.follow(optimizer.init)(params)

    def loss_fn(params, tokens):
        logits = net.apply(params, None, tokens[:, :-1])
        return jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
        )

    def step(params, opt_state, tokens):
        loss, grads = jax.value_and_grad(loss_fn)(params, tokens)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    stay = (*hk.parallel.shardings((params, opt_state)), None)
    step = jax.jit(step, donate_argnums=(0, 1), out_shardings=stay)
    held = [params, opt_state]

    def take():
        batch = TOKENS if rules is None else hk.parallel.global_batch(TOKENS, rules)
        *held[:], loss = step(*held, batch)
        return float(loss)

    return take


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    mesh = jax.make_mesh(
        (1, 1),
        ("data", "model"),
        axis_types=(AxisType.Auto,) * 2,
        devices=jax.devices()[:1],
    )
    rules = hk.parallel.fully_sharded() | hk.parallel.tensor()
    print("| | plain, ms | sharded, ms | ratio |")
    print("| --- | --: | --: | --: |")
    for name, config in NETS.items():
        plain = trainer(config, None)
        with jax.set_mesh(mesh):
            sharded = trainer(config, rules)
        times: dict[str, list[float]] = {"plain": [], "sharded": []}
        for i in range(steps):
            begun = time.process_time()
            wanted = plain()
            middle = time.process_time()
            with jax.set_mesh(mesh):
                found = sharded()
            ended = time.process_time()
            if abs(wanted - found) > 1e-3:
                sys.exit(f"{name}: losses {wanted} and {found} in step {i}")
            if i > 2:
                times["plain"].append(1e3 * (middle - begun))
                times["sharded"].append(1e3 * (ended - middle))
        a, b = (statistics.median(times[k]) for k in ("plain", "sharded"))
        ratios = [y / x for x, y in zip(times["plain"], times["sharded"])]
        ratio = statistics.median(ratios)
        print(f"| {name} | {a:.1f} | {b:.1f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
