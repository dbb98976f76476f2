"""What quantization-aware training needs of tf_keras and tensorflow-model-optimization, imported on first use.

Nothing else imports these two: the optimization library sets TF_USE_LEGACY_KERAS for the whole process and for those
that it starts, and has `tf.keras` become tf_keras.
"""

import functools
import os
import warnings
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

LEGACY = "TF_USE_LEGACY_KERAS"
DECAY = 0.99  # share of a range that a step of training keeps; the batch's extremes have the rest
SIGMOID = (0.0, 255 / 256)  # range of a sigmoid's output in LiteRT: scale 1/256, whatever the values are


@dataclass
class Mode:
    """What all quantizers of a model's activations do.

    Attributes:
        calibrating: Whether they let values through as they are and widen their ranges to include them.
    """

    calibrating: bool = False


def import_tfmot() -> tuple[ModuleType, ModuleType]:
    """tensorflow-model-optimization and tf_keras; the environment and `tf.keras` stay as they were."""
    import tensorflow as tf

    before = os.environ.get(LEGACY)
    tf.keras.version  # noqa: B018  the first use decides for good which Keras it is: Keras 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that distutils is deprecated
            import tensorflow_model_optimization as tfmot
    finally:
        if before is None:
            os.environ.pop(LEGACY, None)
        else:
            os.environ[LEGACY] = before
    import tf_keras

    return tfmot, tf_keras


@functools.cache
def classes() -> SimpleNamespace:
    """Layers, quantizers and configurations, which only exist once their base classes are imported.

    Returns:
        `tf_keras`; `Applied`, a layer; `WeightQuantizer` and `RangeQuantizer`; `quantized_weights` and
        `quantized_output`, which wrap layers.
    """
    import tensorflow as tf

    tfmot, tf_keras = import_tfmot()
    base = tfmot.quantization.keras

    class Applied(tf_keras.layers.Layer):
        """A function of one tensor, or of a list of them, as a layer without weights."""

        def __init__(self, function, name):
            super().__init__(name=name)
            self.function = function

        def call(self, inputs):
            return self.function(inputs)

    class WeightQuantizer(base.quantizers.Quantizer):
        """int8 by output channel: symmetric, -127 to 127, from the weights' own extremes as in the converter.

        tfmot's own takes the last axis for the channels, which of a depthwise kernel `(h, w, channels, 1)` is all in
        one, and keeps the extremes of the last training step.
        """

        def __init__(self, channels: int):
            self.channels = channels

        def build(self, tensor_shape, name, layer):
            return {}

        def __call__(self, inputs, training, weights, **kwargs):
            matrix = tf.reshape(inputs, (-1, self.channels))
            limit = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(matrix), axis=0), 1e-8))
            quantized = tf.quantization.fake_quant_with_min_max_vars_per_channel(
                matrix, -limit, limit, num_bits=8, narrow_range=True
            )
            return tf.reshape(quantized, inputs.shape)

        def get_config(self):
            return {"channels": self.channels}

    class RangeQuantizer(base.quantizers.Quantizer):
        """uint8 for a whole tensor, in a range that in training follows the extremes of the batches.

        Args:
            mode: Of the model.
            fixed: A range that stays.
            leader: Another quantizer, whose range this one uses and leaves alone.
        """

        def __init__(self, mode: Mode, fixed=None, leader=None):
            self.mode, self.leader = mode, leader
            self.follows = fixed is None and leader is None
            self.start = fixed or (0.0, 0.0)
            self.variables = None

        def build(self, tensor_shape, name, layer):
            if self.leader is not None:
                return self.leader.build(tensor_shape, name, layer)
            if self.variables is None:
                self.variables = {
                    key: layer.add_weight(
                        f"{name}_{key}", initializer=tf_keras.initializers.Constant(value), trainable=False
                    )
                    for key, value in zip(("min", "max"), self.start, strict=True)
                }
            return self.variables

        def __call__(self, inputs, training, weights, **kwargs):
            low, high = weights["min"], weights["max"]
            if self.follows and (training or self.mode.calibrating):
                # Zero has to be one of the 256 values.
                least, greatest = tf.minimum(tf.reduce_min(inputs), 0.0), tf.maximum(tf.reduce_max(inputs), 0.0)
                if self.mode.calibrating:
                    low.assign(tf.minimum(low, least))
                    high.assign(tf.maximum(high, greatest))
                else:
                    low.assign(low + (1 - DECAY) * (least - low))
                    high.assign(high + (1 - DECAY) * (greatest - high))
            if self.mode.calibrating:
                return inputs
            return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)

        @property
        def limits(self) -> list[float]:
            """The least and the greatest value."""
            return [float(self.variables[key].numpy()) for key in ("min", "max")]

        @limits.setter
        def limits(self, values):
            for key, value in zip(("min", "max"), values, strict=True):
                self.variables[key].assign(value)

        def get_config(self):
            return {}

    class Config(base.QuantizeConfig):
        """What the wrapper of a layer quantizes: a weight by attribute, or the output."""

        def __init__(self, weight: str | None, quantizer):
            self.weight, self.quantizer = weight, quantizer

        def get_weights_and_quantizers(self, layer):
            return [(getattr(layer, self.weight), self.quantizer)] if self.weight else []

        def get_activations_and_quantizers(self, layer):
            return []

        def set_quantize_weights(self, layer, quantize_weights):
            for value in quantize_weights:
                setattr(layer, self.weight, value)

        def set_quantize_activations(self, layer, quantize_activations):
            pass

        def get_output_quantizers(self, layer):
            return [] if self.weight else [self.quantizer]

        def get_config(self):
            return {"weight": self.weight}

    def quantized_weights(layer, weight: str, channels: int):
        return base.QuantizeWrapperV2(layer, Config(weight, WeightQuantizer(channels)))

    def quantized_output(quantizer, name: str):
        return base.QuantizeWrapperV2(tf_keras.layers.Activation("linear", name=name), Config(None, quantizer))

    return SimpleNamespace(
        tf_keras=tf_keras,
        Applied=Applied,
        RangeQuantizer=RangeQuantizer,
        quantized_weights=quantized_weights,
        quantized_output=quantized_output,
    )
