"""diffusers' U-Nets in the parity table: per class, what it varies."""

from cases import Case

SMALL = {
    **{"sample_size": 8, "block_out_channels": (4, 8), "layers_per_block": 1},
    **{"norm_num_groups": 2, "attention_head_dim": 4},
}
SELF = {
    **SMALL,
    **{"in_channels": 3, "down_block_types": ("DownBlock2D", "AttnDownBlock2D")},
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
CROSS = {
    **SMALL,
    **{"in_channels": 4, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")},
    **{"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")},
    **{"cross_attention_dim": 6, "attention_head_dim": 2},
}
LAST = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
BOTH = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
}
SINES_FIRST = {"flip_sin_to_cos": False, "freq_shift": 1}


def unet(family, name, varies, config, **options):
    options = {"net": "unet", "parts": None, "sizes": (8, 4)} | options
    return Case(f"{family}-{name}", varies, family, config, **options)


def self_cases():
    def one(name, varies, config=None, **options):
        return unet("UNet2DModel", name, varies, SELF | (config or {}), **options)

    yield one(
        "plain",
        "heads of 4 in the second level and the middle",
        {"norm_eps": 0.1},
        others={
            **{"norm_eps": 1e-5, "attention_head_dim": 2, "norm_num_groups": 1},
            **{"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0},
            **{"act_fn": "gelu", "center_input_sample": True},
        },
    )
    yield one(
        "hub",
        "keys and names of google/ddpm-cat-256, 3 levels, the second with attention",
        {
            **{"block_out_channels": (4, 8, 4), "attention_head_dim": None},
            **{"down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D")},
            **{"up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D")},
            **{"norm_eps": 1e-6, "downsample_padding": 0},
        }
        | SINES_FIRST,
        written={"_diffusers_version": "0.0.4"},
        unwritten=(
            *("class_embed_type", "num_class_embeds", "num_train_timesteps"),
            *("downsample_type", "upsample_type", "dropout", "add_attention"),
            *("resnet_time_scale_shift", "attn_norm_num_groups"),
            *("time_embedding_dim", "mid_block_type"),
        ),
        old_names={
            **{".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value."},
            ".to_out.0.": ".proj_attn.",
        },
        others={"downsample_padding": 1, "freq_shift": 0, "attention_head_dim": 2},
        sizes=(8, 12),
    )
    yield one(
        "adm",
        "timesteps scale and shift, relu, 2 residual blocks, 2 channels out",
        {
            **{"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 2},
            **{"act_fn": "relu", "layers_per_block": 2, "out_channels": 2},
        },
        others={"act_fn": "silu"},
        sizes=(4, 6),
    )
    yield one(
        "bfloat16",
        "no attention in the middle, 1 channel, images moved to [-1, 1], another size "
        "of timesteps' embedding, bfloat16",
        {
            **{"in_channels": 1, "out_channels": 1, "add_attention": False},
            **{"center_input_sample": True, "time_embedding_dim": 10},
        },
        others={"center_input_sample": False},
        dtype="bfloat16",
    )
    yield one(
        "middle",
        "no middle, gelu, several files",
        {"mid_block_type": None, "act_fn": "gelu"},
        others={"act_fn": "swish"},
        shards=True,
        sizes=(4, 8),
    )


def cross_cases():
    def one(name, varies, config=None, **options):
        family = "UNet2DConditionModel"
        return unet(family, name, varies, CROSS | (config or {}), **options)

    yield one(
        "plain",
        "2 heads, as in Stable Diffusion 1",
        {"norm_eps": 0.1, "cross_attention_dim": 5},
        others={
            **{"norm_eps": 1e-5, "attention_head_dim": 1, "norm_num_groups": 1},
            **{"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0},
            **{"act_fn": "gelu", "center_input_sample": True},
        },
        sizes=(6, 8),
    )
    yield one(
        "linear",
        "heads by level, Linear around the blocks, as in Stable Diffusion 2; odd sizes",
        {
            **{"attention_head_dim": (2, 4), "use_linear_projection": True},
            "upcast_attention": True,
        },
        others={"attention_head_dim": 2},
        sizes=(5, 7),
    )
    yield one(
        "deep",
        "1 and 2 transformer blocks, none in the first level, as in SDXL; gelu, 2 "
        "channels out, bfloat16",
        {
            **LAST,
            **{"transformer_layers_per_block": (1, 2), "act_fn": "gelu"},
            **{"use_linear_projection": True, "out_channels": 2},
        },
        others={"act_fn": "relu"},
        dtype="bfloat16",
    )
    yield one(
        "alone",
        "a level whose pixels don't see each other, 1 and 2 residual blocks, timesteps "
        "scale and shift, no middle; odd sizes, bfloat16",
        {
            **BOTH,
            **{"only_cross_attention": (True, False), "layers_per_block": (1, 2)},
            **{"resnet_time_scale_shift": "scale_shift", "downsample_padding": 0},
            "mid_block_type": None,
        }
        | SINES_FIRST,
        others={"freq_shift": 0},
        sizes=(7, 5),
        dtype="bfloat16",
    )
    yield one(
        "hub",
        "keys of Stable Diffusion 1.4, others left out",
        {"attention_head_dim": 4},
        written={"_diffusers_version": "0.2.2"},
        unwritten=(
            *("addition_embed_type", "addition_embed_type_num_heads", "dropout"),
            *("addition_time_embed_dim", "attention_type", "class_embed_type"),
            *("class_embeddings_concat", "conv_in_kernel", "conv_out_kernel"),
            *("cross_attention_norm", "dual_cross_attention", "encoder_hid_dim"),
            *("encoder_hid_dim_type", "mid_block_only_cross_attention"),
            *("mid_block_type", "num_attention_heads", "num_class_embeds"),
            *("only_cross_attention", "projection_class_embeddings_input_dim"),
            *("resnet_out_scale_factor", "resnet_skip_time_act"),
            *("resnet_time_scale_shift", "reverse_transformer_layers_per_block"),
            *("time_cond_proj_dim", "time_embedding_act_fn", "time_embedding_dim"),
            *("time_embedding_type", "timestep_post_act", "upcast_attention"),
            *("transformer_layers_per_block", "use_linear_projection"),
        ),
        others={"attention_head_dim": 1},
    )


def cases():
    yield from self_cases()
    yield from cross_cases()
