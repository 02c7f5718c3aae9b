"""Batches: which rows a process feeds, and the arrays made of them."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from sharded_training import mesh_of

import haiku as hk

R = hk.parallel


def test_rows_are_split_and_the_rest_is_whole():
    tree = {"x": np.arange(16.0).reshape(8, 2), "scale": np.float32(3)}
    with jax.set_mesh(mesh_of(data=4, model=2)):
        batch = R.global_batch(tree, R.data())
        assert R.batch_shard(R.data()) == (0, 1)
    assert batch["x"].sharding.spec == P(("data",))
    assert batch["scale"].sharding.spec == P()
    jax.tree.map(np.testing.assert_array_equal, batch, tree)


def test_a_batch_over_two_axes():
    rules = R.Rules({"batch": ("data", "model")})
    with jax.set_mesh(mesh_of(data=4, model=2)):
        x = R.global_batch(np.arange(8), rules)
    assert [s.data.item() for s in x.addressable_shards] == list(range(8))


def test_without_a_mesh_they_are_plain_arrays():
    x = R.global_batch({"x": np.ones([3, 2])}, R.data())["x"]
    assert isinstance(x, jax.Array)
    assert x.shape == (3, 2)
    assert R.batch_shard(R.data()) == (0, 1)


def test_rows_that_cannot_be_split_are_an_error():
    with (
        jax.set_mesh(mesh_of(data=8)),
        pytest.raises(ValueError, match=r"\['x'\] has 6 rows .* Make the batch 8 rows"),
    ):
        R.global_batch({"x": np.ones([6, 2])}, R.data())


class _Device:
    def __init__(self, process_index):
        self.process_index = process_index


class _Mesh:
    """A mesh over processes, as far as `batch_shard` looks."""

    def __init__(self, processes, names):
        devices = np.empty(np.shape(processes), object)
        for place, process in np.ndenumerate(np.asarray(processes)):
            devices[place] = _Device(process)
        self.devices, self.axis_names = devices, names
        self.shape = dict(zip(names, devices.shape))
        self.axis_types = (jax.sharding.AxisType.Auto,) * len(names)
        self.empty = False


@pytest.mark.parametrize(
    ("processes", "wanted"),
    [
        # Two processes of four devices: the batch along them.
        ([[0, 0], [0, 0], [1, 1], [1, 1]], [(0, 2), (1, 2)]),
        # The model's axis spans the processes: both feed all rows.
        ([[0, 1], [0, 1]], [(0, 1), (0, 1)]),
        # Four processes, pairs of which share rows.
        ([[0, 1], [2, 3]], [(0, 2), (0, 2), (1, 2), (1, 2)]),
        # Rows of a process need not be neighbours.
        ([[0], [1], [0], [1]], [(0, 2), (1, 2)]),
    ],
)
def test_the_part_of_each_process(processes, wanted, monkeypatch):
    monkeypatch.setattr(
        jax.sharding, "get_mesh", lambda: _Mesh(processes, ("data", "model"))
    )
    for index, part in enumerate(wanted):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        assert R.batch_shard(R.data()) == part


def test_parts_that_overlap_are_an_error(monkeypatch):
    mesh = _Mesh([[0, 0], [0, 1], [1, 1]], ("data", "model"))
    monkeypatch.setattr(jax.sharding, "get_mesh", lambda: mesh)
    with pytest.raises(ValueError, match="processes feed overlap"):
        R.batch_shard(R.data())
