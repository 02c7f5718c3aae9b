"""The layers: modules with a forward pass of their own.

Each file holds one idea; what several share (where channels are, scale and offset,
the gates of an LSTM) stands in one place and the layers are signatures over it. A
layer asks the core for parameters, state and keys, and knows nothing of how they are
kept. No network of several layers belongs here (`haiku.nets`), no training, no data.
"""

from haiku._layers.attention import MultiHeadAttention as MultiHeadAttention
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
from haiku._layers.core_wrappers import DeepRNN as DeepRNN
from haiku._layers.core_wrappers import ResetCore as ResetCore
from haiku._layers.core_wrappers import (
    deep_rnn_with_skip_connections as deep_rnn_with_skip_connections,
)
from haiku._layers.cores import GRU as GRU
from haiku._layers.cores import LSTM as LSTM
from haiku._layers.cores import IdentityCore as IdentityCore
from haiku._layers.cores import LSTMState as LSTMState
from haiku._layers.cores import VanillaRNN as VanillaRNN
from haiku._layers.deferred import Deferred as Deferred
from haiku._layers.depthwise import DepthwiseConv1D as DepthwiseConv1D
from haiku._layers.depthwise import DepthwiseConv2D as DepthwiseConv2D
from haiku._layers.depthwise import DepthwiseConv3D as DepthwiseConv3D
from haiku._layers.depthwise import SeparableDepthwiseConv2D as SeparableDepthwiseConv2D
from haiku._layers.embedding import Embed as Embed
from haiku._layers.embedding import EmbedLookupStyle as EmbedLookupStyle
from haiku._layers.functional import dropout as dropout
from haiku._layers.functional import multinomial as multinomial
from haiku._layers.functional import one_hot as one_hot
from haiku._layers.group_norm import GroupNorm as GroupNorm
from haiku._layers.layer_norm import InstanceNorm as InstanceNorm
from haiku._layers.layer_norm import LayerNorm as LayerNorm
from haiku._layers.linear import Bias as Bias
from haiku._layers.linear import Linear as Linear
from haiku._layers.moving_average import EMAParamsTree as EMAParamsTree
from haiku._layers.moving_average import (
    ExponentialMovingAverage as ExponentialMovingAverage,
)
from haiku._layers.pooling import AvgPool as AvgPool
from haiku._layers.pooling import MaxPool as MaxPool
from haiku._layers.pooling import avg_pool as avg_pool
from haiku._layers.pooling import max_pool as max_pool
from haiku._layers.recurrence import RNNCore as RNNCore
from haiku._layers.recurrence import dynamic_unroll as dynamic_unroll
from haiku._layers.recurrence import static_unroll as static_unroll
from haiku._layers.reshape import Flatten as Flatten
from haiku._layers.reshape import Reshape as Reshape
from haiku._layers.rms_norm import RMSNorm as RMSNorm
from haiku._layers.sequential import Sequential as Sequential
from haiku._layers.spectral_norm import SNParamsTree as SNParamsTree
from haiku._layers.spectral_norm import SpectralNorm as SpectralNorm
