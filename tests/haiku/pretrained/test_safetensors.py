"""One .safetensors file: what is written is read, by the format's own library too."""

import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors

import haiku as hk
from haiku.pretrained.safetensors_header import DTYPES

NUMBERS = np.arange(24).reshape(2, 3, 4)
BY_DTYPE = {code: NUMBERS.astype(dtype) for code, dtype in DTYPES.items()}
SHAPES = {
    "empty": np.zeros([0, 3], np.float32),
    "empty at the end": jnp.zeros([2, 0], jnp.bfloat16),
    "no axis": np.asarray(3, np.int8),
    "Fortran": np.asfortranarray(NUMBERS),
    "every second": NUMBERS[:, ::2],
    "backwards": NUMBERS[::-1],
    "broadcast": np.broadcast_to(np.float32(2), [5]),
}
VALUES = {
    "a bool": True,
    "an int": 3,
    "a float": 2.5,
    "of NumPy": np.float16(1.5),
    "of JAX": jnp.ones([2, 3], jnp.bfloat16),
    "long long": np.arange(3, dtype=np.longlong),
    "big-endian": np.arange(5, dtype=">i4"),
    "big-endian floats": np.linspace(0, 1, 7).astype(">f8"),
}
NAMES = {name: np.int32(7) for name in ("", "ünï", "字", 'a "b"\\\n\t', "a/b.c", "🦊")}
FILES = [BY_DTYPE, SHAPES, VALUES, NAMES, {}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def written(path, header, data=b""):
    """A file with any header: an object, or bytes."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(dtype="U8", shape=(4,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": [*shape], "data_offsets": [*offsets]}


# ---- Round trips ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", FILES, ids=["dtypes", "shapes", "values", "names", 0]
)
def test_what_is_written_is_read(path, values):
    hk.pretrained.write(path, values)
    have = hk.pretrained.read(path)
    assert [*have] == sorted(values)
    for name, value in values.items():
        wanted = np.asarray(value)
        wanted = wanted.astype(wanted.dtype.newbyteorder("="))
        assert (have[name].dtype, have[name].shape) == (wanted.dtype, wanted.shape)
        assert have[name].tobytes() == wanted.tobytes()
        assert have[name].flags.aligned and not have[name].flags.writeable


@pytest.mark.parametrize(
    "values", FILES, ids=["dtypes", "shapes", "values", "names", 0]
)
def test_the_library_of_the_format_reads_it_the_same(path, values):
    hk.pretrained.write(path, values, {"format": "pt", "ü": "字"})
    theirs = dict(safetensors.deserialize(path.read_bytes()))
    ours = hk.pretrained.read(path)
    assert theirs.keys() == ours.keys()
    for name, tensor in theirs.items():
        assert DTYPES[tensor["dtype"]] == ours[name].dtype
        assert tuple(tensor["shape"]) == ours[name].shape
        assert bytes(tensor["data"]) == ours[name].tobytes()
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt", "ü": "字"}


def test_a_file_of_the_library_is_read(path):
    import safetensors.numpy

    known = {name: x for name, x in BY_DTYPE.items() if x.dtype.kind != "V"}
    known = {name: x for name, x in known.items() if not name.startswith(("F8", "BF"))}
    safetensors.numpy.save_file({**known, "empty": np.zeros([0, 3])}, path)
    have = hk.pretrained.read(path)
    assert len(have) == len(known) + 1
    for name, x in known.items():
        np.testing.assert_array_equal(have[name], x)


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    values = {**BY_DTYPE, **SHAPES, **NAMES}
    hk.pretrained.write(tmp_path / "a", values, {"x": "1", "y": "2"})
    backwards = dict(reversed(values.items()))
    hk.pretrained.write(tmp_path / "b", backwards, {"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_of_whole_lines_begin_at_a_line(path):
    values = {**BY_DTYPE, "odd": np.ones(3, np.int8), "w": np.ones([16, 4], "f4")}
    hk.pretrained.write(path, values)
    assert hk.pretrained.read(path)["w"].ctypes.data % 64 == 0


@pytest.mark.parametrize("shift", range(4))
def test_arrays_are_inputs_of_jax(path, shift):
    """Older files begin their data anywhere, so that arrays aren't aligned."""
    x = np.linspace(-1, 1, 300, dtype=np.float32).reshape(3, 100)
    half = x.astype(jnp.bfloat16)
    header = {"x": entry("F32", x.shape, (0, 1200)), "y": entry("BF16", x.shape)}
    header["y"]["data_offsets"] = [1200, 1800]
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 4 + shift)
    have = hk.pretrained.read(written(path, content, x.tobytes() + half.tobytes()))
    assert have["x"].flags.aligned == (shift == 0)
    double = jax.jit(lambda tree: jax.tree.map(lambda x: x * 2, tree))
    out = double(have)
    np.testing.assert_array_equal(out["x"], x * 2)
    np.testing.assert_array_equal(out["y"], half * 2)
    np.testing.assert_array_equal(jnp.asarray(have["y"]), half)


