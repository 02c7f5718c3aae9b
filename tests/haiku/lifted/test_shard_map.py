"""hk.shard_map: what each device sees, and what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import haiku as hk

X = jnp.arange(12.0).reshape(4, 3) / 12
MESH = Mesh(np.array(jax.devices()[:2]), ("i",))
KEYS = [jax.random.key(0), jax.random.PRNGKey(0)]


def sharded(f, **options):
    options = {"in_specs": P("i"), "out_specs": P("i"), **options}
    return lambda x: hk.shard_map(f, mesh=MESH, **options)(x)


def close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), a, b)


@pytest.mark.parametrize("key", KEYS, ids=["typed", "legacy"])
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
def test_a_net_equals_itself_without_shard_map(key, jitted):
    net = hk.transform(sharded(lambda x: hk.nets.MLP([5, 2])(x)))
    plain = hk.transform(lambda x: hk.nets.MLP([5, 2])(x))
    init, apply = (jax.jit(f) if jitted else f for f in net)
    params = init(key, X)
    close(params, plain.init(key, X))
    close(apply(params, None, X), plain.apply(params, None, X))

    def grads(apply):
        return jax.grad(lambda p: jnp.sum(apply(p, None, X) ** 2))(params)

    close(grads(apply), grads(plain.apply))


def test_batch_norm_averages_over_devices():
    norm = lambda **kw: hk.BatchNorm(True, True, 0.9, **kw)  # noqa: E731
    net = hk.transform_with_state(
        sharded(lambda x: norm(cross_replica_axis="i")(x, True))
    )
    plain = hk.transform_with_state(lambda x: norm()(x, True))
    params, state = plain.init(KEYS[0], X)
    close(net.init(KEYS[0], X), (params, state))
    close(net.apply(params, state, None, X), plain.apply(params, state, None, X))


def test_devices_draw_the_same_or_their_own_keys():
    noise = lambda x: x + jax.random.normal(hk.next_rng_key(), x.shape)  # noqa: E731

    def f(x):
        same, own = sharded(noise)(x), sharded(noise, split_rng=True)(x)
        return same, own, hk.next_rng_key()

    for key in KEYS:
        same, own, after = hk.transform(f).apply({}, key, 0 * X)
        close(same[:2], same[2:])
        assert not np.allclose(own[:2], own[2:])
        keys = hk.PRNGSequence(key)
        # One that all had, and one for each device, split off at once.
        assert next(keys) is not None and len(keys.take(2)) == 2
        np.testing.assert_array_equal(
            jax.random.key_data(after), jax.random.key_data(next(keys))
        )


def test_values_that_differ_between_devices_are_an_error():
    def f(x):
        hk.set_state("mean", x.mean())
        return x

    with pytest.raises(ValueError, match=r"state that differ between devices.*pmean"):
        hk.transform_with_state(sharded(f)).init(None, X)
    with pytest.raises(ValueError, match="must be used as part of"):
        hk.shard_map(f, mesh=MESH, in_specs=P("i"), out_specs=P("i"))
    net = hk.transform(sharded(lambda x: hk.Linear(2)(x), split_rng=True))
    with pytest.raises(ValueError, match=r"split_rng=not hk.running_init\(\)"):
        net.init(KEYS[0], X)


def test_several_arguments_run_on_a_part_of_the_mesh():
    mesh = jax.make_mesh(
        (2, 2), ("i", "j"), axis_types=(jax.sharding.AxisType.Auto,) * 2
    )

    def f(x, scale):
        def part(x, scale):
            total = jax.lax.psum(hk.Linear(2)(x).sum(), "i")
            return total * scale

        return hk.shard_map(
            part,
            mesh=mesh,
            in_specs=(P("i"), P()),
            out_specs=P(),
            axis_names={"i"},
        )(x, scale)

    net = hk.transform(f)
    params = net.init(KEYS[0], X, 2.0)
    want = (X @ params["linear"]["w"] + params["linear"]["b"]).sum() * 2
    close(jax.jit(net.apply)(params, None, X, 2.0), want)
