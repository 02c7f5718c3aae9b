"""Tiny folders of every family, and what transformers computes with them.

python oracles/nets/make_folders.py            # where transformers is installed
python oracles/nets/make_folders.py llama      # cases whose names begin so

Writes tests/golden/nets; its README says what a case holds. Fails if an option of a
case doesn't change the output, if the cache does, or if float32 isn't enough.
"""

import importlib.metadata
import itertools
import json
import pathlib
import re
import shutil
import sys
import tempfile
import zlib

import convnext_cases
import decoder_cases
import diffusion_cases
import diffusion_models
import encoder_cases
import image_models
import mamba_cases
import numpy as np
import pairs
import safetensors.torch
import t5_cases
import torch
import transformers
import unet_cases
import vision_cases
import whisper_cases
from cases import T

FOLDER = pathlib.Path(__file__).parents[2] / "tests/golden/nets"
TOLERANCE = 1e-4  # of the tests, relative to the largest value
KEPT_BITS = 20  # of a float's 24: the last ones differ from processor to processor
# A gradient is kept of the first embedding, and of these; of the last layer where
# there are several.
GRADIENTS = (
    *("k_proj.weight", "qkv_proj.weight", "c_attn.weight", "k_proj.bias"),
    *("input_layernorm.weight", "post_attention_layernorm.weight", "k_norm.weight"),
    *("ln_1.weight", "ln_1.bias", "down_proj.bias", "score.weight"),
    *("self.key.weight", "self.query.bias", "output.LayerNorm.weight"),
    *("Wqkv.weight", "mlp.Wi.weight", "attn_norm.weight", "Wqkv.bias"),
    *("token_type_embeddings.weight", "position_embeddings.weight"),
    *("pooler.dense.weight", "predictions.bias", "classifier.weight"),
    *("mlp.gate.weight", "router.weight", "router.bias", "sinks", "experts.down_proj"),
    *(
        "gate_up_proj",
        "gate_up_proj_bias",
        "lm_head.bias",
        "out_proj.bias",
        "head.dense.weight",
    ),
    *("embeddings.weight", "norm_f.weight", "mixer.norm.weight", "A_log", "mixer.D"),
    *("in_proj.weight", "in_proj.bias", "conv1d.weight", "conv1d.bias", "dt_bias"),
    *("x_proj.weight", "dt_proj.weight", "dt_proj.bias"),
)
# Padding on the left may change what these compute.
ALONE = ("bert", "roberta", "modernbert", "t5", "mamba", "mamba2")
EAGER = {"attn_implementation": "eager"}
EMBEDDINGS = ("wte", "embed_tokens", "word_embeddings", "tok_embeddings")


# ---- A folder ------------------------------------------------------------------------


def write_folder(case, folder):
    model = made(case)
    if case.untied:
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    fill(model, case)
    model = model.to(getattr(torch, case.dtype))
    options = {"max_shard_size": "8KB"} if case.shards else {}
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if case.written or case.unwritten:
        for name in case.unwritten:
            config.pop(name, None)
        write_json(path, config | case.written)
    edited = case.renamed, case.added, case.buffers, case.old_names, case.repeated
    if any(edited):
        (weights,) = folder.glob("*.safetensors")
        tensors = safetensors.torch.load_file(weights)
        tensors = {
            case.added + k.removeprefix(case.renamed): v for k, v in tensors.items()
        }
        for new, old in case.old_names.items():
            tensors = {k.replace(new, old): v for k, v in tensors.items()}
        tensors |= {k: torch.ones(shape) for k, shape in case.buffers.items()}
        tensors |= {k: tensors["shared.weight"].clone() for k in case.repeated}
        safetensors.torch.save_file(tensors, weights, {"format": "pt"})


def made(case):
    if diffusion_models.knows(case.architecture):
        return diffusion_models.made(case)
    kind = getattr(transformers, case.architecture)
    return kind(kind.config_class(**case.config))


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def fill(model, case):
    """Gives each parameter values that depend on its name alone, multiples of 2^-13."""
    offset = case.name.startswith("gemma")  # its norms scale by 1 plus the parameter
    transposed = case.name.startswith("gpt2")
    with torch.no_grad():
        for name, p in model.named_parameters():
            alike = case.alike and case.alike in name
            seed = re.sub(r"[.]\d+[.]", ".", name) if alike else name
            draw = np.random.default_rng(zlib.crc32(f"{case.name} {seed}".encode()))
            x = np.asarray(draw.standard_normal(p.shape))
            if x.ndim < 2:
                plain = name.endswith("bias") or offset
                x = 0.3 * x + (0 if plain else 1)
            elif x.ndim == 4:
                x = x * 1.2 / x[0].size ** 0.5
            elif any(x in name for x in ("embed", "wte", "wpe")) and (
                ".linear_" not in name
            ):
                x = x * case.embeddings * (0.5 if offset or "wpe" in name else 1)
            else:
                inputs = x.shape[0 if transposed and "score" not in name else 1]
                x = x * 1.2 / inputs**0.5
            p.copy_(torch.from_numpy(np.asarray(np.round(x * 2**13) / 2**13)))


