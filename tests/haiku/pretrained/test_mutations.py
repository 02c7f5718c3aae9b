"""A thousand damaged files and folders: an error that names one, or the same arrays."""

import json
import os
import pathlib
import random
import time
import tracemalloc

import numpy as np
import pytest
import safetensors

import haiku as hk
from haiku.pretrained.folders import read_config, read_weights, write_folder
from haiku.pretrained.safetensors_header import DTYPES

FILES, FOLDERS, TOKENIZERS = range(600), range(300), range(100)
LONGEST = 2.0  # seconds for one; the machine may be busy
HOSTILE = [None, True, -1, 0, 1.5, "x", "F32", [], {}, [0], [-1, -1], [1e999], [None]]
HOSTILE += [2**31, 2**63 - 1, 2**63, 2**64, 10**30, [2**62, 4], [0, 2**63], [1] * 99]
HEADERS = [
    b"",
    b"[]",
    b"null",
    b'{"a":' * 50_000,
    b"[" * 50_000,
    b"{" * 10,
    b"\xff\xfe",
]
HEADERS += [
    b'{"a":{},"a":{}}',
    b'{"a":' + b"9" * 9999 + b"}",
    b"{}",
    b'{"":NaN}',
    b"\0",
]


# ---- Damage to bytes -----------------------------------------------------------------


def flipped(content, random, start=0, stop=None):
    out = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 8])):
        i = random.randrange(start, max(start + 1, stop or len(out)))
        if i < len(out):
            out[i] ^= 1 << random.randrange(8)
    return bytes(out)


def cut(content, random):
    return content[: random.randrange(len(content))]


def grown(content, random):
    i = random.choice([0, 8, len(content), random.randrange(len(content))])
    return content[:i] + random.randbytes(random.choice([1, 8, 100])) + content[i:]


