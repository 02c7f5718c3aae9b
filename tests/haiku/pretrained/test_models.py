"""`hk.pretrained.load` and `save`: what they refuse, and their options.

The numbers of each family are in `test_model_folders.py`.
"""

import dataclasses
import json
import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model

import haiku as hk

GOLDEN = pathlib.Path(__file__).parents[2] / "golden/nets"
LLAMA = GOLDEN / "llama-plain"
TOKENS = jnp.asarray([[3, 1, 4, 1, 5]], jnp.int32)


@pytest.fixture
def folder(tmp_path):
    """A copy of a folder, to be spoiled."""
    for name in "config.json", "model.safetensors":
        (tmp_path / name).write_bytes((LLAMA / name).read_bytes())
    return tmp_path


def change_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    gone = [key for key, value in config.items() if value is ...]
    path.write_text(json.dumps({k: x for k, x in config.items() if k not in gone}))


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    arrays = {k: np.array(x) for k, x in hk.pretrained.read(path).items()}
    change(arrays)
    hk.pretrained.write(path, arrays, {"format": "pt"})


CONFIGS = {
    "model_type must be one of llama": {"model_type": "bogus"},
    "model_type is missing": {"model_type": ...},
    "num_hidden_layers is 1000000000, and the files hold": {"num_hidden_layers": 10**9},
    "num_hidden_layers must be an integer of at least 1, and is -1": {
        "num_hidden_layers": -1
    },
    "vocab_size is 1000000000000, and the files hold only": {"vocab_size": 10**12},
    "vocab_size must be an integer": {"vocab_size": 3.5},
    "hidden_size must be an integer": {"hidden_size": True},
    "num_key_value_heads 3 must divide": {"num_key_value_heads": 3},
    "hidden_act must be one of silu": {"hidden_act": "sinh"},
    "rms_norm_eps must be a finite number": {"rms_norm_eps": "small"},
    "tie_word_embeddings must be true or false": {"tie_word_embeddings": "no"},
    "architectures must be one of": {"architectures": ["LlamaForVision"]},
    "rope_type must be one of default": {"rope_parameters": {"rope_type": "bogus"}},
    "rope_parameters must be an object": {"rope_parameters": 3},
    "factor is missing": {"rope_parameters": {"rope_type": "linear"}},
    "factor of hk.rotary.Linear must be at least 1": {
        "rope_parameters": {"rope_type": "linear", "factor": 0.5}
    },
    "no rotary embedding has base": {"rope_parameters": {"rope_theta": 0.0}},
    "quantization_config is there": {"quantization_config": {"bits": 4}},
    "its shape is": {"intermediate_size": 7},
    "left over": {"architectures": ["LlamaModel"]},
    "missing": {"attention_bias": True},
}


@pytest.mark.parametrize("message", CONFIGS)
def test_a_config_that_cannot_be(message, folder):
    change_config(folder, **CONFIGS[message])
    with pytest.raises(ValueError, match=message) as error:
        hk.pretrained.load(folder)
    assert str(folder) in str(error.value)


def test_windows_need_their_lists(folder):
    change_config(
        folder, model_type="qwen2", architectures=None, layer_types=["full_attention"]
    )
    change_config(folder, use_sliding_window=True, sliding_window=4)
    with pytest.raises(ValueError, match="layer_types must be a list of"):
        hk.pretrained.load(folder)


TENSORS = {
    "tensor 'model.norm.weight' is missing": lambda x: x.pop("model.norm.weight"),
    "tensor 'extra' is left over": lambda x: x.update(extra=np.zeros(2, np.float32)),
    "tensors? .* missing": lambda x: [x.pop(k) for k in list(x) if "layers.0" in k],
    "its shape is": lambda x: x.update({"model.norm.weight": np.zeros(3, np.float32)}),
    "must be floats, and is int32": lambda x: x.update(
        {"model.norm.weight": np.zeros(x["model.norm.weight"].shape, np.int32)}
    ),
    "differs from that of other layers": lambda x: x.update(
        {
            k: v.astype(np.float16)
            for k, v in x.items()
            if k == "model.layers.1.self_attn.q_proj.weight"
        }
    ),
}


@pytest.mark.parametrize("message", TENSORS)
def test_tensors_that_do_not_fit(message, folder):
    change_tensors(folder, TENSORS[message])
    with pytest.raises(ValueError, match=message) as error:
        hk.pretrained.load(folder)
    assert str(folder) in str(error.value)


def test_buffers_are_skipped(folder):
    model, _ = hk.pretrained.load(folder)
    change_tensors(
        folder,
        lambda x: x.update(
            {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(3, np.float32)}
        ),
    )
    again, _ = hk.pretrained.load(folder)
    np.testing.assert_array_equal(again(TOKENS), model(TOKENS))


def test_dtype():
    model, tokenizer = hk.pretrained.load(LLAMA, dtype=jnp.bfloat16)
    assert tokenizer is None
    assert {x.dtype for x in jax.tree.leaves(model.params)} == {jnp.dtype("bfloat16")}
    whole, _ = hk.pretrained.load(LLAMA)
    np.testing.assert_allclose(
        model(TOKENS).astype(jnp.float32), whole(TOKENS), rtol=0.1, atol=0.3
    )