def test_jax_takes_mapped_arrays_and_never_writes_into_them(path):
    hk.pretrained.write(path, {"w": np.ones(1024, np.float32)})
    mapped = hk.pretrained.read(path)["w"]
    x = jax.device_put(mapped, jax.devices("cpu")[0])
    assert x.unsafe_buffer_pointer() == mapped.ctypes.data
    out = jax.jit(lambda x: x.at[0].set(7), donate_argnums=0)(x)
    assert (out[0], mapped[0]) == (7, 1)


def test_compare_reads_the_file(path, tmp_path):
    from haiku._compare.reading import read_values

    hk.pretrained.write(path, {"mlp.w": np.ones(2)})
    assert read_values(str(path)).keys() == {"mlp/w"}


# ---- Memory --------------------------------------------------------------------------


def _anonymous():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")
def test_reading_takes_no_memory(path):
    hk.pretrained.write(path, {f"w{i}": np.ones([2**20], "f8") for i in range(8)})
    before = _anonymous()
    have = hk.pretrained.read(path)
    assert all(x[::512].sum() == 2**11 for x in have.values())
    assert _anonymous() - before < 2**22 < path.stat().st_size / 10


def test_arrays_outlive_a_new_file_in_the_same_place(path):
    hk.pretrained.write(path, {"w": np.ones(1000)})
    old = hk.pretrained.read(path)["w"]
    hk.pretrained.write(path, {"w": old * 2})
    assert old.sum() == 1000
    assert hk.pretrained.read(path)["w"].sum() == 2000


# ---- Files that aren't as they should be ---------------------------------------------

