"""A training step and a decode step of small GPTs, beside flax.nnx, equinox, PyTorch.

    .venv-bench/bin/python benchmarks/gpt.py         # both sizes, one and two cores
    .venv-bench/bin/python benchmarks/gpt.py --rounds 1 --cores 2

Every library computes the same net from the same weights: learned positions, layer
norms, tanh gelu, the head tied to the embeddings, Adam. Each runs in a process of its
own, in turns; figures are medians of the rounds. A run ends with an error where losses
or decoded logits differ.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

SRC = pathlib.Path(__file__).parent.parent / "src"
SIZES = {  # layers, heads, width, length, batch
    "4 layers of 128": (4, 4, 128, 64, 12),
    "12 layers of 256": (12, 4, 256, 64, 12),
}
VOCAB, RATE = 65, 1e-3
PROMPT = 32  # tokens before the timed decode step
LINEARS = ("query", "key", "value", "output", "up", "down")
NORMS = ("attention_norm", "mlp_norm")


@functools.cache
def weights(size):
    """All arrays, float32; those of layers have them as the first axis."""
    layers, _, width, length, _ = SIZES[size]
    random = np.random.default_rng(0)

    def normal(*shape):
        return (0.05 * random.standard_normal(shape)).astype(np.float32)

    found = {"embed": normal(VOCAB, width), "positions": normal(length, width)}
    for name in LINEARS:
        inputs = 4 * width if name == "down" else width
        outputs = 4 * width if name == "up" else width
        found[name] = normal(layers, inputs, outputs), normal(layers, outputs)
    for name in NORMS:
        found[name] = 1 + normal(layers, width), normal(layers, width)
    found["norm"] = 1 + normal(width), normal(width)
    return found


@functools.cache
def texts(size):
    """Tokens, one more than a step reads."""
    _, _, _, length, batch = SIZES[size]
    return np.random.default_rng(1).integers(0, VOCAB, (batch, length + 1), np.int32)


def measured(train, decode, ready):
    """Milliseconds of a call of each, the losses of three steps, and some logits."""
    found = {}
    if decode is not None:
        found["logits"] = np.asarray(decode()).reshape(-1)[:8].tolist()
        found["decode"] = timed(lambda: ready(decode()), repeats=100)
    found["losses"] = [float(train()) for _ in range(3)]
    return found | {"train": timed(lambda: ready(train()))}


def timed(f, repeats=15):
    """Median milliseconds of `f()`, after three calls that do not count."""
    for _ in range(3):
        f()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        f()
        found.append(1e3 * (time.perf_counter() - start))
    return statistics.median(found)


# ---- Ours ----------------------------------------------------------------------------


def our_model(size):
    """A bound `hk.nets.Decoder`."""
    import jax
    import jax.numpy as jnp

    import haiku as hk

    layers, heads, width, length, _ = SIZES[size]
    config = hk.nets.DecoderConfig(
        vocab_size=VOCAB,
        model_size=width,
        num_layers=layers,
        num_heads=heads,
        max_length=length,
        position="learned",
        norm="layer",
        norm_eps=1e-5,
        activation="gelu_tanh",
        gated=False,
        attention_bias=True,
        output_bias=True,
        mlp_bias=True,
        tied=True,
    )
    w = weights(size)
    params = {
        "decoder/embed": {"embeddings": w["embed"]},
        "decoder/positions": {"embeddings": w["positions"]},
        "decoder/norm": dict(zip(("scale", "offset"), w["norm"])),
    }
    for name in LINEARS:
        part = "mlp" if name in ("up", "down") else "attention"
        params[f"decoder/blocks/{part}/{name}"] = dict(zip("wb", w[name]))
    for name in NORMS:
        params[f"decoder/blocks/{name}"] = dict(zip(("scale", "offset"), w[name]))
    net = hk.Blueprint(hk.nets.Decoder, config)
    return hk.bind(net).to(jax.tree.map(jnp.asarray, params))


def ours(size):
    """Steps of it."""
    import jax
    import jax.numpy as jnp

    import haiku as hk

    length, model, tokens = SIZES[size][3], our_model(size), jnp.asarray(texts(size))
    # Layers with arrays of their own, as in peers' lists of blocks.
    own = hk.unstack_layers(model.params, "decoder/blocks")
    model = model.replace(params=own)

    @jax.jit
    def call(model, x):
        logits, after = model.updating(x, cache_size=length)
        return logits, after.state

    _, cache = call(model, tokens[:, :PROMPT])
    reading = model.replace(state=cache)
    one = tokens[:, PROMPT : PROMPT + 1]
    return of_jax(
        size,
        model.params,
        lambda params, x: model.replace(params=params)(x),
        lambda: call(reading, one)[0],
    )


def of_jax(size, params, logits_of, decode=None):
    """Steps of a function of parameters and tokens."""
    import jax
    import optax

    tokens = jax.numpy.asarray(texts(size))
    optimizer = optax.adam(RATE)

    def loss_fn(params, tokens):
        logits = logits_of(params, tokens[:, :-1])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
        return losses.mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, tokens):
        loss, gradient = jax.value_and_grad(loss_fn)(params, tokens)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    start = jax.tree.map(lambda x: x.copy(), params)
    held = [start, optimizer.init(start)]

    def train():
        *held[:], loss = step(*held, tokens)
        return loss

    return measured(train, decode, jax.block_until_ready)


# ---- flax.nnx ------------------------------------------------------------------------


def nnx_model(size):
    """Modules of flax.nnx; `nnx.MultiHeadAttention` keeps the cache."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    layers, heads, width, length, _ = SIZES[size]

    class Block(nnx.Module):
        def __init__(self, rngs):
            self.attention_norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(
                heads, width, decode=False, rngs=rngs
            )
            self.mlp_norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
            self.up = nnx.Linear(width, 4 * width, rngs=rngs)
            self.down = nnx.Linear(4 * width, width, rngs=rngs)

        def __call__(self, x, mask, decode):
            h = self.attention_norm(x)
            x = x + self.attention(h, mask=mask, decode=decode)
            h = jax.nn.gelu(self.up(self.mlp_norm(x)), approximate=True)
            return x + self.down(h)

    class GPT(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(VOCAB, width, rngs=rngs)
            self.positions = nnx.Embed(length, width, rngs=rngs)
            self.blocks = nnx.List([Block(rngs) for _ in range(layers)])
            self.norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)

        def __call__(self, tokens, start=None):
            places = jnp.arange(tokens.shape[1]) if start is None else start[None]
            x = self.embed(tokens) + self.positions(places)
            mask = None if start is not None else nnx.make_causal_mask(tokens)
            for block in self.blocks:
                x = block(x, mask, start is not None)
            return self.embed.attend(self.norm(x))

    model, w = GPT(nnx.Rngs(0)), weights(size)

    def put(layer, kernel, bias, kernel_name="kernel"):
        at = getattr(layer, kernel_name)
        at[...] = jnp.asarray(kernel).reshape(at.shape)
        layer.bias[...] = jnp.asarray(bias).reshape(layer.bias.shape)

    model.embed.embedding[...] = jnp.asarray(w["embed"])
    model.positions.embedding[...] = jnp.asarray(w["positions"])
    put(model.norm, *w["norm"], "scale")
    for i, block in enumerate(model.blocks):
        for name in LINEARS:
            at = block if name in ("up", "down") else block.attention
            layer = getattr(at, "out" if name == "output" else name)
            put(layer, w[name][0][i], w[name][1][i])
        for name in NORMS:
            put(getattr(block, name), w[name][0][i], w[name][1][i], "scale")
    return model


