"""Halving an image and bringing maps back to its size, in operations that phones run in int8."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class AveragePooling2D(keras.layers.AveragePooling2D):
    """`keras.layers.AveragePooling2D` without padding, computed in inference as a depthwise convolution.

    The XNNPACK delegate takes no average pooling in int8; the convolution, whose weights are all equal and fixed, it
    does. Same arguments, outputs and lack of variables.
    """

    def call(self, inputs, training=None):
        if training or self.padding != "valid" or self.data_format != "channels_last":
            return super().call(inputs)
        window = (*self.pool_size, inputs.shape[-1], 1)
        kernel = ops.full(window, 1 / (self.pool_size[0] * self.pool_size[1]), dtype=inputs.dtype)
        return ops.depthwise_conv(inputs, kernel, self.strides, padding="valid", data_format="channels_last")


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class HalfToFull(keras.layers.Layer):
    """Brings maps of half an image's size, rounded down, to its size: nearest neighbour as PyTorch counts it.

    Row `i` of `n` takes row `floor(i * (n // 2) / n)`: 0, 0, 1, 1, 2, 2 for even sizes, and 0, 0, 0, 1, 1, 2, 2 for
    odd ones, the first row once more. `keras.ops.image.resize` and `tf.image.resize` sample at pixels' centres
    instead and give 0, 0, 1, 1, 1, 2, 2. Where the sizes are known, every row and column is doubled by concatenation
    and reshaping, which the XNNPACK delegate takes in int8, as it takes neither resizing, gathering nor tiling.

    Call arguments:
        inputs: Maps `(batch, height // 2, width // 2, channels)`.
        like: The image, or any tensor `(batch, height, width, ...)`; only its size matters.

    Output `(batch, height, width, channels)`.
    """

    def call(self, inputs, like):
        for axis in (2, 1):
            inputs = _doubled(inputs, axis, like.shape[axis], ops.shape(like)[axis])
        return inputs

    def compute_output_shape(self, inputs_shape, like_shape):
        return (inputs_shape[0], *like_shape[1:3], inputs_shape[3])


def _doubled(x, axis: int, size: int | None, dynamic_size):
    """`x` with each slice along `axis` (1 or 2) twice, the first once more if `size` is odd."""
    if size is None or None in x.shape[1:]:
        rows = ops.arange(dynamic_size, dtype="int32")
        return ops.take(x, rows * ops.shape(x)[axis] // dynamic_size, axis=axis)
    height, width, channels = x.shape[1:]
    doubled = ops.concatenate([x, x], axis=axis + 1)
    shape = (2 * height, width, channels) if axis == 1 else (height, 2 * width, channels)
    doubled = ops.reshape(doubled, (-1, *shape))
    if size % 2 == 0:
        return doubled
    first = x[:, :1] if axis == 1 else x[:, :, :1]
    return ops.concatenate([first, doubled], axis=axis)
