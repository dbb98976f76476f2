"""The normalization of the image inside the first convolution: exact up to its padding, in fp32 and int8."""

import keras
import numpy as np
import pytest
from keras import layers

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.normalization import normalized_by_convolution
from ghostnet_tf.tflite.schemes import SCHEMES, convert
from ghostnet_tf.tflite.tensorflow_converter import converted

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 9, 8, 3), np.uint8)
IMAGENET = layers.Rescaling([1 / 58.4, 1 / 57.1, 1 / 57.4], [-2.118, -2.036, -1.804])


def first(rescaling: layers.Layer = IMAGENET, stride: int = 2, zeros=None, window: int = 3) -> keras.Model:
    """A normalization and a convolution with `zeros` rows and columns around it, or as many as SAME has."""
    keras.utils.set_random_seed(0)
    image = keras.Input((9, 8, 3), name="image")
    x = rescaling(image)
    x = layers.ZeroPadding2D(zeros)(x) if zeros else x
    padding = "valid" if zeros else "same"
    return keras.Model(
        image, layers.Conv2D(16, window, stride, padding, bias_initializer="normal", activation="relu")(x)
    )


def kinds(content: bytes) -> list[str]:
    model = unpack(content)
    names = [op_name(model, operator) for operator in model.subgraphs[0].operators]
    return [name for name in names if name not in ("QUANTIZE", "DEQUANTIZE")]


@pytest.mark.parametrize(
    ("options", "bordered"),
    [
        ({"zeros": 1}, [(1, 11, 8, 3), (1, 11, 9, 3)]),  # no window reaches the column behind the last
        ({"stride": 1}, [(1, 11, 8, 3), (1, 11, 10, 3)]),
        ({"zeros": ((0, 2), (1, 1)), "stride": 1}, [(1, 11, 8, 3), (1, 11, 10, 3)]),
        ({"window": 1, "stride": 2}, []),
    ],
)
def test_equals_product_sum_and_padding(options, bordered):
    plain = converted(first(**options), SCHEMES["fp32"])
    content = normalized_by_convolution(plain, by_first=True)
    model = unpack(content)
    graph = model.subgraphs[0]
    assert kinds(content) == ["CONCATENATION"] * len(bordered) + ["CONV_2D"]
    shapes = [tuple(map(int, graph.tensors[operator.outputs[0]].shape)) for operator in graph.operators[:-1]]
    assert shapes == bordered
    expected = TFLiteModel(plain).predict(IMAGES)
    # Sums of 27 products of up to 255 in another order, less a constant of their size.
    np.testing.assert_allclose(TFLiteModel(content).predict(IMAGES), expected, atol=2e-5 * np.abs(expected).max())


def test_a_border_that_is_no_byte_is_left_to_a_convolution_of_its_own():
    plain = converted(first(layers.Rescaling(0.5, 3.0)), SCHEMES["fp32"])  # zero would be -6
    assert kinds(normalized_by_convolution(plain, by_first=True))[0] == "DEPTHWISE_CONV_2D"


def test_int8_takes_bytes_as_they_are_and_is_nearer_to_float():
    model = first(zeros=1)
    expected = model.predict(IMAGES, verbose=0)
    errors = {}
    for graph in ("plain", "late"):
        content = convert(model, "int8", representative_dataset=IMAGES, graph=graph)
        errors[graph] = np.sqrt(np.mean(np.square(TFLiteModel(content).predict(IMAGES) - expected)))
    assert kinds(content) == ["CONCATENATION", "CONCATENATION", "RESHAPE", "CONV_2D"]
    graph = unpack(content).subgraphs[0]
    images = [tensor for tensor in graph.tensors if len(tensor.shape) == 4 and tensor.shape[0] == 1][:5]
    steps = [tensor.quantization for tensor in images if tensor.shape[3] == 3 and tensor.quantization.scale is not None]
    assert steps and {float(row.scale[0]) for row in steps} == {1.0}
    # What rounds is the weights and the output, no more the normalized image.
    assert errors["late"] < errors["plain"]
