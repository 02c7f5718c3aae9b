"""Checkpoints of one set of parameters in several forms."""

import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import haiku as hk
from haiku._compare.reading import by_path

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
    """Writes files with the same parameters, and a model that has them."""
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
