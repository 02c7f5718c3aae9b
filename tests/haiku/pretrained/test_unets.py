"""diffusers' U-Nets: keys that are refused, and keys that mean nothing."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.unets import UNETS

FOLDER = pathlib.Path(__file__).parents[2] / "golden" / "nets"
SELF, CROSS = "UNet2DModel-plain", "UNet2DConditionModel-deep"


def config_of(case):
    return json.loads((FOLDER / case / "config.json").read_text(encoding="utf-8"))


@functools.cache
def tensors_of(case):
    return hk.pretrained.to_state_dict(hk.pretrained.load(FOLDER / case).model)


def load(case, **changes):
    config = config_of(case) | changes
    config = {key: x for key, x in config.items() if x is not ...}
    return hk.pretrained.from_state_dict(config, tensors_of(case))


BLOCKS = ["AttnUpBlock2D", "UpBlock2D"]
REFUSED = {
    "time_embedding_type is 'fourier'. Only 'positional' is known": (
        SELF,
        {"time_embedding_type": "fourier"},
    ),
    "class_embed_type is 'timestep'. Only nets that read": (
        SELF,
        {"class_embed_type": "timestep"},
    ),
    "num_class_embeds is 3. Only nets": (CROSS, {"num_class_embeds": 3}),
    "addition_embed_type is 'text_time'. Only nets that read images, timesteps": (
        CROSS,
        {"addition_embed_type": "text_time"},
    ),
    "downsample_type is 'resnet'": (SELF, {"downsample_type": "resnet"}),
    "mid_block_scale_factor is 2": (SELF, {"mid_block_scale_factor": 2}),
    "down_block_types must be a list of 2, each one of DownBlock2D, Attn": (
        SELF,
        {"down_block_types": ["DownBlock2D", "ResnetDownsampleBlock2D"]},
    ),
    "up_block_types must be down_block_types in reverse": (
        SELF,
        {"up_block_types": BLOCKS[::-1]},
    ),
    "up_block_types must be a list of 2": (SELF, {"up_block_types": BLOCKS[:1]}),
    "up_block_types must be down_block_types in reverse, one for each of the 2": (
        SELF,
        {"up_block_types": ...},
    ),
    "mid_block_type must be one of UNetMidBlock2D,": (
        SELF,
        {"mid_block_type": "UNetMidBlock2DCrossAttn"},
    ),
    "attn_norm_num_groups is 4. Only norm_num_groups, 2, is known, or none": (
        SELF,
        {"attn_norm_num_groups": 4},
    ),
    "attn_norm_num_groups is None. Only norm_num_groups, 2, is known.": (
        SELF,
        {"resnet_time_scale_shift": "scale_shift"},
    ),
    "attention_head_dim, the size of a head, is 3, and must divide the 8": (
        SELF,
        {"attention_head_dim": 3},
    ),
    "attention_head_dim, the number of heads, is 3, and must": (
        CROSS,
        {"attention_head_dim": [2, 3]},
    ),
    "attention_head_dim must be an integer of at least 1, or a list of 2": (
        CROSS,
        {"attention_head_dim": [2, 2, 2]},
    ),
    "num_attention_heads is 2": (CROSS, {"num_attention_heads": 2}),
    "norm_num_groups 3 must divide each of block_out_channels, \\[4, 8\\]": (
        SELF,
        {"norm_num_groups": 3},
    ),
    "block_out_channels must be a list of integers": (
        SELF,
        {"block_out_channels": [4, "8"]},
    ),
    "block_out_channels is \\[2, 1000000000\\], and the files hold only": (
        SELF,
        {"block_out_channels": [2, 10**9]},
    ),
    "freq_shift must be 0 or 1, and is 0.5": (SELF, {"freq_shift": 0.5}),
    "downsample_padding is 2. Known are 0 and 1": (SELF, {"downsample_padding": 2}),
    "act_fn must be one of silu, swish, gelu, relu, and is 'mish'": (
        SELF,
        {"act_fn": "mish"},
    ),
    "layers_per_block is 1000000000, and the files hold only": (
        CROSS,
        {"layers_per_block": 10**9},
    ),
    "by layers_per_block the model has 404 tensors whose names end in .conv2": (
        CROSS,
        {"layers_per_block": 100},
    ),
    "layers_per_block must be an integer of at least 1, and is \\[1, 1\\]": (
        SELF,
        {"layers_per_block": [1, 1]},
    ),
    "transformer_layers_per_block is \\[1, 1000000000\\], and the files hold only": (
        CROSS,
        {"transformer_layers_per_block": [1, 10**9]},
    ),
    "by transformer_layers_per_block the model has 4000 tensors": (
        CROSS,
        {"transformer_layers_per_block": [7, 1000]},
    ),
    "transformer_layers_per_block must be .* and is \\[\\[1\\], \\[2\\]\\]": (
        CROSS,
        {"transformer_layers_per_block": [[1], [2]]},
    ),
    "cross_attention_dim is \\[6, 5\\]. Only one size": (
        CROSS,
        {"cross_attention_dim": [6, 5]},
    ),
    "only_cross_attention must be true or false, or a list of 2": (
        CROSS,
        {"only_cross_attention": [True]},
    ),
    "time_cond_proj_dim is 8. Only nets without it": (CROSS, {"time_cond_proj_dim": 8}),
    "num_train_timesteps must be": (SELF, {"num_train_timesteps": "many"}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_keys_that_are_refused(message):
    case, changes = REFUSED[message]
    with pytest.raises(ValueError, match=f"config: {message}"):
        load(case, **changes)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        (SELF, {"sample_size": [8, 4], "num_train_timesteps": 1000, "dropout": 0.1}),
        (CROSS, {"upcast_attention": True, "mid_block_only_cross_attention": True}),
        (CROSS, {"cross_attention_dim": [6, 6], "mid_block_type": ...}),
    ],
)
def test_keys_that_change_nothing(case, changes):
    model, other = load(case), load(case, **changes)
    config, changed = (x.net.arguments["config"] for x in (model, other))
    assert config.num_heads == changed.num_heads
    assert (config == changed) == ("dropout" not in changes)


def test_null_is_what_diffusers_makes_of_it():
    def config(case, **changes):
        return load(case, **changes).net.arguments["config"]

    assert config(SELF).num_heads == (1, 2)
    assert config(SELF, attention_head_dim=None).num_heads == (1, 1)
    assert not config(SELF, flip_sin_to_cos=None).cosines_first
    assert config(SELF, flip_sin_to_cos=...).cosines_first


def test_defaults_are_those_of_diffusers():
    config = {"_class_name": "UNet2DModel"}
    with pytest.raises(ValueError, match="by layers_per_block the model has 22 tens"):
        hk.pretrained.from_state_dict(config, {"w": np.ones(2000)})
    config = {"_class_name": "UNet2DConditionModel", "attention_head_dim": 5}
    with pytest.raises(ValueError, match="by layers_per_block the model has 22 tens"):
        hk.pretrained.from_state_dict(config, {"w": np.ones(2000)})


# Keys of published folders, and how many parameters diffusers makes of them.
PUBLISHED = {
    "google/ddpm-cifar10-32": (
        *("UNet2DModel", 35_746_307),
        {
            **{"block_out_channels": [128, 256, 256, 256], "attention_head_dim": None},
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"]
            + ["DownBlock2D"] * 2,
            "up_block_types": ["UpBlock2D"] * 2 + ["AttnUpBlock2D", "UpBlock2D"],
            **{"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1},
        },
    ),
    "google/ddpm-cat-256": (
        *("UNet2DModel", 113_673_219),
        {
            "block_out_channels": [128, 128, 256, 256, 512, 512],
            "down_block_types": ["DownBlock2D"] * 4
            + ["AttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
            **{"attention_head_dim": None, "norm_eps": 1e-6, "sample_size": 256},
        },
    ),
    "Stable Diffusion 1": (
        *("UNet2DConditionModel", 859_520_964),
        {"attention_head_dim": 8, "cross_attention_dim": 768, "sample_size": 64},
    ),
    "Stable Diffusion 2": (
        *("UNet2DConditionModel", 865_910_724),
        {
            **{"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024},
            **{"use_linear_projection": True, "dual_cross_attention": False},
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    kind, number, config = PUBLISHED[name]
    family = UNETS[kind]
    config = family.net.config(**family.read(Keys(config, "config")))
    init = hk.transform(lambda *x: hk.nets.UNet(config)(*x)).init
    key = jax.ShapeDtypeStruct((2,), jnp.uint32)
    params = jax.eval_shape(init, key, *family.net.inputs(config))
    assert sum(x.size for x in jax.tree.leaves(params)) == number
