"""Fingerprints: one number for an array however it is split, another for any change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from haiku.checkpoint import fingerprints

NUMBERS = np.random.default_rng(0).integers(0, 2, (8, 6))
DTYPES = (
    *("bool", "int2", "uint4", "int8", "float16", "bfloat16", "float32", "complex64"),
    *("float4_e2m1fn", "float8_e8m0fnu", "float8_e5m2"),
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_host_and_device_agree(dtype):
    x = jnp.asarray(NUMBERS).astype(dtype)
    assert int(fingerprints.of_devices(x)) == fingerprints.of_array(np.asarray(x))


@pytest.mark.parametrize("types", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_no_mesh_changes_it(types):
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(types,) * 2)
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    wanted = fingerprints.of_array(x)
    for spec in [(), ("a",), (("a", "b"),), (None, "a"), ("b", "a")]:
        split = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
        assert int(fingerprints.of_devices(split)) == wanted


def test_long_arrays_in_blocks():
    x = np.random.default_rng(0).normal(size=3 * fingerprints._BLOCK + 5)
    x = x.astype(np.float32)
    assert fingerprints.of_array(x) == int(fingerprints.of_devices(jnp.asarray(x)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "float64"])
def test_every_single_bit_shows(dtype):
    x = np.random.default_rng(0).normal(size=7).astype(dtype)
    wanted = fingerprints.of_array(x)
    for byte in range(x.nbytes):
        for bit in range(8):
            flipped = bytearray(x.tobytes())
            flipped[byte] ^= 1 << bit
            other = np.frombuffer(bytes(flipped), x.dtype)
            assert fingerprints.of_array(other) != wanted


def test_constant_arrays_that_change_together():
    """Here a plain sum of `(2 i + 1) word[i]` sees nothing."""
    ones, twos = np.ones(256, np.float32), np.full(256, 2, np.float32)
    odd = 2 * np.arange(256, dtype=np.uint32) + 1
    sums = [np.sum(odd * x.view(np.uint32), dtype=np.uint32) for x in (ones, twos)]
    assert sums[0] == sums[1]
    assert fingerprints.of_array(ones) != fingerprints.of_array(twos)
    assert fingerprints.of_array(ones) != fingerprints.of_array(-ones)


def test_order_and_length_show():
    x = np.arange(6, dtype=np.float32)
    others = (x[::-1], x[:5], np.append(x, np.float32(0)))
    assert len({fingerprints.of_array(y) for y in (x, *others)}) == 4
