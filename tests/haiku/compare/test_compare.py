"""`python -m haiku compare`: what it reads, what it says, with which exit status."""

import base64
import json
import pathlib
import pickle
import pickletools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import haiku as hk
from haiku.__main__ import main
from haiku._compare.pickles import Refused, load_pickle
from haiku._compare.reading import Unreadable, by_path, read_values

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"
PICKLES = json.loads((GOLDEN / "pickles.json").read_text())
MODEL = """
import haiku as hk, jax, jax.numpy as jnp
net = hk.transform(lambda x: hk.nets.MLP([3, 2])(x))
def params(): return net.init(jax.random.key(0), jnp.ones([1, 4]))
wide = hk.transform(lambda x: hk.nets.MLP([5, 2])(x))
def wider(): return wide.init(jax.random.key(0), jnp.ones([1, 4]))
"""


@pytest.fixture
def params():
    net = hk.transform(lambda x: hk.nets.MLP([3, 2])(x))
    return net.init(jax.random.key(0), jnp.ones([1, 4]))


@pytest.fixture
def written(tmp_path, params, monkeypatch):
    """Files that hold the same parameters, and a model that has them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    values = {path: np.asarray(x) for path, x in by_path(params).items()}
    np.savez("a.npz", **values)
    np.savez("colons.npz", **{":".join(p.rsplit("/", 1)): x for p, x in values.items()})
    pathlib.Path("jax.pkl").write_bytes(pickle.dumps(params))
    immutable = hk.data_structures.to_immutable_dict(params)
    pathlib.Path("immutable.pkl").write_bytes(pickle.dumps(immutable, protocol=2))
    state = {"params": params, "opt": optax.adam(1e-3).init(params), "step": 3}
    pathlib.Path("state.pkl").write_bytes(pickle.dumps(state))
    pathlib.Path("its_model.py").write_text(MODEL)
    return tmp_path


SAME = ["a.npz", "colons.npz", "jax.pkl", "immutable.pkl", "state.pkl#params"]


@pytest.mark.parametrize("other", [*SAME, "its_model:params"])
def test_the_same_in_any_form(written, capsys, other):
    assert main(["compare", "a.npz", other]) == 0
    told = capsys.readouterr().out
    assert f"second: {other}, 4 values, 23 numbers" in told
    assert "No difference in 4 values." in told
    assert ("A model has no numbers" in told) == (":" in other)


def test_orbax(written, params):
    import orbax.checkpoint

    with orbax.checkpoint.StandardCheckpointer() as checkpoints:
        checkpoints.save(written / "folder", params)
    assert main(["compare", "folder", "a.npz"]) == 0


def test_safetensors(written):
    arrays = {"mlp.w": np.asarray([[1, 2]], jnp.bfloat16), "mlp.b": np.arange(3)}
    about, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in arrays.items():
        offsets = [len(data), len(data) + x.nbytes]
        dtype = {"bfloat16": "BF16", "int64": "I64"}[x.dtype.name]
        about[name] = {"dtype": dtype, "shape": x.shape, "data_offsets": offsets}
        data += x.tobytes()
    header = json.dumps(about).encode()
    content = len(header).to_bytes(8, "little") + header + data
    pathlib.Path("a.safetensors").write_bytes(content)
    have = read_values("a.safetensors")
    assert {path: x.dtype for path, x in have.items()} == {
        "mlp/w": jnp.bfloat16,
        "mlp/b": np.int64,
    }
    np.testing.assert_array_equal(have["mlp/w"], arrays["mlp.w"])
    np.testing.assert_array_equal(have["mlp/b"], arrays["mlp.b"])


def test_what_differs(written, params, capsys):
    other = hk.data_structures.to_mutable_dict(params)
    other["head"] = other.pop("mlp/~/linear_1")
    other["mlp/~/linear_0"]["b"] = jnp.ones([3]).at[1].set(5.0)
    other["mlp/~/linear_0"]["w"] = jnp.ones([4, 5], jnp.bfloat16)
    other["new"] = {"scale": jnp.ones([7])}
    np.savez("b.npz", **by_path(other))
    assert main(["compare", "a.npz", "b.npz"]) == 1
    told = capsys.readouterr().out
    for line in (
        "first:  a.npz, 4 values, 23 numbers",
        "second: b.npz, 5 values, 38 numbers",
        "1 with another shape; 1 with another dtype; 1 with other numbers.",
        "The largest difference is 5, at mlp/~/linear_0/b.",
        "  w: f32[4,3] -> bf16[4,5]",
        "  w: likely renamed: head/w",
        "  scale: only in the second",
    ):
        assert line in told, line


def test_tolerance(written, params):
    np.savez("b.npz", **jax.tree.map(lambda x: x + 1e-4, by_path(params)))
    assert main(["compare", "a.npz", "b.npz"]) == 1
    assert main(["compare", "a.npz", "b.npz", "--atol", "1e-3"]) == 0


def test_the_same_below_a_path(written, capsys):
    assert main(["compare", "state.pkl", "a.npz"]) == 1
    told = capsys.readouterr().out
    assert "The first holds all paths of the second below 'params'" in told
    assert "append #params to the first" in told


def test_a_model_of_other_shapes(written, capsys):
    assert main(["compare", "a.npz", "its_model:wider"]) == 1
    told = capsys.readouterr().out
    assert "A model has no numbers" in told
    assert "3 with another shape." in told and "  w: f32[4,3] -> f32[4,5]" in told


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("nothing.npz", "neither an existing file"),
        ("its_model:nothing", "AttributeError"),
        ("its_model:net", "it isn't a tree of arrays"),
        ("no_such_module:params", "ModuleNotFoundError"),
        ("its_model.py", "can't be read: UnpicklingError"),
        ("state.pkl#weights", "Its top level is opt, params, step."),
    ],
)
def test_what_can_not_be_read(written, capsys, named, why):
    assert main(["compare", named, "a.npz"]) == 2
    assert why in capsys.readouterr().err


def test_a_brain_float_keeps_its_dtype_in_npz(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a/w": jnp.ones(3, jnp.bfloat16)})
    assert read_values(str(tmp_path / "a.npz"))["a/w"].dtype == jnp.bfloat16


# ---- Pickles ------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["protocol 2", "protocol 4"])
@pytest.mark.parametrize("what", PICKLES)
def test_old_pickles(what, protocol):
    data = base64.b64decode(PICKLES[what][protocol])
    old, trusted = by_path(load_pickle(data)), by_path(pickle.loads(data))
    assert list(old) == list(trusted) and len(old) >= 2
    for path, value in old.items():
        np.testing.assert_array_equal(value, trusted[path])


def test_an_array_of_an_older_jax():
    data = pickle.dumps({"a": {"w": jnp.arange(3)}}, protocol=0)
    older = data.replace(
        b"cjax._src.array\n_reconstruct_array",
        b"cjax._src.device_array\nreconstruct_device_array",
    )
    assert older != data
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(older)
    assert load_pickle(older)["a"]["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_arrays_and_containers(protocol):
    tree = {
        "jax": jnp.ones([2, 3], jnp.bfloat16),
        "numpy": [np.ones(2, np.float16), np.float32(3), np.array(["text"])],
        "scalars": (1, 2.0, 1 + 2j, True, None, {1}, b"x", bytearray(b"y")),
        "shape": jax.ShapeDtypeStruct([2], jnp.int8),
        "state": optax.adam(1e-3).init({"w": jnp.ones(2)}),
        "core": hk.LSTMState(np.ones(1), np.ones(2)),
    }
    have = load_pickle(pickle.dumps(tree, protocol))
    assert jax.tree.structure(have) == jax.tree.structure(tree)
    assert have["jax"].dtype == jnp.bfloat16 and have["jax"].shape == (2, 3)


class Program:
    """What a pickle of runs a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_nothing_unless_trusted(tmp_path, capsys, protocol):
    ran = tmp_path / "ran"
    harmful = {"a": {"w": Program(pathlib.Path.mkdir, ran)}}
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(harmful, protocol))
    assert main(["compare", str(file), str(file)]) == 2
    assert "is neither an array nor a container" in capsys.readouterr().err
    assert not ran.exists()
    with pytest.raises(Unreadable, match="--trust"):
        read_values(str(file))
    read_values(str(file), trust=True)
    assert ran.exists()


@pytest.mark.parametrize(
    "place",
    [
        ("builtins", "eval"),
        ("numpy", "load"),
        ("numpy", "os.system"),
        ("numpy.testing._private.utils", "runstring"),
        ("haiku._src.data_structures", "FlatMap.__init__.__globals__"),
        ("optax", "adam"),
        ("optax._src.base", "jax"),
        ("rlax.nothing", "State"),
        ("haiku", "transform"),
    ],
)
def test_names_that_are_refused(place):
    text = "".join(f"\x8c{chr(len(name))}{name}" for name in place)
    data = b"\x80\x04" + text.encode("latin1") + b"\x93."
    assert [op.name for op, _, _ in pickletools.genops(data)][-2:-1] == ["STACK_GLOBAL"]
    with pytest.raises(Refused, match=place[0]):
        load_pickle(data)
