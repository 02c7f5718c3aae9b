"""Folders of T5 and Whisper: what they refuse, and which weights their heads have."""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk

GOLDEN = pathlib.Path(__file__).parents[2] / "golden/nets"
TEXT = jnp.asarray([[3, 1, 4, 1, 5]], jnp.int32)


@pytest.fixture
def copied(tmp_path):
    """Copies a case's folder, to be spoiled."""

    def copy(name):
        shutil.copytree(GOLDEN / name, tmp_path / name)
        return tmp_path / name

    return copy


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not ...}
    path.write_text(json.dumps(kept))


CONFIGS = {
    "feed_forward_proj must be one of silu": {"feed_forward_proj": "gated-sinh"},
    "is_gated_act must be true or false": {"is_gated_act": "yes"},
    "num_decoder_layers is 1000000000, and the files hold 3": {
        "num_decoder_layers": 10**9
    },
    "tensors? 'decoder.block.2.* left over": {"num_decoder_layers": ...},
    "d_model is 1000000000, and the files hold only": {"d_model": 10**9},
    "relative_attention_num_buckets is 1000000000": {
        "relative_attention_num_buckets": 10**9
    },
    "relative_distance more than half of that": {"relative_attention_max_distance": 1},
    "its shape is": {"d_kv": 6},
    "is_decoder is True": {"is_decoder": True},
    "T5EncoderModel', 'T5ForConditionalGeneration', 'T5Model'": {
        "architectures": ["T5ForQuestionAnswering"]
    },
    "decoder_start_token_id must be an integer": {"decoder_start_token_id": -1},
    "left over": {"architectures": ["T5EncoderModel"]},
    "missing": {"is_gated_act": True},
}


@pytest.mark.parametrize("message", CONFIGS)
def test_a_config_of_t5_that_cannot_be(message, copied):
    folder = copied("t5-plain")
    change_config(folder, **CONFIGS[message])
    with pytest.raises(ValueError, match=message) as error:
        hk.pretrained.load(folder)
    assert str(folder) in str(error.value)


OF_WHISPER = {
    "encoder_layers is 3, and the files hold 2": {"encoder_layers": 3},
    "max_source_positions is 1000000000": {"max_source_positions": 10**9},
    "num_mel_bins must be an integer of at least 1": {"num_mel_bins": 0},
    "isn't a multiple of num_decoder_heads 3": {"decoder_attention_heads": 3},
    "isn't a multiple of num_heads 3": {"encoder_attention_heads": 3},
    "its shape is": {"num_mel_bins": 7},
    "'proj_out.weight' is missing": {"tie_word_embeddings": False},
}


@pytest.mark.parametrize("message", OF_WHISPER)
def test_a_config_of_whisper_that_cannot_be(message, copied):
    folder = copied("whisper-plain")
    change_config(folder, **OF_WHISPER[message])
    with pytest.raises(ValueError, match=message) as error:
        hk.pretrained.load(folder)
    assert str(folder) in str(error.value)


def config_of(name):
    model, _ = hk.pretrained.load(GOLDEN / name)
    return model.net.arguments["config"]


def test_the_files_say_whether_the_head_is_tied(copied):
    assert config_of("t5-plain").tied and config_of("t5-plain").head_scale == 0.25
    assert config_of("t5-hub").tied  # the head repeats the embeddings
    assert not config_of("t5-untied").tied
    assert config_of("t5-untied").head_scale is None
    folder = copied("t5-hub")
    path = folder / "model.safetensors"
    arrays = {name: np.array(x) for name, x in hk.pretrained.read(path).items()}
    arrays["lm_head.weight"] *= 2
    hk.pretrained.write(path, arrays, {"format": "pt"})
    other, _ = hk.pretrained.load(folder)
    assert not other.net.arguments["config"].tied
    model, _ = hk.pretrained.load(GOLDEN / "t5-hub")
    np.testing.assert_allclose(
        other(TEXT, TEXT), 2 * model(TEXT, TEXT), rtol=1e-5, atol=1e-5
    )


def test_configs_made_by_hand_are_saved(tmp_path):
    sizes = {"vocab_size": 32, "model_size": 8, "num_layers": 1, "num_heads": 2}
    whisper = hk.nets.WhisperConfig(**sizes, num_mels=3, num_positions=4, max_length=6)
    features = jnp.ones([1, 8, 3])
    t5 = hk.nets.EncoderDecoderConfig
    encoder = hk.nets.EncoderConfig(
        **sizes,
        **{"position": "relative", "norm": "rms", "norm_position": "pre"},
        **{"norm_eps": 1e-6, "embedding_norm": False, "attention_bias": False},
        **{"output_bias": False, "mlp_bias": False, "scale": 1.0},
    )
    gated = {"gated": True, "num_decoder_layers": 2, "tied": False, "start_token": 4}
    nets = {
        "t5": (hk.nets.EncoderDecoder, t5(**sizes), (TEXT, TEXT)),
        "1.1": (hk.nets.EncoderDecoder, t5(**sizes, **gated), (TEXT, TEXT)),
        "encoder": (hk.nets.Encoder, encoder, (TEXT,)),
        "whisper": (hk.nets.Whisper, whisper, (features, TEXT)),
    }
    for name, (net, config, inputs) in nets.items():
        model = drawn_model(net, config, *inputs)
        hk.pretrained.save(tmp_path / name, model)
        again, _ = hk.pretrained.load(tmp_path / name)
        assert again.net == model.net
        jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    written = json.loads((tmp_path / "encoder/config.json").read_text())
    assert written["model_type"] == "t5"
    assert written["architectures"] == ["T5EncoderModel"]


def test_what_t5_has_not_is_not_saved(tmp_path):
    config = hk.nets.EncoderDecoderConfig(32, 8, 1, 2, norm="layer")
    model = hk.bind(hk.nets.EncoderDecoder, config).init(0, TEXT, TEXT)
    with pytest.raises(ValueError, match="No family has this config"):
        hk.pretrained.save(tmp_path / "out", model)
