"""Convolutions as the published models use them: PyTorch's padding, normalization right after."""

import keras
import numpy as np

from ghostnet_tf.layers.batch_norm import BatchNormalization
from ghostnet_tf.layers.composite import Composite, strided_shape
from ghostnet_tf.layers.pointwise import Conv2D

# PyTorch's BatchNorm2d defaults, under which all published weights were trained (torch momentum 0.1 = Keras 0.9).
BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}


def he_normal_depthwise(kernel_size: tuple[int, int]) -> keras.initializers.Initializer:
    """He-normal initialization for a depthwise kernel, whose fan-in is its window (Keras counts the channels too)."""
    return keras.initializers.RandomNormal(stddev=(2.0 / (kernel_size[0] * kernel_size[1])) ** 0.5)


def scale_and_shift(gamma, beta, mean, variance, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """What batch normalization multiplies each channel by and then adds in inference, in float64."""
    gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in (gamma, beta, mean, variance))
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class ConvBN(Composite):
    """Convolution, batch normalization and an optional activation.

    Args:
        filters: Output channels; `None` makes it depthwise, with `depth_multiplier` outputs a channel.
        kernel_size: Window, an odd integer or a pair of them.
        strides: 1 or 2 in the published models.
        activation: A Keras activation name, or `None` for linear.
        use_bias: Whether the convolution has a bias of its own before the normalization.
        depth_multiplier: Outputs a channel of a depthwise convolution.
        normalized: Whether the convolution is followed by batch normalization.
        padding: `"symmetric"` as in PyTorch, `kernel_size // 2` on every side, or TensorFlow's `"same"`. At stride 1
            they are equal; above it, `"same"` shifts the window by a pixel where the size is even.
        groups: Splits the channels of a convolution that is not depthwise into this many that see only each other.

    Input `(batch, height, width, channels)`; output `(batch, ceil(height / strides), ceil(width / strides), filters)`.
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        strides=1,
        activation="relu",
        use_bias=False,
        depth_multiplier=1,
        groups=1,
        normalized=True,
        padding="symmetric",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.strides = strides
        self.activation = activation
        self.use_bias = use_bias
        self.depth_multiplier = depth_multiplier
        self.groups = groups
        self.normalized = normalized
        self.padding = padding
        if padding not in ("symmetric", "same"):
            raise ValueError(f'Expected `padding` to be "symmetric" or "same". Received: padding={padding!r}')
        if any(k < 1 or k % 2 == 0 for k in self.kernel_size):
            raise ValueError(f"Expected `kernel_size` to be odd and positive. Received: kernel_size={kernel_size}")

        options = {"strides": strides, "use_bias": use_bias, "dtype": self.dtype_policy}
        options["name"] = self.sublayer_name("conv")
        options["padding"] = "same" if strides == 1 or padding == "same" else "valid"
        self.pad = None
        if options["padding"] == "valid" and self.kernel_size != (1, 1):
            zeros = tuple(k // 2 for k in self.kernel_size)
            self.pad = keras.layers.ZeroPadding2D(zeros, name=self.sublayer_name("pad"), dtype=self.dtype_policy)
        if filters is None:
            self.conv = keras.layers.DepthwiseConv2D(
                self.kernel_size,
                depth_multiplier=depth_multiplier,
                depthwise_initializer=he_normal_depthwise(self.kernel_size),
                **options,
            )
        else:
            self.conv = Conv2D(filters, self.kernel_size, groups=groups, kernel_initializer="he_normal", **options)
        self.bn = None
        if normalized:
            self.bn = BatchNormalization(name=self.sublayer_name("bn"), dtype=self.dtype_policy, **BATCH_NORM)
        self.act = None
        if activation is not None:
            self.act = activation_layer(activation, name=self.sublayer_name("act"), dtype=self.dtype_policy)

    def build(self, input_shape):
        self.conv.build((None, None, None, input_shape[-1]))
        if self.bn is not None:
            self.bn.build(self.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        x = inputs if self.pad is None else self.pad(inputs)
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x, training=training)
        return x if self.act is None else self.act(x)

    def compute_output_shape(self, input_shape):
        filters = input_shape[-1] * self.depth_multiplier if self.filters is None else self.filters
        return strided_shape(input_shape, self.strides, filters)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "depth_multiplier": self.depth_multiplier,
            "groups": self.groups,
            "normalized": self.normalized,
            "padding": self.padding,
        }


def activation_layer(activation: str, **options) -> keras.layers.Layer:
    """The standard layer for an activation's name; ReLU gets its own class, which converters fuse."""
    if activation == "relu":
        return keras.layers.ReLU(**options)
    return keras.layers.Activation(activation, **options)
