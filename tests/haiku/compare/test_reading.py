"""Reading checkpoints and models."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from haiku.__main__ import main
from haiku._compare.reading import read_values


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
