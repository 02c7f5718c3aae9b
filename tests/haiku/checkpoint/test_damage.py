"""Whatever happens to a folder, it restores what was saved or says what is wrong."""

import random
import re
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.checkpoint import CheckpointError, Checkpoints

# Orbax's threads report through an event loop that is closed when reading has failed.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Loader:
    """A loader at a position."""

    def __init__(self, state=None):
        self.state = state

    def get_state(self):
        return self.state

    def set_state(self, state):
        self.state = state


def a_state(step=0):
    noise = np.random.default_rng(step).normal(size=(48, 64))
    return {
        "w": jnp.asarray(noise, jnp.float32),
        "scale": jnp.full((256,), 1.0 + step),
        "key": jax.random.key(step),
        "n": 5 + step,
    }


def is_equal(state, other):
    def bits(x):
        if isinstance(x, int):
            return x
        typed = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if typed else x).tobytes()

    return jax.tree.map(bits, state) == jax.tree.map(bits, other)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with steps 0 and 1."""
    folder = tmp_path_factory.mktemp("saved") / "steps"
    with Checkpoints(folder) as checkpoints:
        for step in range(2):
            checkpoints.save(step, a_state(step), Loader({"next_index": 7 * step}))
    return folder


def harm(path, generator):
    """Does one kind of harm to a file."""
    content = bytearray(path.read_bytes())
    at = generator.randrange(len(content))
    kind = generator.choice(["flip", "flip", "flip", "zeros", "cut", "more", "remove"])
    if kind == "flip":
        content[at] ^= 1 << generator.randrange(8)
    elif kind == "zeros":
        content[at : at + 16] = bytes(min(16, len(content) - at))
    elif kind == "cut":
        del content[at:]
    elif kind == "more":
        content += generator.randbytes(9)
    path.unlink() if kind == "remove" else path.write_bytes(content)
    return f"{kind} at {at} of {path}"


def harm_and_restore(saved, folder, seed, times):
    """How often harm was an error; everything else must be equal."""
    generator, errors = random.Random(seed), 0
    shutil.copytree(saved, folder)
    files = sorted(p for p in (folder / "1").rglob("*") if p.is_file())
    with Checkpoints(folder) as checkpoints:
        for _ in range(times):
            path = generator.choice(files)
            whole = path.read_bytes()
            what = harm(path, generator)
            try:
                loader = Loader()
                state, at = checkpoints.restore(a_state(), loader)
            except CheckpointError as error:
                assert "Step 1 of" in str(error) and "step=0" in str(error), what
                errors += 1
            else:
                assert at == 1 and is_equal(state, a_state(1)), what
                assert loader.state == {"next_index": 7}, what
            path.write_bytes(whole)
        state, at = checkpoints.restore(a_state(), step=0)
    assert at == 0 and is_equal(state, a_state(0))
    return errors


def test_harmed_files(saved, tmp_path):
    assert harm_and_restore(saved, tmp_path / "steps", seed=0, times=150) > 20


@pytest.mark.slow
def test_harmed_files_often(saved, tmp_path):
    assert harm_and_restore(saved, tmp_path / "steps", seed=1, times=3000) > 400


def test_each_flip_in_the_arrays_shows(saved, tmp_path):
    """Of the largest file, where numbers stand without a checksum of Orbax's."""
    shutil.copytree(saved, folder := tmp_path / "steps")
    files = (p for p in (folder / "1").rglob("*") if p.is_file())
    path = max(files, key=lambda path: path.stat().st_size)
    whole, silent = path.read_bytes(), []
    with Checkpoints(folder) as checkpoints:
        for at in range(0, len(whole), len(whole) // 20):
            content = bytearray(whole)
            content[at] ^= 4
            path.write_bytes(content)
            try:
                state, _ = checkpoints.restore(a_state())
            except CheckpointError:
                continue
            silent.append(at)
            assert is_equal(state, a_state(1))
    assert len(silent) <= 2  # Bytes that nothing reads.


def test_what_the_error_names(saved, tmp_path):
    shutil.copytree(saved, folder := tmp_path / "steps")
    shutil.rmtree(folder / "1" / "manifest")
    words = (
        rf"Step 1 of {re.escape(str(folder))} is damaged: .*manifest isn't there: it "
        r"was removed, or another program wrote the folder. Older steps: 0. To go on "
        r"from one of them: `checkpoints.restore\(state, loader, step=0\)`"
    )
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(CheckpointError, match=words):
            checkpoints.restore(a_state())
        assert checkpoints.restore(a_state(), step=0)[1] == 0
        with pytest.raises(CheckpointError, match=r"has no step 5: there are 1, 0\."):
            checkpoints.restore(a_state(), step=5)


def test_a_step_under_another_name(saved, tmp_path):
    shutil.copytree(saved / "1", tmp_path / "steps" / "7")
    with (
        Checkpoints(tmp_path / "steps") as checkpoints,
        pytest.raises(
            CheckpointError, match="a checkpoint of step 1 under another name"
        ),
    ):
        checkpoints.restore(a_state())


def test_files_and_folders_of_others_change_nothing(saved, tmp_path):
    shutil.copytree(saved, folder := tmp_path / "steps")
    (folder / "notes.txt").write_text("mine")
    (folder / "plots").mkdir()
    (folder / "1" / "notes.txt").write_text("mine")
    half = folder / "2.orbax-checkpoint-tmp"
    shutil.copytree(folder / "1", half)
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps() == [0, 1]
        state, at = checkpoints.restore(a_state())
    until = time.monotonic() + 20  # Orbax may clear it in the background.
    while half.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not half.exists()
    assert at == 1 and is_equal(state, a_state(1))
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "plots").is_dir()


