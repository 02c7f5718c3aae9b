"""diffusers' DiT in the parity table: what each case varies."""

from cases import Case

SMALL = {
    **{"num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 2},
    **{"in_channels": 4, "sample_size": 8, "num_embeds_ada_norm": 3},
}


def dit(name, varies, config=None, **options):
    family, config = "DiTTransformer2DModel", SMALL | (config or {})
    options = {"net": "dit", "parts": None} | options
    return Case(f"{family}-{name}", varies, family, config, **options)


def cases():
    yield dit(
        "plain",
        "12 channels out; a timestep, a label or none",
        {"out_channels": 12},
        others={"norm_eps": 0.1, "activation_fn": "linear-silu"},
    )
    yield dit(
        "wide",
        "positions of 3 by 3 patches for 2 by 2, 1 head, 3 layers, patches of 4",
        {
            **{"patch_size": 4, "num_attention_heads": 1, "num_layers": 3},
            **{"sample_size": 13, "num_embeds_ada_norm": 5},
        },
        sizes=(8, 8),
    )
    yield dit(
        "gates",
        "gates in the MLP with gelu, a scale and an offset before the MLP's",
        {
            **{"activation_fn": "geglu", "norm_elementwise_affine": True},
            "norm_eps": 0.1,
        },
        others={"norm_eps": 1e-5, "activation_fn": "swiglu"},
    )
    yield dit(
        "small",
        "patches of a pixel, images larger than in training, no biases of queries, "
        "keys and values, exact gelu",
        {
            **{"patch_size": 1, "sample_size": 4, "in_channels": 3},
            **{"attention_bias": False, "activation_fn": "gelu"},
        },
        sizes=(6, 6),
        others={"activation_fn": "geglu-approximate", "sample_size": 6},
    )
    yield dit(
        "swish",
        "gates in the MLP with silu, several files, bfloat16",
        {"activation_fn": "swiglu"},
        others={"activation_fn": "geglu"},
        dtype="bfloat16",
        shards=True,
    )
    yield dit(
        "hub",
        "the same embeddings in all blocks, most keys left out, quick_gelu",
        {"activation_fn": "geglu-approximate", "norm_eps": 1e-5},
        written={"out_channels": None},
        unwritten=(
            *("_diffusers_version", "attention_bias", "dropout", "norm_type"),
            *("norm_elementwise_affine", "norm_eps", "norm_num_groups"),
            *("upcast_attention", "patch_size", "in_channels"),
        ),
        others={"activation_fn": "gelu"},
        alike=".norm1.emb.",
    )
