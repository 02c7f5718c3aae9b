"""Draws what lies where under each set of rules: docs/images/sharding.svg.

    python tools/sharding_pictures.py

Each rectangle is a parameter of a decoder's block; the coloured part is what the first
of eight devices holds.
"""

import os
import pathlib

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import AxisType

import haiku as hk

TARGET = pathlib.Path(__file__).parent.parent / "docs" / "images" / "sharding.svg"
R = hk.parallel
ROWS = {
    "data()": (R.data(), {"data": 8}),
    "fully_sharded()": (R.fully_sharded(), {"data": 8}),
    "tensor()": (R.tensor(), {"model": 8}),
    "fully_sharded() | tensor()": (
        R.fully_sharded() | R.tensor(),
        {"data": 4, "model": 2},
    ),
}
ARRAYS = {
    "embeddings": ("decoder/embed", "embeddings"),
    "query": ("decoder/blocks/attention/query", "w"),
    "output": ("decoder/blocks/attention/output", "w"),
    "up": ("decoder/blocks/mlp/up", "w"),
    "down": ("decoder/blocks/mlp/down", "w"),
}


def shapes_of(rules, sizes):
    """The decoder's parameters under rules: shapes with shardings."""
    config = hk.nets.DecoderConfig(512, 256, num_layers=2, num_heads=8, hidden_size=512)
    net = hk.transform(lambda tokens: hk.nets.Decoder(config)(tokens))
    kinds = (AxisType.Auto,) * len(sizes)
    mesh = jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=kinds)
    with jax.set_mesh(mesh):
        tokens = np.zeros([8, 4], np.int32)
        return R.eval_shape(R.sharded(net, rules).init, jax.random.key(0), tokens)


def draw(axis, x):
    """A matrix, and the part of it that the first device holds."""
    index = x.sharding.devices_indices_map(x.shape)[jax.devices()[0]]
    rows, columns = [range(*s.indices(n)) for s, n in zip(index, x.shape)][-2:]
    height, width = x.shape[-2:]
    axis.add_patch(plt.Rectangle((0, 0), width, height, fc="#eceff4", ec="#5b6575"))
    part = (columns.start, rows.start), len(columns), len(rows)
    axis.add_patch(plt.Rectangle(*part, fc="#3b7dd8", ec="none"))
    axis.set(xlim=(-10, 560), ylim=(520, -10), aspect="equal")
    axis.axis("off")


def main():
    """Draws all."""
    plt.rcParams["svg.hashsalt"] = "renga"
    figure, axes = plt.subplots(len(ROWS), len(ARRAYS), figsize=(8, 6))
    for number, (name, (rules, sizes)) in enumerate(ROWS.items()):
        row = axes[number]
        params = shapes_of(rules, sizes)
        for axis, (title, (module, of_module)) in zip(row, ARRAYS.items()):
            draw(axis, params[module][of_module])
            if number == 0:
                axis.set_title(title, fontsize=9, loc="left", pad=18)
        row[0].text(0, -40, name, fontsize=8, family="monospace")
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None}, transparent=True)


if __name__ == "__main__":
    main()
