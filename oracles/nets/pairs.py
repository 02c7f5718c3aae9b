"""Models with a decoder that attends to an encoder: how `make_folders` runs them.

The inputs lie under our names: `tokens` and `mask`, or `features`; `decoder_tokens`,
and `decoder_mask` where texts are padded.
"""

import numpy as np
import torch
from cases import T

NETS = ("encoder_decoder", "whisper")
FRAMES, MELS = 20, 6
# A gradient is kept of these: of the last layer of each side, where there are several.
GRADIENTS = (
    *("SelfAttention.k.weight", "EncDecAttention.v.weight", "1.layer_norm.weight"),
    *("wi.weight", "wi_0.weight", "wi_1.weight", "relative_attention_bias.weight"),
    *("shared.weight", "lm_head.weight", "encoder.final_layer_norm.weight"),
    *("k_proj.weight", "encoder_attn.v_proj.bias", "fc1.weight", "proj_out.weight"),
    *("conv1.weight", "conv2.bias", "decoder.embed_positions.weight"),
    *("decoder.layer_norm.weight", "decoder.embed_tokens.weight"),
)


def knows(model):
    return hasattr(model, "get_decoder") and model.config.is_encoder_decoder


def mask_of(inputs):
    """Where the output counts."""
    if "decoder_mask" in inputs:
        return inputs["decoder_mask"]
    if "decoder_tokens" in inputs:
        return torch.ones_like(inputs["decoder_tokens"], dtype=torch.bool)
    return inputs["mask"]


def tokens_of(inputs):
    """The text whose next tokens the output predicts."""
    return inputs["decoder_tokens" if "decoder_tokens" in inputs else "tokens"]


def inputs_of(case):
    """A text of 12 tokens or sound, and the decoder's text of 7, each three times.

    The texts are padded on the left in one row and on the right in another.
    """
    draw = np.random.default_rng(0)
    decoder_tokens = draw.integers(3, 32, [3, 7])
    decoder_tokens[:, 0] = case.config.get("decoder_start_token_id", 0)
    if case.net == "whisper":
        features = np.round(draw.standard_normal([3, FRAMES, MELS]) * 2**10) / 2**10
        inputs = {"features": features.astype(np.float32)}
    else:
        mask, decoder_mask = np.ones([3, T], bool), np.ones([3, 7], bool)
        mask[1, :3] = mask[2, -4:] = False
        decoder_mask[1, -2:] = decoder_mask[2, :1] = False
        decoder_tokens[2] = np.roll(decoder_tokens[2], 1)  # its start comes second
        tokens = np.where(mask, draw.integers(3, 32, mask.shape), 0)
        inputs = {"tokens": tokens, "mask": mask, "decoder_mask": decoder_mask}
    inputs["decoder_tokens"] = decoder_tokens
    return {name: torch.from_numpy(x) for name, x in inputs.items()}


def run(model, inputs, **options):
    """What the decoder computes with the inputs."""
    if "features" in inputs:
        features = inputs["features"].to(model.dtype)
        given = {"input_features": features.transpose(1, 2)}
    else:
        given = {"input_ids": inputs["tokens"].long()}
        if "mask" in inputs:
            given["attention_mask"] = inputs["mask"].long()
            given["decoder_attention_mask"] = inputs["decoder_mask"].long()
    return model(decoder_input_ids=inputs["decoder_tokens"].long(), **given, **options)


def run_alone(model, inputs):
    """Each pair without its padding, one after the other: their outputs."""
    for i, tokens in enumerate(inputs["decoder_tokens"]):
        if "features" in inputs:
            row = {"features": inputs["features"][i][None]}
        else:
            row = {"tokens": inputs["tokens"][i][inputs["mask"][i]][None]}
        counts = mask_of(inputs)[i]
        yield run(model, row | {"decoder_tokens": tokens[counts][None]})


def run_with_cache(model, case, inputs):
    """A prefill of the decoder's first part, then token by token: the outputs."""
    length = inputs["decoder_tokens"].shape[1]
    options, start = {"use_cache": True}, 0
    for end in range(case.parts[0], length + 1):
        part = inputs | {"decoder_tokens": inputs["decoder_tokens"][:, start:end]}
        if "decoder_mask" in inputs:
            part["decoder_mask"] = inputs["decoder_mask"][:, :end]
        out = run(model, part, **options)
        options["past_key_values"] = out.past_key_values
        start = end
        yield out


def gradients(model):
    """Those that are kept, by name."""
    last = {}
    for name, _ in model.named_parameters():
        side, index = place_of(name)
        last[side] = max(last.get(side, -1), index)
    for name, p in model.named_parameters():
        side, index = place_of(name)
        whole = name.endswith(("attention_bias.weight",)) or index < 0
        if name.endswith(GRADIENTS) and (whole or index == last[side]):
            yield name, p.grad


def place_of(name):
    """The stack that a parameter is in, and the number of its layer; else -1."""
    parts = name.split(".")
    for i, part in enumerate(parts[:-1]):
        if part in ("block", "layers"):
            return ".".join(parts[:i]), int(parts[i + 1])
    return "", -1
