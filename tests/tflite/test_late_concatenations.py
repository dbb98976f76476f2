"""Concatenations that come later, to the same bits."""

import keras
import numpy as np
import pytest
from keras import layers

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.rewrite import with_late_concatenations
from ghostnet_tf.tflite.schemes import convert

IMAGES = np.random.default_rng(0).normal(0, 1, (3, 8, 8, 3)).astype(np.float32)


def ghost(filters: int = 8, stride: int = 2, padded: bool = True, read_twice: bool = False) -> keras.Model:
    """A ghost module of `2 * filters` channels, a depthwise convolution, and a pointwise one."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    primary = layers.Conv2D(filters, 1, activation="relu")(image)
    cheap = layers.DepthwiseConv2D(3, padding="same", activation="relu")(primary)
    whole = layers.Concatenate()([primary, cheap])
    x = layers.ZeroPadding2D(1)(whole) if padded else whole
    x = layers.DepthwiseConv2D(3, stride, "valid" if padded else "same", bias_initializer="normal")(x)
    x = layers.Conv2D(16, 1)(x)
    outputs = [x, layers.Conv2D(16, 1)(whole)] if read_twice else x
    return keras.Model(image, outputs)


def concatenated(content: bytes) -> list[tuple[int, ...]]:
    model = unpack(content)
    graph = model.subgraphs[0]
    found = [operator for operator in graph.operators if op_name(model, operator) == "CONCATENATION"]
    return [tuple(map(int, graph.tensors[operator.outputs[0]].shape)) for operator in found]


@pytest.mark.parametrize("padded", [True, False])
def test_a_quarter_is_concatenated_to_the_same_bits(padded):
    plain = convert(ghost(padded=padded), "fp32", graph="plain")
    late = with_late_concatenations(plain)
    assert concatenated(plain) == [(1, 8, 8, 16)]
    assert concatenated(late) == [(1, 4, 4, 16)]
    assert read_graph(late).ops["DEPTHWISE_CONV_2D"] == 3
    assert read_graph(late).partitions == (len(unpack(late).subgraphs[0].operators),)
    np.testing.assert_array_equal(TFLiteModel(late).predict(IMAGES), TFLiteModel(plain).predict(IMAGES))


@pytest.mark.parametrize("options", [{"filters": 4}, {"stride": 1}, {"read_twice": True}])
def test_others_stay(options):
    plain = convert(ghost(**options), "fp32", graph="plain")
    assert concatenated(with_late_concatenations(plain)) == concatenated(plain) == [(1, 8, 8, plain_channels(options))]


def plain_channels(options: dict) -> int:
    return 2 * options.get("filters", 8)


def test_weights_of_16_bits_stay():
    """They are behind casts, where there is nothing to split."""
    assert concatenated(convert(ghost(), "fp16", graph="late")) == [(1, 8, 8, 16)]


def test_int8_agrees_with_float():
    images = np.random.default_rng(1).normal(0, 1, (16, 8, 8, 3)).astype(np.float32)
    model = ghost()
    content = convert(model, "int8", representative_dataset=images, input_type="float32", graph="late")
    assert concatenated(content) == [(1, 2 * 4, 4, 8)]  # one below the other, for the convolution
    assert not read_graph(content).float_ops
    expected = model.predict(images, verbose=0)
    # Steps of 1/255 of the range in each of five tensors.
    np.testing.assert_allclose(TFLiteModel(content).predict(images), expected, atol=0.04 * np.abs(expected).max())
