"""Whisper in the parity table: what it varies."""

from cases import OLD, Case
from pairs import FRAMES, MELS

SMALL_WHISPER = {
    **{"vocab_size": 32, "d_model": 16, "num_mel_bins": MELS},
    **{"max_source_positions": FRAMES // 2, "max_target_positions": 12},
    **{"encoder_layers": 2, "decoder_layers": 2},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 4},
    **{"encoder_ffn_dim": 24, "decoder_ffn_dim": 24},
    **{"decoder_start_token_id": 1, "pad_token_id": 0, "bos_token_id": 1},
    **{"eos_token_id": 2, "begin_suppress_tokens": [3]},
}


def whisper(name, varies, config=None, base=False, **options):
    architecture = "WhisperModel" if base else "WhisperForConditionalGeneration"
    config = SMALL_WHISPER | (config or {})
    options = {"net": "whisper", "parts": (3, 4)} | options
    return Case(f"whisper-{name}", varies, architecture, config, **options)


def cases():
    yield whisper("plain", "tied", others={"activation_function": "relu"})
    yield whisper(
        "untied",
        "a head of its own, 2 layers of 2 heads, then 1 of 8, MLPs of 24 and 20; relu",
        {
            **{"encoder_attention_heads": 2, "decoder_attention_heads": 8},
            **{"decoder_layers": 1, "decoder_ffn_dim": 20},
            **{"activation_function": "relu", "tie_word_embeddings": False},
        },
        untied=True,
        others={"activation_function": "gelu"},
    )
    yield whisper(
        "hub",
        "as 4.x wrote it: keys left out, one layer and then three",
        {"encoder_layers": 1, "decoder_layers": 3},
        written=OLD | {"num_hidden_layers": 1, "forced_decoder_ids": [[1, 3]]},
        unwritten=("dtype", "tie_word_embeddings", "activation_function"),
        others={"activation_function": "relu"},
    )
    yield whisper(
        "bfloat16",
        "bfloat16, scale_embedding, which does nothing",
        {"encoder_layers": 1, "decoder_layers": 1, "scale_embedding": True},
        dtype="bfloat16",
    )
    yield whisper("base", "without a head", base=True)
