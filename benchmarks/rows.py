"""The rows: nets, the quantities measured of each, and their targets.

A row is a net, made by a function of each library's `*_models.py`, and something of it
that worker.py measures. A library without that function has no such row.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Net:
    """`make(**options)` of the model files, applied to an array of `shape`."""

    make: str
    shape: tuple[int, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    dtype: str = "float32"
    # Whether peers hold the same parameters, so that numbers can be compared.
    peers_agree: bool = True


def tokens(make="transformer", shape=(8, 64), **options):
    return Net(make, shape, options, "int32")


NETS = {
    "mlp": Net("mlp", (8, 100)),
    "resnet50": Net("resnet50", (2, 64, 64, 3)),
    "transformer": tokens(shape=(2, 16)),
    "pairformer": Net("pairformer", ()),
    "pairformer, drawn": Net("pairformer", ()),
    **{f"pre-norm {depth}": tokens(depth=depth) for depth in (4, 12, 24)},
    "RMS norm 12": tokens(norm="rms"),
    "post-norm 12": tokens(post_norm=True),
    "resnet18": Net("resnet18", (8, 32, 32, 3)),
    "mixer 12": Net("mixer", (8, 16, 48)),
    "attention": Net("attention", (4, 128, 256)),
    "transformer 256": tokens(shape=(4, 128), depth=4, width=256),
    "LSTM": Net("recurrent", (100, 32, 128), {"core": "LSTM"}, peers_agree=False),
    "GRU": Net("recurrent", (100, 32, 128), {"core": "GRU"}, peers_agree=False),
    "vanilla RNN": Net("recurrent", (100, 32, 128), {"core": "VanillaRNN"}),
    "conv LSTM": Net("conv_lstm", (20, 8, 16, 16, 8)),
    "wide": Net("wide", ()),
}

TRACED = "init traced", "apply traced", "value-and-grad traced"
STEP = {"compile": 1.0, "step": 1.0, "memory": 1.0, "RSS": 1.0}
FIRST = {"first step": 1.0}
# Section -> net -> what is measured -> what ours should cost as a fraction of dm-haiku.
SECTIONS = {
    "Tracing": {
        "": {"import": 0.35},
        "mlp": {**dict(zip(TRACED, (0.35, 0.35, 0.85))), "eager init": 0.45},
        "resnet50": dict(zip(TRACED, (0.45, 0.40, 0.85))),
        "transformer": dict(zip(TRACED, (0.45, 0.50, 0.85))),
    },
    "A big program": {
        "pairformer": dict(zip(TRACED, (0.70, 0.75))),
        "pairformer, drawn": {"drawn": None},
    },
    "Deep nets": {
        "pre-norm 4": STEP,
        "pre-norm 12": STEP,
        "pre-norm 24": {**STEP, "compile": 0.10, "step": 0.30},
        "RMS norm 12": STEP,
        "post-norm 12": STEP,
        "resnet18": STEP,
        "resnet50": STEP,
        "mixer 12": STEP,
        "mlp": STEP,
    },
    "Attention": {
        "attention": {**STEP, "step": 0.80},
        "transformer 256": {**STEP, "step": 0.80},
    },
    "Recurrence": {
        "LSTM": {**STEP, "step": 0.80},
        "GRU": {**STEP, "step": 0.80},
        "vanilla RNN": {**STEP, "step": 0.80},
        "conv LSTM": {**STEP, "step": 0.80},
    },
    "First step": {
        "mlp": {"first step": 1.0, "jitted init": 0.50},
        "resnet50": FIRST,
        "transformer": FIRST,
    },
    "Dispatch": {
        "wide": {
            "dicts": 0.85,
            "dicts and out": 0.85,
            "list": None,
            "list and out": None,
            "packed": 0.10,
            "packed and out": 0.10,
        },
    },
}
# How a figure is shown: its unit, and how many of them a second or a byte is.
UNITS = {
    **{what: ("ms", 1e3) for what in ("import", "eager init", "step", *TRACED)},
    **{what: ("s", 1.0) for what in ("compile", "first step", "jitted init")},
    **{what: ("MB", 1e-6) for what in ("memory", "RSS")},
    **{what: ("us", 1e6) for what in SECTIONS["Dispatch"]["wide"]},
}
# Threads share this work: it is shown in wall time too.
WALL = ("step", "compile", "first step", "jitted init")
# One sample a process, which does nothing else.
FRESH = ("import", "first step", "jitted init")
# Nets that only --full runs, each in the sections named.
SLOW = {
    "Deep nets": (
        "pre-norm 4",
        "pre-norm 12",
        "RMS norm 12",
        "post-norm 12",
        "resnet50",
        "mlp",
    ),
    "Attention": ("attention",),
    "A big program": ("pairformer, drawn",),
    "Recurrence": ("GRU", "vanilla RNN", "conv LSTM"),
    "First step": ("resnet50", "transformer"),
}


def name(net, what):
    return f"{net} {what}".strip()


def chosen(wanted, full):
    """The sections with the rows whose name contains one of `wanted`."""

    def kept(section, net, what):
        whole = f"{section}: {name(net, what)}"
        return any(x in whole for x in wanted) and (
            full or net not in SLOW.get(section, ()) or wanted != [""]
        )

    sections = {
        section: {
            net: {w: t for w, t in measures.items() if kept(section, net, w)}
            for net, measures in nets.items()
        }
        for section, nets in SECTIONS.items()
    }
    sections = {
        section: {net: measures for net, measures in nets.items() if measures}
        for section, nets in sections.items()
    }
    return {section: nets for section, nets in sections.items() if nets}
