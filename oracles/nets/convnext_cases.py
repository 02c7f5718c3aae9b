"""ConvNeXt's rows of the parity table: per version, what it varies."""

from cases import OLD, Case

SMALL = {
    **{"image_size": 16, "patch_size": 2, "num_channels": 3},
    **{"num_stages": 3, "hidden_sizes": [6, 8, 10], "depths": [1, 2, 1]},
}
UNWRITTEN = (
    *("dtype", "hidden_act", "layer_norm_eps", "drop_path_rate", "num_channels"),
    *("num_stages", "patch_size", "image_size", "layer_scale_init_value"),
    *("stage_names", "out_features", "out_indices"),
)


def cases_of(family, model, classes, wide):
    """Cases of a version; options of `classes` and `wide` are of it alone."""

    def case(name, varies, head="Model", config=None, **options):
        return Case(
            f"{family}-{name}",
            varies,
            f"{model}{head}",
            SMALL | (config or {}),
            **{"net": "convnext", "parts": None} | options,
        )

    yield case("plain", "3 stages of 1, 2 and 1 blocks", others={"hidden_act": "relu"})
    yield case(
        "wide",
        f"patches of 2 by 4 and maps that don't fit them, relu{wide[0]}",
        config={
            **{"patch_size": [2, 4], "image_size": [11, 30], "hidden_act": "relu"},
            **{"num_stages": 2, "hidden_sizes": [8, 6], "depths": [2, 2]},
            **wide[1],
        },
    )
    yield case(
        "classes",
        f"3 classes, 1 stage of 3 blocks, layer_norm_eps, 1 channel{classes[0]}",
        "ForImageClassification",
        {
            **{"num_labels": 3, "num_stages": 1, "hidden_sizes": [8], "depths": [3]},
            **{"num_channels": 1, "layer_norm_eps": 0.1, "image_size": [16, 24]},
            **classes[1],
        },
        others={"layer_norm_eps": 1e-12},
    )
    yield case(
        "hub",
        "4 stages, keys of 4.x, most left out; wider images",
        "ForImageClassification",
        {
            **{"num_labels": 3, "num_stages": 4, "depths": [1, 1, 2, 1]},
            **{"hidden_sizes": [4, 6, 8, 10], "patch_size": 4},
        },
        written=OLD,
        unwritten=UNWRITTEN,
        sizes=(32, 40),
    )
    yield case(
        "bfloat16",
        "gelu by tanh, drop_path_rate, bfloat16",
        config={"hidden_act": "gelu_pytorch_tanh", "drop_path_rate": 0.25},
        dtype="bfloat16",
    )


def cases():
    yield from cases_of(
        "convnext",
        "ConvNext",
        classes=(", another first scale", {"layer_scale_init_value": 0.5}),
        wide=(", no scales", {"layer_scale_init_value": 0.0}),
    )
    yield from cases_of(
        "convnextv2",
        "ConvNextV2",
        classes=(", silu", {"hidden_act": "silu"}),
        wide=("", {}),
    )
