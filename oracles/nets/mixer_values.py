"""What transformers' Mamba, Mamba-2 and gated delta net layers compute.

python oracles/nets/mixer_values.py    # where transformers is installed
"""

import importlib.metadata
import json
import pathlib

import numpy as np
import torch
import transformers

PATH = pathlib.Path(__file__).parents[2] / "tests/haiku/oracle_values/mixers.json"
SMALL = {"vocab_size": 8, "hidden_size": 6, "num_hidden_layers": 1}
MAMBA = {**SMALL, "state_size": 3, "expand": 2}
MAMBA2 = {**MAMBA, "num_heads": 4, "head_dim": 3, "n_groups": 2}
DELTA = {
    **{**SMALL, "layer_types": ["linear_attention"], "intermediate_size": 8},
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 2, "num_experts": 0},
    **{"linear_key_head_dim": 3, "linear_value_head_dim": 5},
    **{"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4},
}
# A model of transformers, and its config.
CASES = [
    ("MambaModel", {**MAMBA, "time_step_rank": 2}),
    ("MambaModel", {**MAMBA, "use_bias": True, "use_conv_bias": False}),
    ("MambaModel", {**MAMBA, "conv_kernel": 2, "time_step_rank": 1}),
    ("Mamba2Model", {**MAMBA2, "n_groups": 1}),
    ("Mamba2Model", {**MAMBA2, "chunk_size": 4}),
    (
        "Mamba2Model",
        {**MAMBA2, "time_step_limit": [0.1, 0.5], "use_bias": True, "conv_kernel": 3},
    ),
    ("Qwen3NextModel", DELTA),
]


def main():
    random, cases = np.random.RandomState(0), []
    for architecture, options in CASES:
        kind = getattr(transformers, architecture)
        layer = kind(kind.config_class(**options)).layers[0]
        layer = getattr(layer, "mixer", None) or layer.linear_attn

        def drawn(shape, scale=1.0):
            # Few digits, so that the file is short.
            return torch.tensor(np.round(scale * random.randn(*shape), 3)).float()

        weights = {k: drawn(v.shape, 0.4) for k, v in layer.state_dict().items()}
        layer.load_state_dict(weights)
        x = drawn((2, 7, SMALL["hidden_size"])).requires_grad_()
        y = layer(x)
        torch.sin(y).sum().backward()
        arrays = {"x": x, "y": y, "gradient": x.grad}
        cases.append(
            {
                "architecture": architecture,
                "config": options,
                "weights": {k: listed(v) for k, v in weights.items()},
                **{k: listed(v) for k, v in arrays.items()},
            }
        )
    version = importlib.metadata.version("transformers")
    head = json.dumps({"library": "transformers", "version": version})[:-1]
    rows = ",\n".join(map(json.dumps, cases))
    PATH.write_text(f'{head}, "cases": [\n{rows}\n]}}\n', encoding="utf-8")
    print(f"{PATH.name}: {len(cases)} cases")


def listed(x):
    """Nested lists of numbers with seven digits."""
    if x.ndim:
        return [listed(y) for y in x]
    return float(f"{x.item():.7g}")


if __name__ == "__main__":
    main()
