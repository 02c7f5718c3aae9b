"""Do folders that ours wrote give transformers the recorded numbers?

python oracles/nets/read_back.py OUT    # folders of write_folders.py

Fails if transformers (or diffusers) misses a tensor, doesn't expect one, or computes
another output.
"""

import json
import pathlib
import sys
import warnings

import adapter_values
import diffusion_models
import peft
import safetensors.torch
import torch
import transformers
from make_folders import FOLDER, distance, kept, run
from pairs import mask_of

TOLERANCE = 1e-5  # relative to the largest value


def difference(folder: pathlib.Path, case: str) -> str:
    """What is wrong with a folder, or nothing."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "_class_name" in config:
        model, info = diffusion_models.load(folder, config["_class_name"])
    else:
        kind = getattr(transformers, config["architectures"][0])
        model, info = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    wrong = [f"{key} {sorted(map(str, names))}" for key, names in info.items() if names]
    want = safetensors.torch.load_file(FOLDER / case / "expected.safetensors")
    with torch.no_grad():
        mask = None if "images" in want else mask_of(want)
        output = kept(run(model.eval(), want), mask)
    if output.shape != want["output"].shape:
        wrong.append(f"shape {list(output.shape)}, not {list(want['output'].shape)}")
    elif not distance(output, want["output"]) < TOLERANCE:
        wrong.append(f"output differs by {distance(output, want['output']):.1e}")
    return "; ".join(wrong)


def adapter_difference(folder: pathlib.Path, case: str) -> str:
    """What is wrong with a folder of adapters, or nothing."""
    with warnings.catch_warnings():
        # PEFT warns of keys that are missing.
        warnings.simplefilter("error", UserWarning)
        model = adapter_values.base_model(case)
        model = peft.PeftModel.from_pretrained(model, folder).eval()
    own = folder / "expected.safetensors"
    kept = own if own.exists() else adapter_values.ADAPTERS / case / own.name
    want = safetensors.torch.load_file(kept)["output"]
    with torch.no_grad():
        output = adapter_values.output_of(model, case)
    away = distance(output, want)
    return "" if away < TOLERANCE else f"output differs by {away:.1e}"


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    out = pathlib.Path(sys.argv[1])
    cases = sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
    cases += sorted(str(x.relative_to(out)) for x in out.glob("adapters/*"))
    failed = 0
    for case in cases:
        is_adapter = case.startswith("adapters")
        compare = adapter_difference if is_adapter else difference
        try:
            wrong = compare(out / case, pathlib.Path(case).name)
        except Exception as e:  # whatever transformers raises is a difference
            wrong = f"{type(e).__name__}: {e}"
        failed += bool(wrong)
        print(f"{case:24} {wrong or 'equal'}")
    print(f"{len(cases)} folders, {failed} differ")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