# ---- What transformers computes with it ----------------------------------------------


def load(folder, architecture, dtype=torch.float32):
    if diffusion_models.knows(architecture):
        model, info = diffusion_models.load(folder, architecture, dtype)
    else:
        kind = getattr(transformers, architecture)
        options = {"dtype": dtype, "output_loading_info": True}
        model, info = kind.from_pretrained(folder, **EAGER, **options)
        model.set_experts_implementation("eager")
    for key, names in info.items():
        if [x for x in names if "pooler." not in x and "seq_relationship" not in x]:
            raise SystemExit(f"{folder.name}: {key} {names}")
    return model.eval()


def inputs_of(case):
    """Tokens `[3, T]` and masks: all kept, 3 padded on the left, 4 on the right.

    And types of the tokens, where the model has any.
    """
    if case.net in pairs.NETS:
        return pairs.inputs_of(case)
    if case.net in diffusion_models.NETS:
        return diffusion_models.inputs_of(case)
    if case.net in ("vision", "clip", "convnext"):
        return image_models.inputs_of(case)
    draw = np.random.default_rng(0)
    mask = np.ones([3, T], bool)
    mask[1, :3] = mask[2, -4:] = False
    pad = case.config.get("pad_token_id", 0)
    tokens = np.where(mask, draw.integers(3, 32, mask.shape), pad)
    inputs = {"tokens": tokens, "mask": mask}
    if case.config.get("type_vocab_size", 1) > 1:
        inputs["segments"] = np.where(np.arange(T) < 5, 0, 1) * mask
    return {name: torch.from_numpy(x) for name, x in inputs.items()}


def run(model, inputs, **options):
    """What a model computes with the inputs, which lie under our names."""
    if "images" in inputs:
        return image_models.run(model, inputs)[0]
    if pairs.knows(model):
        return output_of(pairs.run(model, inputs, **options))
    if model.config.model_type in ALONE:
        return each_alone(model, inputs)[0]
    tokens, mask = inputs["tokens"], inputs["mask"]
    positions = (torch.cumsum(mask.long(), 1) - 1).clamp(min=0)
    out = model(
        input_ids=tokens.long(),
        attention_mask=mask.long(),
        position_ids=positions[:, -tokens.shape[1] :],
        **options,
    )
    return output_of(out)


def output_of(out):
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def each_alone(model, inputs):
    """Output and pooler's output of each text without its padding.

    Padding on the left changes what transformers' encoders compute.
    """
    outputs, pooled = [], []
    for i, counts in enumerate(inputs["mask"]):
        options = {}
        if "segments" in inputs:
            options["token_type_ids"] = inputs["segments"][i][counts][None].long()
        out = model(input_ids=inputs["tokens"][i][counts][None].long(), **options)
        row = output_of(out)[0]
        if row.ndim == 2:
            whole = row.new_zeros(len(counts), row.shape[1])
            row = whole.index_put((torch.nonzero(counts)[:, 0],), row)
        outputs.append(row)
        if getattr(out, "pooler_output", None) is not None:
            pooled.append(out.pooler_output[0])
    return torch.stack(outputs), torch.stack(pooled) if pooled else None


def kept(output, mask):
    """The output, zero where there is padding."""
    if output.ndim == 2 or mask is None:
        return output
    return torch.where(mask[..., None], output, torch.zeros_like(output))


def loss(output, inputs, extra):
    if "labels" in extra:
        return torch.nn.functional.cross_entropy(
            output.flatten(0, -2), extra["labels"].long().flatten(), ignore_index=-1
        )
    if "weights" in extra:
        return (output * extra["weights"]).sum() / pairs.mask_of(inputs).sum()
    mask, tokens = pairs.mask_of(inputs), pairs.tokens_of(inputs).long()
    counts = mask[:, :-1] & mask[:, 1:]
    return torch.nn.functional.cross_entropy(
        output[:, :-1][counts], tokens[:, 1:][counts]
    )


