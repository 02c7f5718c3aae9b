"""What transformers computes of images: inputs, outputs and gradients.

Images are channels last here, `[B, H, W, C]`, as ours are.
"""

import inspect
import pathlib
import tempfile

import numpy as np
import safetensors.torch
import torch

B, TEXTS = 2, 3
# A gradient is kept of these tensors; of the last layer where there are several.
GRADIENTS = (
    *("cls_token", "class_embedding", "position_embeddings", "register_tokens"),
    *("position_embedding.weight", "projection.weight", "patch_embedding.weight"),
    *("attention.query.weight", "attention.query.bias", "layernorm_before.weight"),
    *("norm1.weight", "lambda1", "weights_in.weight", "fc1.bias", "q_proj.weight"),
    *("pooler.dense.weight", "classifier.weight", "head.probe", "in_proj_weight"),
    *("post_layernorm.weight", "pre_layrnorm.weight", "head.weight"),
    *("token_embedding.weight", "logit_scale", "logit_bias"),
)


def inputs_of(case):
    """Images, and texts where the model reads any, under our names."""
    config = case.config.get("vision_config", case.config)
    sizes = case.sizes or pair(config["image_size"])
    draw = np.random.default_rng(0)
    shape = (B, *sizes, config.get("num_channels", 3))
    images = np.round(draw.standard_normal(shape) * 8) / 8
    return {"images": torch.from_numpy(images).float()}


def pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def run(model, inputs):
    """The output, and what stands beside it, by name."""
    images = inputs["images"].permute(0, 3, 1, 2).to(model.dtype)
    config, options = getattr(model.config, "vision_config", model.config), {}
    interpolates = (
        "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    )
    if interpolates and images.shape[2:] != pair(config.image_size):
        options["interpolate_pos_encoding"] = True
    out = model(pixel_values=images, **options)
    if hasattr(out, "logits"):
        return out.logits, {}
    pooled = getattr(out, "pooler_output", None)
    return out.last_hidden_state, {} if pooled is None else {"pooled": pooled}


def loss(output, beside, extra):
    """Of classes, or weighted sums of the output; and the sum of what is beside."""
    if "labels" in extra:
        of_output = torch.nn.functional.cross_entropy(output, extra["labels"].long())
    else:
        of_output = (output * extra["weights"]).sum() / len(output)
    return of_output + sum(x.sum() for x in beside.values())


def gradients(model):
    """The gradients of a model's parameters, under the names of files."""
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for p in model.parameters():
            p.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
        model.save_pretrained(folder)
        tensors = safetensors.torch.load_file(pathlib.Path(folder, "model.safetensors"))
    numbers = {
        name: [int(x) for x in name.split(".") if x.isdigit()] for name in tensors
    }
    last = max(x for of in numbers.values() for x in of)
    return {
        name: x
        for name, x in tensors.items()
        if name.endswith(GRADIENTS) and numbers[name] in ([], [last])
    }
