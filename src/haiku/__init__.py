"""Haiku: neural networks on JAX, modules inside and pure functions outside.

    net = hk.transform(lambda x: hk.nets.MLP([300, 100, 10])(x))
    params = net.init(jax.random.key(0), x)
    logits = net.apply(params, None, x)

What is here, by idea:

- From modules to pure functions: `transform`, `transform_with_state`,
`multi_transform`.
- Modules and their names: `Module`, `transparent`, `name_scope`, `to_module`.
- Modules outside: `Blueprint` describes one, `bind` makes a model of it.
- What they keep: `get_parameter`, `get_state`, `set_state`, `next_rng_key`.
- Hooks: `custom_creator`, `custom_getter`, `custom_setter`, `intercept_methods`.
- Sharing: `replace_parameters`, by others or by computed ones.
- JAX's transformations inside: `grad`, `remat`, `scan`, `cond`, `vmap`, `layer_stack`,
  `lift`, ...
- Layers: `Linear`, `Conv2D`, `LayerNorm`, `Attention`, `LSTM`, ...
- Beside: `hk.nets`, `hk.initializers`, `hk.pad`, `hk.rotary`, `hk.mixed_precision`,
  `hk.data_structures`, `hk.surgery`, `hk.pretrained`, `hk.generation`, `hk.parallel`,
  `hk.checkpoint`, `hk.views`, `hk.testing`, `hk.config`, `hk.experimental`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from haiku import _foreign as _foreign
from haiku import config as config
from haiku import data_structures as data_structures
from haiku import initializers as initializers
from haiku import mixed_precision as mixed_precision
from haiku import nets as nets
from haiku import pad as pad
from haiku import rotary as rotary
from haiku import typing as typing
from haiku._bound import Bound as Bound
from haiku._bound import StateChangedError as StateChangedError
from haiku._bound import bind as bind
from haiku._core import DO_NOT_STORE as DO_NOT_STORE
from haiku._core import Blueprint as Blueprint
from haiku._core import GetterContext as GetterContext
from haiku._core import Hooks as Hooks
from haiku._core import MethodContext as MethodContext
from haiku._core import Module as Module
from haiku._core import MultiTransformed as MultiTransformed
from haiku._core import MultiTransformedWithState as MultiTransformedWithState
from haiku._core import PRNGSequence as PRNGSequence
from haiku._core import SetterContext as SetterContext
from haiku._core import Transformed as Transformed
from haiku._core import TransformedWithState as TransformedWithState
from haiku._core import current_name as current_name
from haiku._core import custom_creator as custom_creator
from haiku._core import custom_getter as custom_getter
from haiku._core import custom_setter as custom_setter
from haiku._core import force_name as force_name
from haiku._core import get_current_state as get_current_state
from haiku._core import get_initial_state as get_initial_state
from haiku._core import get_parameter as get_parameter
from haiku._core import get_params as get_params
from haiku._core import get_state as get_state
from haiku._core import intercept_methods as intercept_methods
from haiku._core import maybe_get_rng_sequence_state as maybe_get_rng_sequence_state
from haiku._core import maybe_next_rng_key as maybe_next_rng_key
from haiku._core import multi_transform as multi_transform
from haiku._core import multi_transform_with_state as multi_transform_with_state
from haiku._core import name_like as name_like
from haiku._core import name_scope as name_scope
from haiku._core import next_rng_key as next_rng_key
from haiku._core import next_rng_keys as next_rng_keys
from haiku._core import replace_rng_sequence_state as replace_rng_sequence_state
from haiku._core import reserve_rng_keys as reserve_rng_keys
from haiku._core import running_init as running_init
from haiku._core import set_state as set_state
from haiku._core import to_module as to_module
from haiku._core import transform as transform
from haiku._core import transform_with_state as transform_with_state
from haiku._core import transparent as transparent
from haiku._core import with_empty_state as with_empty_state
from haiku._core import with_rng as with_rng
from haiku._core import without_apply_rng as without_apply_rng
from haiku._core import without_state as without_state
from haiku._layers.adaptive_norm import AdaptiveNorm as AdaptiveNorm
from haiku._layers.adaptive_pooling import adaptive_avg_pool as adaptive_avg_pool
from haiku._layers.adaptive_pooling import adaptive_max_pool as adaptive_max_pool
from haiku._layers.attend import attend as attend
from haiku._layers.attention import Attention as Attention
from haiku._layers.batch_apply import BatchApply as BatchApply
from haiku._layers.batch_apply import expand_apply as expand_apply
from haiku._layers.batch_norm import BatchNorm as BatchNorm
from haiku._layers.conv_lstm import Conv1DLSTM as Conv1DLSTM
from haiku._layers.conv_lstm import Conv2DLSTM as Conv2DLSTM
from haiku._layers.conv_lstm import Conv3DLSTM as Conv3DLSTM
from haiku._layers.conv_shapes import get_channel_index as get_channel_index
from haiku._layers.conv_transpose import Conv1DTranspose as Conv1DTranspose
from haiku._layers.conv_transpose import Conv2DTranspose as Conv2DTranspose
from haiku._layers.conv_transpose import Conv3DTranspose as Conv3DTranspose
from haiku._layers.conv_transpose import ConvNDTranspose as ConvNDTranspose
from haiku._layers.convolution import Conv1D as Conv1D
from haiku._layers.convolution import Conv2D as Conv2D
from haiku._layers.convolution import Conv3D as Conv3D
from haiku._layers.convolution import ConvND as ConvND
from haiku._layers.deferred import Deferred as Deferred
from haiku._layers.depthwise import DepthwiseConv1D as DepthwiseConv1D
from haiku._layers.depthwise import DepthwiseConv2D as DepthwiseConv2D
from haiku._layers.depthwise import DepthwiseConv3D as DepthwiseConv3D
from haiku._layers.depthwise import (
    SeparableDepthwiseConv2D as SeparableDepthwiseConv2D,
)
from haiku._layers.embedding import Embed as Embed
from haiku._layers.embedding import EmbedLookupStyle as EmbedLookupStyle
from haiku._layers.functional import dropout as dropout
from haiku._layers.functional import multinomial as multinomial
from haiku._layers.functional import one_hot as one_hot
from haiku._layers.gated_delta_net import GatedDeltaNet as GatedDeltaNet
from haiku._layers.gated_mlp import GatedMLP as GatedMLP
from haiku._layers.group_norm import GroupNorm as GroupNorm
from haiku._layers.layer_norm import InstanceNorm as InstanceNorm
from haiku._layers.layer_norm import LayerNorm as LayerNorm
from haiku._layers.linear import Bias as Bias
from haiku._layers.linear import Linear as Linear
from haiku._layers.mamba1 import Mamba1 as Mamba1
from haiku._layers.mamba2 import Mamba2 as Mamba2
from haiku._layers.min_gru import MinGRU as MinGRU
from haiku._layers.mixture_of_experts import MixtureOfExperts as MixtureOfExperts
from haiku._layers.mixture_of_experts import RouterLosses as RouterLosses
from haiku._layers.moving_average import EMAParamsTree as EMAParamsTree
from haiku._layers.moving_average import (
    ExponentialMovingAverage as ExponentialMovingAverage,
)
from haiku._layers.multi_head_attention import MultiHeadAttention as MultiHeadAttention
from haiku._layers.patch_embed import PatchEmbed as PatchEmbed
from haiku._layers.pixel_shuffle import pixel_shuffle as pixel_shuffle
from haiku._layers.pixel_shuffle import pixel_unshuffle as pixel_unshuffle
from haiku._layers.pooling import AvgPool as AvgPool
from haiku._layers.pooling import MaxPool as MaxPool
from haiku._layers.pooling import avg_pool as avg_pool
from haiku._layers.pooling import max_pool as max_pool
from haiku._layers.positions import FourierFeatures as FourierFeatures
from haiku._layers.positions import LearnedPositions as LearnedPositions
from haiku._layers.positions import sinusoidal_positions as sinusoidal_positions
from haiku._layers.resampling import Downsample as Downsample
from haiku._layers.resampling import Upsample as Upsample
from haiku._layers.reshape import Flatten as Flatten
from haiku._layers.reshape import Reshape as Reshape
from haiku._layers.residual_branches import LayerScale as LayerScale
from haiku._layers.residual_branches import stochastic_depth as stochastic_depth
from haiku._layers.rglru import RGLRU as RGLRU
from haiku._layers.rms_norm import RMSNorm as RMSNorm
from haiku._layers.rnn_cells import GRU as GRU
from haiku._layers.rnn_cells import LSTM as LSTM
from haiku._layers.rnn_cells import IdentityCore as IdentityCore
from haiku._layers.rnn_cells import LSTMState as LSTMState
from haiku._layers.rnn_cells import VanillaRNN as VanillaRNN
from haiku._layers.rnn_unroll import RNNCore as RNNCore
from haiku._layers.rnn_unroll import dynamic_unroll as dynamic_unroll
from haiku._layers.rnn_unroll import static_unroll as static_unroll
from haiku._layers.rnn_wrappers import DeepRNN as DeepRNN
from haiku._layers.rnn_wrappers import ResetCore as ResetCore
from haiku._layers.rnn_wrappers import (
    deep_rnn_with_skip_connections as deep_rnn_with_skip_connections,
)
from haiku._layers.rotary import Rotary as Rotary
from haiku._layers.s5 import S5 as S5
from haiku._layers.sequential import Sequential as Sequential
from haiku._layers.spectral_norm import SNParamsTree as SNParamsTree
from haiku._layers.spectral_norm import SpectralNorm as SpectralNorm
from haiku._layers.squeeze_excite import SqueezeExcite as SqueezeExcite
from haiku._layers.weight_norm import WeightNorm as WeightNorm
from haiku._lifted.branches import cond as cond
from haiku._lifted.branches import switch as switch
from haiku._lifted.derivatives import hessian as hessian
from haiku._lifted.derivatives import jacfwd as jacfwd
from haiku._lifted.derivatives import jacrev as jacrev
from haiku._lifted.derivatives import jvp as jvp
from haiku._lifted.derivatives import linearize as linearize
from haiku._lifted.derivatives import vjp as vjp
from haiku._lifted.functions import eval_shape as eval_shape
from haiku._lifted.functions import grad as grad
from haiku._lifted.functions import remat as remat
from haiku._lifted.functions import value_and_grad as value_and_grad
from haiku._lifted.jit import jit as jit
from haiku._lifted.layer_stack import (
    LayerStackTransparencyMapping as LayerStackTransparencyMapping,
)
from haiku._lifted.layer_stack import layer_stack as layer_stack
from haiku._lifted.layers_apart import stack_layers as stack_layers
from haiku._lifted.layers_apart import unstack_layers as unstack_layers
from haiku._lifted.lift import LiftWithStateUpdater as LiftWithStateUpdater
from haiku._lifted.lift import lift as lift
from haiku._lifted.lift import lift_with_state as lift_with_state
from haiku._lifted.lift import transparent_lift as transparent_lift
from haiku._lifted.lift import (
    transparent_lift_with_state as transparent_lift_with_state,
)
from haiku._lifted.loops import fori_loop as fori_loop
from haiku._lifted.loops import map as map
from haiku._lifted.loops import scan as scan
from haiku._lifted.loops import while_loop as while_loop
from haiku._lifted.vmap import ensemble as ensemble
from haiku._lifted.vmap import vmap as vmap
from haiku.typing import ModuleProtocol as ModuleProtocol
from haiku.typing import MutableParams as MutableParams
from haiku.typing import MutableState as MutableState
from haiku.typing import Params as Params
from haiku.typing import State as State
from haiku.typing import SupportsCall as SupportsCall

if TYPE_CHECKING:
    from haiku import adapt as adapt
    from haiku import checkpoint as checkpoint
    from haiku import experimental as experimental
    from haiku import generation as generation
    from haiku import parallel as parallel
    from haiku import pretrained as pretrained
    from haiku import surgery as surgery
    from haiku import testing as testing
    from haiku import views as views
    from haiku._core.sharing.replace_parameters import (
        replace_parameters as replace_parameters,
    )
    from haiku._lifted.associative import associative_scan as associative_scan
    from haiku._lifted.custom_derivatives import custom_jvp as custom_jvp
    from haiku._lifted.custom_derivatives import custom_vjp as custom_vjp
    from haiku._lifted.shard_map import shard_map as shard_map
    from haiku.views.graph import to_dot as to_dot
    from haiku.views.tree import module_tree as module_tree

__version__ = "0.1.0"

# Loaded when first used: most programs need none of them.
_LAZY = {
    "adapt": ("haiku.adapt", None),
    "checkpoint": ("haiku.checkpoint", None),
    "custom_jvp": ("haiku._lifted.custom_derivatives", "custom_jvp"),
    "custom_vjp": ("haiku._lifted.custom_derivatives", "custom_vjp"),
    "shard_map": ("haiku._lifted.shard_map", "shard_map"),
    "associative_scan": ("haiku._lifted.associative", "associative_scan"),
    "replace_parameters": (
        "haiku._core.sharing.replace_parameters",
        "replace_parameters",
    ),
    "experimental": ("haiku.experimental", None),
    "generation": ("haiku.generation", None),
    "parallel": ("haiku.parallel", None),
    "pretrained": ("haiku.pretrained", None),
    "surgery": ("haiku.surgery", None),
    "module_tree": ("haiku.views.tree", "module_tree"),
    "testing": ("haiku.testing", None),
    "to_dot": ("haiku.views.graph", "to_dot"),
    "views": ("haiku.views", None),
}


# Hidden from type checkers: to them it would say that any name is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'haiku' has no attribute {name!r}")
        module_name, attribute = _LAZY[name]
        module = importlib.import_module(module_name)
        value = module if attribute is None else getattr(module, attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    inside = {"Any", "TYPE_CHECKING", "importlib", "interop"}
    names = {*globals(), *_LAZY} - inside
    return sorted(name for name in names if not name.startswith("_"))


__all__ = tuple(__dir__())  # pyright: ignore[reportUnsupportedDunderAll]