def extra_inputs(output, architecture, mask):
    if "SequenceClassification" in architecture or "Image" in architecture:
        labels = torch.tensor([0, 2, 1], dtype=torch.int32)
        return {"labels": labels[: len(output)]}
    if any(x in architecture for x in ("CausalLM", "LMHead", "Generation")):
        return {}
    if "Masked" in architecture or "TokenClassification" in architecture:
        labels = np.random.default_rng(1).integers(0, output.shape[-1], mask.shape)
        labels = torch.from_numpy(labels.astype(np.int32))
        return {"labels": torch.where(mask, labels, -1)}
    draw = np.random.default_rng(1).integers(-8, 9, output.shape) / 8
    weights = torch.from_numpy(draw).float()
    return {"weights": weights if mask is None else weights * mask[..., None]}


def expected(model, case, inputs):
    if "images" in inputs:
        return expected_of_images(model, case, inputs)
    pooled = None
    if case.net == "encoder":
        output, pooled = each_alone(model, inputs)
    else:
        output = run(model, inputs)
    mask, found = pairs.mask_of(inputs), {}
    extra = extra_inputs(output, case.architecture, mask)
    of_all = loss(output, inputs, extra)
    if pooled is not None:
        found["pooled"] = rounded(pooled.detach())
        of_all = of_all + pooled.sum()
    of_all.backward()
    found |= {f"gradient/{name}": rounded(x) for name, x in gradients(model, case)}
    kinds = {torch.int64: torch.int32}
    inputs = {k: x.to(kinds.get(x.dtype, x.dtype)) for k, x in inputs.items()}
    return inputs | extra | {"output": rounded(kept(output.detach(), mask))} | found


def gradients(model, case):
    """Those that are kept, by name."""
    if case.net in pairs.NETS or case.architecture == "T5EncoderModel":
        yield from pairs.gradients(model)
        return
    last = max(int(name.split(".")[-1]) for name in layer_names(model))
    for name, p in model.named_parameters():
        if p.grad is None:  # an untied BERT's second bias, which nothing reads
            continue
        numbers = [x for x in name.split(".") if x.isdigit()]
        whole = not numbers and name.endswith(GRADIENTS)
        if whole or any(f".{x}." in f".{name}" for x in EMBEDDINGS):
            yield name, p.grad
        if name.endswith(GRADIENTS) and f".{last}." in name:
            yield from in_files(name, p.grad, case)


def in_files(name, gradient, case):
    """A gradient under the names of files; of experts in tensors each, the first."""
    family = case.name.partition("-")[0]
    if family not in ("mixtral", "qwen3_moe"):
        return [(name, gradient)]
    if family == "mixtral":
        name = name.replace(".mlp.", ".block_sparse_moe.")
    names = {
        "mixtral": ("w1.weight", "w3.weight", "w2.weight"),
        "qwen3_moe": ("gate_proj.weight", "up_proj.weight", "down_proj.weight"),
    }[family]
    gate, up, down = (f"experts.0.{x}" for x in names)
    if name.endswith("experts.down_proj"):
        return [(name.replace("experts.down_proj", down), gradient[0])]
    if not name.endswith("experts.gate_up_proj"):
        return [(name, gradient)]
    halves = zip((gate, up), gradient[0].chunk(2))
    return [(name.replace("experts.gate_up_proj", x), half) for x, half in halves]


def expected_of_images(model, case, inputs):
    output, beside = image_models.run(model, inputs)
    extra = extra_inputs(output, case.architecture, None)
    image_models.loss(output, beside, extra).backward()
    found = {"output": output, **beside}
    found |= {f"gradient/{k}": x for k, x in image_models.gradients(model).items()}
    found = {k: rounded(x.detach()) for k, x in found.items()}
    return image_models.counted(inputs) | extra | found


def layer_names(model):
    for name, _ in model.named_modules():
        if name.split(".")[-2:-1] in (["layers"], ["h"], ["layer"]):
            yield name


def rounded(x):
    fraction, exponent = np.frexp(x.numpy().astype(np.float64))
    fraction = np.round(fraction * 2**KEPT_BITS) / 2**KEPT_BITS
    return torch.from_numpy(np.asarray(np.ldexp(fraction, exponent), np.float32))


# ---- Is the case worth it? -----------------------------------------------------------


def distance(x, y):
    """The largest difference, relative to the largest value."""
    return float((x - y).abs().max() / y.abs().max())


