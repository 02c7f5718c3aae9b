"""Runs one library's cases and keeps what each gives: a number, or an error.

    python oracles/run.py rlax OUT.pickle      # whichever rlax this interpreter imports

A case file (`rlax_cases.py`, `haiku_cases.py`) has `cases()`, which yields a name and a
function without arguments: `"td_learning: r_t [3]", lambda: rlax.td_learning(...)`.
The same cases run with the reference and with ours; `compare.py` reads both files.
"""

import importlib
import pathlib
import pickle
import sys
import warnings

import jax
import numpy as np


def as_numbers(tree):
    """The leaves as NumPy arrays, bfloat16 as float32, and the dtype of each."""
    leaves = []
    for x in jax.tree.leaves(tree):
        if hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        x = np.asarray(x)
        dtype = x.dtype.name
        leaves.append((dtype, x.astype(np.float32) if dtype == "bfloat16" else x))
    return leaves


def main(suite, out):
    warnings.simplefilter("ignore")
    found = {}
    for name, run in importlib.import_module(f"{suite}_cases").cases():
        assert name not in found, f"two cases are called {name!r}"
        try:
            found[name] = ("value", as_numbers(run()))
        except Exception as error:  # What a library refuses is what is looked for.
            found[name] = ("error", f"{type(error).__name__}: {error}".splitlines()[0])
    pathlib.Path(out).write_bytes(pickle.dumps(found))
    where = importlib.import_module(suite).__file__
    print(f"{suite}: {len(found)} cases with {where}")


if __name__ == "__main__":
    main(*sys.argv[1:])
