"""Rotary embeddings in configs: both forms that transformers has had.

`rope_parameters` holds the base and the scaling (transformers 5); before, `rope_theta`
stood beside `rope_scaling`, whose `type` may stand for `rope_type`.
"""

from __future__ import annotations

from typing import Any

from haiku import rotary
from haiku._layers.rotary import Rotary
from haiku.pretrained.config_keys import Keys

_TYPES = ("default", "linear", "dynamic", "yarn", "llama3", "longrope", "su")


def read_rope(
    keys: Keys,
    head_size: int,
    max_length: int,
    base: float = 10000.0,
    partial: bool = False,
) -> Rotary:
    """The rotary embedding of a config.

    Args:
      keys: The config's keys.
      head_size: Size of a head.
      max_length: Length of the longest texts.
      base: The base if the config has none.
      partial: Whether a part of the heads may be turned without a scaling; other
        families turn whole heads then, whatever the config says.
    """
    parameters = keys.below("rope_parameters")
    if parameters is None:
        parameters = keys.below("rope_scaling") or Keys({}, keys.where)
        base = keys.number("rope_theta", base)
    return read_parameters(parameters, keys, head_size, max_length, base, partial)


def read_parameters(
    parameters: Keys,
    keys: Keys,
    head_size: int,
    max_length: int,
    base: float,
    partial: bool = False,
) -> Rotary:
    """The same of the object that holds the parameters."""
    fraction = parameters.number(
        "partial_rotary_factor", keys.number("partial_rotary_factor", 1.0)
    )
    named = "rope_type" if "rope_type" in parameters else "type"
    kind = parameters.choice(named, _TYPES, "default")
    if kind == "default" and not partial:
        fraction = 1.0
    base = parameters.number("rope_theta", base)
    turned = int(head_size * fraction)
    if base <= 1 or not 0 < fraction <= 1 or turned < 2 or turned % 2:
        raise ValueError(
            f"{parameters.where}: no rotary embedding has base {base:g} and turns "
            f"{fraction:g} of heads of {head_size}."
        )
    scaling = _scaling(kind, parameters, keys, turned, max_length)
    return Rotary(base, fraction, scaling)


def _scaling(kind: str, parameters: Keys, keys: Keys, turned: int, max_length: int):
    if kind == "default":
        return None
    original = parameters.size(
        "original_max_position_embeddings",
        keys.size("original_max_position_embeddings", max_length),
    )
    try:
        if kind == "linear":
            return rotary.Linear(parameters.number("factor"))
        if kind == "dynamic":
            return rotary.Dynamic(parameters.number("factor"), original)
        if kind == "llama3":
            return rotary.Llama3(
                parameters.number("factor"),
                original,
                parameters.number("low_freq_factor"),
                parameters.number("high_freq_factor"),
            )
        if kind == "yarn":
            return rotary.YaRN(
                parameters.number("factor"),
                original,
                parameters.number("beta_fast", 32.0),
                parameters.number("beta_slow", 1.0),
                parameters.number("attention_factor", None),
                parameters.number("mscale", None),
                parameters.number("mscale_all_dim", None),
                parameters.flag("truncate", True),
            )
        return rotary.LongRoPE(
            parameters.numbers("short_factor", turned // 2),
            parameters.numbers("long_factor", turned // 2),
            original,
            max_length,
            parameters.number("attention_factor", None),
        )
    except ValueError as error:
        if str(error).startswith(parameters.where):
            raise
        raise ValueError(f"{parameters.where}: {error}") from error


def write_rope(embedding: Rotary) -> dict[str, Any]:
    """The parameters of a rotary embedding, as transformers 5 has them."""
    scaling = embedding.scaling
    found: dict[str, Any] = {"rope_type": "default", "rope_theta": embedding.base}
    if embedding.fraction != 1:
        found["partial_rotary_factor"] = embedding.fraction
    if scaling is None:
        return found
    names = {
        rotary.Linear: ("linear", {"factor": "factor"}),
        rotary.Dynamic: ("dynamic", {"factor": "factor", "original_length": _ORIGINAL}),
        rotary.Llama3: (
            "llama3",
            {
                **{"factor": "factor", "original_length": _ORIGINAL},
                **{"low_factor": "low_freq_factor", "high_factor": "high_freq_factor"},
            },
        ),
        rotary.YaRN: (
            "yarn",
            {
                **{"factor": "factor", "original_length": _ORIGINAL},
                **{name: name for name in ("beta_fast", "beta_slow", "truncate")},
                **{n: n for n in ("attention_factor", "mscale", "mscale_all_dim")},
            },
        ),
        rotary.LongRoPE: (
            "longrope",
            {
                "short_factors": "short_factor",
                "long_factors": "long_factor",
                "original_length": _ORIGINAL,
                "attention_factor": "attention_factor",
            },
        ),
    }
    if type(scaling) not in names:
        raise ValueError(
            f"No config of transformers has the scaling {scaling!r}: save with one of "
            "hk.rotary's."
        )
    found["rope_type"], keys = names[type(scaling)]
    for attribute, key in keys.items():
        value = getattr(scaling, attribute)
        if value is not None:
            found[key] = list(value) if isinstance(value, tuple) else value
    return found


_ORIGINAL = "original_max_position_embeddings"
