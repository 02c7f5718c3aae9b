"""Keys of Mamba's configs: each is understood, or refused with a reason."""

import json
import math
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.mambas import MAMBAS

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "nets"
TOKENS = np.arange(6).reshape(2, 3)


def load(kind, **changes):
    folder = FOLDER / f"{kind}-plain"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    arrays = hk.pretrained.read(folder / "model.safetensors")
    return hk.pretrained.from_state_dict(config | changes, arrays)


@pytest.mark.parametrize(
    ("message", "kind", "changes"),
    [
        ("hidden_act must be one of silu", "mamba", {"hidden_act": "gelu"}),
        (
            "intermediate_size is 48. It must be .* 32",
            "mamba",
            {"intermediate_size": 48},
        ),
        ("conv_kernel must be at most 256, and is 300", "mamba", {"conv_kernel": 300}),
        ("conv_kernel is 1000000000, and the files", "mamba", {"conv_kernel": 10**9}),
        ("expand is 1000000000, and the files", "mamba", {"expand": 10**9}),
        ("n_groups is 1000000000, and the files", "mamba2", {"n_groups": 10**9}),
        ("time_step_rank must be an integer", "mamba", {"time_step_rank": "most"}),
        ("use_bias must be true or false", "mamba2", {"use_bias": 1}),
        ("tensor .*in_proj.bias', .* missing", "mamba", {"use_bias": True}),
        ("tensor .*conv1d.bias' .* left over", "mamba2", {"use_conv_bias": False}),
        ("num_heads \\* head_dim must be .* is 4 \\* 4", "mamba2", {"head_dim": 4}),
        ("num_groups 3 .* must divide the 4", "mamba2", {"n_groups": 3}),
        (
            "time_step_limit must be a list of 2",
            "mamba2",
            {"time_step_limit": [0, 1, 2]},
        ),
        ("time_step_limit must be a list", "mamba2", {"time_step_limit": [math.inf]}),
        ("time_step_limit .* smaller one first", "mamba2", {"time_step_limit": [2, 1]}),
        ("time_step_min .* at most time_step_max", "mamba2", {"time_step_min": 2.0}),
        ("num_hidden_layers is 3", "mamba2", {"num_hidden_layers": 3}),
    ],
)
def test_keys_that_are_refused(message, kind, changes):
    with pytest.raises(ValueError, match=message):
        load(kind, **changes)


def test_keys_that_change_nothing():
    wanted = load("mamba2")
    model = load("mamba2", chunk_size=3, time_step_rank=5, norm_before_gate=True)
    np.testing.assert_allclose(model(TOKENS), wanted(TOKENS), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "limit", [(0.0, math.inf), (0.25, math.inf), (0.0, 0.5), (0.25, 0.5)]
)
def test_bounds_of_time_steps(limit):
    infinity = {"__float__": "Infinity"}
    tagged = [infinity if x == math.inf else x for x in limit]
    for written in list(limit), tagged:
        read = MAMBAS["mamba2"].read(
            Keys({"time_step_limit": written, "hidden_size": 4096}, "config")
        )
        assert read["time_step_limit"] == limit
    config = hk.nets.MambaConfig(
        vocab_size=8,
        model_size=4,
        num_layers=1,
        version=2,
        head_size=4,
        time_step_limit=limit,
    )
    text = json.dumps(MAMBAS["mamba2"].write(config), allow_nan=False)
    assert MAMBAS["mamba2"].read(Keys(json.loads(text), ""))["time_step_limit"] == limit


def test_defaults_are_those_of_transformers():
    one = hk.nets.MambaConfig(**MAMBAS["mamba"].read(Keys({}, "config")))
    assert one == hk.nets.MambaConfig(50280, 768, 32)
    two = hk.nets.MambaConfig(**MAMBAS["mamba2"].read(Keys({}, "config")))
    assert two == hk.nets.MambaConfig(
        32768, 4096, 64, version=2, num_groups=8, tied=False
    )


def test_a_bare_model_has_no_prefix():
    model = load("mamba", architectures=["MambaModel"])
    names = hk.pretrained.to_state_dict(model)
    assert "layers.1.mixer.A_log" in names and "lm_head.weight" not in names
    output = model(TOKENS)
    assert output.shape == (2, 3, 16)
    np.testing.assert_array_equal(output, load("mamba").hidden(TOKENS))
    assert output.dtype == jnp.float32
