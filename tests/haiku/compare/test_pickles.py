"""Loading pickles without running their code."""

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


@pytest.mark.parametrize("protocol", ["protocol 2", "protocol 4"])
@pytest.mark.parametrize("what", PICKLES)
def test_old_pickles_load_as_if_trusted(what, protocol):
    data = base64.b64decode(PICKLES[what][protocol])
    old, trusted = by_path(load_pickle(data)), by_path(pickle.loads(data))
    assert list(old) == list(trusted) and len(old) >= 2
    for path, value in old.items():
        np.testing.assert_array_equal(value, trusted[path])


def test_arrays_of_an_older_jax_load():
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
def test_arrays_and_containers_load(protocol):
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
    """An object whose pickle calls a function."""

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
def test_names_of_other_functions_are_refused(place):
    text = "".join(f"\x8c{chr(len(name))}{name}" for name in place)
    data = b"\x80\x04" + text.encode("latin1") + b"\x93."
    assert [op.name for op, _, _ in pickletools.genops(data)][-2:-1] == ["STACK_GLOBAL"]
    with pytest.raises(Refused, match=place[0]):
        load_pickle(data)
