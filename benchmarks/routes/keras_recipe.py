"""What the routes from Keras share: untrained networks with activations of ordinary size, and TensorFlow's converter.

Without our own package on purpose: the files are what the other projects' users get.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from images import SIZE, images


def settle(model) -> None:
    """Gives every batch normalization the statistics of random images, and every bias random values.

    Untrained normalizations have none, activations then grow or vanish with depth, and int8 gets ranges that no
    trained network has and that XNNPACK may refuse. Untrained biases are 0, and the converter leaves those out.
    """
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(0, 0.05, layer.bias.shape))
    layers = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(images(), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def calibration() -> Iterator[list[np.ndarray]]:
    """Inputs for the ranges of int8."""
    for image in images():
        yield [image[None]]


def convert(model, scheme: str) -> bytes:
    """The `.tflite` file of a Keras model, fp32 or int8 throughout, by the recipe of TensorFlow's documentation.

    Of a function for one image, so that no operation is there for a batch of any size. Without the model, which the
    converter would save with variables in the case of Keras 3.
    """
    image = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)
    function = tf.function(lambda image: model(image, training=False)).get_concrete_function(image)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if scheme == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()
