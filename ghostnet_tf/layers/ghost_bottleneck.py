"""The Ghost bottleneck (GhostNet, CVPR 2020, section 3.2 and figure 3)."""

import keras

from ghostnet_tf.layers.branched_convolution import BranchedConvBN
from ghostnet_tf.layers.composite import Composite, strided_shape
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.ghost_module import GhostModule
from ghostnet_tf.layers.squeeze_excite import SqueezeExcite


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class GhostBottleneck(Composite):
    """Two ghost modules around an optional strided depthwise convolution, with a shortcut.

    The first module expands to `expansion` channels with ReLU, the second projects to `filters` without an
    activation; nothing follows the addition. With `strides` above 1 a depthwise convolution of `kernel_size`
    stands between them. Where the shapes differ, the shortcut is a depthwise convolution of `kernel_size` and
    `strides` and a 1x1 convolution, both normalized and linear; else it is the identity.

    Args:
        expansion: Channels between the two modules (the papers' "exp").
        filters: Output channels.
        kernel_size: Window of the depthwise convolutions outside the modules, odd; inert in a block that has
            neither stride nor projection.
        strides: 1 or 2.
        se_ratio: Squeeze-and-excitation ratio after the (strided) expansion, 0 for none.
        se_divisor, se_gate: See `SqueezeExcite`.
        padding: Of the strided convolutions, see `ConvBN`; without `branches` only.
        ratio, dw_size, cheap_operation: Of both modules, see `GhostModule`.
        attention: Whether the first module has attention, see `GhostModule`.
        branches: Of both modules and the strided depthwise convolution, see `GhostModule`.

    Input `(batch, height, width, channels)`; output `(batch, ceil(height / strides), ceil(width / strides), filters)`.
    """

    def __init__(
        self,
        expansion,
        filters,
        kernel_size=3,
        strides=1,
        se_ratio=0.0,
        ratio=2,
        dw_size=3,
        cheap_operation="depthwise",
        attention=False,
        branches=None,
        se_divisor=4,
        se_gate="hard_sigmoid",
        padding="symmetric",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.expansion = expansion
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.se_ratio = se_ratio
        self.ratio = ratio
        self.dw_size = dw_size if isinstance(dw_size, int) else tuple(dw_size)
        self.cheap_operation = cheap_operation
        self.attention = attention
        self.branches = branches
        self.se_divisor = se_divisor
        self.se_gate = se_gate
        self.padding = padding
        if branches is not None and padding != "symmetric":
            raise ValueError(f"Expected symmetric padding with branches. Received: padding={padding!r}")

    def build(self, input_shape):
        def options(role):
            return {"name": self.sublayer_name(role), "dtype": self.dtype_policy}

        ghost = {"ratio": self.ratio, "dw_size": self.dw_size, "cheap_operation": self.cheap_operation}
        ghost["branches"] = self.branches
        depthwise = {"kernel_size": self.kernel_size, "strides": self.strides, "activation": None}
        self.ghost1 = GhostModule(self.expansion, attention=self.attention, **ghost, **options("ghost1"))
        self.dw = None
        if self.strides > 1 and self.branches is None:
            self.dw = ConvBN(None, **depthwise, padding=self.padding, **options("dw"))
        elif self.strides > 1:
            self.dw = BranchedConvBN(None, **depthwise, branches=self.branches, **options("dw"))
        self.se = None
        if self.se_ratio:
            self.se = SqueezeExcite(self.se_ratio, self.se_divisor, self.se_gate, **options("se"))
        self.ghost2 = GhostModule(self.filters, activation=None, **ghost, **options("ghost2"))
        self.shortcut_dw = self.shortcut_pw = None
        if self.strides > 1 or input_shape[-1] != self.filters:
            self.shortcut_dw = ConvBN(None, **depthwise, padding=self.padding, **options("shortcut_dw"))
            self.shortcut_pw = ConvBN(self.filters, activation=None, **options("shortcut_pw"))
        self.add = keras.layers.Add(**options("add"))
        super().build(input_shape)

    def call(self, inputs, training=None):
        x = self.ghost1(inputs, training=training)
        if self.dw is not None:
            x = self.dw(x, training=training)
        if self.se is not None:
            x = self.se(x)
        x = self.ghost2(x, training=training)
        shortcut = inputs
        if self.shortcut_dw is not None:
            shortcut = self.shortcut_pw(self.shortcut_dw(inputs, training=training), training=training)
        return self.add([x, shortcut])

    @property
    def residual(self) -> GhostModule:
        """The last layer before the addition."""
        return self.ghost2

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, self.filters)

    def get_config(self):
        return super().get_config() | {
            "expansion": self.expansion,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "se_ratio": self.se_ratio,
            "ratio": self.ratio,
            "dw_size": self.dw_size,
            "cheap_operation": self.cheap_operation,
            "attention": self.attention,
            "branches": self.branches,
            "se_divisor": self.se_divisor,
            "se_gate": self.se_gate,
            "padding": self.padding,
        }
