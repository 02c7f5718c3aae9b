"""Greedy texts of a small GPT, beside flax.nnx and transformers: tokens per second.

    .venv-bench/bin/python benchmarks/generation.py    # batches of 1 and 8
    .venv-bench/bin/python benchmarks/generation.py --rounds 1 --batches 1

The GPT of `gpt.py` with 12 layers of 256 writes 256 tokens after 8. Each library runs
in a process of its own, in turns; figures are medians of the rounds, without the first
call, which compiles. A run ends with an error where texts differ. flax.nnx has no
`generate`: here it is a loop of its cached steps, compiled as one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import gpt
import numpy as np

SIZE, PROMPT, NEW = "generation", 8, 256
gpt.SIZES[SIZE] = (12, 4, 256, PROMPT + NEW, 1)


def prompts(batch):
    """Integers ``[batch, 8]``."""
    return np.random.default_rng(2).integers(0, gpt.VOCAB, (batch, PROMPT))


def measured(write):
    """Seconds of a call, the median of three, and the tokens of the first text."""
    first = np.asarray(write())
    found = []
    for _ in range(3):
        start = time.perf_counter()
        write()
        found.append(time.perf_counter() - start)
    return {"seconds": statistics.median(found), "tokens": first[0].tolist()}


# ---- Libraries -----------------------------------------------------------------------


def ours(batch):
    """`hk.generation.generate`."""
    import jax
    import jax.numpy as jnp

    import haiku as hk

    model, tokens = gpt.our_model(SIZE), jnp.asarray(prompts(batch), jnp.int32)

    def write():
        out = hk.generation.generate(model, tokens, max_new_tokens=NEW)
        return jax.block_until_ready(out.tokens)

    return measured(write)


def nnx(batch):
    """One compiled loop of steps of flax.nnx; the prompt goes through it too."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    model, tokens = gpt.nnx_model(SIZE), jnp.asarray(prompts(batch), jnp.int32)
    _, _, width, length, _ = gpt.SIZES[SIZE]
    for block in model.blocks:
        block.attention.init_cache((batch, length, width))
    graph, cache, weights = nnx.split(model, nnx.Cache, ...)

    @jax.jit
    def write(cache, weights, tokens):
        def step(carry, i):
            cache, last = carry
            model = nnx.merge(graph, cache, weights)
            given = jax.lax.dynamic_index_in_dim(
                tokens, jnp.minimum(i, PROMPT - 1), axis=1
            )
            token = jnp.where(i < PROMPT, given, last)
            logits = model(token, i)
            new = jnp.argmax(logits[:, -1:], axis=-1).astype(jnp.int32)
            return (nnx.state(model, nnx.Cache), new), new[:, 0]

        begin = cache, tokens[:, :1]
        _, new = jax.lax.scan(step, begin, jnp.arange(PROMPT + NEW - 1))
        return new[PROMPT - 1 :].T

    return measured(lambda: jax.block_until_ready(write(cache, weights, tokens)))


def of_transformers(batch, compiled):
    """`generate` of GPT-2, with a static cache where it is compiled."""
    import torch
    import transformers

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    layers, heads, width, length, _ = gpt.SIZES[SIZE]
    config = transformers.GPT2Config(
        vocab_size=gpt.VOCAB,
        n_positions=length,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        bos_token_id=0,
        eos_token_id=None,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    w = gpt.weights(SIZE)

    def put(layer, kernel, bias=None):
        layer.weight.copy_(torch.from_numpy(kernel))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))

    with torch.no_grad():
        put(model.transformer.wte, w["embed"])
        put(model.transformer.wpe, w["positions"])
        put(model.transformer.ln_f, *w["norm"])
        for i, block in enumerate(model.transformer.h):
            kernel, bias = (
                np.concatenate([w[x][j][i] for x in gpt.LINEARS[:3]], axis=-1)
                for j in (0, 1)
            )
            put(block.attn.c_attn, kernel, bias)
            for layer, name in (
                (block.attn.c_proj, "output"),
                (block.mlp.c_fc, "up"),
                (block.mlp.c_proj, "down"),
                (block.ln_1, "attention_norm"),
                (block.ln_2, "mlp_norm"),
            ):
                put(layer, w[name][0][i], w[name][1][i])
    options = {"cache_implementation": "static"} if compiled else {}
    if compiled:
        model.forward = torch.compile(model.forward)
    tokens = torch.from_numpy(prompts(batch))

    def write():
        out = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=NEW,
            pad_token_id=0,
            **options,
        )
        return out[:, PROMPT:].numpy()

    return measured(write)


def eager(batch):
    """PyTorch, operation by operation."""
    return of_transformers(batch, compiled=False)


def compiled(batch):
    """PyTorch through `torch.compile`."""
    return of_transformers(batch, compiled=True)


# ---- The table -----------------------------------------------------------------------

SUBJECTS = (ours, nnx, eager, compiled)


def in_a_process(subject, batch, cores):
    """What a subject measures, in a new process on some cores."""
    environment = {**os.environ, "PYTHONPATH": str(gpt.SRC)}
    command = [sys.executable, "-W", "ignore", __file__, subject.__name__]
    out = subprocess.check_output(
        [*command, str(batch), str(cores)],
        env=environment,
        text=True,
        stderr=subprocess.DEVNULL,
    )
    return json.loads(out.splitlines()[-1])


def main():
    """Measures all, in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="*", default=[1])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8])
    args = parser.parse_args()
    for cores in args.cores:
        print(f"\n{cores} {'core' if cores == 1 else 'cores'}\n")
        print("| tokens per second | batch | | ours / it |")
        print("| --- | --: | --: | --: |")
        for batch in args.batches:
            runs = [
                {f.__name__: in_a_process(f, batch, cores) for f in SUBJECTS}
                for _ in range(args.rounds)
            ]
            texts = {name: found["tokens"] for name, found in runs[0].items()}
            wrong = [name for name, text in texts.items() if text != texts["ours"]]
            if wrong:
                sys.exit(f"texts of {', '.join(wrong)} differ from ours")
            rates = {
                f.__name__: batch
                * NEW
                / statistics.median(run[f.__name__]["seconds"] for run in runs)
                for f in SUBJECTS
            }
            for name, rate in rates.items():
                ratio = rates["ours"] / rate
                print(f"| {name} | {batch} | {rate:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    named = {f.__name__: f for f in SUBJECTS}
    if len(sys.argv) > 3 and sys.argv[1] in named:
        os.sched_setaffinity(0, range(int(sys.argv[3])))
        print(json.dumps(named[sys.argv[1]](int(sys.argv[2]))))
    else:
        main()