def nnx(size):
    """Steps of it."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    _, _, width, length, batch = SIZES[size]
    model, tokens = nnx_model(size), jnp.asarray(texts(size))
    reading = nnx.clone(model)
    for block in reading.blocks:
        block.attention.init_cache((batch, length, width))
    graph, cache, weights_of = nnx.split(reading, nnx.Cache, ...)

    @jax.jit
    def call(cache, weights_of, tokens, start):
        model = nnx.merge(graph, cache, weights_of)
        return model(tokens, start), nnx.state(model, nnx.Cache)

    for i in range(PROMPT):
        _, cache = call(cache, weights_of, tokens[:, i : i + 1], jnp.int32(i))
    one, place = tokens[:, PROMPT : PROMPT + 1], jnp.int32(PROMPT)
    graph_of_train, params = nnx.split(model)
    return of_jax(
        size,
        params,
        lambda params, x: nnx.merge(graph_of_train, params)(x),
        lambda: call(cache, weights_of, one, place)[0],
    )


# ---- equinox -------------------------------------------------------------------------


def equinox(size):
    """Modules of equinox for one text, mapped over the batch; it has no cache."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    layers, heads, width, length, _ = SIZES[size]
    key = jax.random.key(0)

    class Block(eqx.Module):
        attention_norm: eqx.nn.LayerNorm
        attention: eqx.nn.MultiheadAttention
        mlp_norm: eqx.nn.LayerNorm
        up: eqx.nn.Linear
        down: eqx.nn.Linear

        def __init__(self):
            self.attention_norm = eqx.nn.LayerNorm(width, eps=1e-5)
            biases = {f"use_{x}_bias": True for x in LINEARS[:4]}
            self.attention = eqx.nn.MultiheadAttention(heads, width, **biases, key=key)
            self.mlp_norm = eqx.nn.LayerNorm(width, eps=1e-5)
            self.up = eqx.nn.Linear(width, 4 * width, key=key)
            self.down = eqx.nn.Linear(4 * width, width, key=key)

        def __call__(self, x, mask):
            h = jax.vmap(self.attention_norm)(x)
            x = x + self.attention(h, h, h, mask=mask)
            h = jax.vmap(self.up)(jax.vmap(self.mlp_norm)(x))
            return x + jax.vmap(self.down)(jax.nn.gelu(h, approximate=True))

    class GPT(eqx.Module):
        embed: eqx.nn.Embedding
        positions: eqx.nn.Embedding
        blocks: list
        norm: eqx.nn.LayerNorm

        def __init__(self):
            self.embed = eqx.nn.Embedding(VOCAB, width, key=key)
            self.positions = eqx.nn.Embedding(length, width, key=key)
            self.blocks = [Block() for _ in range(layers)]
            self.norm = eqx.nn.LayerNorm(width, eps=1e-5)

        def __call__(self, tokens):
            mask = jnp.tril(jnp.ones([tokens.shape[0]] * 2, bool))
            x = self.embed.weight[tokens] + self.positions.weight[: tokens.shape[0]]
            for block in self.blocks:
                x = block(x, mask)
            return jax.vmap(self.norm)(x) @ self.embed.weight.T

    def arrays(model, w):
        """Pairs of a module with `weight` and `bias`, and their arrays."""
        yield model.norm, *w["norm"]
        for i, block in enumerate(model.blocks):
            for name in LINEARS:
                own = name in ("up", "down")
                at = getattr(
                    block if own else block.attention,
                    f"{name}" if own else f"{name}_proj",
                )
                yield at, w[name][0][i].T, w[name][1][i]
            for name in NORMS:
                yield getattr(block, name), w[name][0][i], w[name][1][i]

    def places(model):
        modules = [at for at, *_ in arrays(model, w)]
        of_layers = [x for at in modules for x in (at.weight, at.bias)]
        return [model.embed.weight, model.positions.weight, *of_layers]

    model, w = GPT(), weights(size)
    values = [w["embed"], w["positions"]]
    values += [x for _, *pair in arrays(model, w) for x in pair]
    model = eqx.tree_at(places, model, [jnp.asarray(x) for x in values])
    params, static = eqx.partition(model, eqx.is_array)
    return of_jax(
        size, params, lambda params, x: jax.vmap(eqx.combine(params, static))(x)
    )


