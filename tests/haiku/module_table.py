"""A small example of every module of haiku, for the tests that are tables.

A row builds the module and calls it on one input. All axes differ in size, so a
mixed-up axis shows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk


class Row(NamedTuple):
    call: Callable[[Any], Any]
    shape: tuple[int, ...]
    integers: int = 0  # inputs are integers below this number
    module: str = ""
    batch: int = 0  # axis of examples
    time: int | None = None  # axis of steps, if its length may be symbolic
    steps: int | None = None  # axis of steps, if its length must be a number


def _core(make: Callable[[], Any]) -> Callable[[Any], Any]:
    def call(x):
        core = make()
        # In the dtype of the inputs, so that a step that changes it shows.
        state = jax.tree.map(
            lambda s: s.astype(x.dtype), core.initial_state(x.shape[0])
        )
        return core(x, state)

    return call


def _reset(x):
    class Core(hk.LSTM):
        def initial_state(self, batch_size):
            state = super().initial_state(batch_size)
            return jax.tree.map(lambda s: s.astype(x.dtype), state)

    core = hk.ResetCore(Core(4))
    state = jax.tree.map(lambda s: s + 1, core.initial_state(x.shape[0]))
    return core((x, jnp.arange(x.shape[0]) % 2 == 0), state)


def _tree(module: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda x: module()({"a/~/b": {"w": x, "v": 2 * x}})


def _experts(*args: Any, **options: Any) -> Callable[[Any], Any]:
    """The layer's output, and its losses, which are in single precision."""

    def call(x):
        y, losses = hk.MixtureOfExperts(*args, **options)(x)
        return y, jax.tree.map(lambda loss: loss.astype(x.dtype), losses)

    return call


_SCALING = hk.initializers.VarianceScaling(1.0)
# After Gemma: kinds of layers that alternate, and most options.
_DECODER: dict[str, Any] = {
    **{"num_layers": 5, "num_heads": 4, "windows": (2, None, 2, None, 2)},
    **{"norm": "rms_offset", "norm_position": "both", "qk_norm": "head"},
    **{"attention_soft_cap": 2.0, "final_soft_cap": 3.0, "embedding_scale": 2.0},
}
_IMAGE, _SIGNAL, _VOLUME = (2, 5, 6, 4), (2, 7, 4), (2, 3, 4, 5, 4)


def _sounds(x):
    """As many sounds of 8 frames as `x` has rows."""
    frames = jnp.cos(jnp.arange(8 * 3, dtype=jnp.float32)).reshape(1, 8, 3)
    return frames + jnp.zeros_like(x[:, :1, None], jnp.float32)


