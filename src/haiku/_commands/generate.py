"""`python -m haiku generate`: a model of a folder continues a text."""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from haiku.generation import stream
from haiku.pretrained import Tokenizer, load

__all__ = ["main"]

_ABOUT = """\
Writes what a model makes of a text, as it comes. FOLDER is a folder of Hugging Face's
with config.json, weights and tokenizer.json. The text goes to the output, what is being
done to the error output. The exit status is 0, or 1 if the folder or an option can't be
used.
"""


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _write(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m haiku generate",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER")
    add("--prompt", required=True, help="the text to go on from; - reads the input")
    add("--max-new-tokens", type=int, default=128, metavar="N")
    add("--temperature", type=float, default=0.0, help="0, the default: the likeliest")
    add("--top-k", type=int, metavar="K")
    add("--top-p", type=float, metavar="P")
    add("--min-p", type=float, metavar="P")
    add("--repetition-penalty", type=float, default=1.0, metavar="X")
    add("--stop", action="append", default=[], metavar="TEXT", help="may be repeated")
    add("--seed", type=int, default=0, help="of the draws")
    add("--dtype", help="of the parameters, such as bfloat16; default: the folder's")
    return parser


def _write(options: argparse.Namespace) -> int:
    _say(f"Loading {options.folder}")
    model, tokenizer = load(options.folder, dtype=options.dtype)
    if tokenizer is None:
        raise ValueError(
            f"{options.folder} has no tokenizer.json, which a prompt needs: save it "
            "with the model, or generate from tokens in Python."
        )
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    texts = tokenizer([prompt])
    _say(f"{texts.tokens.shape[1]} tokens of prompt; compiling")
    start, found, shown = time.perf_counter(), [], ""
    steps = stream(
        model,
        texts.tokens,
        mask=texts.mask,
        max_new_tokens=options.max_new_tokens,
        rng_key=options.seed,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        eos=tokenizer.eos,
        stop=options.stop,
        tokenizer=tokenizer,
    )
    first = start
    for new in steps:
        if not found:
            first = time.perf_counter()
        found.append(int(new[0]))
        text = _text(tokenizer, found)
        if text.startswith(shown) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
            print(text[len(shown) :], end="", flush=True)
            shown = text
    text = _text(tokenizer, found)
    print(text[len(shown) :] if text.startswith(shown) else f"\n{text}", flush=True)
    seconds = time.perf_counter() - first
    rate = f", {(len(found) - 1) / seconds:.1f} a second" if len(found) > 1 else ""
    _say(f"{len(found)} tokens{rate}; {first - start:.1f} s to the first")
    return 0


def _text(tokenizer: Tokenizer, tokens: list[int]) -> str:
    return "".join(tokenizer.decode(np.asarray([tokens], np.int32)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
