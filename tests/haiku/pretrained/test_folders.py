"""Folders of weights: index and shards, names that lead out, and writing them."""

import json
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors

import haiku as hk
from haiku.pretrained import atomic
from haiku.pretrained.folders import (
    file_in,
    read_config,
    read_weights,
    write_folder,
)

ARRAYS = {f"layer.{i}.w": np.full([4, 4], i, np.float32) for i in range(5)}
CONFIG = {"model_type": "llama", "limits": [0.0, float("inf")], "name": "ü"}
SHARDS = [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    """Five arrays in three shards."""
    folder = tmp_path / "net"
    write_folder(folder, ARRAYS, {"config.json": CONFIG}, max_shard_size=128)
    return folder


def assert_holds(folder, arrays=ARRAYS):
    have = read_weights(folder)
    assert [*have.arrays] == sorted(arrays)
    assert have.files.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(have.arrays[name], value)
        assert have.arrays[name].dtype == value.dtype


def edited(folder, change):
    """Changes the index's weight_map."""
    index = json.loads((folder / INDEX).read_text())
    change(index["weight_map"])
    (folder / INDEX).write_text(json.dumps(index))


# ---- Writing and reading -------------------------------------------------------------


def test_a_folder_has_the_names_of_the_hub(folder):
    assert sorted(os.listdir(folder)) == ["config.json", *SHARDS, INDEX]
    assert os.listdir(folder.parent) == ["net"]
    index = json.loads((folder / INDEX).read_text())
    assert index["metadata"] == {"total_size": 5 * 64}
    assert index["weight_map"] == {
        name: SHARDS[i // 2] for i, name in enumerate(ARRAYS)
    }
    assert_holds(folder)
    assert read_config(folder) == CONFIG
    with safetensors.safe_open(folder / SHARDS[0], "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_small_model_is_one_file(tmp_path):
    write_folder(tmp_path / "a" / "b", ARRAYS, {})
    assert os.listdir(tmp_path / "a" / "b") == ["model.safetensors"]
    assert_holds(tmp_path / "a" / "b")


def test_arrays_of_jax_and_an_array_larger_than_a_shard(tmp_path):
    arrays = {"a": jnp.ones(3), "b": jnp.ones(100, jnp.bfloat16), "c": jnp.ones(3)}
    write_folder(tmp_path / "net", arrays, {}, max_shard_size=50)
    assert len(os.listdir(tmp_path / "net")) == 4
    assert_holds(tmp_path / "net", arrays)


def test_a_folder_of_diffusers(tmp_path):
    stem = "diffusion_pytorch_model"
    write_folder(tmp_path / "a", ARRAYS, {}, stem=stem)
    assert os.listdir(tmp_path / "a") == [f"{stem}.safetensors"]
    assert_holds(tmp_path / "a")
    write_folder(tmp_path / "a", ARRAYS, {}, stem=stem, max_shard_size=200)
    assert f"{stem}-00001-of-00002.safetensors" in os.listdir(tmp_path / "a")
    assert_holds(tmp_path / "a")


def test_other_weights_are_replaced_and_other_files_stay(folder):
    (folder / "README.md").write_text("about")
    (folder / "runs").mkdir()
    (folder / "runs" / "log").write_text("log")
    (folder / "link").symlink_to("README.md")
    old = read_weights(folder).arrays
    folder.chmod(0o750)
    write_folder(folder, {"w": np.ones(2)}, {"config.json": {"a": 1}, "b": b"raw"})
    wanted = {"README.md", "b", "config.json", "link", "model.safetensors", "runs"}
    assert set(os.listdir(folder)) == wanted
    assert os.listdir(folder.parent) == ["net"]
    assert (folder / "runs" / "log").read_text() == "log"
    assert os.readlink(folder / "link") == "README.md"
    assert folder.stat().st_mode & 0o777 == 0o750
    assert_holds(folder, {"w": np.ones(2)})
    np.testing.assert_array_equal(old["layer.3.w"], ARRAYS["layer.3.w"])


def test_adapters_leave_the_model(folder):
    write_folder(folder, {"a": np.ones(2)}, {}, stem="adapter_model")
    assert_holds(folder)
    assert [*read_weights(folder, ("adapter_model",)).arrays] == ["a"]


def test_a_link_to_a_folder_stays_one(folder):
    (folder.parent / "link").symlink_to("net")
    write_folder(folder.parent / "link", {"w": np.ones(2)}, {})
    assert (folder.parent / "link").is_symlink()
    assert_holds(folder, {"w": np.ones(2)})


@pytest.mark.parametrize("how", ["here", "no exchange", "other systems"])
def test_files_are_replaced_one_by_one_elsewhere(folder, monkeypatch, how):
    (folder / "README.md").write_text("about")
    (folder / "runs").mkdir()
    if how == "here":
        monkeypatch.chdir(folder)
    elif how == "no exchange":
        monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    else:
        monkeypatch.setattr(atomic.sys, "platform", "darwin")
    place = os.curdir if how == "here" else folder
    write_folder(place, {"w": np.ones(2)}, {"config.json": {"a": 1}})
    assert sorted(os.listdir(place)) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "runs",
    ]
    assert os.listdir(folder.parent) == ["net"]
    assert_holds(folder, {"w": np.ones(2)})


def test_an_error_leaves_the_folder_as_it_was(folder):
    with pytest.raises(TypeError, match="tensor 'x'"):
        write_folder(folder, {"w": np.ones(2), "x": None}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_folder(folder, {"w": np.ones(2)}, {"config.json": {"a": object()}})
    (folder / "a").mkdir()
    with pytest.raises(IsADirectoryError, match="a is a folder"):
        write_folder(folder, {"w": np.ones(2)}, {"a": b""})
    with pytest.raises(FileExistsError, match="must be a folder"):
        write_folder(folder / "config.json", {"w": np.ones(2)}, {})
    assert sorted(os.listdir(folder)) == ["a", "config.json", *SHARDS, INDEX]
    assert os.listdir(folder.parent) == ["net"]
    assert_holds(folder)


@pytest.mark.parametrize("size", [0, -1, "5GB", 1.5, True, None])
def test_a_shard_has_a_number_of_bytes(tmp_path, size):
    with pytest.raises(ValueError, match="max_shard_size must be a number of bytes"):
        write_folder(tmp_path / "net", ARRAYS, {}, max_shard_size=size)


def test_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    usual = (tmp_path / "usual").stat().st_mode
    hk.pretrained.write(tmp_path / "a.safetensors", ARRAYS)
    write_folder(tmp_path / "net", ARRAYS, {})
    assert (tmp_path / "a.safetensors").stat().st_mode == usual
    assert (tmp_path / "net" / "model.safetensors").stat().st_mode == usual


# ---- Index and shards that disagree --------------------------------------------------


def _rewrite(folder, shard, change):
    arrays = {name: x.copy() for name, x in hk.pretrained.read(folder / shard).items()}
    change(arrays)
    hk.pretrained.write(folder / shard, arrays)


def _delete(folder):
    (folder / SHARDS[1]).unlink()


def _empty(folder):
    (folder / SHARDS[1]).write_bytes(b"")


def _lose(folder):
    _rewrite(folder, SHARDS[1], lambda arrays: arrays.pop("layer.2.w"))


def _add(folder):
    _rewrite(folder, SHARDS[1], lambda arrays: arrays.update(extra=np.ones(1)))


def _twice(folder):
    extra = {"layer.0.w": np.ones(1)}
    _rewrite(folder, SHARDS[1], lambda arrays: arrays.update(extra))


def _unlisted(folder):
    edited(folder, lambda places: places.pop("layer.2.w"))


def _unheld(folder):
    edited(folder, lambda places: places.update(extra=SHARDS[0]))


def _elsewhere(folder):
    edited(folder, lambda places: places.update({"layer.2.w": SHARDS[0]}))


def _swapped(folder):
    for old, new in ((0, 9), (1, 0), (9, 1)):
        os.rename(
            folder / (SHARDS[old] if old < 3 else "9"),
            folder / (SHARDS[new] if new < 3 else "9"),
        )


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (_delete, FileNotFoundError, [INDEX, SHARDS[1]]),
        (_empty, ValueError, [SHARDS[1], "0 bytes"]),
        (_lose, ValueError, [SHARDS[1], "'layer.2.w'", "missing", INDEX]),
        (_add, ValueError, [SHARDS[1], "'extra'", "doesn't list it", INDEX]),
        (_twice, ValueError, [SHARDS[1], "'layer.0.w'", SHARDS[0], "holds it too"]),
        (_unlisted, ValueError, [SHARDS[1], "'layer.2.w'", "doesn't list it"]),
        (_unheld, ValueError, [SHARDS[0], "'extra'", "missing"]),
        (_elsewhere, ValueError, [SHARDS[1], "'layer.2.w'", f"is in {SHARDS[0]}"]),
        (_swapped, ValueError, [SHARDS[0], "'layer.2.w'", f"is in {SHARDS[1]}"]),
    ],
)
def test_index_and_shards_must_agree(folder, damage, error, words):
    damage(folder)
    with pytest.raises(error) as found:
        read_weights(folder)
    for word in [*words, str(folder)]:
        assert word in str(found.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "isn't JSON"),
        ("[]", r"must be a JSON object, and is \[\]"),
        ("{}", "weight_map must be an object, {tensor: file}, and is None"),
        ('{"weight_map": []}', "weight_map must be an object"),
        ('{"weight_map": {"a": 1}}', "tensor 'a': wanted the name of a file, got 1"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "has the name 'a' twice"),
    ],
)
def test_an_index_must_be_one(folder, text, message):
    (folder / INDEX).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_weights(folder)
    assert str(folder / INDEX) in str(error.value)