def swapped(content, random):
    a, b, c = sorted(random.choices(range(len(content)), k=3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def in_header(content, random):
    return flipped(content, random, 0, 8 + int.from_bytes(content[:8], "little"))


def other_length(content, random):
    length = int.from_bytes(content[:8], "little")
    sizes = [0, 1, length - 1, length + 1, len(content) - 8, len(content), 10**8]
    length = random.choice([*sizes, 2**31, 2**63, 2**64 - 1])
    return length.to_bytes(8, "little") + content[8:]


def parts(content):
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def joined(header, data):
    return len(header).to_bytes(8, "little") + header + data


def other_header(content, random):
    header, data = parts(content)
    return joined(random.choice([*HEADERS, header + header, header[::-1]]), data)


def other_entry(content, random):
    """One field of one tensor is something hostile."""
    header, data = parts(content)
    found = json.loads(header)
    name = random.choice(sorted(found))
    how = random.randrange(4)
    if how == 0:
        found[name] = random.choice(HOSTILE)
    elif how == 1 and isinstance(found[name], dict):
        found[name][random.choice(["dtype", "shape", "data_offsets"])] = random.choice(
            [*HOSTILE, *DTYPES]
        )
    elif how == 2 and "data_offsets" in found[name]:
        offsets = found[name]["data_offsets"]
        offsets[random.randrange(2)] += random.choice([-8, -1, 1, 8, 2**40, 2**64])
    else:
        found[random.choice([name + "2", "", "\ud800", "__metadata__"])] = found.pop(
            name
        )
    return joined(json.dumps(found).encode(), data)


BYTES = [flipped, in_header, in_header, cut, grown, swapped, other_length]
BYTES += [other_header, other_entry, other_entry, other_entry]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file of every dtype, with an array much larger than its header."""
    path = tmp_path_factory.mktemp("whole") / "net.safetensors"
    arrays = {code: np.ones([2, 3], dtype) for code, dtype in DTYPES.items()}
    arrays["empty"] = np.zeros([0, 3])
    arrays["large"] = np.random.default_rng(0).normal(size=[64, 32])
    hk.pretrained.write(path, arrays, {"format": "pt"})
    return path.read_bytes()


def _outcome(read, named):
    """What a read gives, or None after an error that names the file."""
    start = time.perf_counter()
    try:
        found = read()
    except (ValueError, FileNotFoundError) as error:
        assert named in str(error), error
        assert len(str(error)) < 2000
        found = None
    assert time.perf_counter() - start < LONGEST
    return found


def test_damaged_files(whole, tmp_path):
    path = tmp_path / "net.safetensors"
    read = 0
    for seed in FILES:
        rng = random.Random(seed)
        content = rng.choice(BYTES)(whole, rng)
        path.write_bytes(content)
        tracemalloc.start()
        arrays = _outcome(lambda: hk.pretrained.read(path), str(path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Python's objects for a header of JSON are some times its size; nothing else.
        assert peak < 200_000 + 10 * len(content)
        if arrays is None:
            continue
        read += 1
        theirs = dict(safetensors.deserialize(content))
        assert theirs.keys() == arrays.keys()
        for name, x in theirs.items():
            assert arrays[name].dtype == DTYPES[x["dtype"]]
            assert arrays[name].shape == tuple(x["shape"])
            assert arrays[name].tobytes() == bytes(x["data"])
    assert 20 < read < 200  # Else the damage is too weak or too strong to find much.


# ---- Damage to folders ---------------------------------------------------------------

ARRAYS = {f"layer.{i}": np.full([4, 4], i, np.float32) for i in range(5)}
INDEX = "model.safetensors.index.json"
NAMES = ["../secret.safetensors", "/etc/passwd", "", ".", "..", "\0", "x" * 5000]
NAMES += ["\ud800", "a/b", "config.json", "config.json/x", "/dev/zero", "~/x", "C:\\x"]
LINKS = ["../secret.safetensors", "/etc/passwd", "/dev/zero", "/dev/stdin", "nothing"]
LINKS += [".", "..", "model.safetensors", "config.json", "/proc/self/mem", INDEX]


def some_file(folder, rng):
    return folder / rng.choice(sorted(os.listdir(folder)))


def damaged_bytes(folder, rng):
    path = some_file(folder, rng)
    how = rng.choice(BYTES if path.suffix == ".safetensors" else [flipped, cut, grown])
    path.write_bytes(how(path.read_bytes(), rng))


def deleted(folder, rng):
    some_file(folder, rng).unlink()


def swapped_files(folder, rng):
    a, b = some_file(folder, rng), some_file(folder, rng)
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def renamed(folder, rng):
    os.replace(some_file(folder, rng), folder / rng.choice(["x", "model.safetensors"]))


def linked(folder, rng):
    path = some_file(folder, rng)
    path.unlink()
    path.symlink_to(rng.choice([*LINKS, path.name]))


def made_special(folder, rng):
    path = some_file(folder, rng)
    path.unlink()
    rng.choice([os.mkdir, os.mkfifo])(path)


def other_index(folder, rng):
    index = json.loads((folder / INDEX).read_text())
    places = index["weight_map"]
    name = rng.choice(sorted(places))
    how = rng.randrange(5)
    if how == 0:
        places[name] = rng.choice(NAMES)
    elif how == 1:
        places[name] = rng.choice([*HOSTILE, *places.values()])
    elif how == 2:
        places[rng.choice(["extra", "\ud800", ""])] = places.pop(name)
    elif how == 3:
        index["weight_map"] = rng.choice(HOSTILE)
    else:
        del places[name]
    (folder / INDEX).write_text(json.dumps(index))


def other_shard(folder, rng):
    shard = rng.choice(sorted(folder.glob("*-of-*")))
    arrays = dict(hk.pretrained.read(shard))
    name = rng.choice(sorted(arrays))
    if rng.random() < 0.5:
        del arrays[name]
    arrays[rng.choice([*ARRAYS, "extra"])] = ARRAYS["layer.0"]
    hk.pretrained.write(shard, arrays)


DAMAGE = [damaged_bytes, damaged_bytes, deleted, swapped_files, renamed, linked, linked]
DAMAGE += [made_special, other_index, other_index, other_index, other_shard]


def _empty(folder):
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def test_damaged_folders(tmp_path):
    folder, original = tmp_path / "net", tmp_path / "original"
    write_folder(original, ARRAYS, {"config.json": {"a": [1]}}, max_shard_size=128)
    content = {path.name: path.read_bytes() for path in original.iterdir()}
    hk.pretrained.write(tmp_path / "secret.safetensors", ARRAYS)
    folder.mkdir()
    equal = 0
    for seed in FOLDERS:
        rng = random.Random(seed)
        _empty(folder)
        for name, x in content.items():
            (folder / name).write_bytes(x)
        rng.choice(DAMAGE)(folder, rng)
        config = _outcome(lambda: read_config(folder), str(folder))
        assert config is None or isinstance(config, dict)
        weights = _outcome(lambda: read_weights(folder), str(folder))
        if weights is None:
            continue
        assert all(x.resolve().parent == folder for x in weights.files.values())
        equal += all(
            weights.arrays.keys() == ARRAYS.keys()
            and np.array_equal(weights.arrays[name], ARRAYS[name])
            for name in ARRAYS
        )
    assert equal > 20


def test_damaged_tokenizers(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is an extra")
    models, path = tokenizers.models, tmp_path / "tokenizer.json"
    merges = [("t", "h"), ("th", "e")]
    vocabulary = {token: i for i, token in enumerate(["t", "h", "e", "th", "the", "s"])}
    inner = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    inner.add_special_tokens(["<s>"])
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    inner.decoder = tokenizers.decoders.ByteLevel()
    files = {
        "tokenizer.json": inner.to_str().encode(),
        "tokenizer_config.json": json.dumps({"bos_token": {"content": "<s>"}}).encode(),
        "config.json": json.dumps({"eos_token_id": [6, 5]}).encode(),
    }
    for seed in TOKENIZERS:
        rng = random.Random(seed)
        for name, x in files.items():
            (tmp_path / name).write_bytes(x)
        path = tmp_path / rng.choice(sorted(files))
        path.write_bytes(rng.choice([flipped, cut, grown])(path.read_bytes(), rng))
        found = _outcome(lambda: hk.pretrained.load_tokenizer(tmp_path), str(tmp_path))
        if found is not None:
            found(["the", "these"])


def test_there_are_a_thousand():
    assert len(FILES) + len(FOLDERS) + len(TOKENIZERS) == 1000
    assert pathlib.Path("/dev/zero").exists()
