"""Adapters as PEFT writes them, and what the models with them compute.

python oracles/nets/adapter_values.py    # where transformers and PEFT are installed

Writes tests/golden/nets/adapters. A case's name begins with that of a folder beside it,
whose weights the model has.
"""

import importlib.metadata
import json
import pathlib
import re
import shutil
import warnings
import zlib

import peft
import safetensors.torch
import torch
import transformers

FOLDER = pathlib.Path(__file__).parents[2] / "tests/golden/nets"
ADAPTERS = FOLDER / "adapters"
# A case, and keys of its config.
CASES = {
    "llama-plain": {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
    "llama-plain-dora": {
        **{"r": 4, "lora_alpha": 5, "use_dora": True, "lora_dropout": 0.1},
        **{"target_modules": ["q_proj", "k_proj", "o_proj", "gate_proj", "down_proj"]},
    },
    "llama-plain-ranks": {
        **{"r": 4, "lora_alpha": 8, "use_rslora": True},
        **{"rank_pattern": {"o_proj": 2}, "alpha_pattern": {"self_attn.o_proj": 3}},
        **{"target_modules": ["k_proj", "o_proj", "embed_tokens", "lm_head"]},
    },
    "llama-plain-layer": {
        **{"r": 2, "lora_alpha": 4, "layers_to_transform": [1]},
        **{"use_dora": True, "target_modules": ["up_proj", "v_proj"]},
    },
    "llama-classes": {
        **{"r": 2, "lora_alpha": 2, "task_type": "SEQ_CLS"},
        **{"target_modules": ["q_proj"]},
    },
    "gpt2-plain": {
        **{"r": 6, "lora_alpha": 6, "use_dora": True, "fan_in_fan_out": True},
        **{"target_modules": ["c_attn", "c_proj", "c_fc"]},
    },
    "phi3-plain": {"r": 3, "target_modules": ["qkv_proj", "down_proj"]},
}


def base_of(case):
    """The folder of a case's model."""
    return FOLDER / "-".join(case.split("-")[:2])


def base_model(case):
    """Its model."""
    config = json.loads((base_of(case) / "config.json").read_text(encoding="utf-8"))
    kind = getattr(transformers, config["architectures"][0])
    folder, options = base_of(case), {"attn_implementation": "eager"}
    return kind.from_pretrained(folder, dtype=torch.float32, **options).eval()


def tokens_of(case):
    """The texts of its folder, whole; 0 is padding, which torch gives no gradient."""
    held = safetensors.torch.load_file(base_of(case) / "expected.safetensors")
    return held["tokens"][:2, :7].long().clamp(min=1)


def fill(model):
    """Gives adapters numbers of few digits, by name."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                noise = torch.randn(p.shape, generator=generator)
                start = p if "magnitude" in name or "to_save" in name else 0
                p.copy_(torch.round(2**13 * (start + 0.2 * noise)) / 2**13)


def output_of(model, case):
    """Logits."""
    return model(input_ids=tokens_of(case), use_cache=False).logits


def values_of(model, case):
    output = output_of(model, case)
    torch.sum(torch.sin(output)).backward()
    found = {"tokens": tokens_of(case).int(), "output": output.detach()}
    for name, p in model.named_parameters():
        if p.grad is not None:
            name = re.sub(r"\.(modules_to_save\.)?default|\.weight$", "", name)
            found[f"gradient/{name}"] = p.grad
    return {name: x.contiguous() for name, x in found.items()}


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    shutil.rmtree(ADAPTERS, ignore_errors=True)
    for case, keys in CASES.items():
        options = {"task_type": "CAUSAL_LM", **keys}
        model = peft.get_peft_model(base_model(case), peft.LoraConfig(**options)).eval()
        fill(model)
        model.save_pretrained(ADAPTERS / case)
        (ADAPTERS / case / "README.md").unlink()
        path = ADAPTERS / case / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base_of(case).name
        config["target_modules"].sort()  # a set
        text = json.dumps(config, indent=2, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
        expected = ADAPTERS / case / "expected.safetensors"
        safetensors.torch.save_file(values_of(model, case), expected)
    versions = {x: importlib.metadata.version(x) for x in ("peft", "transformers")}
    text = json.dumps({"versions": versions, "cases": list(CASES)}, indent=1)
    (ADAPTERS / "cases.json").write_text(text + "\n", encoding="utf-8")
    print(f"{ADAPTERS.name}: {len(CASES)} cases")


if __name__ == "__main__":
    main()