LONG = 10**9
BAD = {
    "cut within the length": (b"1234567", "it has 7 bytes"),
    "nothing": (b"", "it has 0 bytes"),
    "too long": (LONG.to_bytes(8, "little"), "at most 100000000"),
    "cut header": ((100).to_bytes(8, "little") + b"{", "should have 100 bytes, and 1"),
    "no JSON": (b"{a}", "isn't JSON"),
    "a list": (b"[]", "must begin with '{'"),
    "before the object": (b" {}", "must begin with '{'"),
    "after the object": (b"{}{}", "isn't JSON"),
    "UTF-16": ("{}".encode("utf-16"), "must begin with '{'"),
    "not UTF-8": (b'{"\xff": 1}', "isn't JSON in UTF-8"),
    "deep": (b'{"a":' * 100_000, "nested too deeply"),
    "endless number": (b'{"a":' + b"1" * 5000 + b"}", "isn't JSON"),
    "a name twice": (b'{"a": 1, "a": 2}', "has the name 'a' twice"),
    "a key twice": (b'{"a": {"dtype": 1, "dtype": 2}}', "has the name 'dtype' twice"),
    "a name not Unicode": (
        b'{"\\ud800": {}}',
        r"tensor '\ud800': the name isn't valid",
    ),
    "metadata": ({"__metadata__": {"a": 1}}, "must be an object of texts"),
    "no entry": ({"a": 3}, "tensor 'a': wanted an object"),
    "no dtype": ({"a": {"shape": [], "data_offsets": [0, 1]}}, "dtype is missing"),
    "no shape": ({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, "shape is missing"),
    "no offsets": ({"a": {"dtype": "U8", "shape": []}}, "data_offsets is missing"),
    "a dtype": ({"a": entry("F128")}, "dtype 'F128' is unknown. Wanted one of"),
    "a dtype of bits": ({"a": entry("F4")}, "dtype 'F4' is unknown"),
    "no text as dtype": ({"a": entry(["F32"])}, "dtype ['F32'] is unknown"),
    "negative size": ({"a": entry("U8", [-4])}, "integers of 0 or more, and is [-4]"),
    "two negatives": ({"a": entry("U8", [-2, -2])}, "integers of 0 or more"),
    "a float": ({"a": entry("U8", [4.0])}, "integers of 0 or more, and is [4.0]"),
    "a bool": ({"a": entry("U8", [True, 4])}, "integers of 0 or more"),
    "a text": ({"a": {**entry(), "shape": "4"}}, "integers of 0 or more"),
    "many axes": ({"a": entry("U8", [1] * 33, [0, 1])}, "at most 32 integers"),
    "absurd": ({"a": entry("U8", [10**30])}, "takes 1000000000000000000000000000000"),
    "absurd and empty": ({"a": entry("U8", [0, 2**63], [0, 0])}, "is too large"),
    "another size": ({"a": entry("F32")}, "of F32 takes 16 bytes, and data_offsets"),
    "offsets backwards": ({"a": entry("U8", [4], [4, 0])}, "must be two integers of 0"),
    "negative offsets": ({"a": entry("U8", [4], [-4, 0])}, "must be two integers of 0"),
    "three offsets": ({"a": entry("U8", [4], [0, 4, 8])}, "must be two integers of 0"),
    "outside": ({"a": entry("U8", [9], [0, 9])}, "ends at byte 9, and the file has 4"),
    "absurdly far": (
        {"a": entry("U8", [4], [2**70, 2**70 + 4])},
        "ends at byte 1180591620717411303428, and the file has 4",
    ),
    "a hole at first": (
        {"a": entry("U8", [3], [1, 4])},
        "leaves a hole after the header",
    ),
    "a hole": (
        {"a": entry("U8", [1], [0, 1]), "b": entry("U8", [2], [2, 4])},
        "tensor 'b': it leaves a hole after tensor 'a': it begins at byte 2, wanted 1",
    ),
    "overlap": (
        {"a": entry("U8", [3], [0, 3]), "b": entry("U8", [2], [2, 4])},
        "tensor 'b': it overlaps with tensor 'a'",
    ),
    "the same place": ({"a": entry(), "b": entry()}, "tensor 'b': it overlaps with"),
    "left over": ({"a": entry("U8", [3], [0, 3])}, "has 1 bytes that belong to no"),
    "no tensors": ({}, "has 4 bytes that belong to no tensor, after the header"),
    "no bools": (
        {"a": entry("BOOL")},
        "a byte of a BOOL must be 0 or 1, and one is 97",
    ),
}
RAW = ("cut within the length", "nothing", "too long", "cut header")


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_an_error_that_names_it(path, case):
    header, message = BAD[case]
    if case in RAW:
        path.write_bytes(header)
    else:
        written(path, header, b"aaaa")
    with pytest.raises(ValueError) as error:
        hk.pretrained.read(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_long_things_are_shortened_in_errors(path):
    name = "x" * 10**6
    with pytest.raises(ValueError) as error:
        hk.pretrained.read(written(path, {name: entry("U8", [5] * 30)}, b"aaaa"))
    assert len(str(error.value)) < 1000


def test_many_names_twice_end_soon(path):
    names = ",".join(f'"{i}":0' for i in [*range(200_000), 199_999])
    with pytest.raises(ValueError, match="has the name '199999' twice"):
        hk.pretrained.read(written(path, f"{{{names}}}".encode()))


def test_only_files_are_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        hk.pretrained.read(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match="must be a file, and is a folder"):
        hk.pretrained.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        hk.pretrained.read(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FileNotFoundError, match="loop can't be opened"):
        hk.pretrained.read(tmp_path / "loop")


# ---- Values that can't be written ----------------------------------------------------


def _deleted():
    x = jnp.ones(3)
    x.delete()
    return x


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("text", TypeError, "must be an array or a number, and is 'text'"),
        (None, TypeError, "must be an array or a number, and is None"),
        ([1, 2], TypeError, "Convert it with np.asarray"),
        (jax.ShapeDtypeStruct([2], jnp.float32), TypeError, "must be an array"),
        (jax.random.key(0), TypeError, "jax.random.key_data"),
        (np.array(["a"]), TypeError, "dtype <U1, which the format lacks"),
        (np.array([{}]), TypeError, "dtype object, which the format lacks"),
        (2**70, TypeError, "dtype object"),
        (np.complex128(1), TypeError, "complex128, which the format lacks"),
        (jnp.ones(3, jnp.int4), TypeError, "int4, which the format lacks"),
        (_deleted(), ValueError, "can't be read: Array has been deleted"),
    ],
)
def test_what_the_format_lacks_is_an_error(path, value, error, message):
    hk.pretrained.write(path, {"w": np.ones(2)})
    with pytest.raises(error, match="tensor 'layer.b'") as found:
        hk.pretrained.write(path, {"a": np.ones(3), "layer.b": value})
    assert message in str(found.value)
    assert os.listdir(path.parent) == [path.name]
    assert hk.pretrained.read(path)["w"].shape == (2,)


def test_a_traced_value_is_an_error(path):
    with pytest.raises(TypeError, match="tensor 'w' is traced"):
        jax.jit(lambda x: hk.pretrained.write(path, {"w": x}))(1.0)


def test_a_file_needs_a_place(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder .*nothing for a"):
        hk.pretrained.write(tmp_path / "nothing" / "a", {})
    with pytest.raises(IsADirectoryError, match="is a folder, not a file"):
        hk.pretrained.write(tmp_path, {})


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ([np.ones(2)], None, TypeError, "takes {name: array}, and got list"),
        ({3: np.ones(2)}, None, TypeError, "must be texts, and one is 3"),
        ({"__metadata__": np.ones(2)}, None, ValueError, "which the format needs"),
        ({"\ud800": np.ones(2)}, None, ValueError, "isn't valid Unicode"),
        ({}, "pt", TypeError, "metadata must be a dict of texts"),
        ({}, {"step": 3}, TypeError, "metadata must be texts: 'step' is 3"),
        ({}, {"step": "\ud800"}, ValueError, "isn't valid Unicode"),
    ],
)
def test_names_and_metadata_are_texts(path, tensors, metadata, error, message):
    with pytest.raises(error, match=message):
        hk.pretrained.write(path, tensors, metadata)
    assert not path.exists()
