"""`python -m haiku plan`: does a language model's training fit a mesh of devices?"""

from __future__ import annotations

import argparse
import functools
import json
import math
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from haiku import nets, parallel
from haiku._core import custom_creator, transform

__all__ = ["main"]

_ABOUT = """\
Compiles a training step of a language model with Adam for many devices, on this CPU and
without computing anything, and says what each device holds and sends. Bytes of
parameters and optimizer are exact; temporaries and collectives are those of XLA's
compiler for CPUs, which computes bfloat16 in float32, has no fused attention, and
leaves an all-reduce where a GPU or TPU would scatter. A model of 70b takes minutes. The
exit status is 0, or 1 if the training doesn't fit or an option can't be used.
"""

_LLAMA: dict[str, Any] = {"num_kv_heads": 8, "remat": True}
MODELS = {
    "1b": {
        **_LLAMA,
        **{"vocab_size": 128256, "model_size": 2048, "num_layers": 16},
        **{"num_heads": 32, "hidden_size": 8192, "tied": True},
    },
    "7b": {
        **{"vocab_size": 32000, "model_size": 4096, "num_layers": 32},
        **{"num_heads": 32, "hidden_size": 11008, "remat": True},
    },
    "8b": {
        **_LLAMA,
        **{"vocab_size": 128256, "model_size": 4096, "num_layers": 32},
        **{"num_heads": 32, "hidden_size": 14336},
    },
    "70b": {
        **_LLAMA,
        **{"vocab_size": 128256, "model_size": 8192, "num_layers": 80},
        **{"num_heads": 64, "hidden_size": 28672},
    },
    "8x22b": {
        **_LLAMA,
        **{"vocab_size": 32768, "model_size": 6144, "num_layers": 56},
        **{"num_heads": 48, "hidden_size": 16384},
        "experts": nets.ExpertsConfig(8, 2, 16384),
    },
}
RULES = {
    "data": parallel.data,
    "fsdp": parallel.fully_sharded,
    "tensor": parallel.tensor,
    "sequence": parallel.sequence,
    "expert": functools.partial(parallel.expert, "model"),
}


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _plan(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m haiku plan",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    models = ", ".join(MODELS)
    add("--model", required=True, help=f"{models}, or a file of DecoderConfig's fields")
    add("--devices", type=int, required=True, metavar="N")
    add(
        "--rules",
        required=True,
        nargs="+",
        help="sets of rules to compare, each such as fsdp+tensor, of "
        + ", ".join(RULES),
    )
    add("--model-axis", type=int, metavar="N", help="devices of tensor, sequence and "
        "expert; default: 8, or all if there are fewer")  # fmt: skip
    add("--batch", type=int, metavar="ROWS", help="default: one for each data part")
    add("--length", type=int, default=4096, metavar="TOKENS")
    add("--dtype", default="bfloat16", help="of the parameters; default: bfloat16")
    add("--memory", type=float, metavar="GB", help="of a device, to see what fits")
    add("--flops", type=float, default=459e12, help="a second; default: a TPU v5p's")
    add("--link", type=float, default=100e9, help="bytes a second; default: as there")
    return parser


def _plan(options: argparse.Namespace) -> int:
    import optax

    config = _config(options.model)
    rules = {text: _rules(text) for text in options.rules}
    if options.devices < 1:
        raise ValueError(f"--devices must be at least 1, got {options.devices}.")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", options.devices)
    dtype = jnp.dtype(options.dtype)

    def forward(tokens: Any) -> Any:
        def creator(next_creator: Any, shape: Any, _: Any, init: Any, context: Any):
            return next_creator(shape, dtype, init)

        with custom_creator(creator):
            return nets.Decoder(config)(tokens)

    fits = True
    for text, chosen in rules.items():
        mesh = _mesh(options, text)
        rows = options.batch or mesh.shape["data"]
        tokens = jax.ShapeDtypeStruct([rows, options.length], jnp.int32)
        print(f"{text}, {rows} rows of {options.length} tokens, {dtype} parameters")
        found = parallel.plan(
            transform(forward),
            chosen,
            mesh,
            tokens,
            optimizer=optax.adam(1e-4),
            memory=None if options.memory is None else options.memory * 1e9,
            flops_per_second=options.flops,
            bytes_per_second=options.link,
        )
        print(f"{found}\n", flush=True)
        fits &= found.memory is None or found.bytes <= found.memory
    return 0 if fits else 1


def _config(model: str) -> nets.DecoderConfig:
    if model in MODELS:
        return nets.DecoderConfig(**MODELS[model])
    path = pathlib.Path(model)
    if not path.is_file():
        raise ValueError(
            f"--model must be one of {', '.join(MODELS)}, or a JSON file with the "
            f"fields of hk.nets.DecoderConfig, got {model!r}."
        )
    fields = json.loads(path.read_text())
    if not isinstance(fields, dict):
        raise ValueError(f"{model} must hold an object of DecoderConfig's fields.")
    given: dict[str, Any] = {"remat": True} | fields
    return nets.DecoderConfig(**given)


def _rules(text: str) -> parallel.Rules:
    out = parallel.Rules()
    for name in text.split("+"):
        if name not in RULES:
            raise ValueError(
                f"--rules must be names joined by +, of {', '.join(RULES)}, got "
                f"{text!r}."
            )
        out = out | RULES[name]()
    return out


def _mesh(options: argparse.Namespace, text: str) -> Any:
    names = text.split("+")
    splits = {"tensor", "sequence", "expert"} & set(names)
    model = 1
    if splits:
        model = options.model_axis or math.gcd(8, options.devices)
    if not {"data", "fsdp"} & set(names):
        model = options.devices
    if options.devices % model:
        raise ValueError(
            f"--model-axis must divide --devices, got {model} and {options.devices}."
        )
    sizes = options.devices // model, model
    kinds = (AxisType.Auto,) * 2
    return jax.make_mesh(sizes, ("data", "model"), axis_types=kinds)
