"""The state space models of the parity table: per family, what it varies."""

from cases import OLD, Case

SMALL_MAMBA = {
    **{"vocab_size": 32, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
# Keys of folders of transformers 4, some of which no model reads.
OLD_MAMBA = {
    **OLD,
    **{"d_inner": 32, "d_model": 16, "n_layer": 2, "fused_add_norm": True},
    **{"rms_norm": True, "ssm_cfg": {}, "time_step_init_scheme": "random"},
    **{"time_step_scale": 1.0, "intermediate_size": 32},
}
LEFT_OUT = (
    *("dtype", "tie_word_embeddings", "use_bias", "use_conv_bias", "expand"),
    *("conv_kernel", "layer_norm_epsilon", "residual_in_fp32", "hidden_act"),
    *("time_step_min", "time_step_max", "time_step_floor", "use_associative_scan"),
)


def mamba(name, varies, architecture="MambaForCausalLM", config=None, **options):
    config = SMALL_MAMBA | (config or {})
    return Case(
        f"mamba-{name}", varies, architecture, config, **{"net": "mamba"} | options
    )


def mamba_cases():
    yield mamba("plain", "a tied head")
    yield mamba(
        "untied",
        "biases of all maps, none of convolutions, untied, rank 3, layer_norm_epsilon",
        config={
            **{"tie_word_embeddings": False, "use_bias": True, "use_conv_bias": False},
            **{"time_step_rank": 3, "layer_norm_epsilon": 0.1},
        },
        others={"layer_norm_epsilon": 1e-5},
    )
    yield mamba(
        "base",
        "no head, 3 layers, 3 inner features per feature, convolutions of 2",
        "MambaModel",
        {"num_hidden_layers": 3, "expand": 3, "conv_kernel": 2},
    )
    yield mamba("bfloat16", "weights in bfloat16", dtype="bfloat16")
    yield mamba(
        "hub",
        "as folders on the hub: old keys, others left out",
        written=OLD_MAMBA | {"use_mambapy": False, "time_step_rank": "auto"},
        unwritten=LEFT_OUT,
    )


def mamba2(name, varies, architecture="Mamba2ForCausalLM", config=None, **options):
    config = {
        **SMALL_MAMBA,
        **{"num_heads": 4, "head_dim": 8, "n_groups": 2, "chunk_size": 4},
    } | (config or {})
    return Case(
        f"mamba2-{name}", varies, architecture, config, **{"net": "mamba"} | options
    )


def mamba2_cases():
    yield mamba2("plain", "an untied head, 2 groups, chunks of 4")
    yield mamba2(
        "tied",
        "biases of all maps, none of convolutions, tied, 1 group, layer_norm_epsilon",
        config={
            **{"tie_word_embeddings": True, "use_bias": True, "use_conv_bias": False},
            **{"n_groups": 1, "layer_norm_epsilon": 0.1, "chunk_size": 256},
        },
        others={"layer_norm_epsilon": 1e-5},
    )
    yield mamba2(
        "base",
        "no head, 3 layers, 4 groups, convolutions of 3, bounds of time steps",
        "Mamba2Model",
        {
            **{"num_hidden_layers": 3, "n_groups": 4, "conv_kernel": 3},
            "time_step_limit": [0.4, 0.9],
        },
        others={"time_step_limit": [0.0, 9.0]},
    )
    yield mamba2("bfloat16", "weights in bfloat16", dtype="bfloat16")
    yield mamba2(
        "hub",
        "as folders on the hub: old keys, others left out, an infinity in JSON",
        written=OLD_MAMBA
        | {
            **{"norm_before_gate": True, "time_step_rank": 256},
            "time_step_limit": [0.0, float("inf")],
        },
        unwritten=LEFT_OUT,
    )


def cases():
    for of_family in mamba_cases, mamba2_cases:
        yield from of_family()
