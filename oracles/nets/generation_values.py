"""What transformers writes with the folders of the parity table: greedy, and beams.

python oracles/nets/generation_values.py    # tests/golden/nets/generation.json

Prompts are padded on the left, as transformers wants them. Of each family one folder
and those whose cache differs: windows, rope scalings, sinks.
"""

import json

import numpy as np
import torch
import transformers
from make_folders import FOLDER

CASES = (
    *("gpt2-plain", "llama-plain", "llama-llama3", "mistral-plain", "qwen2-plain"),
    *("qwen3-plain", "gemma-plain", "gemma2-plain", "gemma3_text-plain", "phi3-plain"),
    *("olmo2-plain", "mixtral-plain", "qwen3_moe-plain", "gpt_oss-plain"),
    *("mamba-plain", "mamba2-plain", "t5-plain", "whisper-plain"),
)
STEPS, PROMPT, BEAMS = 64, 6, 3


def settings(**options):
    return transformers.GenerationConfig(do_sample=False, pad_token_id=0, **options)


def written(model, inputs, **options):
    """The new tokens, and the scores of beams."""
    out = transformers.GenerationMixin.generate(
        model,
        **inputs,
        generation_config=settings(
            return_dict_in_generate=True, output_scores=True, **options
        ),
    )
    skipped = 1 if model.config.is_encoder_decoder else PROMPT
    tokens = out.sequences[:, skipped:].tolist()
    scores = getattr(out, "sequences_scores", None)
    return tokens, None if scores is None else [round(x, 5) for x in scores.tolist()]


def values(name):
    config = json.loads((FOLDER / name / "config.json").read_text())
    kind = getattr(transformers, config["architectures"][0])
    model = kind.from_pretrained(
        FOLDER / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    # What a call leaves out would come from here.
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    draw = np.random.default_rng(0)
    steps = min(STEPS, (config.get("n_positions") or 1000) - PROMPT)
    steps = min(steps, config.get("max_target_positions", 1000) - 1)
    found = {"steps": steps}
    if "whisper" in name:
        features = draw.standard_normal((3, config["num_mel_bins"], 20))
        features = features.astype(np.float32).round(3)
        inputs = {"input_features": torch.from_numpy(features)}
        found["features"] = features.transpose(0, 2, 1).tolist()
        start = {"decoder_start_token_id": config["decoder_start_token_id"]}
    else:
        tokens = draw.integers(1, config["vocab_size"], (3, PROMPT))
        mask = np.arange(PROMPT) >= np.array([[0], [2], [3]])
        tokens = np.where(mask, tokens, 0)
        inputs = {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }
        found |= {"tokens": tokens.tolist(), "mask": mask.astype(int).tolist()}
        start = {}
        if model.config.is_encoder_decoder:
            start = {"decoder_start_token_id": config["decoder_start_token_id"]}
    start["max_new_tokens"] = steps
    # The cache of transformers has no room for more layers of the decoder.
    start["use_cache"] = "t5" not in name
    found["greedy"], _ = written(model, inputs, **start)
    found["eos"] = found["greedy"][0][min(5, steps - 1)]
    ends = start | {"eos_token_id": found["eos"]}
    found["ended"], _ = written(model, inputs, **ends)
    beams = ends | {"num_beams": BEAMS, "length_penalty": 0.8}
    found["beams"], found["scores"] = written(model, inputs, **beams)
    penalty = start | {"repetition_penalty": 1.3}
    found["penalised"], _ = written(model, inputs, **penalty)
    return found


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for name in CASES:
        rows.append(f'"{name}": {json.dumps(values(name))}')
        print(name)
    path = FOLDER / "generation.json"
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(f"{path.name}: {len(rows)} cases, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
