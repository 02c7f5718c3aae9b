"""Serves artifacts of `jax.export` in a process that has jax and numpy alone.

It reads lines of JSON: the file of an artifact, and files with the leaves of arguments.
It answers with the file of the outputs' leaves, or with the error.
"""

import collections
import json
import pathlib
import sys
import traceback

# An artifact names its named tuples; their types are this program's own.
TUPLES = {
    "LSTMState": "hidden cell",
    "ConvState": "inputs hidden",
    "RouterLosses": "load_balance z",
}


def answer(artifact, calls):
    """Runs an artifact on the arguments in some files; returns the outputs' files."""
    import jax
    import numpy as np

    exported = jax.export.deserialize(pathlib.Path(artifact).read_bytes())
    run = jax.jit(exported.call)
    files = []
    for call in calls:
        leaves = np.load(call)
        args, kwargs = jax.tree.unflatten(
            exported.in_tree, [leaves[f"arr_{i}"] for i in range(len(leaves.files))]
        )
        out = jax.tree.leaves(run(*args, **kwargs))
        files.append(call.replace(".npz", ".out.npz"))
        np.savez(files[-1], *map(np.asarray, out))
    return files


def main():
    """Answers until the input ends."""
    for blocked in ("haiku", "rlax"):
        sys.modules[blocked] = None  # type: ignore[assignment]
    import jax

    for name, fields in TUPLES.items():
        jax.export.register_namedtuple_serialization(
            collections.namedtuple(name, fields), serialized_name=f"haiku.{name}"
        )
    for line in sys.stdin:
        try:
            reply = {"files": answer(**json.loads(line))}
        except Exception:
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