def test_a_reader_beside_a_training_clears_nothing(tmp_path):
    with Checkpoints(tmp_path) as training:
        training.save(0, a_state())
        training.wait()
        half = tmp_path / "1.orbax-checkpoint-tmp"
        half.mkdir()
        with Checkpoints(tmp_path) as evaluation:
            assert evaluation.restore(a_state())[1] == 0
            assert half.exists()
            training.save(2, a_state(2))
            training.wait()
            assert evaluation.restore(a_state())[1] == 2
            with pytest.raises(
                CheckpointError, match="Another program writes its check"
            ):
                evaluation.save(3, a_state())


def test_another_models_checkpoint(saved):
    state = a_state()
    cases = [
        ({"w": state["w"]}, "The state lacks key, n, scale."),
        (
            state | {f"new{i}": 1 for i in range(5)},
            "lacks new0, new1, new2 and 2 more.",
        ),
        (
            state | {"w": jnp.zeros((48, 65))},
            "float32[48, 64] there and float32[48, 65]",
        ),
        (
            state | {"w": state["w"].astype(int)},
            "float32[48, 64] there and int32[48, 64]",
        ),
        (
            state | {"key": jnp.zeros(2, jnp.uint32)},
            "key is keys of threefry2x32[] there",
        ),
        (state | {"key": jax.random.key(0, impl="rbg")}, "and keys of rbg[] here"),
        (state | {"n": 5.0}, "n is int64[] there and float64[] here"),
    ]
    with Checkpoints(saved) as checkpoints:
        for wanted, words in cases:
            with pytest.raises(CheckpointError, match=re.escape(words)):
                checkpoints.restore(wanted)
        with pytest.raises(CheckpointError, match="holds no arrays"):
            checkpoints.restore({})


def test_states_that_can_not_be_saved(tmp_path):
    gone = jnp.zeros(3)
    gone.delete()
    cases = [
        ({}, "The state holds no arrays"),
        ({"a": {"b": "text"}}, "a/b is a str: a state holds arrays"),
        ({"a": np.array(["x"])}, "a is <U1"),
        ({"a": 2**70}, "a is an integer beyond 64 bits"),
        ({"a": gone}, "a was donated to a step"),
        ({"a": {"b.c": 1}, "a.b": {"c": 2}}, "would have one name in the folder"),
        ({"a": {1: 1, "1": 2}}, "would have one name in the folder"),
    ]
    with Checkpoints(tmp_path) as checkpoints:
        for state, words in cases[:-1]:
            with pytest.raises(CheckpointError, match=re.escape(words)):
                checkpoints.save(0, state)
        with pytest.raises(CheckpointError, match="is a traced value"):
            jax.jit(lambda x: checkpoints.save(0, {"x": x}))(1.0)
        assert checkpoints.steps() == []
        checkpoints.save(3, {"x": jnp.zeros(3)})
        assert not checkpoints.save(3, {"x": jnp.zeros(3)})  # It is saved.
        with pytest.raises(CheckpointError, match="step 2 isn't after it"):
            checkpoints.save(2, {"x": jnp.zeros(3)})
        with pytest.raises(CheckpointError, match="0 or more"):
            checkpoints.save(-1, {"x": jnp.zeros(3)})
    with pytest.raises(CheckpointError, match="write `with hk.checkpoint.Checkpoints"):
        checkpoints.save(4, {"x": jnp.zeros(3)})


def test_arguments(tmp_path):
    for wrong in ({"every": 0}, {"keep": 0}, {"every": 1.5}, {"hang_after": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Checkpoints(tmp_path, **wrong)
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CheckpointError, match="can't be opened"),
        Checkpoints(tmp_path / "file"),
    ):
        pass
    with pytest.raises(TypeError, match=r"jax.jit\(step\)"):
        hk.checkpoint.assert_same_program(lambda x: x, 1)
