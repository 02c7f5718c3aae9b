"""What diffusers computes: its models, their inputs, outputs and gradients.

Images are channels last here, `[B, H, W, C]`, as ours are.
"""

import diffusers
import numpy as np
import torch

NETS = ("dit", "unet")
B = 3
# A gradient is kept of these tensors.
GRADIENTS = (
    *("pos_embed.proj.weight", "0.norm1.emb.timestep_embedder.linear_2.weight"),
    *("1.norm1.emb.timestep_embedder.linear_1.bias", "embedding_table.weight"),
    *("1.norm1.linear.weight", "0.norm1.linear.bias", "1.attn1.to_q.weight"),
    *("1.attn1.to_out.0.bias", "0.norm3.weight", "1.ff.net.0.proj.weight"),
    *("1.ff.net.2.bias", "proj_out_1.weight", "proj_out_2.weight"),
)


def knows(architecture):
    """Whether a class is one of diffusers."""
    return hasattr(diffusers, architecture)


def made(case):
    return getattr(diffusers, case.architecture)(**case.config)


def load(folder, architecture, dtype=torch.float32):
    """A model, and by kind the names that didn't fit."""
    kind = getattr(diffusers, architecture)
    options = {"torch_dtype": dtype, "output_loading_info": True}
    model, info = kind.from_pretrained(folder, **options)
    return model.eval(), info


def inputs_of(case):
    """Images, timesteps, and classes where the model reads them, under our names."""
    config, draw = case.config, np.random.default_rng(0)
    size = config["sample_size"]
    shape = (B, *(case.sizes or (size, size)), config["in_channels"])
    images = np.round(draw.standard_normal(shape) * 8) / 8
    inputs = {"images": torch.from_numpy(images).float()}
    inputs["timesteps"] = torch.tensor([0, 37, 901], dtype=torch.int32)
    number = config.get("num_embeds_ada_norm")
    if number is not None:
        inputs["classes"] = torch.tensor([0, number - 1, number], dtype=torch.int32)
    return inputs


def run(model, inputs):
    images = inputs["images"].permute(0, 3, 1, 2).to(model.dtype)
    options = {"timestep": inputs["timesteps"].long()}
    if "classes" in inputs:
        options["class_labels"] = inputs["classes"].long()
    return model(images, **options).sample.permute(0, 2, 3, 1)


def gradients(model):
    """The gradients that are kept, under the names of files."""
    named = model.named_parameters()
    return {name: p.grad for name, p in named if name.endswith(GRADIENTS)}
