"""Multiply-adds of one call of one Keras layer."""

import math

import keras

_layers = keras.layers
_DEPTHWISE = (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D)
_CONVOLUTIONS = (_layers.Conv1D, _layers.Conv2D, _layers.Conv3D, *_DEPTHWISE)
_TRANSPOSED = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)
_SEPARABLE = (_layers.SeparableConv1D, _layers.SeparableConv2D)
_NORMALIZATION = (
    _layers.BatchNormalization,
    _layers.GroupNormalization,
    _layers.LayerNormalization,
    _layers.Normalization,
)


def multiply_adds(layer, input_shape, output_shape) -> tuple[str, int]:
    """The kind of a layer and the multiply-adds of one call of it, for one image."""
    if isinstance(layer, _layers.Dense):
        return "dense", math.prod(output_shape[1:-1]) * _size(layer.kernel)
    # A kernel is applied once at every position of the output, or of the input where it is transposed.
    if isinstance(layer, _CONVOLUTIONS):
        # A grouped convolution with one input channel a group is depthwise too.
        alone = isinstance(layer, _DEPTHWISE) or layer.groups == input_shape[-1] > 1
        return "depthwise" if alone else "conv", _positions(layer, output_shape) * _size(layer.kernel)
    if isinstance(layer, _TRANSPOSED):
        return "conv", _positions(layer, input_shape) * _size(layer.kernel)
    if isinstance(layer, _SEPARABLE):
        kernels = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
        return "conv", _positions(layer, output_shape) * kernels
    if isinstance(layer, _NORMALIZATION):
        return "norm", 0
    if any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ())):
        raise ValueError(
            "Expected convolutions, dense layers and layers without weight matrices. "
            f"Received: {type(layer).__name__} {layer.name!r}"
        )
    return "other", 0


def _size(kernel) -> int:
    return math.prod(kernel.shape)


def _positions(layer, shape) -> int:
    return math.prod(shape[1:-1] if layer.data_format == "channels_last" else shape[2:])
