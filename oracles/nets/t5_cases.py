"""T5 and its encoder in the parity table: what they vary."""

from cases import OLD, Case

SMALL_T5 = {
    **{"vocab_size": 32, "d_model": 16, "d_kv": 5, "d_ff": 24, "num_heads": 3},
    **{"num_layers": 2, "num_decoder_layers": 3, "decoder_start_token_id": 0},
    **{"relative_attention_num_buckets": 8, "relative_attention_max_distance": 9},
}
T5 = "T5ForConditionalGeneration"


def t5(name, varies, architecture=T5, config=None, **options):
    config = SMALL_T5 | (config or {})
    options = {"net": "encoder_decoder", "parts": (3, 4)} | options
    return Case(f"t5-{name}", varies, architecture, config, **options)


def encoder(name, varies, config=None, **options):
    return t5(
        name, varies, "T5EncoderModel", config, net="encoder", parts=None, **options
    )


def cases():
    yield t5(
        "plain",
        "tied and scaled, relu; 2 and 3 layers, 3 heads of 5 for 16, 8 buckets up to 9",
        others={
            **{"dense_act_fn": "silu", "scale_decoder_outputs": False},
            "relative_attention_max_distance": 20,
        },
    )
    yield t5(
        "untied",
        "1.1 as 4.x wrote it: gates of gelu, a head of its own, not scaled; start 3",
        config={
            **{"feed_forward_proj": "gated-gelu", "num_decoder_layers": 1},
            "decoder_start_token_id": 3,
        },
        written=OLD | {"tie_word_embeddings": False},
        unwritten=(
            *("dtype", "scale_decoder_outputs", "dense_act_fn", "is_gated_act"),
        ),
        untied=True,
        others={"tie_word_embeddings": True, "feed_forward_proj": "gated-silu"},
    )
    yield t5(
        "hub",
        "as the first folder on the hub: keys left out, a bias that nobody reads, the "
        "embeddings three times",
        config={
            **{"relative_attention_num_buckets": 6, "num_layers": 2},
            **{"num_decoder_layers": 2, "relative_attention_max_distance": 128},
        },
        written=OLD,
        unwritten=(
            *("dtype", "scale_decoder_outputs", "tie_word_embeddings"),
            *("dense_act_fn", "is_gated_act", "feed_forward_proj", "architectures"),
            *("num_decoder_layers", "relative_attention_max_distance"),
            *("is_decoder", "layer_norm_epsilon", "decoder_start_token_id"),
        ),
        others={"relative_attention_max_distance": 5},
        buffers={
            "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": (
                *(6, 3),
            )
        },
        repeated=(
            *("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"),
            "lm_head.weight",
        ),
    )
    yield t5(
        "bfloat16",
        "bfloat16, gates of silu, one layer each, layer_norm_epsilon",
        config={
            **{"feed_forward_proj": "gated-silu", "layer_norm_epsilon": 0.1},
            **{"num_layers": 1, "num_decoder_layers": 1},
        },
        dtype="bfloat16",
        others={"layer_norm_epsilon": 1e-6},
    )
    yield t5(
        "base",
        "without a head, 7 buckets, 1 head",
        "T5Model",
        {
            "relative_attention_num_buckets": 7,
            "num_heads": 1,
        },
    )
    yield encoder("encoder", "the encoder alone, relu")
    yield encoder(
        "encoder_gated",
        "the encoder alone as 4.x wrote it, gates of gelu, 10 buckets up to 6",
        {
            **{"feed_forward_proj": "gated-gelu", "num_layers": 3},
            **{"relative_attention_num_buckets": 10},
            "relative_attention_max_distance": 6,
        },
        written=OLD | {"tie_word_embeddings": False},
        unwritten=("dtype", "scale_decoder_outputs", "dense_act_fn", "is_gated_act"),
        others={"relative_attention_max_distance": 12},
        repeated=("encoder.embed_tokens.weight",),
    )
