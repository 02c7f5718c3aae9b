"""Nets as ONNX models: converted by jax2onnx, run by onnxruntime, compared with ours.

PYTHONPATH=src python oracles/nets/onnx_check.py   # needs jax2onnx and onnxruntime

Prints a table of the largest differences, relative to the largest output, and fails if
one is above 1e-5, or if a net that couldn't be converted now can: then its lines here
and in docs/guide/export.md are old.
"""

import logging
import sys

import jax
import numpy as np
import onnxruntime
from jax2onnx import to_onnx
from onnx import helper

import haiku as hk

logging.disable(logging.WARNING)
onnxruntime.set_default_logger_severity(4)


def converted(apply, *shapes):
    """The ONNX model of a function of arrays."""
    model = to_onnx(apply, list(shapes))
    pools_of_images(model.graph)
    return model


def pools_of_images(graph):
    """Turns each MaxPool over `[B, H, W, C]` into one over height and width.

    jax2onnx takes all four axes of JAX's windows for spatial ones, and onnxruntime has
    no kernel for that.
    """
    squeezes = {n.input[0]: n for n in graph.node if n.op_type == "Squeeze"}
    nodes = []
    for node in graph.node:
        options = {a.name: list(a.ints) for a in node.attribute}
        if node.op_type == "MaxPool" and len(options["kernel_shape"]) == 4:
            squeeze = squeezes.pop(node.output[0])
            pads = options.get("pads", [0] * 8)
            names = [f"{node.output[0]}_{i}" for i in range(3)]
            nodes += [
                helper.make_node(
                    "Squeeze", [node.input[0], squeeze.input[1]], names[:1]
                ),
                helper.make_node("Transpose", names[:1], names[1:2], perm=[0, 3, 1, 2]),
                helper.make_node(
                    *("MaxPool", names[1:2], names[2:]),
                    kernel_shape=options["kernel_shape"][1:3],
                    strides=options["strides"][1:3],
                    pads=pads[1:3] + pads[5:7],
                ),
                helper.make_node(
                    "Transpose", names[2:], squeeze.output, perm=[0, 2, 3, 1]
                ),
            ]
        elif node.op_type != "Squeeze" or node.input[0] in squeezes:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randn(2, 32, 32, 3).astype(np.float32)
TOKENS = RANDOM.randint(0, 50, [2, 7]).astype(np.int32)
STEPS = RANDOM.randn(2, 7, 4).astype(np.float32)
DECODER = hk.nets.DecoderConfig(50, 16, 2, 2)


def _unrolled(x):
    core = hk.LSTM(4)
    state = core.initial_state(x.shape[0])
    return hk.dynamic_unroll(core, x, state, time_major=False)[0]


def _attention(x):
    init = hk.initializers.VarianceScaling()
    return hk.MultiHeadAttention(2, 3, w_init=init)(x, x, x)


# Name, net, inputs, and the shapes to convert it for.
ROWS = [
    ("MLP", lambda x: hk.nets.MLP([16, 8])(x), STEPS[:, 0], "b, 4"),
    (
        "ResNet18",
        lambda x: hk.nets.ResNet18(10)(x, hk.running_init()),
        IMAGES,
        "b, 32, 32, 3",
    ),
    (
        "MobileNetV1",
        lambda x: hk.nets.MobileNetV1((1, 2), (32, 64), 10)(x, hk.running_init()),
        IMAGES,
        "b, 32, 32, 3",
    ),
    ("MultiHeadAttention", _attention, STEPS, "b, t, 4"),
    ("Decoder", lambda x: hk.nets.Decoder(DECODER)(x), TOKENS, "2, 7"),
    ("Decoder", lambda x: hk.nets.Decoder(DECODER)(x), TOKENS, "b, 7"),
    ("Decoder", lambda x: hk.nets.Decoder(DECODER)(x), TOKENS, "2, t"),
    (
        "Encoder",
        lambda x: hk.nets.Encoder(hk.nets.EncoderConfig(50, 16, 2, 2))(x),
        TOKENS,
        "2, 7",
    ),
    (
        "VisionTransformer",
        lambda x: hk.nets.VisionTransformer(
            hk.nets.VisionTransformerConfig(32, 8, 16, 2, 2)
        )(x),
        IMAGES,
        "2, 32, 32, 3",
    ),
    (
        "ConvNeXt",
        lambda x: hk.nets.ConvNeXt(hk.nets.ConvNeXtConfig((4, 6), (1, 2), 2))(x),
        IMAGES,
        "2, 32, 32, 3",
    ),
    (
        "Mamba",
        lambda x: hk.nets.Mamba(hk.nets.MambaConfig(50, 16, 2, state_size=3))(x),
        TOKENS,
        "2, 7",
    ),
    ("LSTM", _unrolled, STEPS, "b, t, 4"),
]
# Those that jax2onnx 0.17.1 can't convert, and words of its error.
CANNOT = {
    ("Decoder", "b, 7"): "Supplied output value cannot have a producer",
    ("Decoder", "2, t"): "JAX2ONNX_DYNAMIC_DIM_SENTINEL",
    ("Mamba", "2, 7"): "lax.pad with interior padding > 0 is not supported",
}


def varied(p):
    """A parameter without zeros, which some are full of at first."""
    numbers = 0.1 * np.cos(np.arange(p.size, dtype=np.float32)).reshape(p.shape)
    return np.where(p == 0, numbers, p)


def difference(net, x, shape):
    """The largest difference from our outputs, of the largest output."""
    net = hk.transform_with_state(net)
    params, state = net.init(jax.random.key(0), x)
    values = jax.tree.map(varied, params), state
    symbols = jax.export.symbolic_shape(shape)
    apply = lambda x: net.apply(*values, None, x)[0]  # noqa: E731
    model = converted(apply, jax.ShapeDtypeStruct(symbols, x.dtype))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (name,) = [put.name for put in session.get_inputs()]
    differences = []
    for rows in [x] if isinstance(symbols[0], int) else [x[:1], x, x[[0, 1, 0]]]:
        (y,) = session.run(None, {name: rows})
        wanted = np.asarray(apply(rows))
        differences.append(np.abs(y - wanted).max() / np.abs(wanted).max())
    return max(differences)


def main():
    wrong = 0
    print(f"{'net':20} {'shape':16} result")
    for name, net, x, shape in ROWS:
        words = CANNOT.get((name, shape))
        try:
            result = difference(net, x, shape)
            good = result < 1e-5 and words is None
            text = f"{result:.1e}"
        except Exception as error:  # of any of three libraries
            text = f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
            good = words is not None and words in str(error)
        wrong += not good
        print(f"{name:20} {shape:16} {text}{'' if good else '   <- unexpected'}")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
