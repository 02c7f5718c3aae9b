"""One of two processes that load a folder onto a mesh of both, and save it.

python process_folders.py PORT INDEX FOLDER
"""

import json
import pathlib
import sys

import jax


def main(port, index, folder):
    """Prints where logits lie; the saved folders lie beside the one loaded."""
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_platforms", "cpu")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(index))
    import numpy as np
    from jax.experimental import multihost_utils
    from jax.sharding import AxisType
    from sharded_training import mesh_of

    import haiku as hk

    R, folder = hk.parallel, pathlib.Path(folder)
    auto, both = AxisType.Auto, R.fully_sharded() | R.tensor()
    cases = {
        "explicit": (R.fully_sharded(), AxisType.Explicit, {"data": 8}),
        "both": (both, auto, {"data": 4, "model": 2}),
        "layers": (R.pipeline("data"), auto, {"data": 2, "model": 4}),
        "copies": (R.data(), auto, {"data": 8}),
    }
    tokens = np.arange(8 * 5).reshape(8, 5) % 64
    found = {}
    for name, (rules, kind, sizes) in cases.items():
        with jax.set_mesh(mesh_of(kind, **sizes)):
            model, _ = hk.pretrained.load(folder, sharding=rules)
            part, count = R.batch_shard(rules)
            batch = R.global_batch(np.split(tokens, count)[part], rules)
            logits = jax.jit(lambda m, x: m(x))(model, batch)
            logits = multihost_utils.process_allgather(logits, tiled=True)
            hk.pretrained.save(folder.parent / name, model, max_shard_size=20_000)
            found[name] = str(folder.parent / f"{name}-{index}.npy")
            np.save(found[name], logits)
    with jax.set_mesh(mesh_of(data=8)):
        lora = hk.adapt.LoRA("**/attention/*/w", rank=2)
        adapted = jax.jit(lambda m: hk.adapt.add(m, lora, rng_key=0))(model)
        hk.pretrained.save_adapters(folder.parent / "adapters", adapted)
        (folder.parent / "file").touch()
        try:  # a folder that only process 0 tries to make
            hk.pretrained.save(folder.parent / "file", model)
        except (FileExistsError, RuntimeError) as error:
            found["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
