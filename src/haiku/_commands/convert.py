"""`python -m haiku convert`: a folder in another dtype, or of other shards."""

from __future__ import annotations

import argparse
import pathlib
import sys

import jax
import jax.numpy as jnp

from haiku.pretrained import load, save

__all__ = ["main"]

_ABOUT = """\
Reads a folder of Hugging Face's and writes it again: in another dtype, or in shards of
another size. IN may be OUT. The folder is replaced as a whole, or not at all. The exit
status is 0, or 1 if the folder or an option can't be used.
"""


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _convert(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m haiku convert",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="IN")
    parser.add_argument("target", metavar="OUT")
    parser.add_argument("--dtype", help="such as bfloat16; default: the folder's")
    parser.add_argument(
        *("--max-shard-size", "-s"),
        type=int,
        default=5 * 10**9,
        metavar="BYTES",
        help="of one file of weights; default: 5 GB",
    )
    return parser


def _convert(options: argparse.Namespace) -> int:
    dtype = None
    if options.dtype is not None:
        try:
            dtype = jnp.dtype(options.dtype)
        except TypeError as error:
            raise ValueError(f"--dtype {options.dtype}: {error}") from error
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"--dtype must be one of floats, and is {dtype}.")
    print(f"Reading {options.source}", flush=True)
    has_tokenizer = (pathlib.Path(options.source) / "tokenizer.json").exists()
    model, tokenizer = load(options.source, dtype=dtype, tokenizer=has_tokenizer)
    print(f"  {_about(model.params)}", flush=True)
    print(f"Writing {options.target}", flush=True)
    save(options.target, model, tokenizer, max_shard_size=options.max_shard_size)
    files = sorted(pathlib.Path(options.target).glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    print(f"  {len(files)} files of weights, {size:,} bytes", flush=True)
    return 0


def _about(params: object) -> str:
    leaves = jax.tree.leaves(params)
    dtypes = ", ".join(sorted({str(x.dtype) for x in leaves}))
    return f"{sum(x.size for x in leaves):,} parameters, {dtypes}"
