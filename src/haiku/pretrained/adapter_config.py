"""`adapter_config.json`: the numbers of adapters in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from haiku.adapt import DoRA, LoRA
from haiku.pretrained.adapter_layers import Layer
from haiku.pretrained.config_keys import Keys
from haiku.pretrained.json_files import shown

# By the end of the name of a class of transformers. Others have none in PEFT.
_TASKS = {
    **{"ForCausalLM": "CAUSAL_LM", "LMHeadModel": "CAUSAL_LM"},
    **{"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS"},
}
# Keys that change what adapters compute, and the values that change nothing.
_PLAIN = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
    **dict.fromkeys(
        (
            *("lora_bias", "use_qalora", "use_bdlora", "kasa_config"),
            *("layer_replication", "target_parameters", "trainable_token_indices"),
            *("alora_invocation_tokens", "arrow_config", "megatron_config"),
            *("velora_config", "monteclora_config"),
        ),
        (False, [], {}),
    ),
}
_NAME = re.compile(r"\^?[\w.]+")


class Scale(NamedTuple):
    """The rank of an update, and its alpha: it is multiplied by ``alpha / rank``."""

    rank: int
    alpha: float


class Settings(NamedTuple):
    """The settings of adapters in a config.

    Attributes:
      scale: Of most layers.
      ranks: Of others, by the end of their names.
      alphas: The same.
      by_root: Whether alpha is divided by the root of the rank instead.
      dropout: The rate.
      with_magnitudes: Whether they are DoRA.
      whole: Last parts of the names of layers that are there as a whole.
      where: The file, for errors.
    """

    scale: Scale
    ranks: Mapping[str, Any]
    alphas: Mapping[str, Any]
    by_root: bool
    dropout: float
    with_magnitudes: bool
    whole: tuple[str, ...]
    where: str

    def of_layer(self, name: str) -> Scale:
        """The rank and alpha of a layer."""
        rank = _by_name(self.ranks, name, self.scale.rank)
        alpha = _by_name(self.alphas, name, self.scale.alpha)
        return Scale(rank, alpha * math.sqrt(rank) if self.by_root else alpha)

    def adaptation(self, path: str, scale: Scale) -> LoRA:
        """The adaptation of a weight."""
        kind = DoRA if self.with_magnitudes else LoRA
        alpha = None if scale.alpha == scale.rank else scale.alpha
        try:
            return kind(path, scale.rank, alpha, self.dropout)
        except ValueError as error:
            raise ValueError(f"{self.where}: {error}") from error


def _by_name(values: Mapping[str, Any], name: str, default: Any) -> Any:
    for key, value in values.items():
        whole = key.removeprefix("^")
        if name == whole or (key == whole and name.endswith(f".{whole}")):
            return value
    return default


def read_settings(keys: Keys) -> Settings:
    """The settings of a config; ValueError if something isn't known here."""
    keys.choice("peft_type", ("LORA",))
    for key, plain in _PLAIN.items():
        value = keys.values.get(key)
        if value is not None and value not in plain:
            raise ValueError(
                f"{keys.where}: {key} is {shown(value)}, which isn't known here. "
                "Merge the adapters where they were trained, and load the model."
            )
    scale = Scale(keys.size("r"), keys.number("lora_alpha"))
    dropout = keys.number("lora_dropout", 0.0)
    if not 0 <= dropout < 1:
        raise ValueError(
            f"{keys.where}: lora_dropout must be a rate in [0, 1), and is {dropout}."
        )
    patterns = [keys.below(key) for key in ("rank_pattern", "alpha_pattern")]
    for pattern in filter(None, patterns):
        for key in pattern.values:
            if not _NAME.fullmatch(key):
                raise ValueError(
                    f"{pattern.where}: {shown(key)} must be the name of a layer, or "
                    "its end: other patterns aren't known here."
                )
    ranks, alphas = patterns
    return Settings(
        scale,
        {key: ranks.size(key) for key in ranks.values} if ranks else {},
        {key: alphas.number(key) for key in alphas.values} if alphas else {},
        keys.flag("use_rslora", False),
        dropout,
        keys.flag("use_dora", False),
        _whole(keys),
        keys.where,
    )


def _whole(keys: Keys) -> tuple[str, ...]:
    names = keys.values.get("modules_to_save") or []
    if not (isinstance(names, list) and all(isinstance(x, str) for x in names)):
        raise ValueError(
            f"{keys.where}: modules_to_save must be a list of names, and is "
            f"{shown(names)}."
        )
    return tuple(names)


def written(
    architecture: str,
    layers: Sequence[Layer],
    scales: Mapping[str, Scale],
    adaptation: LoRA,
) -> dict[str, Any]:
    """The keys of a config.

    Args:
      architecture: The class of transformers that the model is.
      layers: All that PEFT could update.
      scales: Those of the layers that are updated, by name.
      adaptation: One of the updates.
    """
    known = list(scales.values())
    most = max(known, key=known.count)
    others = {name: scale for name, scale in scales.items() if scale != most}
    return {
        "peft_type": "LORA",
        "task_type": next(
            (task for end, task in _TASKS.items() if architecture.endswith(end)), None
        ),
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": most.rank,
        "lora_alpha": _number(most.alpha),
        "lora_dropout": float(adaptation.dropout),
        "use_dora": isinstance(adaptation, DoRA),
        "use_rslora": False,
        "bias": "none",
        "fan_in_fan_out": any(x.is_transposed for x in layers if x.name in scales),
        "target_modules": _targets(layers, scales),
        "rank_pattern": {f"^{name}": x.rank for name, x in others.items()},
        "alpha_pattern": {f"^{name}": _number(x.alpha) for name, x in others.items()},
        "modules_to_save": None,
    }


def _targets(layers: Sequence[Layer], names: Mapping[str, Any]) -> list[str]:
    """The last parts of names if they choose just these layers, or else the names."""
    ends = {name.rpartition(".")[2] for name in names}
    chosen = {x.name for x in layers if x.name.rpartition(".")[2] in ends}
    return sorted(ends if chosen == set(names) else names)


def _number(x: float) -> float | int:
    return int(x) if float(x).is_integer() else float(x)