ROWS: dict[str, Row] = {
    "Linear": Row(lambda x: hk.Linear(3)(x), (2, 4)),
    "Bias": Row(lambda x: hk.Bias(b_init=jnp.ones)(x), (2, 4)),
    "Sequential": Row(lambda x: hk.Sequential([hk.Linear(3), jnp.tanh])(x), (2, 4)),
    "Flatten": Row(lambda x: hk.Flatten()(x), (2, 3, 4)),
    "Reshape": Row(lambda x: hk.Reshape((4, -1))(x), (2, 3, 4)),
    "Embed": Row(lambda x: hk.Embed(5, 3)(x), (2, 4), integers=5),
    "ConvND": Row(lambda x: hk.ConvND(2, 3, 3)(x), _IMAGE),
    "Conv1D": Row(lambda x: hk.Conv1D(3, 3)(x), _SIGNAL),
    "Conv2D": Row(lambda x: hk.Conv2D(3, 3)(x), _IMAGE),
    "Conv3D": Row(lambda x: hk.Conv3D(3, 2)(x), _VOLUME),
    "ConvNDTranspose": Row(lambda x: hk.ConvNDTranspose(2, 3, 3)(x), _IMAGE),
    "Conv1DTranspose": Row(lambda x: hk.Conv1DTranspose(3, 3)(x), _SIGNAL),
    "Conv2DTranspose": Row(lambda x: hk.Conv2DTranspose(3, 3, stride=2)(x), _IMAGE),
    "Conv3DTranspose": Row(lambda x: hk.Conv3DTranspose(3, 2)(x), _VOLUME),
    "DepthwiseConv1D": Row(lambda x: hk.DepthwiseConv1D(2, 3)(x), _SIGNAL),
    "DepthwiseConv2D": Row(lambda x: hk.DepthwiseConv2D(2, 3)(x), _IMAGE),
    "DepthwiseConv3D": Row(lambda x: hk.DepthwiseConv3D(2, 2)(x), _VOLUME),
    "SeparableDepthwiseConv2D": Row(
        lambda x: hk.SeparableDepthwiseConv2D(2, 3)(x), _IMAGE
    ),
    "PatchEmbed": Row(lambda x: hk.PatchEmbed(3, 2)(x), (2, 4, 6, 5)),
    "Upsample": Row(lambda x: hk.Upsample(2, "cubic")(x), _IMAGE),
    "Downsample": Row(lambda x: hk.Downsample(2)(x), _IMAGE),
    "SqueezeExcite": Row(lambda x: hk.SqueezeExcite()(x), _IMAGE),
    "MaxPool": Row(lambda x: hk.MaxPool(2, 2, "SAME")(x), _IMAGE),
    "AvgPool": Row(lambda x: hk.AvgPool(2, 2, "SAME")(x), _IMAGE),
    "LayerNorm": Row(lambda x: hk.LayerNorm(-1, True, True)(x), _IMAGE),
    "RMSNorm": Row(lambda x: hk.RMSNorm(-1)(x), _IMAGE),
    "GroupNorm": Row(lambda x: hk.GroupNorm(2)(x), _IMAGE),
    "InstanceNorm": Row(lambda x: hk.InstanceNorm(True, True)(x), _IMAGE),
    "BatchNorm": Row(lambda x: hk.BatchNorm(True, True, 0.9)(x, True), _IMAGE),
    "AdaptiveNorm": Row(
        lambda x: hk.AdaptiveNorm(4, w_init=_SCALING)(x, x[:, 0, :3]), (2, 5, 4)
    ),
    "SpectralNorm": Row(lambda x: hk.SpectralNorm()(x), (5, 4)),
    "SNParamsTree": Row(_tree(hk.SNParamsTree), (5, 4)),
    "WeightNorm": Row(lambda x: hk.WeightNorm(hk.Linear(3))(x), (2, 4)),
    "ExponentialMovingAverage": Row(
        lambda x: hk.ExponentialMovingAverage(0.9)(x), (2, 4)
    ),
    "EMAParamsTree": Row(_tree(lambda: hk.EMAParamsTree(0.9)), (2, 4)),
    "MultiHeadAttention": Row(
        lambda x: hk.MultiHeadAttention(2, 3, w_init=_SCALING)(x, x, x),
        (2, 5, 4),
        time=1,
    ),
    "GatedMLP": Row(lambda x: hk.GatedMLP(3)(x), (2, 4)),
    "MixtureOfExperts": Row(_experts(5, 2, 3), (2, 7, 4), time=1),
    "LayerScale": Row(lambda x: hk.LayerScale()(x), (2, 4)),
    "LearnedPositions": Row(lambda x: hk.LearnedPositions(9)(x), (2, 5, 4), steps=1),
    "FourierFeatures": Row(
        lambda x: hk.FourierFeatures(6, 0.3, learned=True)(x), (2, 4)
    ),
    "Attention": Row(lambda x: hk.Attention(4, 3, 2)(x), (2, 5, 4), time=1),
    "MinGRU": Row(lambda x: hk.MinGRU(3)(x)[0], (2, 5, 4), time=1),
    "RGLRU": Row(lambda x: hk.RGLRU(4, 2)(x)[0], (2, 5, 4), time=1),
    "Mamba1": Row(lambda x: hk.Mamba1(3)(x)[0], (2, 5, 4), time=1),
    # Norms of values that are small at first curve too much for a quotient.
    "Mamba2": Row(
        lambda x: hk.Mamba2(3, 4, 2, 2, norm_eps=1.0)(x)[0], (2, 5, 4), time=1
    ),
    "S5": Row(lambda x: hk.S5(6)(x)[0], (2, 5, 4), time=1),
    "GatedDeltaNet": Row(
        lambda x: hk.GatedDeltaNet(2, 3, 5, norm_eps=1.0)(x)[0], (2, 5, 4), time=1
    ),
    "VanillaRNN": Row(_core(lambda: hk.VanillaRNN(4)), (3, 5)),
    "LSTM": Row(_core(lambda: hk.LSTM(4)), (3, 5)),
    "GRU": Row(_core(lambda: hk.GRU(4)), (3, 5)),
    "IdentityCore": Row(_core(hk.IdentityCore), (3, 5)),
    "DeepRNN": Row(_core(lambda: hk.DeepRNN([hk.LSTM(4), jnp.tanh])), (3, 5)),
    "deep_rnn_with_skip_connections": Row(
        _core(lambda: hk.deep_rnn_with_skip_connections([hk.GRU(4), hk.GRU(3)])),
        (3, 5),
        module="_DeepRNN",
    ),
    "ResetCore": Row(_reset, (3, 5)),
    "Conv1DLSTM": Row(_core(lambda: hk.Conv1DLSTM((7,), 3, 3)), _SIGNAL),
    "Conv2DLSTM": Row(_core(lambda: hk.Conv2DLSTM((5, 6), 3, 3)), _IMAGE),
    "Conv3DLSTM": Row(_core(lambda: hk.Conv3DLSTM((3, 4, 5), 3, 2)), _VOLUME),
    "nets.Decoder": Row(
        lambda x: hk.nets.Decoder(
            hk.nets.DecoderConfig(5, 8, hidden_size=6, **_DECODER)
        )(x),
        (2, 7),
        integers=5,
        time=1,
    ),
    "nets.Encoder": Row(
        lambda x: hk.nets.Encoder(
            hk.nets.EncoderConfig(5, 8, 2, 2, hidden_size=6, token_types=2)
        )(x),
        (2, 7),
        integers=5,
    ),
    "nets.EncoderDecoder": Row(
        lambda x: hk.nets.EncoderDecoder(
            hk.nets.EncoderDecoderConfig(5, 8, 2, 2, hidden_size=6, relative_buckets=6)
        )(x, x),
        (2, 7),
        integers=5,
        time=1,
    ),
    "nets.Mamba": Row(
        lambda x: hk.nets.Mamba(hk.nets.MambaConfig(5, 8, 2, state_size=3))(x),
        (2, 7),
        integers=5,
        time=1,
    ),
    "nets.CLIP": Row(
        lambda x: (
            hk.nets.CLIP(
                hk.nets.CLIPConfig(
                    hk.nets.VisionTransformerConfig((4, 6), 2, 8, 2, 2, pooler="first"),
                    hk.nets.EncoderConfig(5, 6, 2, 3, causal=True, norm_position="pre"),
                    projection_size=4,
                    logit_bias=True,
                )
            )(jnp.ones([3, 4, 6, 3], jnp.float32), x).logits.T
        ),
        (2, 7),
        integers=5,
    ),
    "nets.ConvNeXt": Row(
        lambda x: hk.nets.ConvNeXt(hk.nets.ConvNeXtConfig((4, 6), (1, 2), 2))(x),
        (2, 4, 8, 3),
    ),
    "nets.VisionTransformer": Row(
        lambda x: hk.nets.VisionTransformer(
            hk.nets.VisionTransformerConfig((4, 6), 2, 8, 2, 2, hidden_size=6)
        )(x),
        (2, 4, 6, 3),
    ),
    "nets.DiT": Row(
        lambda x: hk.nets.DiT(
            hk.nets.DiTConfig(4, 2, 8, 2, 2, num_classes=3, channels=3, hidden_size=6)
        )(x, 9 * x[:, 0, 0, 0], jnp.argmax(x[:, 0, 0], axis=-1)),
        (2, 4, 6, 3),
    ),
    "nets.UNet": Row(
        lambda x: hk.nets.UNet(
            hk.nets.UNetConfig((4, 6), layers_per_block=1, groups=2, mid=None)
        )(x, jnp.arange(x.shape[0])),
        (2, 4, 6, 3),
    ),
    "nets.MLP": Row(lambda x: hk.nets.MLP([3, 2])(x), (2, 4)),
    # All groups have one size, so each shape of a convolution is compiled once.
    "nets.ResNet": Row(
        lambda x: hk.nets.ResNet(
            (1, 1, 1, 1), 3, channels_per_group=(4, 4, 4, 4), strides=(1, 1, 1, 1)
        )(x, True),
        (2, 8, 8, 3),
    ),
    "nets.MobileNetV1": Row(
        lambda x: hk.nets.MobileNetV1((1, 1), (32, 32), 3)(x, True), (2, 9, 8, 3)
    ),
    "nets.Whisper": Row(
        lambda x: hk.nets.Whisper(
            hk.nets.WhisperConfig(5, 8, 1, 2, 3, 4, hidden_size=6, max_length=9)
        )(_sounds(x), x),
        (2, 7),
        integers=5,
    ),
    "nets.VectorQuantizer": Row(
        lambda x: hk.nets.VectorQuantizer(4, 6, 0.25, dtype=x.dtype)(x, True), (2, 3, 4)
    ),
    "nets.VectorQuantizerEMA": Row(
        lambda x: hk.nets.VectorQuantizerEMA(4, 6, 0.25, 0.9, dtype=x.dtype)(x, True),
        (2, 3, 4),
    ),
}


