"""Statistics over a batch are those of the whole batch, however it is split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sharded_training import mesh_of

import haiku as hk
import rlax

R = hk.parallel
RANDOM = np.random.default_rng(0)
KEY = jax.random.key(0)


def norm(x):
    x = hk.BatchNorm(True, True, 0.9)(x, is_training=True)
    return jnp.sin(x) * hk.ExponentialMovingAverage(0.9)(jnp.mean(x**2))


def mixture(x):
    y, losses = hk.MixtureOfExperts(8, 2, 16)(x)
    return y + losses.load_balance + losses.z


def with_room_for_some(x):
    y, losses = hk.MixtureOfExperts(8, 2, 16, capacity_factor=0.75)(x)
    return y + losses.load_balance


@pytest.mark.parametrize("f", [norm, mixture, with_room_for_some])
@pytest.mark.parametrize(
    ("rules", "sizes"),
    [
        (R.data(), {"data": 8}),
        (R.fully_sharded() | R.expert(), {"data": 4, "expert": 2}),
    ],
    ids=["data", "fully sharded, expert"],
)
def test_layers(f, rules, sizes):
    x = RANDOM.normal(size=(32, 8)).astype(np.float32)
    weights = RANDOM.normal(size=x.shape).astype(np.float32)
    net = hk.transform_with_state(f)

    def losses(net, params, state, x):
        def loss(params, x):
            out, after = net.apply(params, state, None, x)
            return jnp.sum(weights * out), after

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, x)

    params, state = net.init(KEY, x)
    wanted = losses(net, params, state, x)
    with jax.set_mesh(mesh_of(**sizes)):
        many = R.sharded(net, rules)
        found = losses(many, *many.init(KEY, x), R.global_batch(x, rules))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found,
        wanted,
    )


@pytest.mark.parametrize("shape", [(8,), (2, 8), (8, 3, 8)])
def test_a_mixture_takes_any_number_of_tokens(shape):
    x = RANDOM.normal(size=shape).astype(np.float32)
    net = hk.transform(lambda x: hk.MixtureOfExperts(4, 2, 16)(x))
    params = net.init(KEY, x)
    wanted = net.apply(params, None, x)
    with jax.set_mesh(mesh_of(data=8)):
        many = R.sharded(net, R.data())
        found = jax.jit(many.apply)(many.init(KEY, x), None, x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found,
        wanted,
    )


def popart_step(targets):
    init, update = rlax.popart(3, 0.1, 1e-4, 1e6)
    layer = {"w": jnp.ones([4, 3]), "b": jnp.zeros(3)}
    return update(layer, init(), targets, jnp.arange(targets.shape[0]) % 3)


def vmpo(log_probs):
    advantages = jnp.sin(3 * log_probs[:, None])
    sample_log_probs = log_probs[:, None]
    loss, outputs = rlax.vmpo_loss(
        sample_log_probs,
        advantages,
        rlax.LagrangePenalty(jnp.asarray(1.5), 0.1),
        [(jnp.abs(sample_log_probs), rlax.LagrangePenalty(jnp.asarray(0.5), 0.2))],
    )
    return loss, outputs.normalized_weights


@pytest.mark.parametrize("f", [popart_step, vmpo])
def test_ops_of_rlax(f):
    x = RANDOM.normal(size=32).astype(np.float32)
    wanted = jax.jit(f)(x)
    with jax.set_mesh(mesh_of(data=8)):
        found = jax.jit(f)(R.global_batch(x, R.data()))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found,
        wanted,
    )