# ---- Names and links that lead out of the folder -------------------------------------


@pytest.fixture
def secret(tmp_path):
    hk.pretrained.write(tmp_path / "secret.safetensors", {"layer.2.w": np.ones(2)})
    return tmp_path / "secret.safetensors"


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "a/../../secret.safetensors", "..", "/"]
)
def test_a_name_that_leads_out_is_an_error(folder, secret, name):
    edited(folder, lambda places: places.update({"layer.2.w": name}))
    with pytest.raises(ValueError, match="leads out of the folder") as error:
        read_weights(folder)
    assert str(folder / INDEX) in str(error.value) and repr(name) in str(error.value)


def test_an_absolute_name_is_an_error(folder, secret):
    for name in (str(secret), str(folder / SHARDS[1])):
        edited(folder, lambda places, name=name: places.update({"layer.2.w": name}))
        with pytest.raises(ValueError, match="leads out of the folder"):
            read_weights(folder)


@pytest.mark.parametrize("name", ["", "\0", "a\nb", "\ud800"])
def test_a_name_must_be_one(folder, name):
    with pytest.raises(ValueError, match="can't be the name of a file"):
        file_in(folder, name)


@pytest.mark.parametrize("name", ["x" * 5000, ".", "config.json/x"])
def test_a_name_must_be_that_of_a_file(folder, name):
    with pytest.raises((ValueError, FileNotFoundError), match="net"):
        file_in(folder, name)