def _unrolled(run: Callable[..., Any], make: Callable[[], Any], **options: Any) -> Row:
    """Runs a core over `[T, B, D]`, with a state in the dtype of the inputs."""

    def call(x):
        core = make()
        batch = x.shape[0 if options.get("time_major") is False else 1]
        state = jax.tree.map(lambda s: s.astype(x.dtype), core.initial_state(batch))
        resets = isinstance(core, hk.ResetCore)
        steps = (x, jnp.arange(x.shape[0]) % 3 == 1) if resets else x
        return run(core, steps, state, **options)

    time = 1 if options.get("time_major") is False else 0
    # JAX's loops accept a symbolic length if each iteration is one step.
    symbolic = run is hk.dynamic_unroll and "unroll" not in options
    axis = {"time": time} if symbolic else {"steps": time}
    return Row(call, (4, 3, 5), batch=1 - time, **axis)


_CORES: dict[str, Callable[[], Any]] = {
    "VanillaRNN": lambda: hk.VanillaRNN(4),
    "LSTM": lambda: hk.LSTM(4),
    "GRU": lambda: hk.GRU(4),
    "IdentityCore": hk.IdentityCore,
    "DeepRNN": lambda: hk.DeepRNN([hk.LSTM(4), jnp.tanh, hk.GRU(3)]),
    "skips": lambda: hk.deep_rnn_with_skip_connections([hk.GRU(4), hk.LSTM(3)]),
    "ResetCore": lambda: hk.ResetCore(hk.LSTM(4)),
    "ResetCore of GRU": lambda: hk.ResetCore(hk.GRU(4)),
}


