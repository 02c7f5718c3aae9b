"""What transformers computes of images: inputs, outputs and gradients.

Images are channels last here, `[B, H, W, C]`, as ours are.
"""

import pathlib
import tempfile

import diffusion_models
import numpy as np
import safetensors.torch
import torch
from cases import T

B, TEXTS, END = 2, 3, 30
# A gradient is kept of these tensors; of the last layer where there are several.
GRADIENTS = (
    *("cls_token", "class_embedding", "position_embeddings", "register_tokens"),
    *("position_embedding.weight", "projection.weight", "patch_embedding.weight"),
    *("attention.query.weight", "attention.query.bias", "layernorm_before.weight"),
    *("norm1.weight", "lambda1", "weights_in.weight", "fc1.bias", "q_proj.weight"),
    *("pooler.dense.weight", "classifier.weight", "head.probe", "in_proj_weight"),
    *("post_layernorm.weight", "pre_layrnorm.weight", "head.weight"),
    *("token_embedding.weight", "logit_scale", "logit_bias"),
    *("patch_embeddings.weight", "dwconv.weight", "pwconv1.bias", "grn.weight"),
    *("grn.bias", "layer_scale_parameter", "downsampling_layer.1.weight"),
)


def inputs_of(case):
    """Images, and texts where the model reads any, under our names."""
    config = case.config.get("vision_config", case.config)
    sizes = case.sizes or pair(config["image_size"])
    draw = np.random.default_rng(0)
    shape = (B, *sizes, config.get("num_channels", 3))
    images = np.round(draw.standard_normal(shape) * 8) / 8
    inputs = {"images": torch.from_numpy(images).float()}
    if case.net == "clip":
        inputs |= {k: torch.from_numpy(x) for k, x in texts_of(case, draw).items()}
    return inputs


def texts_of(case, draw):
    """Texts with an end token each; padding, where a mask tells it, is that too."""
    tokens = draw.integers(3, END, (TEXTS, T))
    mask = np.arange(T) < np.array([T, T - 3, T - 7])[:, None]
    tokens[np.arange(TEXTS), mask.sum(1) - 1] = END
    tokens[0, 4] = END  # the first counts
    if case.config["text_config"].get("eos_token_id") == END:
        tokens[1, 2] = END + 1  # the largest number doesn't
    if not case.masked:
        return {"tokens": tokens}
    return {"tokens": np.where(mask, tokens, END), "mask": mask}


def pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def run(model, inputs):
    """The output, and what stands beside it, by name."""
    if "timesteps" in inputs:
        return diffusion_models.run(model, inputs), {}
    images = inputs["images"].permute(0, 3, 1, 2).to(model.dtype)
    config, options = getattr(model.config, "vision_config", model.config), {}
    always = config.model_type.startswith(("dinov2", "convnext"))
    if not always and images.shape[2:] != pair(config.image_size):
        options["interpolate_pos_encoding"] = True
    if "tokens" in inputs:
        options["input_ids"] = inputs["tokens"].long()
    if "mask" in inputs:
        options["attention_mask"] = inputs["mask"].long()
    out = model(pixel_values=images, **options)
    if hasattr(out, "logits_per_image"):
        beside = {"image_embeddings": out.image_embeds}
        return out.logits_per_image, beside | {"text_embeddings": out.text_embeds}
    if hasattr(out, "logits"):
        return out.logits, {}
    pooled, output = getattr(out, "pooler_output", None), out.last_hidden_state
    if output.ndim == 4:
        output = output.permute(0, 2, 3, 1)  # a map
    return output, {} if pooled is None else {"pooled": pooled}


def loss(output, beside, extra):
    """Of classes, or weighted sums of the output; and the sum of what is beside."""
    if "labels" in extra:
        of_output = torch.nn.functional.cross_entropy(output, extra["labels"].long())
    else:
        of_output = (output * extra["weights"]).sum() / len(output)
    return of_output + sum(x.sum() for x in beside.values())


def counted(inputs):
    """The inputs as a file holds them."""
    return {k: x.int() if k == "tokens" else x for k, x in inputs.items()}


def gradients(model):
    """The gradients of a model's parameters, under the names of files."""
    if diffusion_models.knows(type(model).__name__):
        return diffusion_models.gradients(model)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for p in model.parameters():
            p.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
        model.save_pretrained(folder)
        tensors = safetensors.torch.load_file(pathlib.Path(folder, "model.safetensors"))
    numbers = {
        name: [int(x) for x in name.split(".") if x.isdigit()] for name in tensors
    }
    found = {}
    for ending in GRADIENTS:
        of_ending = [name for name in tensors if name.endswith(ending)]
        last = max((numbers[name] for name in of_ending), default=[])
        of_ending = [name for name in of_ending if numbers[name] in ([], last)]
        found |= {name: tensors[name] for name in of_ending}
    return found
