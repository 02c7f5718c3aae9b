"""The frequencies that transformers gives rotary embeddings of every kind.

python oracles/nets/rotary_values.py    # where transformers is installed
"""

import importlib.metadata
import json
import pathlib

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

PATH = pathlib.Path(__file__).parents[2] / "tests/haiku/oracle_values/rotary.json"
SIZE, BASE = 16, 10000.0
YARN = {"factor": 4.0, "original_max_position_embeddings": 32}
LONG = {
    "short_factor": [1.0 + 0.1 * i for i in range(SIZE // 2)],
    "long_factor": [2.0 + 0.5 * i for i in range(SIZE // 2)],
    "original_max_position_embeddings": 32,
    "factor": 4.0,
}
# A name of ours with its arguments, transformers' parameters, and a length.
CASES = [
    ("Linear", [4.0], {"rope_type": "linear", "factor": 4.0}, None),
    *(
        ("Dynamic", [2.0, 64], {"rope_type": "dynamic", "factor": 2.0}, length)
        for length in (16, 64, 65, 200)
    ),
    ("YaRN", [4.0, 32], {"rope_type": "yarn", **YARN}, None),
    (
        "YaRN",
        {"factor": 4.0, "original_length": 32, "beta_fast": 4, "beta_slow": 2},
        {"rope_type": "yarn", **YARN, "beta_fast": 4, "beta_slow": 2},
        None,
    ),
    (
        "YaRN",
        {"factor": 4.0, "original_length": 32, "truncate": False},
        {"rope_type": "yarn", **YARN, "truncate": False},
        None,
    ),
    (
        "YaRN",
        {"factor": 4.0, "original_length": 32, "attention_factor": 1.3},
        {"rope_type": "yarn", **YARN, "attention_factor": 1.3},
        None,
    ),
    (
        "YaRN",
        {"factor": 4.0, "original_length": 32, "mscale": 0.7, "mscale_all_dim": 1.2},
        {"rope_type": "yarn", **YARN, "mscale": 0.7, "mscale_all_dim": 1.2},
        None,
    ),
    (
        "Llama3",
        [8.0, 64],
        {
            **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0},
            **{"high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        },
        None,
    ),
    *(
        (
            "LongRoPE",
            [LONG["short_factor"], LONG["long_factor"], 32, 128],
            {"rope_type": "longrope", **LONG},
            length,
        )
        for length in (32, 33)
    ),
]


def main():
    cases = []
    for name, arguments, parameters, length in CASES:
        config = LlamaConfig(
            hidden_size=2 * SIZE,
            num_attention_heads=2,
            max_position_embeddings=64 if name == "Dynamic" else 128,
            rope_parameters={"rope_theta": BASE, **parameters},
        )
        f = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
        frequencies, factor = f(config, "cpu", seq_len=length)
        cases.append(
            {
                "scaling": name,
                "arguments": arguments,
                "length": length,
                "frequencies": [float(f"{x:.9g}") for x in frequencies.tolist()],
                "attention_factor": float(factor),
            }
        )
    version = importlib.metadata.version("transformers")
    head = json.dumps({"library": "transformers", "version": version})[:-1]
    rows = ",\n".join(map(json.dumps, cases))
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(f'{head}, "cases": [\n{rows}\n]}}\n', encoding="utf-8")
    print(f"{PATH.name}: {len(cases)} cases")


if __name__ == "__main__":
    main()