def _evaluated(x):
    norm = hk.BatchNorm(True, True, 0.9)
    if hk.running_init():
        return norm(x, True)
    return norm(x, False)


def _masked(x):
    """Attention to earlier steps only: the first query sees nothing at all."""
    steps = jnp.arange(x.shape[1])
    mask = steps[:, None] > steps[None]
    return hk.MultiHeadAttention(2, 3, w_init=_SCALING)(x, x, x, mask[None, None])


_ATTENTION: dict[str, dict[str, Any]] = {
    "turned": {
        **{"causal": True, "window": 2, "qk_norm": "head"},
        "rotary": hk.Rotary(scaling=hk.rotary.Dynamic(2.0, 4)),
    },
    "by distance": {
        **{"window": 3, "qk_norm": "all", "alibi": True},
        **{"sinks": True, "soft_cap": 2.0},
    },
}

_SEQUENCES: dict[str, Callable[[], Any]] = {
    "MinGRU": lambda: hk.MinGRU(4),
    "RGLRU": lambda: hk.RGLRU(5, 1),
    "Mamba1": lambda: hk.Mamba1(2, 6),
    "Mamba2": lambda: hk.Mamba2(2, 4, 2, 2, conv_size=3),
    "S5": lambda: hk.S5(8, 2),
    "GatedDeltaNet": lambda: hk.GatedDeltaNet(2, 3, 2),
}


