"""A first convolution that reads pairs of columns: the same sums."""

import keras
import numpy as np
import pytest
from keras import layers

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.normalization import normalized_by_convolution
from ghostnet_tf.tflite.paired_columns import with_paired_columns
from ghostnet_tf.tflite.schemes import SCHEMES, full_integer
from ghostnet_tf.tflite.tensorflow_converter import converted


def images(width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 9, width, channels), np.uint8)


def beginning(width: int = 8, stride: int = 2, window: int = 3, channels: int = 3, padding: str = "same") -> bytes:
    """The float file of a normalization and a convolution, in one."""
    keras.utils.set_random_seed(0)
    image = keras.Input((9, width, channels), name="image")
    x = layers.Rescaling(1 / 58, -2.0)(image)
    x = layers.Conv2D(16, window, stride, padding, bias_initializer="normal", activation="relu")(x)
    return normalized_by_convolution(converted(keras.Model(image, x), SCHEMES["fp32"]), by_first=True)


def shapes(content: bytes, kind: str) -> list[tuple[int, ...]]:
    """Of what operations of a kind read first."""
    model = unpack(content)
    graph = model.subgraphs[0]
    found = [operator for operator in graph.operators if op_name(model, operator) == kind]
    return [tuple(map(int, graph.tensors[operator.inputs[0]].shape)) for operator in found]


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({}, (1, 11, 5, 6)),  # with a border below and to the right, and one more column
        ({"width": 7}, (1, 11, 5, 6)),  # a border on both sides, and one more column
        ({"window": 5}, (1, 13, 6, 6)),
        ({"channels": 1}, (1, 11, 5, 2)),
        ({"padding": "valid"}, (1, 9, 4, 6)),  # of an even width, without a border
    ],
)
def test_the_same_sums_in_floats_and_the_same_bits_in_integers(options, read):
    content = beginning(**options)
    changed = with_paired_columns(content)
    assert shapes(changed, "CONV_2D") == [read]
    inputs = images(options.get("width", 8), options.get("channels", 3))
    expected = TFLiteModel(content).predict(inputs)
    # Up to 75 products of up to 255, added in another order.
    np.testing.assert_allclose(TFLiteModel(changed).predict(inputs), expected, atol=1e-5 * np.abs(expected).max())
    integers = [full_integer(each, inputs, "uint8", "float32") for each in (content, changed)]
    np.testing.assert_array_equal(*(TFLiteModel(each).predict(inputs) for each in integers))


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 1},
        {"window": 2, "padding": "valid"},
        {"channels": 4},
        {"width": 9, "padding": "valid"},  # no border that could be one column wider
    ],
)
def test_others_stay(options):
    content = beginning(**options)
    assert with_paired_columns(content) == content
