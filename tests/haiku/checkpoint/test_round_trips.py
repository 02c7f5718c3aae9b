"""What is saved comes back: every dtype, kind and place, on another mesh too."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import haiku as hk

DTYPES = (
    *("bool", "int2", "int4", "int8", "int16", "int32", "uint2", "uint4", "uint8"),
    *("uint16", "uint32", "float16", "float32", "bfloat16", "complex64"),
    *("float4_e2m1fn", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"),
)


def bits(x):
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    return np.asarray(x).tobytes()


def assert_same(state, other):
    """Equal to the bit, of the same kinds, at the same places."""
    assert jax.tree.structure(state) == jax.tree.structure(other)
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        value = other
        for key in path:
            value = value[key.idx if hasattr(key, "idx") else getattr(key, "key", None)]
        assert type(value) is type(leaf), path
        assert bits(value) == bits(leaf), path
        if isinstance(leaf, jax.Array):
            assert value.dtype == leaf.dtype and value.shape == leaf.shape, path
            assert value.committed == leaf.committed, path
            assert value.sharding == leaf.sharding, path
            weak = getattr(leaf, "weak_type", False)
            assert getattr(value, "weak_type", False) == weak, path


def mesh_of(*sizes, types=AxisType.Auto):
    names = ("data", "model")[: len(sizes)]
    return jax.make_mesh(sizes, names, axis_types=(types,) * len(sizes))


def on(mesh, x, *spec):
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))


def test_every_kind_of_leaf(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 2, (3, 5))
    state = {
        "dtypes": {dtype: jnp.asarray(numbers).astype(dtype) for dtype in DTYPES},
        "numpy": {d: numbers.astype(d) for d in ("float64", "int64", "complex128")},
        "big endian": np.arange(3.0).astype(">f8"),
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 4),
        "python": [3, 2.5, True, 1 + 2j, -(2**62)],
        "scalars": (np.float32(2), np.int64(5), np.bool_(True)),
        "empty": jnp.zeros((0, 3)),
        "weak": (jnp.asarray(1.0), jnp.asarray(2), jnp.asarray(1.0) * 1j),
        "none": None,
        "mlp/~/linear_0": {"w": jnp.full((2, 2), jnp.nan), "b": jnp.asarray([-0.0])},
    }
    with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(state) == (state, None)
        assert checkpoints.save(0, state)
        got, at = checkpoints.restore(jax.tree.map(lambda x: x, state))
    assert at == 0
    assert_same(state, got)


@pytest.mark.parametrize("types", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_onto_another_mesh(tmp_path, types):
    one, other = mesh_of(4, types=types), mesh_of(2, 2, types=types)
    w = np.random.default_rng(0).normal(size=(8, 4, 4096)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 8)
    saved = {
        "w": on(one, w, "data"),
        "rest": on(one, w[0]),
        "half": on(one, w.astype(jnp.bfloat16), None, "data"),
        "keys": on(one, keys, "data"),
    }
    wanted = {
        "w": on(other, w * 0, "model", "data"),
        "rest": on(other, w[0] * 0, None, ("data", "model")),
        "half": on(other, w.astype(jnp.bfloat16) * 0, "data"),
        "keys": on(other, keys, "model"),
    }
    structs = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), wanted
    )
    with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, saved)
        for target in (wanted, structs):
            got, _ = checkpoints.restore(target)
            for name, value in got.items():
                assert bits(value) == bits(saved[name])
                assert value.sharding == wanted[name].sharding
        alone, _ = checkpoints.restore(
            jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), saved)
        )
    assert all(len(x.devices()) == 1 and not x.committed for x in alone.values())


def test_a_training_state_and_plain_orbax(tmp_path):
    net = hk.transform(lambda x: hk.nets.MLP([4, 2])(x))
    params = net.init(jax.random.key(0), jnp.zeros((1, 3)))
    optimizer = optax.chain(optax.clip(1.0), optax.adam(1e-3))
    state = {"params": params, "optimizer": optimizer.init(params)}
    donating = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    with hk.checkpoint.Checkpoints(tmp_path, every=2, keep=2) as checkpoints:
        for i in range(7):
            state = donating(state)
            assert checkpoints.save(i, state) == (i % 2 == 0)
            last, state = jax.tree.map(np.asarray, state), donating(state)
        checkpoints.wait()
        assert checkpoints.steps() == [4, 6]
        # Donated arrays still say where they live, so they serve as targets.
        gone = donating(state) and state
        got, at = checkpoints.restore(gone)
        assert at == 6
        jax.tree.map(np.testing.assert_array_equal, got, last)
        earlier, at = checkpoints.restore(got, step=4)
        assert at == 4
        np.testing.assert_array_equal(
            earlier["params"]["mlp/~/linear_0"]["w"] + 4,
            got["params"]["mlp/~/linear_0"]["w"],
        )
        # Step 6 is given up with the first step after 4.
        checkpoints.save(8, earlier)
        checkpoints.wait()
        assert checkpoints.steps() == [4, 8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Orbax's, about shardings it wasn't given.
        with ocp.CheckpointManager(tmp_path) as manager:
            args = ocp.args.Composite(state=ocp.args.PyTreeRestore())
            plain = manager.restore(4, args=args)["state"]
    np.testing.assert_array_equal(
        plain["params"]["mlp/~/linear_0"]["w"],
        earlier["params"]["mlp/~/linear_0"]["w"],
    )
    assert int(plain["optimizer"]["1"]["0"]["count"]) == 9
