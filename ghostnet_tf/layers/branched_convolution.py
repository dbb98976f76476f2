"""Convolutions that train as several and run as one (GhostNetV3, 2024, section 3.1)."""

import keras
import numpy as np

from ghostnet_tf.layers.batch_norm import BatchNormalization
from ghostnet_tf.layers.composite import Composite, strided_shape
from ghostnet_tf.layers.convolution import BATCH_NORM, ConvBN, activation_layer, scale_and_shift


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class BranchedConvBN(Composite):
    """Parallel linear branches that are summed and then activated.

    The branches are `branches` normalized convolutions; where the window is wider than a pixel, a normalized 1x1
    convolution; and where input and output agree in shape, a normalization alone. Being linear, they fold into one
    convolution with bias, which is what `branches=0` has instead.

    Args:
        filters, kernel_size, strides, activation, depth_multiplier: See `ConvBN`.
        branches: Number of parallel convolutions, 3 in the released code; 0 for the folded form.

    Input `(batch, height, width, channels)`; output `(batch, ceil(height / strides), ceil(width / strides), filters)`.
    """

    def __init__(self, filters, kernel_size=1, strides=1, activation="relu", depth_multiplier=1, branches=3, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.activation = activation
        self.depth_multiplier = depth_multiplier
        self.branches = branches

    def build(self, input_shape):
        def options(role):
            return {"name": self.sublayer_name(role), "dtype": self.dtype_policy}

        shared = {"strides": self.strides, "activation": None, "depth_multiplier": self.depth_multiplier}
        output_shape = self.compute_output_shape(input_shape)
        self.convolutions, self.identity, self.add = [], None, None
        if self.branches:
            self.convolutions = [
                ConvBN(self.filters, self.kernel_size, **shared, **options(f"branch{index}"))
                for index in range(self.branches)
            ]
            if self.kernel_size > 1:
                self.convolutions.append(ConvBN(self.filters, 1, **shared, **options("point")))
            if self.strides == 1 and input_shape[-1] == output_shape[-1]:
                self.identity = BatchNormalization(**BATCH_NORM, **options("identity"))
                self.identity.build(input_shape)
            if len(self.convolutions) + (self.identity is not None) > 1:
                self.add = keras.layers.Add(**options("add"))
        else:
            folded = options("folded") | {"use_bias": True, "normalized": False}
            self.convolutions = [ConvBN(self.filters, self.kernel_size, **shared, **folded)]
        for convolution in self.convolutions:
            convolution.build(input_shape)
        self.act = activation_layer(self.activation, **options("act")) if self.activation else None

    def call(self, inputs, training=None):
        terms = [convolution(inputs, training=training) for convolution in self.convolutions]
        if self.identity is not None:
            terms.append(self.identity(inputs, training=training))
        x = terms[0] if self.add is None else self.add(terms)
        return x if self.act is None else self.act(x)

    def fold(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of the one convolution that equals the branches in inference, in float64."""
        depthwise = self.filters is None
        linear = [(branch.conv.kernel.numpy(), branch.bn) for branch in self.convolutions]
        if self.identity is not None:
            channels = self.identity.gamma.shape[0]
            unit = np.ones((channels, 1)) if depthwise else np.eye(channels)
            linear.append((unit[None, None], self.identity))
        kernels, biases = zip(*(_normalized(kernel, bn, depthwise) for kernel, bn in linear), strict=True)
        widths = [(self.kernel_size - len(kernel)) // 2 for kernel in kernels]  # of zeros around a 1x1 window
        return sum(np.pad(k, [(w, w)] * 2 + [(0, 0)] * 2) for k, w in zip(kernels, widths, strict=True)), sum(biases)

    def compute_output_shape(self, input_shape):
        filters = input_shape[-1] * self.depth_multiplier if self.filters is None else self.filters
        return strided_shape(input_shape, self.strides, filters)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": self.activation,
            "depth_multiplier": self.depth_multiplier,
            "branches": self.branches,
        }


def _normalized(kernel: np.ndarray, bn: BatchNormalization, depthwise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution together with the normalization after it, in float64."""
    scale, shift = scale_and_shift(*(weight.numpy() for weight in bn.weights), bn.epsilon)
    return kernel * (scale.reshape(kernel.shape[2:]) if depthwise else scale), shift