def test_sharding_reads_each_part_alone():
    devices = jax.devices()[:2]
    mesh = jax.sharding.Mesh(np.array(devices), ("x",))

    def sharding(path, shape):
        name = path.rpartition("/")[2]
        split = name == "w" and shape[-1] % len(devices) == 0
        spec = jax.P(*[None] * (len(shape) - 1), "x") if split else jax.P()
        return jax.sharding.NamedSharding(mesh, spec)

    model, _ = hk.pretrained.load(LLAMA, sharding=sharding)
    whole, _ = hk.pretrained.load(LLAMA)
    jax.tree.map(np.testing.assert_array_equal, model.params, whole.params)
    query = model.params["decoder/blocks/attention/query"]["w"]
    assert query.sharding.shard_shape(query.shape)[-1] == query.shape[-1] // len(
        devices
    )


def test_a_loaded_model_is_a_bound_model():
    model, _ = hk.pretrained.load(LLAMA)
    again = pickle.loads(pickle.dumps(model))
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    logits = jax.jit(lambda m: m(TOKENS))(again)
    np.testing.assert_allclose(logits, model(TOKENS), rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda m: jnp.sum(m(TOKENS) ** 2))(model)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient.params))


def test_keys_of_the_config_are_kept(folder, tmp_path):
    change_config(folder, bos_token_id=7, my_own_key=[1, 2])
    model, _ = hk.pretrained.load(folder)
    hk.pretrained.save(tmp_path / "copy", model)
    config = json.loads((tmp_path / "copy/config.json").read_text())
    assert config["bos_token_id"] == 7 and config["my_own_key"] == [1, 2]
    assert config["model_type"] == "llama"


def test_a_config_made_by_hand_gets_the_simplest_family(tmp_path):
    base = hk.nets.DecoderConfig(
        vocab_size=32, model_size=16, num_layers=2, num_heads=4, num_kv_heads=2
    )
    wanted = {
        "llama": {},
        "mistral": {"windows": (3,)},
        "qwen2": {"attention_bias": True},
        "qwen3": {"qk_norm": "head"},
        "olmo2": {"norm_position": "post", "qk_norm": "all"},
        "gemma2": {
            "norm": "rms_offset",
            "norm_position": "both",
            "activation": "gelu_tanh",
            "embedding_scale": 4.0,
            "tied": True,
            "windows": (3, None),
            "attention_soft_cap": 5.0,
            "scale": 8**-0.5,
        },
        "gpt2": {
            "num_kv_heads": 4,
            "gated": False,
            "norm": "layer",
            "norm_eps": 1e-5,
            "position": "learned",
            "activation": "gelu_tanh",
            "tied": True,
            "attention_bias": True,
            "output_bias": True,
            "mlp_bias": True,
        },
    }
    for kind, changes in wanted.items():
        config = dataclasses.replace(base, **changes)
        model = drawn_model(hk.nets.Decoder, config, TOKENS)
        hk.pretrained.save(tmp_path / kind, model)
        written = json.loads((tmp_path / kind / "config.json").read_text())
        assert written["model_type"] == kind
        again, _ = hk.pretrained.load(tmp_path / kind)
        assert again.net.arguments["config"] == config
        jax.tree.map(np.testing.assert_array_equal, again.params, model.params)


def test_what_no_family_has_is_not_saved(tmp_path):
    config = hk.nets.DecoderConfig(
        vocab_size=32, model_size=16, num_layers=2, num_heads=4, position="alibi"
    )
    model = drawn_model(hk.nets.Decoder, config, TOKENS)
    with pytest.raises(ValueError, match="No family has this config"):
        hk.pretrained.save(tmp_path / "out", model)
    assert not (tmp_path / "out").exists()
    model, _ = hk.pretrained.load(LLAMA)
    held = model.replace(hooks=[hk.Hooks(getter=lambda next_, x, context: next_(x))])
    with pytest.raises(ValueError, match="holds 1 hooks"):
        hk.pretrained.save(tmp_path / "out", held)
    for other in model.params, hk.bind(hk.Linear, 3), None:
        with pytest.raises(TypeError, match="hk.nets.Decoder"):
            hk.pretrained.save(tmp_path / "out", other)


def test_shards(tmp_path):
    model, _ = hk.pretrained.load(LLAMA)
    hk.pretrained.save(tmp_path / "out", model, max_shard_size=4000)
    assert (tmp_path / "out/model.safetensors.index.json").exists()
    again, _ = hk.pretrained.load(tmp_path / "out")
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)


def test_from_state_dict_and_back():
    model, _ = hk.pretrained.load(LLAMA)
    arrays = hk.pretrained.to_state_dict(model)
    held = hk.pretrained.read(LLAMA / "model.safetensors")
    assert set(arrays) == set(held)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, held[name])
    config = json.loads((LLAMA / "config.json").read_text())
    again = hk.pretrained.from_state_dict(config, arrays)
    np.testing.assert_array_equal(again(TOKENS), model(TOKENS))
    del arrays["model.norm.weight"]
    with pytest.raises(ValueError, match=r"arrays: tensor 'model.norm.weight'"):
        hk.pretrained.from_state_dict(config, arrays)
