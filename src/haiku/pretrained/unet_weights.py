"""The weights of diffusers' U-Nets under their names and ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from haiku.nets.unet_config import UNetConfig, blocks_of
from haiku.pretrained.layouts import CONVOLUTION, Rule, linear, norm


def _convolution(theirs: str, ours: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{theirs}.weight", f"{ours}/w", CONVOLUTION),
        Rule(f"{theirs}.bias", f"{ours}/b"),
    )


_RESNET = (
    *norm("norm1", "norm_1"),
    *_convolution("conv1", "conv_1"),
    *linear("time_emb_proj", "time"),
    *norm("norm2", "norm_2"),
    *_convolution("conv2", "conv_2"),
    *_convolution("conv_shortcut", "shortcut"),
)


def _heads_of(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        *linear(f"{theirs}to_q", f"{ours}/query"),
        *linear(f"{theirs}to_k", f"{ours}/key"),
        *linear(f"{theirs}to_v", f"{ours}/value"),
        *linear(f"{theirs}to_out.0", f"{ours}/output"),
    )


_SELF = (*norm("group_norm", "norm"), *_heads_of("", "attention"))
_BLOCK = "transformer_blocks.{i}"
_CROSS = (
    *norm("norm", "norm"),
    *norm(f"{_BLOCK}.norm1", "block/attention_norm"),
    *_heads_of(f"{_BLOCK}.attn1.", "block/attention"),
    *norm(f"{_BLOCK}.norm2", "block/cross_attention_norm"),
    *_heads_of(f"{_BLOCK}.attn2.", "block/cross_attention"),
    *norm(f"{_BLOCK}.norm3", "block/mlp_norm"),
    *linear(f"{_BLOCK}.ff.net.0.proj", ("block/mlp/up", "block/mlp/gate")),
    *linear(f"{_BLOCK}.ff.net.2", "block/mlp/down"),
)
ENDS = (
    *linear("time_embedding.linear_1", "time_embed/in"),
    *linear("time_embedding.linear_2", "time_embed/out"),
    *_convolution("conv_in", "conv_in"),
    *norm("conv_norm_out", "norm_out"),
    *_convolution("conv_out", "conv_out"),
)


def rules_of(c: UNetConfig) -> tuple[Rule, ...]:
    """The rules of all parts of a net."""
    return tuple(_rules(c))


def _rules(c: UNetConfig) -> Iterator[Rule]:
    mapped = linear if c.linear_maps else _convolution
    cross = (*_CROSS, *mapped("proj_in", "in"), *mapped("proj_out", "out"))
    for part in _parts_of(c):
        theirs, ours = part.theirs, part.ours
        for j in range(part.resnets):
            yield from _below(f"{theirs}.resnets.{j}", f"{ours}/resnet_{j}", _RESNET)
        for j in range(part.attentions):
            at = f"{theirs}.attentions.{j}", f"{ours}/attention_{j}"
            yield from _below(*at, _SELF if part.kind == "self" else cross)
        for sampled in "downsample", "upsample":
            at = f"{theirs}.{sampled}rs.0.conv", f"{ours}/{sampled}/conv"
            yield from _convolution(*at)


def _below(theirs: str, ours: str, rules: Sequence[Rule]) -> Iterator[Rule]:
    for rule in rules:
        parts = tuple(f"{ours}/{part}" for part in rule.parts)
        yield Rule(f"{theirs}.{rule.theirs}", parts, rule.layout)


class _Part(NamedTuple):
    """A level on one of the ways, or the middle."""

    theirs: str
    ours: str
    level: int
    kind: str | None
    resnets: int
    attentions: int


def _parts_of(c: UNetConfig) -> Iterator[_Part]:
    last = len(c.sizes) - 1
    for level, (kind, n) in enumerate(zip(c.attention, c.layers_per_block)):
        up, attends = last - level, kind is not None
        of_level = level, kind
        yield _Part(f"down_blocks.{level}", f"down_{level}", *of_level, n, n * attends)
        n += 1
        yield _Part(f"up_blocks.{up}", f"up_{up}", *of_level, n, n * attends)
    if c.mid is not None:
        yield _Part("mid_block", "mid", last, c.mid, 2, int(c.mid != "plain"))


def stacks_of(c: UNetConfig) -> Mapping[str, Sequence[Any]]:
    """The kinds of the transformer blocks, by the path of the attention above."""
    return {
        f"{part.ours}/attention_{j}": blocks_of(c, part.level).kinds
        for part in _parts_of(c)
        for j in range(part.attentions)
        if part.kind == "cross"
    }


def counts_of(c: UNetConfig) -> Mapping[str, tuple[str, int]]:
    """How many tensors there are of a name that each block has once, by key."""
    parts = tuple(_parts_of(c))
    blocks = (
        part.attentions * c.transformer_layers[part.level]
        for part in parts
        if part.kind == "cross"
    )
    return {
        "layers_per_block": (".conv2.weight", sum(part.resnets for part in parts)),
        "transformer_layers_per_block": (".attn2.to_q.weight", sum(blocks)),
    }
