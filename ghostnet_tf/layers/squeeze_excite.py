"""Squeeze and excitation with a piecewise linear gate, as in MobileNetV3 and GhostNet."""

import keras

from ghostnet_tf.layers.composite import Composite
from ghostnet_tf.layers.pointwise import Conv2D


def make_divisible(value: float, divisor: int = 4) -> int:
    """`value` rounded to a multiple of `divisor`, at least `divisor` and never below 0.9 of `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class SqueezeExcite(Composite):
    """Scales each channel by a gate in [0, 1] computed from the channels' means.

    Mean over the image, 1x1 convolution to `make_divisible(se_ratio * channels, divisor)` channels, ReLU, 1x1
    convolution back, gate. Both convolutions have biases and no normalization.

    Args:
        se_ratio: Share of the channels in the bottleneck, above 0.
        divisor: The bottleneck's width is a multiple of it.
        gate: `"hard_sigmoid"`, `relu6(x + 3) / 6`, or `"clip"`, `min(max(x, 0), 1)`.

    Input and output `(batch, height, width, channels)`. Source: the official `ghostnet_pytorch`, and for the clipping
    gate the official TensorFlow code.
    """

    def __init__(self, se_ratio=0.25, divisor=4, gate="hard_sigmoid", **kwargs):
        super().__init__(**kwargs)
        if se_ratio <= 0:
            raise ValueError(f"Expected `se_ratio` above 0. Received: se_ratio={se_ratio}")
        if gate not in ("hard_sigmoid", "clip"):
            raise ValueError(f'Expected `gate` to be "hard_sigmoid" or "clip". Received: gate={gate!r}')
        self.se_ratio = se_ratio
        self.divisor = divisor
        self.gate = gate

    def build(self, input_shape):
        channels = input_shape[-1]
        squeezed = make_divisible(channels * self.se_ratio, self.divisor)
        layers, policy = keras.layers, {"dtype": self.dtype_policy}
        init = {"kernel_initializer": "he_normal"}
        self.pool = layers.GlobalAveragePooling2D(keepdims=True, name=self.sublayer_name("pool"), **policy)
        self.reduce = Conv2D(squeezed, 1, name=self.sublayer_name("reduce"), **init, **policy)
        self.act = layers.ReLU(name=self.sublayer_name("act"), **policy)
        self.expand = Conv2D(channels, 1, name=self.sublayer_name("expand"), **init, **policy)
        self.gating = [layers.Activation("hard_sigmoid", name=self.sublayer_name("gate"), **policy)]
        if self.gate == "clip":  # the hard sigmoid of 6 x - 3: XNNPACK takes it in int8, but no clipping at 1
            self.gating.insert(0, layers.Rescaling(6, -3, name=self.sublayer_name("gate_rescale"), **policy))
        self.scale = layers.Multiply(name=self.sublayer_name("scale"), **policy)
        super().build(input_shape)

    def call(self, inputs):
        x = self.expand(self.act(self.reduce(self.pool(inputs))))
        for layer in self.gating:
            x = layer(x)
        return self.scale([inputs, x])

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "se_ratio": self.se_ratio,
            "divisor": self.divisor,
            "gate": self.gate,
        }
