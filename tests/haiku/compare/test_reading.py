"""Reading checkpoints and models."""

import json
import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import haiku as hk
from haiku.__main__ import main
from haiku._compare.reading import by_path, read_values

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


def test_a_folder_of_orbax_is_read(written, params):
    import orbax.checkpoint

    with orbax.checkpoint.StandardCheckpointer() as checkpoints:
        checkpoints.save(written / "folder", params)
    assert main(["compare", "folder", "a.npz"]) == 0


def test_safetensors_keep_names_and_dtypes(written):
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
def test_unreadable_sources_exit_with_a_reason(written, capsys, named, why):
    assert main(["compare", named, "a.npz"]) == 2
    assert why in capsys.readouterr().err


def test_bfloat16_keeps_its_dtype_in_npz(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a/w": jnp.ones(3, jnp.bfloat16)})
    assert read_values(str(tmp_path / "a.npz"))["a/w"].dtype == jnp.bfloat16
