"""The residual bottleneck of ResNet and RegNetX, plain or of ghost modules."""

import keras

from ghostnet_tf.layers.composite import Composite, strided_shape
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.ghost_module import GhostModule
from ghostnet_tf.layers.squeeze_excite import SqueezeExcite


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class ResidualBottleneck(Composite):
    """1x1, 3x3 and 1x1 convolutions with a shortcut, ReLU after each of the first two and after the addition.

    The 3x3 convolution carries the strides. Where the shapes differ, the shortcut is a 1x1 convolution with the
    strides; else it is the identity. Every convolution is followed by batch normalization.

    Args:
        filters: Output channels.
        strides: 1 or 2.
        expansion: Output channels over inner ones: 4 in ResNet, 1 in RegNetX.
        group_width: Channels a group of the 3x3 convolution; `None` for one group.
        se_ratio: Squeeze-and-excitation ratio of the inner channels, 0 for none.
        ratio, dw_size: s and d of ghost modules in place of all four convolutions, see `GhostModule`; 1 for none.

    Input `(batch, height, width, channels)`; output `(batch, ceil(height / strides), ceil(width / strides), filters)`.

    Raises:
        ValueError: If channels do not divide, or groups are asked of ghost modules.
    """

    def __init__(self, filters, strides=1, expansion=1, group_width=None, se_ratio=0.0, ratio=1, dw_size=3, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.expansion = expansion
        self.group_width = group_width
        self.se_ratio = se_ratio
        self.ratio = ratio
        self.dw_size = dw_size
        self.inner = filters // expansion
        self.groups = self.inner // min(self.inner, group_width) if group_width else 1
        if self.inner * expansion != filters or self.inner % self.groups:
            raise ValueError(
                "Expected `filters` to be a multiple of `expansion` and inner channels of `group_width`. "
                f"Received: filters={filters}, expansion={expansion}, group_width={group_width}"
            )
        if self.groups > 1 and ratio > 1:
            raise ValueError(f"Expected `ratio=1` with `group_width`. Received: ratio={ratio}")

    def build(self, input_shape):
        self.conv1 = self._convolution("conv1", self.inner)
        self.conv2 = self._convolution("conv2", self.inner, 3, self.strides, groups=self.groups)
        self.se = None
        if self.se_ratio:
            self.se = SqueezeExcite(self.se_ratio, name=self.sublayer_name("se"), dtype=self.dtype_policy)
        self.conv3 = self._convolution("conv3", self.filters, activation=None)
        self.shortcut = None
        if self.strides > 1 or input_shape[-1] != self.filters:
            self.shortcut = self._convolution("shortcut", self.filters, 1, self.strides, activation=None)
        self.add = keras.layers.Add(name=self.sublayer_name("add"), dtype=self.dtype_policy)
        self.act = keras.layers.ReLU(name=self.sublayer_name("act"), dtype=self.dtype_policy)
        super().build(input_shape)

    def _convolution(self, role, filters, kernel_size=1, strides=1, activation="relu", groups=1):
        options = {"strides": strides, "activation": activation}
        options |= {"name": self.sublayer_name(role), "dtype": self.dtype_policy}
        if self.ratio == 1:
            return ConvBN(filters, kernel_size, groups=groups, **options)
        return GhostModule(filters, kernel_size, ratio=self.ratio, dw_size=self.dw_size, **options)

    def call(self, inputs, training=None):
        x = self.conv2(self.conv1(inputs, training=training), training=training)
        if self.se is not None:
            x = self.se(x)
        x = self.conv3(x, training=training)
        shortcut = inputs if self.shortcut is None else self.shortcut(inputs, training=training)
        return self.act(self.add([x, shortcut]))

    @property
    def residual(self) -> ConvBN | GhostModule:
        """The last layer before the addition."""
        return self.conv3

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, self.filters)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "strides": self.strides,
            "expansion": self.expansion,
            "group_width": self.group_width,
            "se_ratio": self.se_ratio,
            "ratio": self.ratio,
            "dw_size": self.dw_size,
        }
