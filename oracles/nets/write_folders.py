"""Loads every folder of tests/golden/nets with ours, and saves it; adapters too.

PYTHONPATH=src python oracles/nets/write_folders.py OUT

`read_back.py` then loads them with transformers.
"""

import pathlib
import sys

import jax.numpy as jnp
import numpy as np

import haiku as hk

FOLDER = pathlib.Path(__file__).parents[2] / "tests/golden/nets"


def write_adapters(out):
    """Each folder of adapters again, and one of ours, with its output."""
    for folder in sorted(path.parent for path in FOLDER.glob("adapters/*/*_model*")):
        base = FOLDER / "-".join(folder.name.split("-")[:2])
        model = hk.pretrained.load_adapters(folder, hk.pretrained.load(base).model)
        hk.pretrained.save_adapters(out / folder.name, model)
    for base, kind in (("gpt2-plain", hk.adapt.LoRA), ("phi3-plain", hk.adapt.DoRA)):
        model = hk.pretrained.load(FOLDER / base).model
        # Of the fused weights PEFT has one update; ours has one of each part.
        adaptation = kind("**/blocks/**/w", 3, alpha=2.0)
        model = hk.adapt.add(model, adaptation, rng_key=0)
        params = _random(model.params)
        model = model.replace(params=params)
        hk.pretrained.save_adapters(out / f"{base}-ours", model)
        held = hk.pretrained.read(FOLDER / base / "expected.safetensors")
        output = model(jnp.maximum(held["tokens"][:2, :7], 1))
        values = {"output": np.asarray(output)}
        hk.pretrained.write(out / f"{base}-ours/expected.safetensors", values)


def _random(params):
    draws = np.random.RandomState(0)
    return {
        path: {
            name: x + jnp.float32(0.2 * draws.randn(*x.shape))
            if name.startswith("lora")
            else x
            for name, x in named.items()
        }
        for path, named in params.items()
    }


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    folders = sorted(path.parent for path in FOLDER.glob("*/config.json"))
    failed = 0
    for folder in folders:
        try:
            hk.pretrained.save(out / folder.name, hk.pretrained.load(folder).model)
        except ValueError as e:
            failed += 1
            print(f"{folder.name:24} {e}")
    write_adapters(out / "adapters")
    print(f"{out}: {len(folders)} folders, {failed} refused")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