# ---- PyTorch -------------------------------------------------------------------------


def torch_eager(size):
    """A module as nanoGPT has it."""
    return of_torch(size, lambda f: f)


def torch_compiled(size):
    """The same through `torch.compile`."""
    import torch

    return of_torch(size, torch.compile)


def of_torch(size, compiled):
    """Steps of the module, compiled by a function."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    layers, heads, width, length, batch = SIZES[size]
    attend = functional.scaled_dot_product_attention

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm, self.mlp_norm = (
                nn.LayerNorm(width),
                nn.LayerNorm(width),
            )
            self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)

        def forward(self, x, cache=None, start=0):
            split = self.qkv(self.attention_norm(x)).split(width, dim=2)
            q, k, v = (y.unflatten(2, (heads, -1)).transpose(1, 2) for y in split)
            if cache is None:
                y = attend(q, k, v, is_causal=True)
            else:
                keys, values = cache
                keys[:, :, start : start + 1] = k
                values[:, :, start : start + 1] = v
                y = attend(q, keys[:, :, : start + 1], values[:, :, : start + 1])
            x = x + self.output(y.transpose(1, 2).flatten(2))
            h = functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh")
            return x + self.down(h)

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(VOCAB, width)
            self.positions = nn.Embedding(length, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)

        def forward(self, tokens, caches=None, start=0):
            places = torch.arange(start, start + tokens.shape[1])
            x = self.embed(tokens) + self.positions(places)
            for i, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[i], start)
            return self.norm(x) @ self.embed.weight.T

    def put(layer, kernel, bias=None):
        layer.weight.copy_(torch.from_numpy(kernel))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))

    model, w = GPT(), weights(size)
    with torch.no_grad():
        put(model.embed, w["embed"])
        put(model.positions, w["positions"])
        put(model.norm, *w["norm"])
        for i, block in enumerate(model.blocks):
            kernel, bias = (
                np.concatenate([w[x][j][i] for x in LINEARS[:3]], axis=-1)
                for j in (0, 1)
            )
            put(block.qkv, kernel.T, bias)
            for name in LINEARS[3:]:
                put(getattr(block, name), w[name][0][i].T, w[name][1][i])
            for name in NORMS:
                put(getattr(block, name), w[name][0][i], w[name][1][i])
        tokens = torch.from_numpy(texts(size)).long()
        shape = batch, heads, length, width // heads
        caches = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(layers)]
        for i in range(PROMPT):
            model(tokens[:, i : i + 1], caches, i)
    step = compiled(model)
    one = tokens[:, PROMPT : PROMPT + 1]

    def decode():
        with torch.no_grad():
            return step(one, caches, PROMPT)

    optimizer = torch.optim.Adam(model.parameters(), RATE)

    def train():
        logits = step(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return measured(train, decode, lambda x: x)


# ---- The table -----------------------------------------------------------------------

SUBJECTS = (ours, nnx, equinox, torch_eager, torch_compiled)


def in_a_process(subject, size, cores):
    """What a subject measures, in a new process on some cores."""
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-W", "ignore", __file__, subject.__name__, size]
    out = subprocess.check_output(
        [*command, str(cores)], env=environment, text=True, stderr=subprocess.DEVNULL
    )
    return json.loads(out.splitlines()[-1])


def check(run):
    """Ends the program where a library computes something else."""
    for name, found in run.items():
        for row in ("losses", "logits"):
            want = run["ours"][row]
            apart = max(map(abs, np.subtract(found.get(row, want), want)))
            if apart > 1e-4:
                sys.exit(f"{row} of {name} are {apart:.2g} from ours")


def show(size, cores, runs):
    """Prints the medians of some rounds, and ratios."""
    print(f"\n{size}, {cores} {'core' if cores == 1 else 'cores'}")
    print("\n| ms | train | decode | train, ours / it | decode, ours / it |")
    print("| --- | --: | --: | --: | --: |")
    rows = ("train", "decode")
    medians = {
        name: {
            row: statistics.median(run[name][row] for run in runs)
            for row in rows
            if row in runs[0][name]
        }
        for name in runs[0]
    }
    for name, found in medians.items():
        cells = [f"{found[x]:.2f}" if x in found else "-" for x in rows]
        cells += [
            f"{medians['ours'][x] / found[x]:.2f}" if x in found else "-" for x in rows
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    """Measures all, in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", nargs="*", default=[""], help="how sizes begin")
    args = parser.parse_args()
    for size in (x for x in SIZES if x.startswith(tuple(args.only))):
        for cores in args.cores:
            runs = [
                {f.__name__: in_a_process(f, size, cores) for f in SUBJECTS}
                for _ in range(args.rounds)
            ]
            check(runs[0])
            show(size, cores, runs)


if __name__ == "__main__":
    named = {f.__name__: f for f in SUBJECTS}
    if len(sys.argv) > 3 and sys.argv[1] in named:
        os.sched_setaffinity(0, range(int(sys.argv[3])))
        print(json.dumps(named[sys.argv[1]](sys.argv[2])))
    else:
        main()
