"""Folders of diffusers: classes under `_class_name`, weights under another stem."""

import json
import pathlib

import numpy as np
import pytest

import haiku as hk

FOLDER = pathlib.Path(__file__).parents[2] / "golden/nets/DiTTransformer2DModel-plain"
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))


def load(**changes):
    config = {k: x for k, x in (CONFIG | changes).items() if x is not ...}
    arrays = hk.pretrained.read(FOLDER / "diffusion_pytorch_model.safetensors")
    return hk.pretrained.from_state_dict(config, arrays)


def test_a_class_that_is_not_known():
    for name in ("VQModel", 3, ["UNet2DModel"]):
        with pytest.raises(ValueError, match="config: _class_name must be one of"):
            hk.pretrained.from_state_dict({"_class_name": name}, {})


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("_class_name is missing", {"_class_name": ...}),
        ("activation_fn must be one of gelu, gelu-appro", {"activation_fn": "mish"}),
        ("norm_type must be one of ada_norm_zero", {"norm_type": "ada_norm"}),
        ("norm_eps must be a finite number", {"norm_eps": "small"}),
        ("norm_eps of .* at least 0, got -1.0", {"norm_eps": -1}),
        ("dropout of .* in \\[0, 1\\), got 1.5", {"dropout": 1.5}),
        ("attention_bias must be true or false", {"attention_bias": 1}),
        ("upcast_attention must be true or false", {"upcast_attention": "no"}),
        ("norm_num_groups is 1000000000, and the", {"norm_num_groups": 10**9}),
        ("sample_size is 1000000000, and the", {"sample_size": 10**9}),
        ("sample_size is 1, below patch_size, 2", {"sample_size": 1}),
        ("in_channels is 1000000000000, and the", {"in_channels": 10**12}),
        ("out_channels must be an integer", {"out_channels": 1.5}),
        ("num_embeds_ada_norm is 1000000000,", {"num_embeds_ada_norm": 10**9}),
        ("num_layers is 1000000000, and the files hold 2", {"num_layers": 10**9}),
        ("multiple of 4, and is 2 \\* 7", {"attention_head_dim": 7}),
        ("embedding_table.* its shape is", {"num_embeds_ada_norm": 4}),
        ("norm3.weight' .*missing", {"norm_elementwise_affine": True}),
        ("attn1.to_..bias'.*left over", {"attention_bias": False}),
        ("ff.net.0.proj.*its shape is", {"activation_fn": "geglu"}),
    ],
)
def test_a_config_that_cannot_be(message, changes):
    with pytest.raises(ValueError, match=f"(?s)(config|arrays).*{message}"):
        load(**changes)


def test_unused_keys_and_the_version_are_kept(tmp_path):
    model = load(_diffusers_version="0.20.0", mine=[1], norm_num_groups=8)
    hk.pretrained.save(tmp_path, model)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    changes = {"_diffusers_version": "0.20.0", "mine": [1], "norm_num_groups": 8}
    assert written == CONFIG | changes


def test_weights_of_another_library_are_replaced(tmp_path):
    stale = tmp_path / "model.safetensors"
    hk.pretrained.write(stale, {"w": np.zeros(2)})
    hk.pretrained.save(tmp_path, load())
    assert not stale.exists()
    assert hk.pretrained.load(tmp_path).model.net == load().net


def test_a_pipeline_says_which_model_to_load(tmp_path):
    index = {
        "_class_name": "DiTPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    hk.pretrained.save(tmp_path / "transformer", load())
    with pytest.raises(FileNotFoundError, match="a pipeline of diffusers") as error:
        hk.pretrained.load(tmp_path)
    way = f"load({str(tmp_path / 'transformer')!r}), its DiTTransformer2DModel"
    assert way in str(error.value)
    hk.pretrained.load(tmp_path / "transformer")


def test_a_pipeline_without_known_models(tmp_path):
    index = {"_class_name": "Pipeline", "vae": ["diffusers", "VQModel"], "x": [1, {}]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match="None of them is known here"):
        hk.pretrained.load(tmp_path)
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(ValueError, match="model_index.json must be a JSON object"):
        hk.pretrained.load(tmp_path)