@torch.no_grad()
def check(case, folder, model, inputs):
    mask = None if "images" in inputs else pairs.mask_of(inputs)
    output = kept(run(model, inputs), mask)
    least = torch.inf
    for key, value in case.others.items():
        other = kept(run(with_other(case, folder, key, value), inputs), mask)
        change = distance(other, output)
        least = min(least, change)
        if not change > 4 * TOLERANCE:
            raise SystemExit(f"{case.name}: {key}={value} changes only {change:.1e}")
    exact = load(folder, case.architecture, torch.float64)
    if "images" in inputs:
        error = distance(run(exact, inputs), output)
        if not error < 1e-5:
            raise SystemExit(f"{case.name}: float64 {error:.1e} different")
        return least, error
    alone = run_alone(exact, inputs)
    together = [x[m] if output.ndim == 3 else x for x, m in zip(output, mask)]
    error = distance(torch.cat(together), torch.cat(alone))
    if not error < 1e-5 and not case.by_length:
        raise SystemExit(f"{case.name}: alone in float64 {error:.1e} different")
    if case.parts is not None and case.net != "mamba":
        cached = kept(run_with_cache(model, case, inputs), mask)
        if not distance(cached, output) < 1e-5:
            raise SystemExit(
                f"{case.name}: the cache changes {distance(cached, output):.1e}"
            )
    return least, error


def with_other(case, folder, key, value):
    with tempfile.TemporaryDirectory() as other:
        other = pathlib.Path(other) / folder.name
        shutil.copytree(folder, other)
        config = json.loads((other / "config.json").read_text(encoding="utf-8"))
        *outer, last = key.split(".")
        inner = config
        for name in outer:
            inner = inner[name]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
        write_json(other / "config.json", config)
        if diffusion_models.knows(case.architecture):
            return diffusion_models.load(other, case.architecture)[0]
        kind = getattr(transformers, case.architecture)
        return kind.from_pretrained(other, dtype=torch.float32, **EAGER).eval()


def run_alone(model, inputs):
    """Each text without its padding, one after the other."""
    if pairs.knows(model):
        return [output_of(out)[0] for out in pairs.run_alone(model, inputs)]
    found = []
    for i, counts in enumerate(inputs["mask"]):
        row = {name: x[i][counts][None] for name, x in inputs.items()}
        found.append(run(model, row)[0])
    return found


def run_with_cache(model, case, inputs):
    """A prefill of the first part, then token by token."""
    if pairs.knows(model):
        found = pairs.run_with_cache(model, case, inputs)
        return torch.cat([output_of(out) for out in found], 1)
    cache = transformers.DynamicCache(config=model.config)
    tokens, mask = inputs["tokens"], inputs["mask"]
    found, start = [], 0
    for end in range(case.parts[0], T + 1):
        part = {"tokens": tokens[:, start:end], "mask": mask[:, :end]}
        found.append(run(model, part, past_key_values=cache, use_cache=True))
        start = end
    return torch.cat(found, 1)


# ---- All of them ---------------------------------------------------------------------


def make(case):
    folder = FOLDER / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_folder(case, folder)
    inputs = inputs_of(case)
    model = load(folder, case.architecture)
    least, error = check(case, folder, model, inputs)
    values = expected(model, case, inputs)
    values = {name: x.contiguous() for name, x in values.items()}
    safetensors.torch.save_file(values, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(
        f"{case.name:24} {size:7,} bytes  options change {least:.1e}  "
        f"float64 {error:.0e}  {case.varies}"
    )
    return size


def cases():
    texts = decoder_cases, encoder_cases, t5_cases, whisper_cases, mamba_cases
    tables = (*texts, vision_cases, convnext_cases, diffusion_cases, unet_cases)
    return itertools.chain.from_iterable(table.cases() for table in tables)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    begin = tuple(sys.argv[1:]) or ("",)
    total = sum(make(case) for case in cases() if case.name.startswith(begin))
    libraries = "transformers", "diffusers"
    versions = {name: importlib.metadata.version(name) for name in libraries}
    rows = [
        {
            **{"name": case.name, "net": case.net, "varies": case.varies},
            **{"dtype": case.dtype, "parts": case.parts},
        }
        for case in cases()
    ]
    known = {row["name"] for row in rows} | {"adapters"}  # of adapter_values.py
    for folder in FOLDER.iterdir():
        if folder.is_dir() and folder.name not in known:
            shutil.rmtree(folder)
    head = json.dumps(versions)[:-1]
    lines = ",\n".join(map(json.dumps, rows))
    (FOLDER / "cases.json").write_text(
        f'{head}, "cases": [\n{lines}\n]}}\n', encoding="utf-8"
    )
    print(f"{len(rows)} cases, {total:,} bytes written")


if __name__ == "__main__":
    main()
