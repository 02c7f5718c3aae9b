"""`load_adapters` and `save_adapters`: PEFT's numbers, its layout, and bad folders.

`oracles/nets/adapter_values.py` made the folders; that PEFT reads ours is checked by
`oracles/nets/read_back.py`.
"""

import functools
import json
import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_llama import call, llama, with_random_updates

import haiku as hk

ad, pt = hk.adapt, hk.pretrained
GOLDEN = pathlib.Path(__file__).parents[2] / "golden/nets"
ADAPTERS = GOLDEN / "adapters"
CASES = json.loads((ADAPTERS / "cases.json").read_text())["cases"]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NAME = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"


@functools.cache
def base(case):
    return pt.load(GOLDEN / "-".join(case.split("-")[:2])).model


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_equal_pefts(case, tmp_path):
    want = pt.read(ADAPTERS / case / "expected.safetensors")
    model = pt.load_adapters(ADAPTERS / case, base(case))
    tokens = jnp.asarray(want["tokens"])

    def loss(params):
        output = model.replace(params=params)(tokens)
        return jnp.sum(jnp.sin(output)), output

    grads, output = jax.jit(jax.grad(loss, has_aux=True))(model.params)
    scale = np.abs(want["output"]).max()
    np.testing.assert_allclose(output, want["output"], atol=1e-5 * scale)
    # In their layout; where one of their matrices is several of ours, not by A and B.
    pt.save_adapters(tmp_path, model.replace(params=grads))
    found = pt.read(tmp_path / WEIGHTS)
    compared = 0
    for name, theirs in want.items():
        name = name.removeprefix("gradient/")
        fused = any(x in name and "magnitude" not in name for x in ("c_attn", "qkv"))
        if name not in ("tokens", "output") and not fused:
            ours = found.get(name, found.get(f"{name}.weight"))
            largest = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, atol=2e-5 * largest, err_msg=name)
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize("case", CASES)
def test_saved_again_they_are_the_same(case, tmp_path):
    model = pt.load_adapters(ADAPTERS / case, base(case))
    pt.save_adapters(tmp_path, model)
    ours, theirs = (pt.read(x / WEIGHTS) for x in (tmp_path, ADAPTERS / case))
    for name, array in theirs.items():
        if "base_layer" not in name:
            np.testing.assert_array_equal(ours[name], array)
    if case != "llama-plain-layer":  # there a layer of a stack has none
        assert len(ours) == sum("base_layer" not in name for name in theirs)
    for start in (base(case), model):
        again = pt.load_adapters(tmp_path, start)
        assert not hk.surgery.diff(again.params, model.params)
        assert [x.factor for x in ad.adaptations(again)] == pytest.approx(
            [x.factor for x in ad.adaptations(model)]
        )


def test_a_config_as_peft_has_it(tmp_path):
    adaptations = ad.LoRA("**/query/w", 2, 3, 0.1), ad.LoRA("**/mlp/*/w", 3)
    model = ad.add(llama(), *adaptations, ad.Int8("**/w"), rng_key=0)
    pt.save_adapters(tmp_path, model)
    config = json.loads((tmp_path / CONFIG).read_text())
    theirs = json.loads((ADAPTERS / "llama-plain" / CONFIG).read_text())
    assert config.keys() <= theirs.keys()
    assert config["task_type"] == theirs["task_type"] == "CAUSAL_LM"
    assert config["target_modules"] == ["down_proj", "gate_proj", "q_proj", "up_proj"]
    assert (config["r"], config["lora_alpha"], config["use_dora"]) == (3, 3, False)
    assert config["rank_pattern"] == {
        f"^model.layers.{i}.self_attn.q_proj": 2 for i in (0, 1)
    }
    quantised = ad.add(llama(), ad.Int8("**/w"))
    again = pt.load_adapters(tmp_path, quantised)
    np.testing.assert_allclose(call(again), call(model), atol=1e-5)


