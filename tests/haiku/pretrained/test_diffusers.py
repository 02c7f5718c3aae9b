"""Folders of diffusers: classes under `_class_name`, weights under another stem."""

import json

import pytest

import haiku as hk


def test_a_class_that_is_not_known():
    for name in ("VQModel", 3, ["UNet2DModel"]):
        with pytest.raises(ValueError, match="config: _class_name must be one of"):
            hk.pretrained.from_state_dict({"_class_name": name}, {})


def test_a_pipeline_without_known_models(tmp_path):
    index = {"_class_name": "Pipeline", "vae": ["diffusers", "VQModel"], "x": [1, {}]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match="None of them is known here"):
        hk.pretrained.load(tmp_path)
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(ValueError, match="model_index.json must be a JSON object"):
        hk.pretrained.load(tmp_path)
