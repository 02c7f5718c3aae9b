"""Five steps of small nets on any mesh, for the tests of `hk.parallel`."""

import functools
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import AxisType

import haiku as hk

if "PLAIN_XLA" in os.environ:  # a process without the flags of conftest.py
    jax.config.update("jax_num_cpu_devices", 8)

KEY = jax.random.key(0)


def mesh_of(kind: AxisType = AxisType.Auto, **sizes: int) -> Any:
    """A mesh with these axes."""
    kinds = (kind,) * len(sizes)
    number = int(np.prod(list(sizes.values())))
    return jax.make_mesh(
        tuple(sizes.values()),
        tuple(sizes),
        axis_types=kinds,
        devices=jax.devices()[:number],
    )


class Net(NamedTuple):
    """A net, an example of its inputs, and the numbers that its output is fitted to."""

    forward: Any
    inputs: np.ndarray
    targets: np.ndarray


def _decoder(**options: Any) -> Net:
    config = hk.nets.DecoderConfig(
        vocab_size=64,
        model_size=32,
        num_layers=2,
        num_heads=8,
        hidden_size=64,
        **options,
    )
    tokens = np.random.default_rng(0).integers(0, 64, (8, 17)).astype(np.int32)

    def forward(tokens):
        return hk.nets.Decoder(config)(tokens)

    return Net(forward, tokens[:, :-1], tokens[:, 1:])


def _resnet() -> Net:
    def forward(x):
        net = hk.nets.ResNet(
            (1, 1, 1, 1),
            num_classes=8,
            resnet_v2=False,
            bottleneck=True,
            channels_per_group=(32, 32, 32, 32),
        )
        return net(x, is_training=True)

    random = np.random.default_rng(1)
    images = random.normal(size=(8, 16, 16, 3)).astype(np.float32)
    return Net(forward, images, random.integers(0, 8, 8))


def _mlp() -> Net:
    random = np.random.default_rng(2)
    x = random.normal(size=(8, 16)).astype(np.float32)
    return Net(lambda x: hk.nets.MLP([64, 32, 8])(x), x, random.integers(0, 8, 8))


NETS = {
    "MLP": _mlp,
    "ResNet": _resnet,
    "decoder": _decoder,
    "mixture": lambda: _decoder(experts=hk.nets.ExpertsConfig(8, 2, 64)),
}


class Trained(NamedTuple):
    """What five steps left behind; arrays are on the host.

    Attributes:
      made: Parameters and state after `init`.
      losses: One for each step.
      gradients: Of the first step.
      state: After the first step.
      bytes_made: Bytes of parameters on each device after `init`.
      bytes_trained: The same after the steps.
      params: The parameters, on the devices.
    """

    made: Any
    losses: list[float]
    gradients: Any
    state: Any
    bytes_made: list[int]
    bytes_trained: list[int]
    params: Any


def bytes_by_device(tree: Any, number: int) -> list[int]:
    """The bytes of a tree's arrays on each of the first devices."""
    held = dict.fromkeys(jax.devices()[:number], 0)
    for x in jax.tree.leaves(tree):
        for shard in x.addressable_shards:
            held[shard.device] += shard.data.nbytes
    return list(held.values())


def whole(x: Any) -> np.ndarray:
    """The numbers of an array, which may lie in several processes."""
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))


def train(net: Net, rules: Any = None, steps: int = 5) -> Trained:
    """Fits the net on the mesh that is set; without rules, on one device."""
    pair = hk.transform_with_state(net.forward)
    number = 1
    if rules is not None:
        pair = hk.parallel.sharded(pair, rules)
        number = jax.sharding.get_mesh().size
    params, state = pair.init(KEY, net.inputs)
    made = jax.tree.map(whole, (params, state))
    bytes_made = bytes_by_device(params, number)
    optimizer = optax.adam(1e-3)
    opt_state = hk.parallel.follow(optimizer.init)(params)

    def loss_of(params, state, inputs, targets):
        logits, state = pair.apply(params, state, None, inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return jnp.mean(losses), state

    def step(params, opt_state, state, inputs, targets):
        (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(
            params, state, inputs, targets
        )
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, state, loss, grads

    stay = hk.parallel.shardings((params, opt_state, state))
    step = jax.jit(step, out_shardings=(*stay, None, None))
    batch = net.inputs, net.targets
    if rules is not None:
        index, count = hk.parallel.batch_shard(rules)
        own = jax.tree.map(lambda x: np.split(x, count)[index], batch)
        batch = hk.parallel.global_batch(own, rules)
    losses, first = [], ()
    for _ in range(steps):
        params, opt_state, state, loss, grads = step(params, opt_state, state, *batch)
        first = first or jax.tree.map(whole, (grads, state))
        losses.append(float(loss))
    trained = bytes_by_device(params, number)
    return Trained(made, losses, *first, bytes_made, trained, params)


@functools.cache
def alone(name: str) -> Trained:
    """A net's training on one device, without rules."""
    return train(NETS[name]())
