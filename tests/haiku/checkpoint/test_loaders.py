"""Positions of loaders: saved once, taken up by any number of processes."""

import itertools
import json

import grain
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

BATCH = 8
READING = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # No threads.
TEXTS = [np.arange(1, 2 + 7 * i % 11, dtype=np.int32) + 100 * i for i in range(40)]


def shuffled(index, count):
    """The samples of process `index` of `count`, over epochs in another order each."""
    data = grain.MapDataset.source(list(range(50))).seed(0).shuffle().repeat()
    return iter(data[index::count].batch(BATCH // count).to_iter_dataset(READING))


def packed(index, count):
    """Rows of 16 tokens; each process packs all texts and takes its rows."""
    data = grain.MapDataset.source(TEXTS).seed(0).shuffle().repeat()
    data = data.map(lambda text: {"tokens": text}).to_iter_dataset(READING)
    rows = grain.experimental.FirstFitPackIterDataset(
        data, length_struct={"tokens": 16}, num_packing_bins=4
    )
    share = slice(index * BATCH // count, (index + 1) * BATCH // count)
    return iter(rows.batch(BATCH).map(lambda batch: batch["tokens"][share]))


def global_batches(loaders, number):
    """Batches of all processes together."""
    return [
        np.concatenate([np.asarray(next(loader)) for loader in loaders])
        for _ in range(number)
    ]


@pytest.mark.parametrize(
    ("made", "first", "then", "counts"),
    [(shuffled, 9, 15, (1, 2, 8)), (packed, 3, 3, (2,))],
)
def test_four_processes_go_on_as_others(made, first, then, counts, tmp_path):
    alone = [np.sort(x, 0) for x in global_batches([made(0, 1)], first + then)]
    before = [made(index, 4) for index in range(4)]
    seen = [np.sort(x, 0) for x in global_batches(before, first)]
    states = [json.dumps(loader.get_state()) for loader in before]
    assert len(set(states)) == 1  # Any process may save it.
    with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(9, {"w": jnp.zeros(3)}, before[2])
        for count in counts:
            after = [made(index, count) for index in range(count)]
            for loader in after:
                assert checkpoints.restore({"w": jnp.ones(3)}, loader)[1] == 9
            rest = [np.sort(x, 0) for x in global_batches(after, then)]
            for batch, wanted in zip(seen + rest, alone, strict=True):
                np.testing.assert_array_equal(batch, wanted)


def test_no_sample_is_lost_or_seen_twice():
    before = [shuffled(index, 4) for index in range(4)]
    after = [shuffled(index, 2) for index in range(2)]
    samples = []
    for loaders, batches in ((before, 11), (after, 14)):
        for loader in loaders:
            loader.set_state(before[0].get_state())
        for _ in range(batches):  # Process i has rows i, i + count, ... of a batch.
            samples += list(np.stack([next(loader) for loader in loaders], 1).flat)
    epochs = [samples[i : i + 50] for i in range(0, 200, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert all(a != b for a, b in itertools.pairwise(epochs))


class Loader:
    """Whatever position it is given."""

    def __init__(self, state):
        self.state = state

    def get_state(self):
        return self.state

    def set_state(self, state):
        if state == "refused":
            raise KeyError("no such position")
        self.state = state


@pytest.mark.parametrize("state", [b"\x00\xff", {"a": [1, 2.5, None, "x"]}, 7])
def test_bytes_and_json(state, tmp_path):
    with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, {"w": jnp.zeros(3)}, Loader(state))
        checkpoints.restore({"w": jnp.zeros(3)}, loader := Loader(None))
    assert loader.state == state


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (iter([1]), r"list_iterator, without get_state\(\) and set_state\(\)"),
        (Loader({1: 2}), "returned what JSON changes"),
        (Loader({"a": np.arange(3)}), "returned what isn't JSON"),
        (Loader(float("nan")), "returned what isn't JSON"),
    ],
)
def test_positions_that_can_not_be_saved(loader, words, tmp_path):
    with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(hk.checkpoint.CheckpointError, match=words):
            checkpoints.save(0, {"w": jnp.zeros(3)}, loader)
        assert checkpoints.steps() == []


def test_positions_that_can_not_be_restored(tmp_path):
    state = {"w": jnp.zeros(3)}
    with hk.checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, state)
        with pytest.raises(hk.checkpoint.CheckpointError, match="without a loader"):
            checkpoints.restore(state, Loader(None))
        checkpoints.save(1, state, Loader("refused"))
        with pytest.raises(hk.checkpoint.CheckpointError, match="doesn't take the pos"):
            checkpoints.restore(state, Loader(None))
        assert checkpoints.restore(state)[1] == 1  # An evaluation needs none.
