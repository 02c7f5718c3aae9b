"""Keys of ConvNeXt's configs: each is understood, or refused with a reason."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import haiku as hk
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.convnext import CONVNEXTS

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "nets"
IMAGES = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)


def load(kind, extra=(), **changes):
    folder = FOLDER / f"{kind}-plain"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    arrays = dict(hk.pretrained.read(folder / "model.safetensors"))
    return hk.pretrained.from_state_dict(config | changes, arrays | dict(extra))


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("depths is \\[1, 2, 1000000000\\], and the files", {"depths": [1, 2, 10**9]}),
        (
            "depths is \\[1, 1, 1\\], and the files hold \\[1, 2, 1\\]",
            {"depths": [1] * 3},
        ),
        ("depths is \\[1, 2, 1, 1\\], and the files", {"depths": [1, 2, 1, 1]}),
        ("depths must be a list of integers", {"depths": 4}),
        ("depths must be a list of integers", {"depths": "121"}),
        ("depths must be a list of integers", {"depths": [1, -2, 1]}),
        ("depths must be a list of integers", {"depths": [1, True, 1]}),
        ("depths must be a list of integers", {"depths": [1, 2.0, 1]}),
        ("depths must have one entry for each of the num_stages 3", {"depths": [1, 2]}),
        ("hidden_sizes must have one entry", {"hidden_sizes": [6, 8, 10, 12]}),
        ("hidden_sizes must be a list of integers", {"hidden_sizes": {"0": 6}}),
        ("hidden_sizes must be a list of integers", {"hidden_sizes": [6, 8, 10.0]}),
        ("hidden_sizes is \\[6, 8, 1000000000\\]", {"hidden_sizes": [6, 8, 10**9]}),
        ("num_stages is 1000000000, and the files", {"num_stages": 10**9}),
        ("num_stages must be an integer", {"num_stages": 0}),
        ("num_channels is 1000000000, and the files", {"num_channels": 10**9}),
        ("patch_size is 1000000000, and the files", {"patch_size": 10**9}),
        ("patch_size must be an integer .* or a list of two", {"patch_size": [2] * 3}),
        ("patch_embeddings.weight.*its shape is", {"patch_size": [2, 1]}),
        ("image_size must be an integer .* or a list of two", {"image_size": "large"}),
        ("hidden_act must be one of silu", {"hidden_act": "sinh"}),
        ("layer_norm_eps must be a number of at least 0", {"layer_norm_eps": -1}),
        ("layer_norm_eps must be a finite number", {"layer_norm_eps": 10**400}),
        ("drop_path_rate must be a number in \\[0, 1\\)", {"drop_path_rate": 1}),
        ("drop_path_rate must be a finite number", {"drop_path_rate": [0.1]}),
        ("layer_scale_init_value must be a finite", {"layer_scale_init_value": "1e-6"}),
        ("layer_scale_parameter.* left over", {"layer_scale_init_value": 0.0}),
        ("tensor .*grn.weight.* missing", {"model_type": "convnextv2"}),
    ],
)
def test_keys_that_are_refused(message, changes):
    changes = {"architectures": None} | changes
    with pytest.raises(ValueError, match=message):
        load("convnext", **changes)


def test_a_tensor_of_a_layer_far_off_is_left_over():
    name = "encoder.stages.1.layers.999999998.dwconv.bias"
    depths = [1, 10**9 - 1, 1]
    for changes in {}, {"depths": depths}:
        with pytest.raises(ValueError, match="depths is .* and the files hold"):
            load("convnext", {name: np.ones(8, np.float32)}, **changes)
    with pytest.raises(ValueError, match="stages.9.layers.0.dwconv.bias' is left over"):
        load("convnext", {"encoder.stages.9.layers.0.dwconv.bias": np.ones(8)})


def test_keys_that_change_nothing():
    wanted = load("convnextv2")
    model = load("convnextv2", image_size=[3, 5], layer_scale_init_value=1.0)
    assert model.net == wanted.net
    np.testing.assert_array_equal(model(IMAGES), wanted(IMAGES))


def test_the_rate_of_stochastic_depth_is_read():
    model = load("convnext", drop_path_rate=0.25)
    assert model.net.arguments["config"].stochastic_depth == 0.25
    np.testing.assert_array_equal(model(IMAGES), load("convnext")(IMAGES))


def test_keys_of_backbones_stay_if_the_stages_do(tmp_path):
    model, _ = hk.pretrained.load(FOLDER / "convnext-plain")
    hk.pretrained.save(tmp_path / "copy", model)
    written = json.loads((tmp_path / "copy/config.json").read_text())
    assert written["out_features"] == ["stage3"]
    config = dataclasses.replace(
        model.net.arguments["config"], model_sizes=(6, 8), num_layers=(1, 2)
    )
    params = {k: x for k, x in model.params.items() if "stage_2" not in k}
    params["convnext/norm"] = {name: np.ones(8) for name in ("scale", "offset")}
    other = hk.bind(hk.nets.ConvNeXt, config).to(params)
    hk.pretrained.save(tmp_path / "other", other)
    written = json.loads((tmp_path / "other/config.json").read_text())
    assert not {"stage_names", "out_features", "out_indices"} & {*written}
    assert written["initializer_range"] == 0.02


@pytest.mark.parametrize("kind", CONVNEXTS)
def test_left_out_keys_have_transformers_values(kind):
    config = hk.nets.ConvNeXtConfig(**CONVNEXTS[kind].read(Keys({}, "config")))
    assert config.model_sizes == (96, 192, 384, 768)
    assert config.num_layers == (3, 3, 9, 3)
    assert (config.patch_size, config.channels) == ((4, 4), 3)
    assert config.layer_scale == (1e-6 if kind == "convnext" else None)
    assert config.response_norm == (kind == "convnextv2")
    assert (config.activation, config.pooled_norm_eps) == ("gelu", 1e-12)
