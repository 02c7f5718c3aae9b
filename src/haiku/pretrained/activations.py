"""Activations under the names of configs."""

from __future__ import annotations

from haiku.pretrained.config_keys import Keys

OURS = {
    **{"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh"},
    **{"gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "relu": "relu"},
    **{"relu2": "relu_squared", "quick_gelu": "quick_gelu"},
}
_THEIRS = {
    **{"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"},
    **{"relu": "relu", "relu_squared": "relu2", "quick_gelu": "quick_gelu"},
}


def read_activation(keys: Keys, key: str, default: str) -> str:
    """Our name of the activation under a key."""
    return OURS[keys.choice(key, tuple(OURS), default)]


def written_activation(name: str) -> str:
    """The name in configs of one of ours."""
    return _THEIRS[name]
