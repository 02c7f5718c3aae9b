"""The net of `examples/gpt.py` in PyTorch, trained alike: writes its curves down.

    .venv-bench/bin/python benchmarks/gpt_training.py               # three seeds
    .venv-bench/bin/python benchmarks/gpt_training.py --out FILE

The same text, the same batches, the same initial values and the same optimizer as the
example's seeds; what differs is the library. The example draws the curves of the file
beside its own, so that it needs no PyTorch.
"""

import json
import math
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "examples")]

import gpt  # noqa: E402

import haiku as hk  # noqa: E402


class Block(nn.Module):
    """Attention to what came before, and an MLP."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        for name in ("query", "key", "value", "output"):
            setattr(self, name, nn.Linear(width, width))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        """The same shape [B, T, D]."""
        h = self.attention_norm(x)
        q, k, v = (
            f(h).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for f in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).flatten(2))
        h = functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh")
        return x + self.down(h)


class GPT(nn.Module):
    """Embeddings, blocks, a norm, and the embeddings again as the head."""

    def __init__(self, config):
        super().__init__()
        width = config.model_size
        self.embed = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_length, width)
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens):
        """Logits [B, T, V]."""
        x = self.embed(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.embed.weight.T


@torch.no_grad()
def put(model, params):
    """Gives the module the values of ours."""
    for path, named in params.items():
        name = path.rpartition("/")[2]
        stacked = "/blocks/" in path
        for i, at in enumerate(model.blocks if stacked else [model]):
            layer = getattr(at, name)
            for key, value in named.items():
                own = torch.tensor(np.asarray(value[i] if stacked else value))
                bias = key in ("b", "offset")
                (layer.bias if bias else layer.weight).copy_(
                    own.T if key == "w" else own
                )


def groups(model):
    """Matrices, which decay, and the others."""
    matrices = [
        layer.weight
        for block in model.blocks
        for layer in block.modules()
        if isinstance(layer, nn.Linear)
    ]
    known = {id(x) for x in matrices}
    others = [x for x in model.parameters() if id(x) not in known]
    return [
        {"params": matrices, "weight_decay": 0.1},
        {"params": others, "weight_decay": 0.0},
    ]


def rate(step, steps, peak):
    """100 steps up, then half a cosine down to a tenth."""
    warmup = min(100, steps // 2)
    if step < warmup:
        return peak * step / warmup
    part = (step - warmup) / (steps - warmup)
    return peak * (0.1 + 0.9 * (1 + math.cos(math.pi * part)) / 2)


def loss_fn(model, tokens):
    """The mean loss of the next letters."""
    logits = model(tokens[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def train(text, held_out, letters, arguments, seed):
    """A curve on held-out text, and minutes without that."""
    config = gpt.config_of(len(letters), arguments)
    model = GPT(config)
    put(model, gpt.start(hk.nets.Decoder, config, seed).params)
    optimizer = torch.optim.AdamW(groups(model), betas=(0.9, 0.99), eps=1e-8)
    tests = torch.tensor(gpt.windows(held_out, arguments.context)).long()

    @torch.no_grad()
    def held_out_loss():
        parts = tests.split(66)
        sums = [loss_fn(model, x).item() * len(x) for x in parts]
        return sum(sums) / len(tests)

    steps, curve, seconds = arguments.steps, ([], []), 0.0
    own = (steps, arguments.batch_size, arguments.context, seed)
    for i, batch in enumerate(gpt.batches(text, *own)):
        if i % -(-steps // 10) == 0:
            curve[0].append(i)
            curve[1].append(held_out_loss())
        begin = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(i, steps, arguments.learning_rate)
        loss = loss_fn(model, torch.from_numpy(batch).long())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds += time.perf_counter() - begin
    curve[0].append(steps)
    curve[1].append(held_out_loss())
    return curve, seconds / 60


def main():
    parser = gpt.parser_of(__doc__)
    parser.set_defaults(seeds=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=gpt.PYTORCH)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    letters, text, held_out = gpt.split_text()
    curves, minutes = [], []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        curve, took = train(text, held_out, letters, arguments, seed)
        print(f"seed {seed}: {curve[1][-1]:.4f} nats per letter, {took:.1f} minutes")
        curves.append((curve[0], [round(x, 4) for x in curve[1]]))
        minutes.append(round(took, 2))
    found = {"torch": torch.__version__, "minutes": minutes, "curves": curves}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
