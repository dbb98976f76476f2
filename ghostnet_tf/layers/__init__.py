"""Keras layers of the GhostNet family."""

from ghostnet_tf.layers.batch_norm import BatchNormalization
from ghostnet_tf.layers.composite import Composite
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.g_ghost_stage import GGhostStage
from ghostnet_tf.layers.ghost_bottleneck import GhostBottleneck
from ghostnet_tf.layers.ghost_module import GhostModule
from ghostnet_tf.layers.pointwise import Conv2D
from ghostnet_tf.layers.residual_bottleneck import ResidualBottleneck
from ghostnet_tf.layers.squeeze_excite import SqueezeExcite, make_divisible

__all__ = [
    "BatchNormalization",
    "Composite",
    "Conv2D",
    "ConvBN",
    "GGhostStage",
    "GhostBottleneck",
    "GhostModule",
    "ResidualBottleneck",
    "SqueezeExcite",
    "make_divisible",
]
