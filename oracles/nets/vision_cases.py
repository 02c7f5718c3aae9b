"""The image encoders of the parity table: per family, what it varies."""

from cases import OLD, Case
from image_models import END

SMALL = {
    **{"image_size": 12, "patch_size": 4, "num_channels": 3, "hidden_size": 16},
    **{"intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4},
}
WIDE = (8, 20)  # 2 by 5 patches, where training had 3 by 3


def image_case(family, name, varies, architecture, config=None, **options):
    config = {k: x for k, x in (SMALL | (config or {})).items() if x is not ...}
    options = {"net": "vision", "parts": None} | options
    return Case(f"{family}-{name}", varies, architecture, config, **options)


def vit_cases():
    def vit(name, varies, architecture="ViTModel", config=None, **options):
        return image_case("vit", name, varies, architecture, config, **options)

    yield vit("plain", "a pooler", others={"hidden_act": "relu"})
    yield vit(
        "wide",
        "positions of 3 by 3 patches for 2 by 5, a pooler of 10 units, 1 head",
        config={"pooler_output_size": 10, "num_attention_heads": 1},
        sizes=WIDE,
    )
    yield vit(
        "classes",
        "3 classes of the first token, no biases of queries, keys and values, "
        "layer_norm_eps, 1 channel",
        "ViTForImageClassification",
        {
            **{"num_labels": 3, "qkv_bias": False, "layer_norm_eps": 0.1},
            **{"num_channels": 1, "num_hidden_layers": 3},
        },
        others={"layer_norm_eps": 1e-12},
    )
    yield vit(
        "hub",
        "keys of 4.x, most left out; larger images",
        "ViTForImageClassification",
        {"num_labels": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-12},
        written=OLD,
        unwritten=(
            *("dtype", "hidden_act", "layer_norm_eps", "qkv_bias", "num_channels"),
            *("pooler_act", "pooler_output_size", "encoder_stride"),
        ),
        sizes=(20, 16),
    )
    yield vit(
        "bfloat16",
        "patches of 2 by 4, relu, bfloat16",
        config={"patch_size": [2, 4], "image_size": [4, 8], "hidden_act": "relu"},
        dtype="bfloat16",
    )


def dinov2_cases():
    def dinov2(name, varies, architecture="Dinov2Model", config=None, **options):
        config = {"intermediate_size": ..., "mlp_ratio": 2} | (config or {})
        return image_case("dinov2", name, varies, architecture, config, **options)

    yield dinov2("plain", "a mask token", others={"hidden_act": "relu"})
    yield dinov2(
        "wide",
        "positions of 3 by 3 patches for 2 by 5, 1 head, no mask token",
        config={"num_attention_heads": 1, "use_mask_token": False},
        sizes=WIDE,
    )
    yield dinov2(
        "gates",
        "gates in the MLP, as in the largest, layer_norm_eps",
        config={"use_swiglu_ffn": True, "mlp_ratio": 3, "layer_norm_eps": 0.1},
        others={"layer_norm_eps": 1e-6},
    )
    yield dinov2(
        "classes",
        "3 classes of the first token and the mean, larger images, no biases of "
        "queries, keys and values, bfloat16",
        "Dinov2ForImageClassification",
        {"num_labels": 3, "qkv_bias": False, "num_hidden_layers": 3},
        dtype="bfloat16",
        sizes=(20, 16),
    )
    yield dinov2(
        "hub",
        "keys of 4.x, most left out",
        "Dinov2ForImageClassification",
        {"num_labels": 3, "mlp_ratio": 4},
        written=OLD,
        unwritten=(
            *("dtype", "hidden_act", "layer_norm_eps", "qkv_bias", "num_channels"),
            *("mlp_ratio", "layerscale_value", "use_mask_token", "use_swiglu_ffn"),
            *("out_features", "out_indices", "stage_names", "apply_layernorm"),
        ),
    )


def registers_cases():
    def registers(name, varies, config=None, head="Model", **options):
        architecture = f"Dinov2WithRegisters{head}"
        config = {"intermediate_size": ..., "mlp_ratio": 2} | (config or {})
        family = "dinov2_with_registers"
        return image_case(family, name, varies, architecture, config, **options)

    yield registers("plain", "4 registers", others={"hidden_act": "relu"})
    yield registers(
        "wide",
        "1 register, positions of 3 by 3 patches for 2 by 5, antialiased",
        {"num_register_tokens": 1},
        sizes=WIDE,
    )
    yield registers(
        "small",
        "positions of 6 by 6 patches for 2 by 3, antialiased, gates in the MLP",
        {"image_size": 24, "use_swiglu_ffn": True, "mlp_ratio": 3},
        sizes=(8, 12),
    )
    yield registers(
        "classes",
        "3 classes of the first token and the mean, layer_norm_eps, 1 head",
        {"num_labels": 3, "layer_norm_eps": 0.1, "num_attention_heads": 1},
        "ForImageClassification",
        others={"layer_norm_eps": 1e-6},
    )
    yield registers(
        "hub",
        "keys of 4.x, most left out, bfloat16",
        {"num_labels": 3, "mlp_ratio": 4},
        "ForImageClassification",
        written=OLD,
        unwritten=(
            *("dtype", "hidden_act", "layer_norm_eps", "qkv_bias", "num_channels"),
            *("mlp_ratio", "layerscale_value", "num_register_tokens"),
            *("out_features", "out_indices", "stage_names", "use_swiglu_ffn"),
        ),
        dtype="bfloat16",
    )


def clip_vision_cases():
    def clip(name, varies, config=None, **options):
        architecture = "CLIPVisionModel"
        family = "clip_vision_model"
        return image_case(family, name, varies, architecture, config, **options)

    yield clip("plain", "quick_gelu", others={"hidden_act": "gelu"})
    yield clip(
        "wide",
        "positions of 3 by 3 patches for 2 by 5, 1 head",
        {"num_attention_heads": 1},
        sizes=WIDE,
    )
    yield clip(
        "gelu",
        "gelu, layer_norm_eps, 3 layers, bfloat16",
        {"hidden_act": "gelu", "layer_norm_eps": 0.1, "num_hidden_layers": 3},
        others={"layer_norm_eps": 1e-5},
        dtype="bfloat16",
    )
    yield clip(
        "hub",
        "names and keys of 4.x, most left out, a buffer; larger images",
        written=OLD | {"torch_dtype": "float32", "dropout": 0.0},
        unwritten=(
            *("dtype", "hidden_act", "layer_norm_eps", "num_channels"),
            *("projection_dim", "initializer_factor"),
        ),
        added="vision_model.",
        buffers={"vision_model.embeddings.position_ids": (1, 10)},
        sizes=(20, 16),
    )


def siglip_vision_cases():
    def siglip(name, varies, config=None, **options):
        architecture = "SiglipVisionModel"
        family = "siglip_vision_model"
        return image_case(family, name, varies, architecture, config, **options)

    yield siglip("plain", "a learned query", others={"hidden_act": "relu"})
    yield siglip(
        "wide",
        "positions of 3 by 3 patches for 2 by 5, 1 head",
        {"num_attention_heads": 1},
        sizes=WIDE,
    )
    yield siglip(
        "headless",
        "no pooler, layer_norm_eps, images that patches don't divide in training",
        {"vision_use_head": False, "layer_norm_eps": 0.1, "image_size": 14},
        others={"layer_norm_eps": 1e-6},
        sizes=(12, 12),
    )
    yield siglip(
        "hub",
        "names and keys of 4.x, most left out, bfloat16",
        written=OLD,
        unwritten=(
            *("dtype", "hidden_act", "layer_norm_eps", "num_channels"),
            "vision_use_head",
        ),
        added="vision_model.",
        dtype="bfloat16",
    )


TEXT = {
    **{"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24},
    **{"num_hidden_layers": 2, "num_attention_heads": 4},
    **{"max_position_embeddings": 12, "pad_token_id": 1, "bos_token_id": 0},
}


def pair_case(family, name, varies, architecture, vision, text, **options):
    whole = {
        k: options.pop(k) for k in ("projection_dim", "num_labels") if k in options
    }
    config = {
        "vision_config": SMALL | (vision or {}),
        "text_config": TEXT | (text or {}),
        **whole,
    }
    options = {"net": "clip", "parts": None} | options
    return Case(f"{family}-{name}", varies, architecture, config, **options)


def clip_cases():
    def clip(name, varies, vision=None, text=None, head="Model", **options):
        text = {"eos_token_id": END, "hidden_size": 12} | (text or {})
        options = {"projection_dim": 8} | options
        return pair_case("clip", name, varies, f"CLIP{head}", vision, text, **options)

    yield clip(
        "plain",
        "texts read at the first end token, other sizes of both sides",
        others={"text_config.hidden_act": "gelu", "vision_config.hidden_act": "gelu"},
    )
    yield clip(
        "masked",
        "padding on the right, an end token that is the largest number, 3 layers of "
        "texts, images of 2 by 5 patches",
        text={"eos_token_id": 2, "num_hidden_layers": 3, "num_attention_heads": 1},
        masked=True,
        sizes=WIDE,
    )
    yield clip(
        "bfloat16",
        "gelu, layer_norm_eps of both sides, bfloat16",
        {"hidden_act": "gelu", "layer_norm_eps": 0.1},
        {"hidden_act": "gelu", "layer_norm_eps": 0.2},
        others={
            "text_config.layer_norm_eps": 1e-5,
            "vision_config.layer_norm_eps": 1e-5,
        },
        dtype="bfloat16",
    )
    yield clip(
        "hub",
        "4.x keys: sides whole under older keys, buffers; other keys left out",
        text={"eos_token_id": 2},
        written=OLD
        | {
            "text_config_dict": TEXT | {"hidden_size": 12, "eos_token_id": 2},
            "vision_config_dict": SMALL,
            "text_config": {"num_hidden_layers": 2, "hidden_size": 10},
            "vision_config": {"num_hidden_layers": 2},
        },
        unwritten=("dtype", "logit_scale_init_value", "initializer_factor"),
        buffers={
            "text_model.embeddings.position_ids": (1, 12),
            "vision_model.embeddings.position_ids": (1, 10),
        },
    )
    yield clip(
        "classes",
        "3 classes of the mean of the patches, images of 4 by 4",
        sizes=(16, 16),
        head="ForImageClassification",
        num_labels=3,
        net="vision",
        others={"vision_config.hidden_act": "gelu"},
    )


def siglip_cases():
    def siglip(name, varies, vision=None, text=None, head="Model", **options):
        return pair_case(
            "siglip", name, varies, f"Siglip{head}", vision, text, **options
        )

    yield siglip(
        "plain",
        "texts read at their last token",
        others={
            "text_config.hidden_act": "relu",
            "vision_config.hidden_act": "relu",
        },
    )
    yield siglip(
        "masked",
        "padding on the right, another size of texts, images of 2 by 5 patches",
        text={"hidden_size": 12, "projection_size": 16, "num_attention_heads": 2},
        masked=True,
        sizes=WIDE,
    )
    yield siglip(
        "bfloat16",
        "layer_norm_eps of both sides, 3 layers of images, bfloat16",
        {"layer_norm_eps": 0.1, "num_hidden_layers": 3},
        {"layer_norm_eps": 0.2},
        others={
            "text_config.layer_norm_eps": 1e-6,
            "vision_config.layer_norm_eps": 1e-6,
        },
        dtype="bfloat16",
    )
    yield siglip(
        "hub",
        "keys of 4.x, most left out; larger images",
        written=OLD
        | {
            "text_config": {k: x for k, x in TEXT.items() if "token" not in k}
            | {"model_type": "siglip_text_model"},
            "vision_config": {k: x for k, x in SMALL.items() if k != "num_channels"}
            | {"model_type": "siglip_vision_model"},
        },
        unwritten=("dtype", "initializer_factor"),
        sizes=(20, 16),
    )
    yield siglip(
        "classes",
        "3 classes of the mean of the patches, no pooler",
        {"vision_use_head": False},
        head="ForImageClassification",
        num_labels=3,
        net="vision",
        others={"vision_config.hidden_act": "relu"},
    )


def cases():
    for of_family in (
        vit_cases,
        dinov2_cases,
        registers_cases,
        clip_vision_cases,
        siglip_vision_cases,
        clip_cases,
        siglip_cases,
    ):
        yield from of_family()
