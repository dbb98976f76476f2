"""The Ghost module (GhostNet, CVPR 2020, section 3.1 and figure 2)."""

import math

import keras

from ghostnet_tf.layers.branched_convolution import BranchedConvBN
from ghostnet_tf.layers.cheap_operation import cheap_operation as make_cheap_operation
from ghostnet_tf.layers.composite import Composite, strided_shape
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.dfc_attention import DFCAttention


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class GhostModule(Composite):
    """A convolution that computes few intrinsic maps and makes the rest from them by cheap operations.

    A primary convolution gives `m = ceil(filters / ratio)` intrinsic maps; a depthwise `dw_size` x `dw_size`
    convolution gives `ratio - 1` ghosts of each; both are concatenated, intrinsic maps first, and the ghosts
    beyond `filters` are dropped. Each convolution is followed by batch normalization and `activation`.

    Args:
        filters: Output channels, at least 1.
        kernel_size: Window of the primary convolution, odd (the paper's k; 1 in GhostNet).
        ratio: s of the paper: the share of intrinsic maps is 1 / s. 1 gives the ordinary convolution.
        dw_size: d of the paper: window of the cheap operation, odd; with several, as `(3, 5)`, each serves its
            share of the intrinsic maps.
        strides: Strides of the primary convolution.
        use_bias: Whether both convolutions have biases before their normalization.
        activation: A Keras activation name applied to intrinsic maps and ghosts, or `None` for linear.
        cheap_operation: `"depthwise"`, or instead of the depthwise convolution `"affine"` (a learned scale and shift
            a ghost, without normalization) or `"haar"` (the fixed 2-D Haar wavelet kernels).
        attention: Whether the outputs are multiplied by a `DFCAttention` of the inputs (GhostNetV2).
        branches: Makes both convolutions a `BranchedConvBN` of so many branches (GhostNetV3), 0 in its folded form.

    Input `(batch, height, width, channels)`; output `(batch, ceil(height / strides), ceil(width / strides), filters)`.

    Raises:
        ValueError: If `filters` or `ratio` is below 1, a window is even, there is no such cheap operation, or the
            arguments do not go together.
    """

    def __init__(
        self,
        filters,
        kernel_size=1,
        ratio=2,
        dw_size=3,
        strides=1,
        use_bias=False,
        activation="relu",
        cheap_operation="depthwise",
        attention=False,
        branches=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters < 1 or ratio < 1:
            raise ValueError(
                f"Expected `filters` and `ratio` of at least 1. Received: filters={filters}, ratio={ratio}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.ratio = ratio
        self.dw_size = dw_size if isinstance(dw_size, int) else tuple(dw_size)
        self.strides = strides
        self.use_bias = use_bias
        self.activation = activation
        self.cheap_operation = cheap_operation
        self.attention = attention
        self.branches = branches
        if attention and strides != 1:
            raise ValueError(f"Expected `strides` of 1 with attention. Received: strides={strides}")
        if branches is not None and (use_bias or cheap_operation != "depthwise" or not isinstance(dw_size, int)):
            raise ValueError(
                "Expected branches without biases, with one depthwise window. Received: "
                f"use_bias={use_bias}, cheap_operation={cheap_operation!r}, dw_size={dw_size}"
            )

        def options(role):
            return {"name": self.sublayer_name(role), "dtype": self.dtype_policy}

        intrinsic = math.ceil(filters / ratio)
        self.ghosts = filters - intrinsic
        if branches is None:
            shared = {"activation": activation, "use_bias": use_bias}
            self.primary = ConvBN(intrinsic, kernel_size, strides, **shared, **options("primary"))
        else:
            shared = {"activation": activation, "branches": branches}
            self.primary = BranchedConvBN(intrinsic, kernel_size, strides, **shared, **options("primary"))
        if self.ghosts:
            cheap = shared | options("cheap")
            if branches is None:
                self.cheap = make_cheap_operation(cheap_operation, ratio - 1, self.dw_size, **cheap)
            else:
                self.cheap = BranchedConvBN(None, dw_size, depth_multiplier=ratio - 1, **cheap)
            self.concat = keras.layers.Concatenate(**options("concat"))
        if attention:
            self.dfc = DFCAttention(filters, **options("dfc"))
            self.scale = keras.layers.Multiply(**options("scale"))

    def build(self, input_shape):
        self.primary.build(input_shape)
        if self.ghosts:
            self.cheap.build(self.primary.compute_output_shape(input_shape))
        if self.attention:
            self.dfc.build(input_shape)

    def call(self, inputs, training=None):
        x = self.primary(inputs, training=training)
        if self.ghosts:
            ghosts = self.cheap(x, training=training)
            if ghosts.shape[-1] != self.ghosts:
                ghosts = ghosts[..., : self.ghosts]
            x = self.concat([x, ghosts])
        return self.scale([x, self.dfc(inputs, training=training)]) if self.attention else x

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, self.filters)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "ratio": self.ratio,
            "dw_size": self.dw_size,
            "strides": self.strides,
            "use_bias": self.use_bias,
            "activation": self.activation,
            "cheap_operation": self.cheap_operation,
            "attention": self.attention,
            "branches": self.branches,
        }
