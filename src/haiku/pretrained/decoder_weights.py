"""How families of decoders name their weights, and in which layout."""

from __future__ import annotations

from haiku.pretrained.layouts import LINEAR, PLAIN, Layout, Rule


def _attention_rules() -> tuple[Rule, ...]:
    """Weights of attention under Llama's names, and biases."""
    names = {"query": "q", "key": "k", "value": "v", "output": "o"}
    rules = []
    for ours, theirs in names.items():
        name = f"^layers.{{i}}.self_attn.{theirs}_proj"
        rules.append(Rule(f"{name}.weight", f"block/attention/{ours}/w", LINEAR))
        rules.append(Rule(f"{name}.bias", f"block/attention/{ours}/b", PLAIN))
    return tuple(rules)


_QK_NORM = (
    Rule("^layers.{i}.self_attn.q_norm.weight", "block/attention/query_norm/scale"),
    Rule("^layers.{i}.self_attn.k_norm.weight", "block/attention/key_norm/scale"),
)
_MLP = tuple(
    rule
    for name in ("gate", "up", "down")
    for rule in (
        Rule(f"^layers.{{i}}.mlp.{name}_proj.weight", f"block/mlp/{name}/w", LINEAR),
        Rule(f"^layers.{{i}}.mlp.{name}_proj.bias", f"block/mlp/{name}/b"),
    )
)
_ENDS = (
    Rule("^embed_tokens.weight", "embed/embeddings"),
    Rule("^norm.weight", "norm/scale"),
)
_PRE = (
    Rule("^layers.{i}.input_layernorm.weight", "block/attention_norm/scale"),
    Rule("^layers.{i}.post_attention_layernorm.weight", "block/mlp_norm/scale"),
)
_POST = (
    Rule(
        "^layers.{i}.post_attention_layernorm.weight",
        "block/attention_norm_post/scale",
    ),
    Rule("^layers.{i}.post_feedforward_layernorm.weight", "block/mlp_norm_post/scale"),
)
_BOTH = (
    Rule("^layers.{i}.input_layernorm.weight", "block/attention_norm/scale"),
    *_POST,
    Rule("^layers.{i}.pre_feedforward_layernorm.weight", "block/mlp_norm/scale"),
)
LLAMA = (*_ENDS, *_PRE, *_attention_rules(), *_MLP)


PHI3 = (
    *(*_ENDS, *_PRE),
    Rule(
        "^layers.{i}.self_attn.qkv_proj.weight",
        tuple(f"block/attention/{x}/w" for x in ("query", "key", "value")),
        LINEAR,
    ),
    Rule("^layers.{i}.self_attn.o_proj.weight", "block/attention/output/w", LINEAR),
    Rule(
        "^layers.{i}.mlp.gate_up_proj.weight",
        ("block/mlp/gate/w", "block/mlp/up/w"),
        LINEAR,
    ),
    Rule("^layers.{i}.mlp.down_proj.weight", "block/mlp/down/w", LINEAR),
)

TOKENS = Rule("lm_head.weight", "head/w", LINEAR)
CLASSES = Rule("score.weight", "head/w", LINEAR)
GPT2 = (
    Rule("^wte.weight", "embed/embeddings"),
    Rule("^wpe.weight", "positions/embeddings"),
    Rule("^ln_f.weight", "norm/scale"),
    Rule("^ln_f.bias", "norm/offset"),
    *(
        Rule(f"^h.{{i}}.{theirs}.{of_theirs}", f"block/{ours}/{of_ours}")
        for theirs, ours in (("ln_1", "attention_norm"), ("ln_2", "mlp_norm"))
        for of_theirs, of_ours in (("weight", "scale"), ("bias", "offset"))
    ),
    *(
        Rule(
            f"^h.{{i}}.attn.c_attn.{theirs}",
            tuple(f"block/attention/{x}/{ours}" for x in ("query", "key", "value")),
            layout,
        )
        for theirs, ours, layout in (("weight", "w", PLAIN), ("bias", "b", PLAIN))
    ),
    *(
        Rule(f"^h.{{i}}.{theirs}.{of_theirs}", f"block/{ours}/{of_ours}", layout)
        for theirs, ours in (
            ("attn.c_proj", "attention/output"),
            ("mlp.c_fc", "mlp/up"),
            ("mlp.c_proj", "mlp/down"),
        )
        for of_theirs, of_ours, layout in (
            ("weight", "w", PLAIN),
            ("bias", "b", PLAIN),
        )
    ),
)
QWEN3 = (*LLAMA, *_QK_NORM)
GEMMA2 = (*_ENDS, *_BOTH, *_attention_rules(), *_MLP)
GEMMA3 = (*GEMMA2, *_QK_NORM)
OLMO2 = (*_ENDS, *_POST, *_attention_rules(), *_QK_NORM, *_MLP)


def _expert_rules(theirs: str, gate: str, up: str, down: str) -> tuple[Rule, ...]:
    """A router and a tensor for each expert."""
    names = {"gate": gate, "up": up, "down": down}
    return (
        Rule(f"{theirs}.gate.weight", "block/experts/router/w", LINEAR),
        *(
            Rule(
                f"{theirs}.experts.{{e}}.{name}.weight", f"block/experts/{ours}", LINEAR
            )
            for ours, name in names.items()
        ),
    )


MIXTRAL = (
    *(*_ENDS, *_PRE, *_attention_rules()),
    *_expert_rules("^layers.{i}.block_sparse_moe", "w1", "w3", "w2"),
)
QWEN3_MOE = (
    *QWEN3,
    *_expert_rules("^layers.{i}.mlp", "gate_proj", "up_proj", "down_proj"),
)
_GATE_UP = ("block/experts/gate", "block/experts/up")
GPT_OSS = (
    *(*_ENDS, *_PRE, *_attention_rules()),
    Rule("^layers.{i}.self_attn.sinks", "block/attention/sinks"),
    Rule("^layers.{i}.mlp.router.weight", "block/experts/router/w", LINEAR),
    Rule("^layers.{i}.mlp.router.bias", "block/experts/router/b"),
    Rule("^layers.{i}.mlp.experts.gate_up_proj", _GATE_UP, Layout(interleaved=True)),
    Rule(
        "^layers.{i}.mlp.experts.gate_up_proj_bias",
        tuple(f"{name}_b" for name in _GATE_UP),
        Layout(interleaved=True),
    ),
    Rule("^layers.{i}.mlp.experts.down_proj", "block/experts/down"),
    Rule("^layers.{i}.mlp.experts.down_proj_bias", "block/experts/down_b"),
)
