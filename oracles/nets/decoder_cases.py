"""The decoders of the parity table: per family, small configs of what it varies."""

from cases import NEW_KEYS, OLD, SMALL, Case, rope

SMALL_GPT2 = {
    **{"vocab_size": 32, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 16},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
YARN = {"factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 2.0}
LLAMA3 = {
    **{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "original_max_position_embeddings": 16,
}


def gpt2(name, varies, architecture="GPT2LMHeadModel", config=None, **options):
    config = SMALL_GPT2 | (config or {})
    return Case(f"gpt2-{name}", varies, architecture, config, **options)


def gpt2_cases():
    yield gpt2("plain", "defaults", others={"activation_function": "relu"})
    yield gpt2(
        "untied",
        "a head of its own, n_inner, relu, layer_norm_epsilon, 3 layers",
        config={
            **{"tie_word_embeddings": False, "n_inner": 24, "n_layer": 3},
            **{"activation_function": "relu", "layer_norm_epsilon": 0.1},
        },
        others={"activation_function": "gelu", "layer_norm_epsilon": 1e-5},
    )
    yield gpt2(
        "unscaled",
        "scale_attn_weights off, gelu with erf, 1 head",
        config={
            **{"activation_function": "gelu", "scale_attn_weights": False},
            "n_head": 1,
        },
        others={"activation_function": "relu", "scale_attn_weights": True},
    )
    yield gpt2(
        "hub",
        "as the first folder on the hub: names without prefix, buffers, old keys",
        written=OLD | {"n_ctx": 16, "task_specific_params": {}},
        unwritten=(
            *("tie_word_embeddings", "activation_function", "n_inner", "dtype"),
            *("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "use_cache"),
            *("reorder_and_upcast_attn", "add_cross_attention", "layer_norm_epsilon"),
        ),
        others={"activation_function": "relu", "layer_norm_epsilon": 1e-6},
        embeddings=0.003,
        renamed="transformer.",
        buffers={
            "h.0.attn.bias": (1, 1, 16, 16),
            "h.1.attn.bias": (1, 1, 16, 16),
        },
    )
    yield gpt2(
        "classes",
        "a head of 3 classes at the last token",
        "GPT2ForSequenceClassification",
        {"num_labels": 3},
        parts=None,
    )
    yield gpt2(
        "base",
        "no head, quick_gelu",
        "GPT2Model",
        {"activation_function": "quick_gelu"},
        others={"activation_function": "relu"},
    )


def llama(name, varies, architecture="LlamaForCausalLM", config=None, **options):
    config = SMALL | {"num_key_value_heads": 4} | (config or {})
    config = {"rope_parameters": rope()} | config
    return Case(f"llama-{name}", varies, architecture, config, **options)


def llama_cases():
    yield llama(
        "plain",
        "as many key heads as query heads, default rope_theta",
        config={"rope_parameters": rope(theta=10000.0)},
        others={"rope_parameters": rope(theta=100.0), "hidden_act": "gelu"},
    )
    yield llama(
        "grouped",
        "2 key heads of 4, head_dim 8, attention_bias, mlp_bias, tied",
        config={
            **{"num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": True},
            **{"attention_bias": True, "mlp_bias": True},
        },
        others={"attention_bias": False, "mlp_bias": False},
    )
    yield llama(
        "one_kv",
        "1 key head, gelu with erf, rms_norm_eps, 3 layers",
        config={
            **{"num_key_value_heads": 1, "hidden_act": "gelu", "rms_norm_eps": 0.1},
            "num_hidden_layers": 3,
        },
        others={"hidden_act": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6},
    )
    plain = {"rope_parameters": rope()}
    yield llama(
        "linear",
        "rope linear, relu squared",
        config={"rope_parameters": rope("linear", factor=4.0), "hidden_act": "relu2"},
        others=plain | {"hidden_act": "relu"},
    )
    yield llama(
        "dynamic",
        "rope dynamic, a text longer than those of training",
        config={
            "rope_parameters": rope("dynamic", factor=4.0),
            "max_position_embeddings": 6,
        },
        others=plain,
        parts=None,
    )
    yield llama(
        "yarn",
        "rope yarn, head_dim 8",
        config={"rope_parameters": rope("yarn", **YARN), "head_dim": 8},
        others={**plain, "rope_parameters.beta_fast": ...},
    )
    yield llama(
        "llama3",
        "rope llama3, head_dim 8, 1 key head",
        config={
            "rope_parameters": rope("llama3", **LLAMA3),
            **{"head_dim": 8, "num_key_value_heads": 1},
        },
        others=plain,
    )
    yield llama(
        "linear_4x",
        "4.x keys with `type`, weights in several files, 2 key heads",
        config={"num_key_value_heads": 2},
        written=OLD
        | {"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
        unwritten=NEW_KEYS,
        others={"rope_theta": 10000.0, "rope_scaling": None},
        shards=True,
    )
    yield llama(
        "dynamic_4x",
        "4.x keys with `type`, tied",
        config={"tie_word_embeddings": True, "max_position_embeddings": 6},
        written=OLD
        | {"rope_theta": 100.0, "rope_scaling": {"type": "dynamic", "factor": 4.0}},
        unwritten=NEW_KEYS,
        others={"rope_scaling": None},
        parts=None,
    )
    yield llama(
        "yarn_4x",
        "4.x keys with `rope_type`, an attention_factor; truncate off; "
        "original_max_position_embeddings left out, head_dim 16",
        config={"head_dim": 16, "num_attention_heads": 1, "num_key_value_heads": 1},
        written=OLD
        | {
            "rope_theta": 100.0,
            "rope_scaling": {
                **{"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5},
                **{"beta_fast": 2.0, "truncate": False},
            },
        },
        unwritten=NEW_KEYS,
        others={
            **{"rope_scaling": None, "rope_scaling.attention_factor": ...},
            **{"rope_scaling.truncate": ..., "max_position_embeddings": 16},
        },
    )
    yield llama(
        "llama3_4x",
        "4.x keys with `rope_type`, head_dim 8, tied",
        config={"head_dim": 8, "tie_word_embeddings": True},
        written=OLD
        | {"rope_theta": 100.0, "rope_scaling": {**LLAMA3, "rope_type": "llama3"}},
        unwritten=NEW_KEYS,
        others={"rope_scaling": None},
    )
    yield llama(
        "sparse",
        "keys left out: their defaults; a `rotary_emb.inv_freq` per layer",
        unwritten=(
            *("num_key_value_heads", "hidden_act", "rms_norm_eps", "head_dim"),
            *("tie_word_embeddings", "attention_bias", "mlp_bias", "pretraining_tp"),
            *("use_cache", "attention_dropout", "initializer_range"),
            *("max_position_embeddings", "bos_token_id", "eos_token_id", *NEW_KEYS),
        ),
        written=OLD,
        others={"rope_theta": 100.0, "hidden_act": "relu", "rms_norm_eps": 1e-5},
        embeddings=0.003,
        buffers={
            "model.layers.0.self_attn.rotary_emb.inv_freq": (2,),
            "model.layers.1.self_attn.rotary_emb.inv_freq": (2,),
        },
    )
    yield llama(
        "bfloat16",
        "bfloat16 weights, computed in float32",
        config={"num_key_value_heads": 2},
        dtype="bfloat16",
    )
    yield llama(
        "classes",
        "a head of 3 classes at the last token",
        "LlamaForSequenceClassification",
        {"num_labels": 3, "num_key_value_heads": 2},
        parts=None,
    )
    yield llama("base", "no head: names without prefix", "LlamaModel")


def mistral(name, varies, architecture="MistralForCausalLM", config=None, **options):
    config = SMALL | {"rope_parameters": rope()} | (config or {})
    return Case(f"mistral-{name}", varies, architecture, config, **options)


def mistral_cases():
    yield mistral(
        "plain",
        "no window, 2 key heads",
        config={"sliding_window": None},
        others={"sliding_window": 4},
    )
    yield mistral(
        "window",
        "sliding_window 4, head_dim 8, rms_norm_eps, 3 layers",
        config={
            **{"sliding_window": 4, "head_dim": 8, "num_hidden_layers": 3},
            "rms_norm_eps": 0.1,
        },
        others={"sliding_window": 5, "rms_norm_eps": 1e-6},
    )
    yield mistral(
        "yarn",
        "rope yarn with mscale and mscale_all_dim, sliding_window 3, 1 key head, tied",
        config={
            "rope_parameters": rope("yarn", **YARN, mscale=0.7, mscale_all_dim=3.0),
            **{"sliding_window": 3, "num_key_value_heads": 1},
            "tie_word_embeddings": True,
        },
        others={
            "sliding_window": None,
            "rope_parameters": rope(),
            "rope_parameters.mscale": ...,
        },
    )
    yield mistral(
        "window_4x",
        "4.x keys, sliding_window 5; 8 key heads and head_dim left out",
        config={
            **{"num_attention_heads": 8, "num_key_value_heads": 8, "hidden_size": 32},
            **{"sliding_window": 5, "num_hidden_layers": 1},
        },
        written=OLD | {"rope_theta": 100.0},
        unwritten=(*NEW_KEYS, "head_dim", "num_key_value_heads", "rms_norm_eps"),
        others={"sliding_window": None, "rope_theta": 10000.0, "rms_norm_eps": 1e-5},
        embeddings=0.003,
    )
    yield mistral(
        "base",
        "no head, sliding_window 2, as many key heads as query heads",
        "MistralModel",
        {"sliding_window": 2, "num_key_value_heads": 4, "hidden_act": "gelu_new"},
        others={"sliding_window": 3, "hidden_act": "relu"},
    )


def qwen2(name, varies, config=None, **options):
    config = SMALL | {"rope_parameters": rope()} | (config or {})
    return Case(f"qwen2-{name}", varies, "Qwen2ForCausalLM", config, **options)


def qwen2_cases():
    yield qwen2(
        "plain",
        "as many key heads as query heads, default rope_theta",
        {"num_key_value_heads": 4, "rope_parameters": rope(theta=10000.0)},
        others={"rope_parameters": rope()},
    )
    yield qwen2(
        "window",
        "sliding_window 3 from layer 1 of 3 on, tied",
        {
            **{"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
            **{"num_hidden_layers": 3, "tie_word_embeddings": True},
        },
        others={
            "layer_types": ["full_attention", "full_attention", "sliding_attention"],
            "sliding_window": 4,
        },
    )
    yield qwen2(
        "window_4x",
        "4.x keys without layer_types, sliding_window 3 from layer 2 of 3 on, 1 key "
        "head, rope yarn with `type`",
        {
            **{"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 2},
            **{"num_hidden_layers": 3, "num_key_value_heads": 1},
        },
        written=OLD | {"rope_theta": 100.0, "rope_scaling": {**YARN, "type": "yarn"}},
        unwritten=NEW_KEYS,
        others={
            **{"max_window_layers": 1, "use_sliding_window": False},
            "rope_scaling": None,
        },
    )
    yield qwen2(
        "layer_types",
        "layer_types sliding, full, sliding, full, sliding; rms_norm_eps, gelu",
        {
            **{"use_sliding_window": True, "sliding_window": 2, "hidden_act": "gelu"},
            **{"num_hidden_layers": 5, "rms_norm_eps": 0.1, "intermediate_size": 16},
            "layer_types": [
                *("sliding_attention", "full_attention", "sliding_attention"),
                *("full_attention", "sliding_attention"),
            ],
        },
        others={
            **{"layer_types": ["sliding_attention"] * 5, "rms_norm_eps": 1e-6},
            "hidden_act": "relu",
        },
    )
    yield qwen2(
        "window_unused",
        "4.x keys as on the hub: a sliding_window, with use_sliding_window off",
        written=OLD
        | {
            **{"use_sliding_window": False, "sliding_window": 3},
            **{"max_window_layers": 0, "rope_theta": 1000000.0},
        },
        unwritten=NEW_KEYS,
        others={"use_sliding_window": True, "rope_theta": 100.0},
    )


def qwen3(name, varies, config=None, **options):
    config = SMALL | {"rope_parameters": rope(), "head_dim": 8} | (config or {})
    return Case(f"qwen3-{name}", varies, "Qwen3ForCausalLM", config, **options)


def qwen3_cases():
    yield qwen3("plain", "2 key heads, head_dim 8", others={"hidden_act": "gelu"})
    yield qwen3(
        "biases",
        "attention_bias, 1 key head, head_dim 6, tied, rms_norm_eps",
        {
            **{"attention_bias": True, "num_key_value_heads": 1, "head_dim": 6},
            **{"tie_word_embeddings": True, "rms_norm_eps": 0.1},
        },
        others={"attention_bias": False, "rms_norm_eps": 1e-6},
    )
    yield qwen3(
        "window",
        "sliding_window 3 from layer 1 of 3 on, as many key heads as query heads",
        {
            **{"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
            **{"num_hidden_layers": 3, "num_key_value_heads": 4},
        },
        others={"sliding_window": 4, "layer_types": ["full_attention"] * 3},
    )
    yield qwen3(
        "yarn_4x",
        "4.x keys, rope yarn with `rope_type`; head_dim left out: 128",
        {
            **{"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 128},
            "num_hidden_layers": 1,
        },
        written=OLD
        | {"rope_theta": 100.0, "rope_scaling": {**YARN, "rope_type": "yarn"}},
        unwritten=(*NEW_KEYS, "head_dim", "attention_bias", "hidden_act"),
        others={"rope_scaling": None, "hidden_act": "relu"},
    )


def gemma(name, varies, config=None, **options):
    config = SMALL | {"rope_parameters": rope(), "head_dim": 8} | (config or {})
    return Case(f"gemma-{name}", varies, "GemmaForCausalLM", config, **options)


def gemma_cases():
    yield gemma(
        "plain",
        "1 key head, head_dim 8, tied",
        {"num_key_value_heads": 1},
        others={"hidden_act": "relu"},
    )
    yield gemma(
        "untied",
        "a head of its own, as many key heads as query heads, relu, rms_norm_eps",
        {
            **{"tie_word_embeddings": False, "num_key_value_heads": 4},
            **{"hidden_act": "relu", "rms_norm_eps": 0.3},
        },
        others={"hidden_act": "silu", "rms_norm_eps": 1e-6},
    )
    yield gemma(
        "biases",
        "attention_bias, rope linear, hidden_size 24, 3 layers",
        {
            **{"attention_bias": True, "hidden_size": 24, "num_hidden_layers": 3},
            "rope_parameters": rope("linear", factor=4.0),
        },
        others={"attention_bias": False, "rope_parameters": rope()},
    )
    yield gemma(
        "hub",
        "4.x keys as on the hub: hidden_act gelu means its tanh form; much left out",
        {"num_attention_heads": 2},
        written=OLD
        | {"rope_theta": 100.0, "hidden_act": "gelu", "hidden_activation": None},
        unwritten=(
            *(*NEW_KEYS, "attention_bias", "tie_word_embeddings", "rms_norm_eps"),
            "use_bidirectional_attention",
        ),
        others={"hidden_act": "relu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0},
        embeddings=0.0007,
    )


def gemma2(name, varies, config=None, **options):
    config = {
        **SMALL,
        **{"rope_parameters": rope(), "head_dim": 8, "sliding_window": 4},
        **{"query_pre_attn_scalar": 3, "num_hidden_layers": 3},
        **{"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        **(config or {}),
    }
    return Case(f"gemma2-{name}", varies, "Gemma2ForCausalLM", config, **options)


def gemma2_cases():
    yield gemma2(
        "plain",
        "soft caps 2 and 3, query_pre_attn_scalar 3, windows of 4 on layers 0 and 2",
        others={
            **{"attn_logit_softcapping": 20.0, "final_logit_softcapping": 30.0},
            **{"query_pre_attn_scalar": 8, "sliding_window": 5},
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        },
    )
    yield gemma2(
        "uncapped",
        "no soft caps, attention_bias, 1 key head, relu",
        {
            **{"attn_logit_softcapping": None, "final_logit_softcapping": None},
            **{"attention_bias": True, "num_key_value_heads": 1},
            "hidden_activation": "relu",
        },
        others={
            **{"attn_logit_softcapping": 5.0, "final_logit_softcapping": 5.0},
            **{"attention_bias": False, "hidden_activation": "silu"},
        },
    )
    yield gemma2(
        "hub",
        "4.x keys as on the hub: layer_types, soft caps, hidden_activation and "
        "query_pre_attn_scalar left out; 4 layers, hidden_act not read",
        {
            **{"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
            **{"query_pre_attn_scalar": 256, "num_hidden_layers": 4},
        },
        written=OLD | {"rope_theta": 100.0, "hidden_act": "relu"},
        unwritten=(
            *(*NEW_KEYS, "attn_logit_softcapping", "final_logit_softcapping"),
            *("query_pre_attn_scalar", "hidden_activation", "tie_word_embeddings"),
        ),
        others={
            **{"attn_logit_softcapping": 0.3, "final_logit_softcapping": 3.0},
            **{"query_pre_attn_scalar": 3, "hidden_activation": "relu"},
            "sliding_window": 3,
        },
    )
    yield gemma2(
        "untied",
        "a head of its own, layer_types full, sliding, sliding; head_dim 6, "
        "rms_norm_eps, as many key heads as query heads",
        {
            **{"tie_word_embeddings": False, "head_dim": 6, "num_key_value_heads": 4},
            "rms_norm_eps": 0.3,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
        others={
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rms_norm_eps": 1e-6,
        },
    )


def gemma3(name, varies, config=None, **options):
    config = {
        **SMALL,
        **{"head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 3},
        "rope_parameters": {
            "full_attention": rope(theta=1000.0),
            "sliding_attention": rope(theta=10.0),
        },
        **(config or {}),
    }
    architecture = "Gemma3ForCausalLM"
    return Case(f"gemma3_text-{name}", varies, architecture, config, **options)


def gemma3_cases():
    full, sliding = "full_attention", "sliding_attention"
    yield gemma3(
        "plain",
        "layer_types sliding, sliding, full, sliding; rope_theta of each type",
        {"num_hidden_layers": 4, "layer_types": [sliding, sliding, full, sliding]},
        others={
            "layer_types": [sliding, full, full, sliding],
            **{"sliding_window": 5, "query_pre_attn_scalar": 8},
            "rope_parameters.full_attention.rope_theta": 10.0,
            "rope_parameters.sliding_attention.rope_theta": 1000.0,
        },
    )
    yield gemma3(
        "linear",
        "rope linear on layers without a window, alternating, 1 key head",
        {
            **{"num_hidden_layers": 3, "layer_types": [full, sliding, full]},
            "rope_parameters": {
                full: rope("linear", theta=1000.0, factor=8.0),
                sliding: rope(theta=10.0),
            },
            "num_key_value_heads": 1,
        },
        others={"rope_parameters.full_attention.factor": 1.0},
    )
    yield gemma3(
        "linear_4x",
        "4.x keys: rope_local_base_freq, rope_scaling, sliding_window_pattern 2 of 5 "
        "layers",
        {"num_hidden_layers": 5, "intermediate_size": 16},
        written=OLD
        | {
            **{"rope_theta": 1000.0, "rope_local_base_freq": 10.0},
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "sliding_window_pattern": 2,
        },
        unwritten=(*NEW_KEYS, "_sliding_window_pattern"),
        others={
            **{"rope_theta": 10.0, "rope_local_base_freq": 1000.0},
            **{"rope_scaling": None, "sliding_window_pattern": 3},
        },
    )
    yield gemma3(
        "sparse",
        "keys left out: every sixth of 8 layers full, both rope_theta, "
        "query_pre_attn_scalar 256",
        {
            **{"num_hidden_layers": 8, "num_attention_heads": 1, "head_dim": 8},
            **{"num_key_value_heads": 1, "intermediate_size": 16},
        },
        written=OLD,
        unwritten=(
            *(*NEW_KEYS, "_sliding_window_pattern", "query_pre_attn_scalar"),
            *("hidden_activation", "tie_word_embeddings", "rms_norm_eps"),
        ),
        others={
            **{"sliding_window_pattern": 3, "query_pre_attn_scalar": 3},
            **{"rope_theta": 10.0, "rope_local_base_freq": 10.0},
            **{"hidden_activation": "relu", "rms_norm_eps": 1e-5},
        },
        embeddings=0.0007,
    )
    yield gemma3(
        "capped",
        "final soft cap, attention_bias, a head of its own, as many key heads as query "
        "heads; transformers doesn't read attn_logit_softcapping here",
        {
            **{"attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0},
            **{"attention_bias": True, "tie_word_embeddings": False},
            **{"num_key_value_heads": 4, "layer_types": [sliding, full]},
        },
        others={"final_logit_softcapping": None, "attention_bias": False},
    )


def phi3(name, varies, config=None, **options):
    config = {
        **SMALL,
        **{"original_max_position_embeddings": 64, "num_key_value_heads": 4},
        "rope_parameters": rope(partial_rotary_factor=1.0),
        **(config or {}),
    }
    return Case(f"phi3-{name}", varies, "Phi3ForCausalLM", config, **options)


def phi3_cases():
    long = {"short_factor": [1.0, 1.5], "long_factor": [2.0, 6.0]}
    yield phi3(
        "plain",
        "as many key heads as query heads, sliding_window 4",
        {"sliding_window": 4},
        others={"sliding_window": 5, "hidden_act": "relu"},
    )
    yield phi3(
        "grouped",
        "2 key heads, tied, partial_rotary_factor 0.5, rms_norm_eps, 3 layers",
        {
            **{"num_key_value_heads": 2, "tie_word_embeddings": True},
            **{"rms_norm_eps": 0.1, "num_hidden_layers": 3},
            "rope_parameters": rope(partial_rotary_factor=0.5),
        },
        others={
            "rope_parameters.partial_rotary_factor": 1.0,
            "rms_norm_eps": 1e-5,
        },
    )
    yield phi3(
        "longrope",
        "rope longrope of half a head, a text longer than those of training, 2 heads",
        {
            **{"num_attention_heads": 2, "num_key_value_heads": 1},
            **{"max_position_embeddings": 32, "original_max_position_embeddings": 8},
            "rope_parameters": rope("longrope", partial_rotary_factor=0.5, **long),
        },
        others={
            "rope_parameters.long_factor": long["short_factor"],
            "max_position_embeddings": 64,
        },
        parts=(9, 3),
    )
    yield phi3(
        "longrope_4x",
        "4.x keys: rope_scaling `type` longrope, a text no longer than those of "
        "training",
        {"max_position_embeddings": 64, "original_max_position_embeddings": 16},
        written=OLD
        | {"rope_theta": 100.0, "rope_scaling": {"type": "longrope", **long}},
        unwritten=NEW_KEYS,
        others={
            "rope_scaling.short_factor": long["long_factor"],
            "max_position_embeddings": 32,
        },
    )
    yield phi3(
        "sparse",
        "4.x keys: partial_rotary_factor beside rope_theta; rms_norm_eps left out, 1 "
        "key head, gelu",
        {"num_key_value_heads": 1, "hidden_act": "gelu"},
        written=OLD | {"rope_theta": 100.0, "partial_rotary_factor": 0.5},
        unwritten=(
            *(*NEW_KEYS, "rms_norm_eps", "sliding_window", "tie_word_embeddings"),
            "original_max_position_embeddings",
        ),
        others={"partial_rotary_factor": 1.0, "rms_norm_eps": 1e-6},
        embeddings=0.003,
    )


def olmo2(name, varies, config=None, **options):
    config = SMALL | {"rope_parameters": rope()} | (config or {})
    return Case(f"olmo2-{name}", varies, "Olmo2ForCausalLM", config, **options)


def olmo2_cases():
    yield olmo2(
        "plain",
        "as many key heads as query heads",
        {"num_key_value_heads": 4},
        others={"rope_parameters": rope(theta=10000.0)},
    )
    yield olmo2(
        "grouped",
        "2 key heads, attention_bias, tied, rope linear",
        {
            **{"attention_bias": True, "tie_word_embeddings": True},
            "rope_parameters": rope("linear", factor=4.0),
        },
        others={"attention_bias": False, "rope_parameters": rope()},
    )
    yield olmo2(
        "one_kv",
        "1 key head, gelu, rms_norm_eps, 3 layers",
        {
            **{"num_key_value_heads": 1, "hidden_act": "gelu", "rms_norm_eps": 0.1},
            "num_hidden_layers": 3,
        },
        others={"hidden_act": "relu", "rms_norm_eps": 1e-5},
    )
    yield olmo2(
        "yarn_4x",
        "4.x keys, rope yarn with `rope_type`; key heads and rms_norm_eps left out",
        {"num_key_value_heads": 4},
        written=OLD
        | {"rope_theta": 100.0, "rope_scaling": {**YARN, "rope_type": "yarn"}},
        unwritten=(
            *(*NEW_KEYS, "num_key_value_heads", "rms_norm_eps", "attention_bias"),
            *("tie_word_embeddings", "hidden_act"),
        ),
        others={"rope_scaling": None, "rms_norm_eps": 1e-6, "hidden_act": "relu"},
        embeddings=0.003,
    )


def mixtral(name, varies, architecture="MixtralForCausalLM", config=None, **options):
    config = (
        SMALL | {"rope_parameters": rope(), "num_local_experts": 4} | (config or {})
    )
    return Case(f"mixtral-{name}", varies, architecture, config, **options)


def mixtral_cases():
    yield mixtral(
        "plain",
        "2 of 4 experts, grouped heads",
        others={"num_experts_per_tok": 1, "rope_parameters.rope_theta": 1e4},
    )
    yield mixtral(
        "window",
        "a window of 4, 3 of 5 experts, gelu, rms_norm_eps, 3 layers",
        config={
            **{"sliding_window": 4, "num_local_experts": 5, "num_experts_per_tok": 3},
            **{"hidden_act": "gelu", "rms_norm_eps": 0.1, "num_hidden_layers": 3},
        },
        others={"sliding_window": None, "hidden_act": "silu", "rms_norm_eps": 1e-5},
    )
    yield mixtral(
        "classes",
        "a head of 3 classes at the last token, bfloat16",
        "MixtralForSequenceClassification",
        {"num_labels": 3},
        dtype="bfloat16",
        parts=None,
    )
    yield mixtral(
        "keys_4x",
        "4.x keys; num_experts_per_tok, rope_theta and rms_norm_eps left out; head_dim",
        config={
            **{"head_dim": 8, "num_local_experts": 8},
            "rope_parameters": rope(theta=1e6),
        },
        written=OLD,
        unwritten=(
            *(*NEW_KEYS, "num_local_experts", "num_experts_per_tok", "rms_norm_eps"),
            *("tie_word_embeddings", "hidden_act", "sliding_window"),
        ),
        others={"rope_theta": 100.0, "rms_norm_eps": 1e-3, "hidden_act": "relu"},
        embeddings=0.03,
    )


def qwen3_moe(name, varies, architecture="Qwen3MoeForCausalLM", config=None, **options):
    config = {
        **SMALL,
        **{"rope_parameters": rope(), "head_dim": 8, "moe_intermediate_size": 12},
        **{"num_experts": 4, "num_experts_per_tok": 2},
    } | (config or {})
    return Case(f"qwen3_moe-{name}", varies, architecture, config, **options)


def qwen3_moe_cases():
    yield qwen3_moe(
        "plain",
        "2 of 4 experts, head_dim 8",
        others={"num_experts_per_tok": 1, "norm_topk_prob": True},
    )
    yield qwen3_moe(
        "untied",
        "norm_topk_prob, an MLP in the first of 3 layers, attention_bias, tied",
        config={
            **{"norm_topk_prob": True, "mlp_only_layers": [0], "num_hidden_layers": 3},
            **{"attention_bias": True, "tie_word_embeddings": True},
        },
        others={"norm_topk_prob": False},
    )
    yield qwen3_moe(
        "sparse",
        "experts in every other of 4 layers, a window of 4, gelu",
        config={
            **{"decoder_sparse_step": 2, "num_hidden_layers": 4, "hidden_act": "gelu"},
            **{"use_sliding_window": True, "sliding_window": 4},
        },
        others={"sliding_window": 5, "hidden_act": "silu"},
    )
    yield qwen3_moe(
        "hub",
        "as on the hub: num_experts, 4.x keys, max_window_layers; 1 key head",
        config={"num_key_value_heads": 1, "rope_parameters": rope(theta=50.0)},
        written=OLD
        | {
            **{"rope_theta": 50.0, "rope_scaling": None, "max_window_layers": 1},
            "num_experts": 4,
        },
        unwritten=(
            *(*NEW_KEYS, "num_local_experts", "decoder_sparse_step", "attention_bias"),
            *("tie_word_embeddings", "norm_topk_prob", "mlp_only_layers", "hidden_act"),
        ),
        others={"norm_topk_prob": True, "rope_theta": 1e4},
    )


def gpt_oss(name, varies, architecture="GptOssForCausalLM", config=None, **options):
    yarn = {**YARN, "truncate": False}
    config = {
        **SMALL,
        **{"rope_parameters": rope("yarn", **yarn), "head_dim": 8},
        **{"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4},
    } | (config or {})
    return Case(f"gpt_oss-{name}", varies, architecture, config, **options)


def gpt_oss_cases():
    yield gpt_oss(
        "plain",
        "2 of 4 experts, rope yarn without truncation, windows of 4 and none",
        others={
            **{"num_experts_per_tok": 1, "sliding_window": 5},
            "rope_parameters.truncate": True,
        },
    )
    yield gpt_oss(
        "limit",
        "a limit of 0.25 for the gates, rms_norm_eps, 3 layers without windows, tied",
        config={
            **{"swiglu_limit": 0.25, "rms_norm_eps": 0.1, "num_hidden_layers": 3},
            **{"layer_types": ["full_attention"] * 3, "tie_word_embeddings": True},
        },
        others={"swiglu_limit": 7.0, "rms_norm_eps": 1e-5},
    )
    yield gpt_oss(
        "untied",
        "no attention_bias, rope default, windows in another order",
        config={
            **{"attention_bias": False, "rope_parameters": rope()},
            "layer_types": ["full_attention", "sliding_attention"],
        },
        others={"rope_parameters.rope_theta": 1e4},
    )
    yield gpt_oss(
        "keys_4x",
        "4.x keys; layer_types, swiglu_limit, rope_theta, num_experts_per_tok left out",
        config={
            **{"num_local_experts": 6, "num_experts_per_tok": 4},
            "rope_parameters": rope("yarn", 150000.0, **YARN),
        },
        written=OLD | {"rope_scaling": {**YARN, "rope_type": "yarn"}},
        unwritten=(
            *(*NEW_KEYS, "num_experts_per_tok", "swiglu_limit", "swiglu_alpha"),
            *("tie_word_embeddings", "attention_bias", "hidden_act", "rms_norm_eps"),
        ),
        others={"rope_theta": 100.0, "swiglu_limit": 0.5, "rms_norm_eps": 1e-3},
        embeddings=0.03,
    )


def cases():
    for of_family in (
        *(gpt2_cases, llama_cases, mistral_cases, qwen2_cases, qwen3_cases),
        *(gemma_cases, gemma2_cases, gemma3_cases, phi3_cases, olmo2_cases),
        *(mixtral_cases, qwen3_moe_cases, gpt_oss_cases),
    ):
        yield from of_family()
