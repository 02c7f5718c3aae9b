"""The outputs, gradients and balance losses of transformers' mixtures of experts.

python oracles/nets/experts_values.py    # where transformers is installed
"""

import importlib.metadata
import json
import pathlib

import torch
import transformers

PATH = pathlib.Path(__file__).parents[2] / "tests/haiku/oracle_values/experts.json"
EXPERTS, SELECTED, SIZE, HIDDEN = 5, 2, 8, 4
TOKENS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
# A name, the model, and keys of its config.
CASES = [
    ("mixtral", "Mixtral", {"num_local_experts": EXPERTS}),
    *(
        (
            f"qwen3_moe, norm_topk_prob={norm}",
            "Qwen3Moe",
            {
                **{"num_experts": EXPERTS, "norm_topk_prob": norm},
                "moe_intermediate_size": HIDDEN,
            },
        )
        for norm in (True, False)
    ),
    (
        "gpt_oss",
        "GptOss",
        {"num_local_experts": EXPERTS, "layer_types": ["full_attention"]},
    ),
]


def by_our_names(values):
    """Parameters, or their gradients: matrices `[in, out]`, gates and `up` apart."""
    router = "router" if "router.weight" in values else "gate"
    made = {"router/w": values[f"{router}.weight"].T}
    both, down = values["experts.gate_up_proj"], values["experts.down_proj"]
    if router == "router":  # gpt-oss: biases, columns in turns, already `[in, out]`
        biases = values["experts.gate_up_proj_bias"]
        made |= {"router/b": values["router.bias"]}
        made |= {"gate_b": biases[:, ::2], "up_b": biases[:, 1::2]}
        made |= {"down_b": values["experts.down_proj_bias"]}
        return made | {"gate": both[..., ::2], "up": both[..., 1::2], "down": down}
    made |= {"gate": both[:, :HIDDEN].mT, "up": both[:, HIDDEN:].mT}
    return made | {"down": down.mT}


def values_of(model):
    block = model.model.layers[0].mlp
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.round(8 * torch.randn(p.shape)) / 16)  # few digits
    seen = []
    handle = block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    out = model(TOKENS, attention_mask=MASK, output_router_logits=True)
    handle.remove()
    x = seen[0].detach().requires_grad_()
    y = block(x)
    y = y[0] if isinstance(y, tuple) else y
    model.zero_grad()
    torch.sum(torch.sin(y)).backward()
    parameters = dict(block.named_parameters())
    gradients = by_our_names({name: p.grad for name, p in parameters.items()})
    return {
        "x": x,
        "mask": MASK,
        "y": y,
        "load_balance": out.aux_loss / SELECTED,  # theirs adds up the k choices' parts
        "parameters": by_our_names(parameters),
        "gradients": {"x": x.grad} | {k: gradients[k] for k in ("router/w", "down")},
    }


def plain(value):
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(x) for x in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def main():
    cases = []
    for name, kind, keys in CASES:
        torch.manual_seed(1)
        config = getattr(transformers, f"{kind}Config")(
            **{"vocab_size": 8, "hidden_size": SIZE, "intermediate_size": HIDDEN},
            **{"num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 4},
            **{"num_key_value_heads": 1, "num_experts_per_tok": SELECTED, **keys},
        )
        model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
        cases.append({"block": name, **plain(values_of(model))})
    version = importlib.metadata.version("transformers")
    head = json.dumps({"library": "transformers", "version": version})[:-1]
    rows = ",\n".join(map(json.dumps, cases))
    PATH.write_text(f'{head}, "cases": [\n{rows}\n]}}\n', encoding="utf-8")
    print(f"{PATH.name}: {len(cases)} cases")


if __name__ == "__main__":
    main()