def _stepped(make: Callable[[], Any]) -> Row:
    """Unrolls a layer's step, with a state in the dtype of the inputs."""

    def call(x):
        layer = make()
        state = layer.initial_state(x.shape[1])
        state = jax.tree.map(lambda s: s.astype(x.dtype), state)
        return hk.dynamic_unroll(layer.step, x, state)

    return Row(call, (4, 3, 5), batch=1, time=0)


def _padded(make: Callable[[], Any]) -> Row:
    def call(x):
        mask = jnp.arange(x.shape[1], dtype=jnp.int32) % 3 != 1
        return make()(x, mask=jnp.broadcast_to(mask, x.shape[:2]))[0]

    return Row(call, (3, 4, 5), time=1)


# Functions that use layers, and layers in other uses than those above.
USES: dict[str, Row] = {
    **{
        f"{unroll.__name__} of {core}": _unrolled(unroll, make)
        for unroll in (hk.dynamic_unroll, hk.static_unroll)
        for core, make in _CORES.items()
    },
    "dynamic_unroll in reverse": _unrolled(
        hk.dynamic_unroll, _CORES["LSTM"], reverse=True, return_all_states=True
    ),
    "dynamic_unroll of batches": _unrolled(
        hk.dynamic_unroll, _CORES["GRU"], time_major=False, unroll=2
    ),
    "dynamic_unroll of Conv1DLSTM": Row(
        lambda x: _unrolled(hk.dynamic_unroll, lambda: hk.Conv1DLSTM((5,), 3, 3)).call(
            x
        ),
        (4, 2, 5, 3),
        batch=1,
        time=0,
    ),
    **{f"dynamic_unroll of {k}": _stepped(make) for k, make in _SEQUENCES.items()},
    **{f"{k}, padded": _padded(make) for k, make in _SEQUENCES.items()},
    "dropout": Row(lambda x: hk.dropout(hk.next_rng_key(), 0.5, x), (2, 4)),
    "dropout of channels": Row(
        lambda x: hk.dropout(hk.next_rng_key(), 0.5, x, (1, 2)), (2, 3, 4)
    ),
    "max_pool": Row(lambda x: hk.max_pool(x, (2, 2, 1), (1, 2, 1), "VALID"), _IMAGE),
    "avg_pool": Row(lambda x: hk.avg_pool(x, (2, 2, 1), (1, 2, 1), "VALID"), _IMAGE),
    "adaptive_avg_pool": Row(lambda x: hk.adaptive_avg_pool(x, (3, 2)), _IMAGE),
    "adaptive_max_pool": Row(lambda x: hk.adaptive_max_pool(x, (3, 8)), _IMAGE),
    "pixel_shuffle": Row(lambda x: hk.pixel_shuffle(x, 2), _IMAGE),
    "pixel_unshuffle": Row(lambda x: hk.pixel_unshuffle(x, 2), (2, 4, 6, 3)),
    "stochastic_depth": Row(
        lambda x: hk.stochastic_depth(hk.next_rng_key(), 0.5, x), (2, 3, 4)
    ),
    "sinusoidal_positions": Row(
        lambda x: (
            x + hk.sinusoidal_positions(x[..., 0], 4, dtype=x.dtype),
            x + hk.sinusoidal_positions(x[..., 1], 4, interleaved=False, dtype=x.dtype),
        ),
        (2, 4),
    ),
    "LearnedPositions of the caller": Row(
        lambda x: hk.LearnedPositions(9)(x, jnp.arange(5) + 2), (2, 5, 4)
    ),
    "FourierFeatures, fixed": Row(lambda x: hk.FourierFeatures(6, 2.0)(x), (2, 4)),
    "Upsample by neighbours": Row(lambda x: hk.Upsample((2, 1), conv=False)(x), _IMAGE),
    "Upsample, linear": Row(lambda x: hk.Upsample(2, "linear")(x), _SIGNAL),
    "Downsample by means": Row(lambda x: hk.Downsample(2, conv=False)(x), _IMAGE),
    "AdaptiveNorm of groups": Row(
        lambda x: hk.AdaptiveNorm(4, hk.GroupNorm(2))(x, x[:, 0, 0]), _IMAGE
    ),
    "WeightNorm of a net": Row(
        lambda x: hk.WeightNorm(hk.nets.MLP([3, 2]), axis=None)(x), (2, 4)
    ),
    "WeightNorm of a stack": Row(
        lambda x: hk.WeightNorm(hk.layer_stack(2)(lambda x: hk.Linear(4)(x)))(x), (2, 4)
    ),
    "one_hot": Row(lambda x: hk.one_hot(x, 5), (2, 4), integers=5),
    "multinomial": Row(
        lambda x: (hk.multinomial(hk.next_rng_key(), x, 3), jnp.tanh(x)), (2, 4)
    ),
    "BatchApply": Row(lambda x: hk.BatchApply(hk.Linear(3))(x), (2, 3, 4), time=1),
    "BatchApply of norms": Row(
        lambda x: hk.BatchApply(hk.GroupNorm(2))(x), (2, 3, 5, 4), time=1
    ),
    "expand_apply": Row(lambda x: hk.expand_apply(hk.Conv1D(3, 3), 0)(x), _SIGNAL[1:]),
    "Deferred": Row(lambda x: hk.Deferred(lambda: hk.Linear(3))(x), (2, 4)),
    "Linear, no bias": Row(lambda x: hk.Linear(3, with_bias=False)(x), (2, 7, 4)),
    "Bias of channels": Row(
        lambda x: hk.Bias(bias_dims=[-1])(x, multiplier=-1), (2, 3, 4)
    ),
    "Reshape of all but one": Row(
        lambda x: hk.Reshape((-1, 6), preserve_dims=-2)(x), (2, 3, 4)
    ),
    "Embed by ONE_HOT": Row(
        lambda x: hk.Embed(5, 3, lookup_style="ONE_HOT")(x), (2, 4), integers=5
    ),
    "Conv1D, causal": Row(
        lambda x: hk.Conv1D(3, 3, padding=hk.pad.causal)(x), _SIGNAL, time=1
    ),
    "Conv1D, strided": Row(lambda x: hk.Conv1D(3, 3, 2)(x), _SIGNAL, time=1),
    "Conv2D, channels first": Row(
        lambda x: hk.Conv2D(3, 3, data_format="NCHW")(x), _IMAGE
    ),
    "Conv2D, masked": Row(
        lambda x: hk.Conv2D(4, 3, mask=np.tri(9, 16).reshape(3, 3, 4, 4))(x), _IMAGE
    ),
    "Conv2DTranspose of shape": Row(
        lambda x: hk.Conv2DTranspose(3, 3, 2, output_shape=(9, 11))(x), _IMAGE
    ),
    "LayerNorm, fast": Row(
        lambda x: hk.LayerNorm((1, 2), True, True, use_fast_variance=True)(x), _IMAGE
    ),
    "LayerNorm, given": Row(
        lambda x: hk.LayerNorm(-1, False, False)(x, x[:, :1], jnp.ones(4, x.dtype)),
        (2, 3, 4),
    ),
    "RMSNorm of all": Row(
        lambda x: hk.RMSNorm((1, 2), param_axis=(1, 2))(x), (2, 3, 4)
    ),
    "GroupNorm, channels first": Row(
        lambda x: hk.GroupNorm(2, data_format="NCHW")(x), (2, 4, 3, 5)
    ),
    "InstanceNorm, channels first": Row(
        lambda x: hk.InstanceNorm(True, True, data_format="NCHW")(x), (2, 4, 3, 5)
    ),
    "BatchNorm outside of training": Row(_evaluated, _IMAGE),
    "BatchNorm by local statistics": Row(
        lambda x: hk.BatchNorm(True, True, 0.9)(x, hk.running_init(), True), _IMAGE
    ),
    "BatchNorm, channels first": Row(
        lambda x: hk.BatchNorm(True, True, 0.9, data_format="NCHW")(x, True), _SIGNAL
    ),
    "ExponentialMovingAverage, warm": Row(
        lambda x: hk.ExponentialMovingAverage(0.9, False, 3)(x), (2, 4)
    ),
    "MultiHeadAttention, masked": Row(_masked, (2, 5, 4), time=1),
    **{
        f"Attention, {name}": Row(
            lambda x, options=options: hk.Attention(4, 6, 2, **options)(x),
            (2, 5, 4),
            time=1,
        )
        for name, options in _ATTENTION.items()
    },
    "MixtureOfExperts with a capacity": Row(
        _experts(
            *(3, 2, 5),
            **{"capacity_factor": 0.75, "gated": jnp.multiply, "with_bias": True},
        ),
        (2, 7, 4),
        time=1,
    ),
    "nets.Decoder after GPT-2": Row(
        lambda x: hk.nets.Decoder(
            hk.nets.DecoderConfig(
                *(5, 8, 2, 2),
                **{"hidden_size": 6, "position": "learned", "norm": "layer"},
                **{"gated": False, "mlp_bias": True, "tied": True, "dropout": 0.5},
            )
        )(x),
        (2, 7),
        integers=5,
        time=1,
    ),
    "nets.Decoder with experts": Row(
        lambda x: hk.nets.Decoder(
            hk.nets.DecoderConfig(
                *(5, 8, 2, 2),
                experts=hk.nets.ExpertsConfig(3, 2, 4, shared_size=4),
            )
        )(x, router_losses=True)[0],
        (2, 7),
        integers=5,
    ),
    "nets.Encoder after ModernBERT": Row(
        lambda x: hk.nets.Encoder(
            hk.nets.EncoderConfig(
                *(5, 8, 3, 2),
                **{"hidden_size": 6, "position": "rotary", "norm_position": "pre"},
                **{"windows": (None, 4, 4), "first_norm": False, "gated": True},
                **{"head": "tokens", "tied": True, "transform": True, "dropout": 0.5},
            )
        )(x),
        (2, 7),
        integers=5,
    ),
    "nets.Mamba, version 2": Row(
        lambda x: hk.nets.Mamba(
            hk.nets.MambaConfig(
                *(5, 8, 2, 2),
                **{"state_size": 3, "head_size": 4, "num_groups": 2, "norm_eps": 1.0},
                **{"tied": False, "with_bias": True, "conv_bias": False},
            )
        )(x),
        (2, 7),
        integers=5,
        time=1,
    ),
    "nets.ConvNeXt, version 2": Row(
        lambda x: hk.nets.ConvNeXt(
            hk.nets.ConvNeXtConfig(
                *((4,), (2,), 2),
                **{"layer_scale": None, "response_norm": True},
                **{"head": "classes", "num_classes": 3, "stochastic_depth": 0.5},
            )
        )(x),
        (2, 4, 6, 3),
    ),
    "nets.VisionTransformer after DINOv2 with registers": Row(
        lambda x: hk.nets.VisionTransformer(
            hk.nets.VisionTransformerConfig(
                *(6, 2, 8, 2, 2),
                **{"hidden_size": 6, "registers": 2, "layer_scale": 0.5},
                **{"mask_token": True, "antialias": True, "gated": True},
                **{"pooling": "both", "head": "classes", "num_classes": 3},
            )
        )(x),
        (2, 4, 8, 3),
    ),
    "nets.VisionTransformer after SigLIP": Row(
        lambda x: hk.nets.VisionTransformer(
            hk.nets.VisionTransformerConfig(
                *(4, 2, 8, 2, 2),
                **{"hidden_size": 6, "class_token": False, "pooler": "attention"},
                **{"dropout": 0.5},
            )
        ).pooled(x),
        (2, 4, 6, 3),
    ),
    "nets.DiT after diffusers": Row(
        lambda x: hk.nets.DiT(
            hk.nets.DiTConfig(
                *(4, (1, 2), 8, 2, 2),
                **{"num_classes": 3, "channels": 3, "out_channels": 2, "gated": True},
                **{"hidden_size": 6, "norm_affine": True, "shared_condition": False},
                **{"attention_bias": False, "dropout": 0.5},
            )
        ).hidden(x, 9 * x[:, 0, 0, 0], jnp.argmax(x[:, 0, 0], axis=-1)),
        (2, 4, 6, 3),
    ),
    "nets.UNet after Stable Diffusion": Row(
        lambda x: hk.nets.UNet(
            hk.nets.UNetConfig(
                (4,),
                **{"layers_per_block": 1, "attention": "cross", "mid": "cross"},
                **{"num_heads": 2, "context_size": 3, "groups": 2},
                **{"scale_shift": True, "linear_maps": True, "dropout": 0.5},
            )
        )(x, jnp.arange(x.shape[0]), x[:, 0]),
        (2, 5, 6, 3),
    ),
    "nets.MLP with dropout": Row(
        lambda x: hk.nets.MLP([3, 2])(x, 0.5, hk.next_rng_key()), (2, 4)
    ),
    "nets.ResNet, version 2": Row(
        lambda x: hk.nets.ResNet(
            (1, 1, 1, 1),
            3,
            resnet_v2=True,
            bottleneck=False,
            channels_per_group=(4, 4, 4, 4),
            strides=(1, 1, 1, 1),
        )(x, True),
        (2, 8, 8, 3),
    ),
    "nets.MobileNetV1 without norms": Row(
        lambda x: hk.nets.MobileNetV1((1, 1), (32, 32), 3, use_bn=False)(x, True),
        (2, 9, 8, 3),
    ),
}


