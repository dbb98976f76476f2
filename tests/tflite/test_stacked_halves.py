"""Halves of a ghost module one below the other before a 1x1 convolution: the same sums, one operation each."""

import keras
import numpy as np
import pytest
from keras import layers

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.equalize import equalized
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.quantize import calibrated
from ghostnet_tf.tflite.schemes import convert
from ghostnet_tf.tflite.stacked_halves import reads_stacked, with_stacked_halves

IMAGES = np.random.default_rng(0).normal(0, 1, (3, 8, 6, 3)).astype(np.float32)


def module(parts: int = 2, filters: int = 5, window: int = 1, stride: int = 1, cut: int = 0, twice: bool = False):
    """A ghost module of `parts` maps of 7 channels, the last of `cut` less, and a convolution that reads it."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 6, 3), name="image")
    maps = [layers.Conv2D(7, 1, activation="relu")(image)]
    maps += [layers.DepthwiseConv2D(3, padding="same")(maps[0]) for _ in range(parts - 2)]
    maps.append(layers.DepthwiseConv2D(3, padding="same")(maps[0]) if not cut else layers.Conv2D(7 - cut, 1)(image))
    whole = layers.Concatenate()(maps)
    convolution = layers.Conv2D(
        filters, window, stride, padding="same", activation="relu", use_bias=True, bias_initializer="normal"
    )
    x = convolution(whole)
    return keras.Model(image, [x, whole] if twice else x)


def plain(**options) -> bytes:
    return convert(module(**options), "fp32", graph="plain")


def stacked(content: bytes) -> int:
    """How many convolutions read stacked maps."""
    model = unpack(content)
    return sum(reads_stacked(model, operator) for operator in model.subgraphs[0].operators)


@pytest.mark.parametrize("parts", [2, 3])
def test_the_same_sums_of_as_many_operations(parts):
    before = plain(parts=parts)
    changed = with_stacked_halves(before)
    assert (stacked(before), stacked(changed)) == (0, 1)
    assert read_graph(changed).ops == read_graph(before).ops and read_graph(changed).partitions
    assert len(changed) < len(before) + 500  # names and shapes: the weights are there once
    expected = TFLiteModel(before).predict(IMAGES)
    # Sums of 7 products for each part, in another order.
    np.testing.assert_allclose(TFLiteModel(changed).predict(IMAGES), expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("options", [{"window": 3}, {"stride": 2}, {"cut": 2}, {"twice": True}])
def test_others_stay_side_by_side(options):
    before = plain(**options)
    assert stacked(with_stacked_halves(before)) == 0
    model = unpack(with_stacked_halves(before))
    (found,) = [o for o in model.subgraphs[0].operators if op_name(model, o) == "CONCATENATION"]
    assert found.builtinOptions.axis in (-1, 3)


@pytest.mark.parametrize("graph", ["arm", "late"])
def test_int8_files_have_the_bits_of_maps_side_by_side(graph):
    model, images = module(filters=8), list(IMAGES) * 4
    options = {"representative_dataset": images, "bias_correction": False, "calibration_method": "minmax"}
    one, other = (convert(model, "int8", graph=name, **options) for name in (graph, "plain"))
    assert (stacked(one), stacked(other)) == (1, 0)
    # Not one step of difference: the ranges are the same, and sums of integers know no order.
    np.testing.assert_array_equal(TFLiteModel(one).predict(IMAGES), TFLiteModel(other).predict(IMAGES))


def test_biases_are_corrected_for_each_half():
    model, images = module(filters=8), list(IMAGES) * 4
    one, other = (convert(model, "int8", graph=name, representative_dataset=images) for name in ("arm", "plain"))
    np.testing.assert_array_equal(TFLiteModel(one).predict(IMAGES), TFLiteModel(other).predict(IMAGES))


def test_equalization_sees_the_halves_as_channels_side_by_side():
    before = plain(parts=3)
    images = list(IMAGES)
    results = []
    for content in (before, with_stacked_halves(before)):
        changed = equalized(content, calibrated(content, images, count=False))
        results.append((changed, content))
    for changed, content in results:
        expected = TFLiteModel(content).predict(IMAGES)
        np.testing.assert_allclose(TFLiteModel(changed).predict(IMAGES), expected, atol=1e-5 * np.abs(expected).max())
    weights = [sorted(constants(changed)) for changed, _ in results]
    assert weights[0] == weights[1] != sorted(constants(before))


def constants(content: bytes) -> list[bytes]:
    """All weights as they are stored."""
    return [
        bytes(buffer.data) for buffer in unpack(content).buffers if buffer.data is not None and len(buffer.data) > 64
    ]
