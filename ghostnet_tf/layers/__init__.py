"""Keras layers of the GhostNet family."""

from ghostnet_tf.layers.batch_norm import BatchNormalization
from ghostnet_tf.layers.branched_convolution import BranchedConvBN
from ghostnet_tf.layers.composite import Composite
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.dfc_attention import DFCAttention
from ghostnet_tf.layers.g_ghost_stage import GGhostStage
from ghostnet_tf.layers.ghost_bottleneck import GhostBottleneck
from ghostnet_tf.layers.ghost_module import GhostModule
from ghostnet_tf.layers.pointwise import Conv2D
from ghostnet_tf.layers.resampling import AveragePooling2D, HalfToFull
from ghostnet_tf.layers.residual_bottleneck import ResidualBottleneck
from ghostnet_tf.layers.squeeze_excite import SqueezeExcite, make_divisible

__all__ = [
    "AveragePooling2D",
    "BatchNormalization",
    "BranchedConvBN",
    "Composite",
    "Conv2D",
    "ConvBN",
    "DFCAttention",
    "GGhostStage",
    "GhostBottleneck",
    "GhostModule",
    "HalfToFull",
    "ResidualBottleneck",
    "SqueezeExcite",
    "make_divisible",
]