@pytest.mark.parametrize("kind", [ad.LoRA, ad.DoRA])
@pytest.mark.parametrize("fresh", [True, False])
def test_parts_of_a_fused_weight(kind, fresh, tmp_path):
    """PEFT has one update of GPT-2's c_attn; here query, key and value have theirs."""
    model = ad.add(base("gpt2-plain"), kind("**/blocks/**/w", 2, 5), rng_key=0)
    model = model if fresh else with_random_updates(model)
    pt.save_adapters(tmp_path, model)
    again = pt.load_adapters(tmp_path, model)
    assert not hk.surgery.diff(again.params, model.params)
    plain = pt.load_adapters(tmp_path, base("gpt2-plain"))
    np.testing.assert_allclose(call(plain), call(model), atol=1e-5, rtol=1e-5)


def test_one_part_of_a_fused_weight(tmp_path):
    model = ad.add(base("gpt2-plain"), ad.LoRA("**/query/w", 2), rng_key=0)
    model = with_random_updates(model)
    pt.save_adapters(tmp_path, model)
    for start in (model, base("gpt2-plain")):
        again = pt.load_adapters(tmp_path, start)
        np.testing.assert_allclose(call(again), call(model), atol=1e-5, rtol=1e-5)


# ---- Bad folders ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A copy of a folder, to be spoiled."""
    for name in CONFIG, WEIGHTS:
        content = (ADAPTERS / "llama-plain" / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    return tmp_path


CONFIGS = {
    "peft_type must be one of LORA, and is 'IA3'": {"peft_type": "IA3"},
    "peft_type is missing": {"peft_type": ...},
    "r must be an integer of at least 1, and is 0": {"r": 0},
    "r must be an integer of at least 1, and is '3'": {"r": "3"},
    "r is missing": {"r": ...},
    "lora_alpha must be a finite number": {"lora_alpha": float("inf")},
    "alpha of hk.adapt.LoRA must be a finite number": {"lora_alpha": 1e300},
    r"its shape is \[3, 16\], and by the model and the rank 4 of": {"r": 4},
    "bias is 'all', which isn't known here. Merge": {"bias": "all"},
    "init_lora_weights is 'pissa'": {"init_lora_weights": "pissa"},
    "layer_replication is": {"layer_replication": [[0, 2], [1, 2]]},
    "alora_invocation_tokens is": {"alora_invocation_tokens": [1]},
    "use_dora must be true or false": {"use_dora": 1},
    "magnitude_vector': it is missing": {"use_dora": True},
    "rank_pattern must be an object": {"rank_pattern": [1]},
    r"rank_pattern: '\(a\+\)\+' must be the name of a layer": {
        "rank_pattern": {"(a+)+": 3}
    },
    "layers that are one stack here, .*query/w": {
        "alpha_pattern": {"layers.1.self_attn.q_proj": 9}
    },
    "lora_dropout must be a rate": {"lora_dropout": 1.5},
    "modules_to_save must be a list of names": {"modules_to_save": "lm_head"},
}


@pytest.mark.parametrize("says", CONFIGS)
def test_a_config_that_cannot_be(says, folder):
    path = folder / CONFIG
    config = json.loads(path.read_text()) | CONFIGS[says]
    path.write_text(json.dumps({k: x for k, x in config.items() if x is not ...}))
    with pytest.raises(ValueError, match=says) as error:
        pt.load_adapters(folder, llama())
    assert str(folder) in str(error.value)


def _renamed(arrays, old, new):
    for name in list(arrays):
        if old in name:
            arrays[name.replace(old, new)] = arrays.pop(name)


TENSORS = {
    f"tensor '{NAME}': it is missing": lambda x: x.pop(NAME),
    r"its shape is \[3, 15\], and by the model": lambda x: x.update(
        {NAME: np.zeros((3, 15), np.float32)}
    ),
    "must be floats, and is int32": lambda x: x.update(
        {NAME: np.zeros((3, 16), np.int32)}
    ),
    "layers.7.*: it is left over, since the model has no layer for it": (
        lambda x: _renamed(x, "layers.1", "layers.7")
    ),
    "lora_A.weight': it is missing": lambda x: _renamed(x, "lora_A", "lora_C"),
    "lora_C.weight': it is left over": lambda x: x.update(
        {NAME.replace("lora_A", "lora_C"): np.zeros((3, 16), np.float32)}
    ),
    "lm_head.weight': it is left over": lambda x: x.update(
        {"base_model.model.lm_head.weight": np.zeros((32, 16), np.float32)}
    ),
    "the adapters come with another weight than .*query/w": lambda x: x.update(
        {NAME.replace("lora_A", "base_layer"): np.zeros((16, 16), np.float32)}
    ),
    "holds no adapters": lambda x: x.clear(),
}


@pytest.mark.parametrize("says", TENSORS)
def test_tensors_that_do_not_fit(says, folder):
    path = folder / WEIGHTS
    arrays = {k: np.array(x) for k, x in pt.read(path).items()}
    TENSORS[says](arrays)
    pt.write(path, arrays)
    with pytest.raises(ValueError, match=says) as error:
        pt.load_adapters(folder, llama())
    assert str(folder) in str(error.value)


def test_adapters_of_another_model(folder):
    for case in ("gpt2-plain", "phi3-plain", "qwen3-plain"):
        with pytest.raises(ValueError, match=r"left over|shape is"):
            pt.load_adapters(folder, base(case))
    with pytest.raises(TypeError, match=r"saves bound models of hk.nets"):
        pt.load_adapters(folder, hk.bind(hk.Linear, 3).init(0, jnp.ones((1, 2))))


def test_a_model_with_other_updates(folder):
    def added(*adaptations):
        return ad.add(llama(), *adaptations, rng_key=0)

    fits = added(ad.LoRA("**/query/w", 3, 6), ad.LoRA("**/value/w", 3, 6))
    want = pt.load_adapters(folder, llama())
    assert not hk.surgery.diff(pt.load_adapters(folder, fits).params, want.params)
    others = {
        "the adapters update .*value/w, and those of the model don't": (
            added(ad.LoRA("**/query/w", 3, 6))
        ),
        "the adapters don't update .*(up|down|gate|key|output|head)/w, and the mod": (
            added(ad.LoRA("**/w", 3, 6))
        ),
        "the adapters are hk.adapt.LoRA.*rank=3.*, and the model has .*rank=2": (
            added(ad.LoRA("**/query/w", 2, 4), ad.LoRA("**/value/w", 2, 4))
        ),
        "and the model has hk.adapt.LoRA.*alpha=7": (
            added(ad.LoRA("**/query/w", 3, 7), ad.LoRA("**/value/w", 3, 6))
        ),
        "and the model has hk.adapt.DoRA": (
            added(ad.DoRA("**/query/w", 3, 6), ad.LoRA("**/value/w", 3, 6))
        ),
    }
    for says, model in others.items():
        with pytest.raises(ValueError, match=says):
            pt.load_adapters(folder, model)


def test_files_that_are_not_there(folder):
    class Evil:
        def __reduce__(self):
            return pathlib.Path.touch, (folder / "ran",)

    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no adapter_model.safetensors"):
        pt.load_adapters(folder, llama())
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="adapter_model.bin.*never read"):
        pt.load_adapters(folder, llama())
    assert not (folder / "ran").exists()
    (folder / CONFIG).unlink()
    with pytest.raises(FileNotFoundError, match=CONFIG):
        pt.load_adapters(folder, llama())


def test_what_cannot_be_saved(tmp_path):
    def refused(says, model):
        with pytest.raises(ValueError, match=says):
            pt.save_adapters(tmp_path / "new", model)
        assert not (tmp_path / "new").exists()

    refused("the model has none: add hk.adapt.LoRA", llama())
    both = ad.LoRA("**/query/w", 2), ad.DoRA("**/key/w", 2)
    refused("has one of them", ad.add(llama(), *both, rng_key=0))
    lora = ad.LoRA("**/experts/up", 2)
    refused("has no layer", ad.add(base("mixtral-plain"), lora, rng_key=0))
    tied = ad.LoRA("**/embed/*", 2)
    refused("the head's too", ad.add(base("gemma-hub"), tied, rng_key=0))


def test_other_files_of_the_folder_stay(folder):
    (folder / "README.md").write_text("mine")
    pt.save_adapters(folder, ad.add(llama(), ad.LoRA("**/key/w", 2), rng_key=0))
    assert (folder / "README.md").read_text() == "mine"
    assert all(".k_proj." in name for name in pt.read(folder / WEIGHTS))
