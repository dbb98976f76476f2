"""Attention by long rows and columns (GhostNetV2, NeurIPS 2022, section 3)."""

import keras

from ghostnet_tf.layers.composite import Composite
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.resampling import AveragePooling2D, HalfToFull


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class DFCAttention(Composite):
    """A gate in [0, 1] for every value of a map, from a row and a column through it (decoupled fully connected).

    At half resolution: 1x1 convolution to `filters` channels, depthwise 1 x `length`, depthwise `length` x 1, each
    normalized and linear, then the sigmoid; brought back to the input's size by `HalfToFull`.

    Args:
        filters: Channels of the gate.
        length: Of the rows and columns, odd; 5 in the released code.

    Input `(batch, height, width, channels)`, at least 2 pixels a side; output `(batch, height, width, filters)`.
    """

    def __init__(self, filters, length=5, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.length = length

        def options(role):
            return {"name": self.sublayer_name(role), "dtype": self.dtype_policy}

        self.half = AveragePooling2D(2, **options("half"))
        self.pw = ConvBN(filters, activation=None, **options("pw"))
        self.row = ConvBN(None, (1, length), activation=None, **options("row"))
        self.column = ConvBN(None, (length, 1), activation=None, **options("column"))
        self.sigmoid = keras.layers.Activation("sigmoid", **options("sigmoid"))
        self.full = HalfToFull(**options("full"))

    def build(self, input_shape):
        self.pw.build((None, None, None, input_shape[-1]))
        for depthwise in (self.row, self.column):
            depthwise.build((None, None, None, self.filters))

    def call(self, inputs, training=None):
        x = self.pw(self.half(inputs, training=training), training=training)
        x = self.column(self.row(x, training=training), training=training)
        return self.full(self.sigmoid(x), inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "length": self.length}