def test_a_link_out_is_an_error(folder, secret):
    (folder / SHARDS[1]).unlink()
    for target in (secret, "../secret.safetensors"):
        (folder / SHARDS[1]).symlink_to(target)
        with pytest.raises(ValueError, match="is a link out of the folder") as error:
            read_weights(folder)
        assert SHARDS[1] in str(error.value) and str(secret) in str(error.value)
        (folder / SHARDS[1]).unlink()
    (folder / SHARDS[1]).symlink_to(SHARDS[1])
    with pytest.raises(FileNotFoundError, match="can't be opened"):
        read_weights(folder)


def test_a_link_of_a_folder_out_is_an_error(folder, secret):
    (folder / "sub").symlink_to("..")
    edited(folder, lambda x: x.update({"layer.2.w": "sub/secret.safetensors"}))
    with pytest.raises(ValueError, match="is a link out of the folder"):
        read_weights(folder)


def test_links_within_the_folder_are_files(folder):
    os.rename(folder / SHARDS[1], folder / "data")
    (folder / SHARDS[1]).symlink_to("data")
    (folder.parent / "link").symlink_to("net")
    assert_holds(folder.parent / "link")


def test_the_cache_of_the_hub_links_to_blobs(folder, tmp_path, secret):
    home = tmp_path / "models--org--net"
    (home / "blobs").mkdir(parents=True)
    (home / "snapshots").mkdir()
    snapshot = shutil.move(folder, home / "snapshots" / "0123")
    for i, name in enumerate(os.listdir(snapshot)):
        os.rename(snapshot / name, home / "blobs" / str(i))
        (snapshot / name).symlink_to(f"../../blobs/{i}")
    assert_holds(snapshot)
    assert read_config(snapshot) == CONFIG
    (snapshot / SHARDS[1]).unlink()
    (snapshot / SHARDS[1]).symlink_to(secret)
    with pytest.raises(ValueError, match="is a link out of the folder"):
        read_weights(snapshot)


# ---- Folders without weights or config -----------------------------------------------


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("was unpickled",)


def test_pickles_are_never_read(tmp_path, monkeypatch):
    import pickle

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(ValueError, match="convert them once") as error:
        read_weights(tmp_path)
    for words in (str(tmp_path), "pytorch_model.bin", "weights_only=True", "save_file"):
        assert words in str(error.value)
    assert os.listdir(tmp_path) == ["pytorch_model.bin"]


def test_no_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder .*nothing doesn't exist"):
        read_weights(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"has no model.safetensors or .*notes"):
        read_weights(tmp_path)
    with pytest.raises(ValueError, match="notes.txt must be a folder"):
        read_weights(tmp_path / "notes.txt")
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ValueError, match="must be a file, and is a folder"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "isn't JSON"),
        (b'{"a": 1,}', "isn't JSON"),
        (b"\xff", "isn't JSON in UTF-8"),
        (b"3", "must be a JSON object, and is 3"),
        (b'{"a": {"b": 1, "b": 2}}', "has the name 'b' twice"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_config_must_be_an_object(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_config(tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)


def test_a_config_has_a_size(tmp_path):
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(ValueError, match="config.json has more than 100000000 bytes"):
        read_config(tmp_path)


def test_no_config(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json"):
        read_config(tmp_path)
