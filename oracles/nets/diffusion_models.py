"""What diffusers computes: its models, their inputs, outputs and gradients.

Images are channels last here, `[B, H, W, C]`, as ours are.
"""

import diffusers
import numpy as np
import torch

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
NETS = ("dit", "unet")
B, S = 3, 5
# A gradient is kept of these tensors.
GRADIENTS = (
    *("pos_embed.proj.weight", "0.norm1.emb.timestep_embedder.linear_2.weight"),
    *("1.norm1.emb.timestep_embedder.linear_1.bias", "embedding_table.weight"),
    *("1.norm1.linear.weight", "0.norm1.linear.bias", "1.attn1.to_q.weight"),
    *("1.attn1.to_out.0.bias", "0.norm3.weight", "1.ff.net.0.proj.weight"),
    *("1.ff.net.2.bias", "proj_out_1.weight", "proj_out_2.weight"),
    *("conv_in.weight", "time_embedding.linear_1.weight", "conv_norm_out.bias"),
    *("down_blocks.0.downsamplers.0.conv.weight", "up_blocks.0.upsamplers.0.conv.bias"),
    *("down_blocks.1.resnets.0.conv_shortcut.weight", "conv_out.bias"),
    *("up_blocks.0.resnets.1.time_emb_proj.weight", "up_blocks.1.resnets.1.norm2.bias"),
    *("mid_block.attentions.0.to_k.weight", "mid_block.attentions.0.group_norm.bias"),
    *("mid_block.attentions.0.proj_in.weight", "0.attn2.to_v.weight"),
    *("0.attn1.to_k.weight", "mid_block.resnets.0.conv1.bias"),
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
    """Images, timesteps; classes or a context where the model reads them."""
    config, draw = case.config, np.random.default_rng(0)
    size = config["sample_size"]
    shape = (B, *(case.sizes or (size, size)), config["in_channels"])
    images = np.round(draw.standard_normal(shape) * 8) / 8
    inputs = {"images": torch.from_numpy(images).float()}
    inputs["timesteps"] = torch.tensor([0, 37, 901], dtype=torch.int32)
    number = config.get("num_embeds_ada_norm")
    if number is not None:
        inputs["classes"] = torch.tensor([0, number - 1, number], dtype=torch.int32)
    if "cross_attention_dim" in config:
        context = draw.standard_normal((B, S, config["cross_attention_dim"]))
        inputs["context"] = torch.from_numpy(np.round(context * 8) / 8).float()
    return inputs


def run(model, inputs):
    images = inputs["images"].permute(0, 3, 1, 2).to(model.dtype)
    options = {"timestep": inputs["timesteps"].long()}
    if "classes" in inputs:
        options["class_labels"] = inputs["classes"].long()
    if "context" in inputs:
        options["encoder_hidden_states"] = inputs["context"].to(model.dtype)
    return model(images, **options).sample.permute(0, 2, 3, 1)


def gradients(model):
    """The gradients that are kept, under the names of files."""
    named = model.named_parameters()
    return {name: p.grad for name, p in named if name.endswith(GRADIENTS)}