def inputs(row: Row, dtype: Any = np.float32) -> np.ndarray:
    """The row's input; the same numbers in every dtype."""
    rng = np.random.RandomState(0)
    if row.integers:
        return rng.randint(0, row.integers, row.shape).astype(np.int32)
    return rng.randn(*row.shape).astype(np.float32).astype(dtype)


# Modules with a data_format: how to build each, and its input with channels last.
LAYOUTS: dict[str, tuple[Callable[[str], Callable[[Any], Any]], tuple[int, ...]]] = {
    "ConvND": (lambda f: lambda x: hk.ConvND(2, 3, 3, data_format=f)(x), _IMAGE),
    "Conv1D": (lambda f: lambda x: hk.Conv1D(3, 3, data_format=f)(x), _SIGNAL),
    "Conv2D": (lambda f: lambda x: hk.Conv2D(3, 3, data_format=f)(x), _IMAGE),
    "Conv3D": (lambda f: lambda x: hk.Conv3D(3, 2, data_format=f)(x), _VOLUME),
    "ConvNDTranspose": (
        lambda f: lambda x: hk.ConvNDTranspose(1, 3, 3, data_format=f)(x),
        _SIGNAL,
    ),
    "Conv1DTranspose": (
        lambda f: lambda x: hk.Conv1DTranspose(3, 3, data_format=f)(x),
        _SIGNAL,
    ),
    "Conv2DTranspose": (
        lambda f: (
            lambda x: hk.Conv2DTranspose(
                3, 3, stride=2, output_shape=(9, 11), data_format=f
            )(x)
        ),
        _IMAGE,
    ),
    "Conv3DTranspose": (
        lambda f: lambda x: hk.Conv3DTranspose(3, 2, data_format=f)(x),
        _VOLUME,
    ),
    "DepthwiseConv1D": (
        lambda f: lambda x: hk.DepthwiseConv1D(2, 3, data_format=f)(x),
        _SIGNAL,
    ),
    "DepthwiseConv2D": (
        lambda f: lambda x: hk.DepthwiseConv2D(2, 3, data_format=f)(x),
        _IMAGE,
    ),
    "DepthwiseConv3D": (
        lambda f: lambda x: hk.DepthwiseConv3D(2, 2, data_format=f)(x),
        _VOLUME,
    ),
    "SeparableDepthwiseConv2D": (
        lambda f: lambda x: hk.SeparableDepthwiseConv2D(2, 3, data_format=f)(x),
        _IMAGE,
    ),
    "GroupNorm": (lambda f: lambda x: hk.GroupNorm(2, data_format=f)(x), _IMAGE),
    "InstanceNorm": (
        lambda f: lambda x: hk.InstanceNorm(True, True, data_format=f)(x),
        _VOLUME,
    ),
    "BatchNorm": (
        lambda f: lambda x: hk.BatchNorm(True, True, 0.9, data_format=f)(x, True),
        _SIGNAL,
    ),
    "MaxPool": (
        lambda f: lambda x: hk.MaxPool(2, 2, "SAME", hk.get_channel_index(f))(x),
        _IMAGE,
    ),
    "AvgPool": (
        lambda f: lambda x: hk.AvgPool(2, 2, "SAME", hk.get_channel_index(f))(x),
        _IMAGE,
    ),
}
