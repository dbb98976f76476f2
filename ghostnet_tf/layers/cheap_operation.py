"""The cheap operations that make ghosts of intrinsic maps (GhostNet, CVPR 2020, section 3.1)."""

import keras
import numpy as np

from ghostnet_tf.layers.batch_norm import BatchNormalization
from ghostnet_tf.layers.composite import Composite
from ghostnet_tf.layers.convolution import BATCH_NORM, ConvBN, activation_layer


def cheap_operation(kind: str, multiplier: int, dw_size: int | tuple[int, ...], **options) -> Composite:
    """The layer that makes `multiplier` ghosts of each intrinsic map.

    Args:
        kind: `"depthwise"` (the published one, learned windows), `"affine"` (a learned scale and shift a ghost) or
            `"haar"` (the fixed 2-D Haar wavelet).
        multiplier: s - 1 of the paper.
        dw_size: Window of the depthwise convolution; with several, each serves its share of the intrinsic maps.
            The other kinds have no use for it.
        options: `activation`, `use_bias`, `name` and `dtype` of the layer; `use_bias` is for the depthwise kind.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind == "depthwise":
        if isinstance(dw_size, int):
            return ConvBN(None, dw_size, depth_multiplier=multiplier, **options)
        return MixedDepthwise(dw_size, multiplier, **options)
    if kind not in ("affine", "haar"):
        raise ValueError(
            f'Expected `cheap_operation` to be "depthwise", "affine" or "haar". Received: cheap_operation={kind!r}'
        )
    options.pop("use_bias")
    return (AffineGhosts if kind == "affine" else HaarGhosts)(multiplier, **options)


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class MixedDepthwise(Composite):
    """Depthwise convolutions of several windows, each on its share of the channels.

    The channels are split in order into as many parts as there are windows, whose sizes differ by one at most.

    Args:
        kernel_sizes: Windows, odd, in the order of the parts.
        depth_multiplier: Outputs a channel.
        activation, use_bias: See `ConvBN`.

    Input `(batch, height, width, channels)`; output `(batch, height, width, depth_multiplier * channels)`.
    """

    def __init__(self, kernel_sizes, depth_multiplier=1, activation="relu", use_bias=False, **kwargs):
        super().__init__(**kwargs)
        self.kernel_sizes = tuple(kernel_sizes)
        self.depth_multiplier = depth_multiplier
        self.activation = activation
        self.use_bias = use_bias

    def build(self, input_shape):
        channels, parts = input_shape[-1], len(self.kernel_sizes)
        if not 1 <= parts <= channels:
            raise ValueError(
                f"Expected 1 to {channels} windows, as there are channels. Received: kernel_sizes={self.kernel_sizes}"
            )
        self.bounds = [-(-channels * part // parts) for part in range(parts + 1)]
        options = {"depth_multiplier": self.depth_multiplier, "activation": self.activation}
        options |= {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        self.convolutions = [
            ConvBN(None, size, name=self.sublayer_name(str(part)), **options)
            for part, size in enumerate(self.kernel_sizes)
        ]
        self.concat = keras.layers.Concatenate(name=self.sublayer_name("concat"), dtype=self.dtype_policy)
        super().build(input_shape)

    def call(self, inputs, training=None):
        outputs = [
            convolution(inputs[..., start:stop], training=training)
            for convolution, start, stop in zip(self.convolutions, self.bounds, self.bounds[1:], strict=False)
        ]
        return self.concat(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] * self.depth_multiplier)

    def get_config(self):
        return super().get_config() | {
            "kernel_sizes": self.kernel_sizes,
            "depth_multiplier": self.depth_multiplier,
            "activation": self.activation,
            "use_bias": self.use_bias,
        }


class _Ghosts(Composite):
    """What the operations of one depthwise convolution share: a normalization where needed, and an activation."""

    normalized = True

    def __init__(self, depth_multiplier=1, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.depth_multiplier = depth_multiplier
        self.activation = activation
        policy = {"dtype": self.dtype_policy}
        self.conv = self._convolution(name=self.sublayer_name("conv"), **policy)
        self.bn = BatchNormalization(name=self.sublayer_name("bn"), **BATCH_NORM, **policy) if self.normalized else None
        self.act = (
            None if activation is None else activation_layer(activation, name=self.sublayer_name("act"), **policy)
        )

    def call(self, inputs, training=None):
        x = self.conv(inputs)
        x = x if self.bn is None else self.bn(x, training=training)
        return x if self.act is None else self.act(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] * self.depth_multiplier)

    def get_config(self):
        return super().get_config() | {"depth_multiplier": self.depth_multiplier, "activation": self.activation}


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class AffineGhosts(_Ghosts):
    """A learned scale and shift for each ghost, without normalization, which would take their place.

    Args:
        depth_multiplier: Ghosts a channel.
        activation: A Keras activation name, or `None` for linear.

    Input `(batch, height, width, channels)`; output `(batch, height, width, depth_multiplier * channels)`.
    """

    normalized = False

    def _convolution(self, **options):
        scale = keras.initializers.RandomNormal(stddev=1.0)  # keeps the variance of the maps
        return keras.layers.DepthwiseConv2D(
            1, depth_multiplier=self.depth_multiplier, depthwise_initializer=scale, **options
        )


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class HaarGhosts(_Ghosts):
    """The four fixed 2x2 kernels of the 2-D Haar wavelet at full resolution, dealt out in turn, and normalization.

    Ghost number i, counted over the channels and within each, is the mean (i mod 4 = 0), the horizontal (1), the
    vertical (2) or the diagonal difference (3) of the map: five-fold modules have all four of each map.

    Args:
        depth_multiplier: Ghosts a channel.
        activation: A Keras activation name, or `None` for linear.

    Input `(batch, height, width, channels)`; output `(batch, height, width, depth_multiplier * channels)`.
    """

    def _convolution(self, **options):
        return FixedDepthwiseConv2D(
            2,
            depth_multiplier=self.depth_multiplier,
            padding="same",
            use_bias=False,
            depthwise_initializer=Haar(),
            **options,
        )


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class FixedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` whose weights never train, even under `model.trainable = True`."""

    def add_weight(self, *args, **kwargs):
        return super().add_weight(*args, **{**kwargs, "trainable": False})


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class Haar(keras.initializers.Initializer):
    """The orthonormal 2-D Haar kernels for a depthwise kernel of shape `(2, 2, channels, multiplier)`, in turn."""

    KERNELS = np.array([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]) / 2

    def __call__(self, shape, dtype=None):
        if tuple(shape[:2]) != (2, 2):
            raise ValueError(f"Expected a 2x2 window. Received: shape={shape}")
        ghosts = np.arange(shape[2] * shape[3]) % len(self.KERNELS)
        kernel = self.KERNELS[ghosts].transpose(1, 2, 0).reshape(shape)
        return keras.ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())

    def get_config(self):
        return {}
