"""GhostNetV2's gates in files: products that broadcast, to the same bits; sigmoids as tanh, to float rounding."""

import keras
import numpy as np
import pytest
from keras import layers

from ghostnet_tf.layers import GhostModule
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.gates import with_broadcast_gates, with_tanh_gates
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.schemes import SCHEMES, convert, full_integer
from ghostnet_tf.tflite.tensorflow_converter import converted


def images(side: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (3, side, side, 4)).astype(np.float32)


def attentive(randomized, side: int) -> keras.Model:
    """A ghost module with attention."""
    keras.utils.set_random_seed(0)
    image = keras.Input((side, side, 4), name="image")
    return randomized(keras.Model(image, GhostModule(16, attention=True)(image)))


def gated(randomized, side: int) -> bytes:
    """Its plain float file."""
    return converted(attentive(randomized, side), SCHEMES["fp32"])


def test_half_of_the_gate_is_concatenated_to_the_same_bits(randomized):
    plain = gated(randomized, 8)
    changed = with_broadcast_gates(plain)
    before, after = read_graph(plain), read_graph(changed)
    assert (before.ops["CONCATENATION"], after.ops["CONCATENATION"]) == (3, 2)  # the module's own, the gate's columns
    assert after.partitions == (sum(after.ops.values()),)
    np.testing.assert_array_equal(TFLiteModel(changed).predict(images(8)), TFLiteModel(plain).predict(images(8)))

    integers = [full_integer(content, images(8), "float32", "float32") for content in (plain, changed)]
    assert read_graph(integers[1]).ops["CONCATENATION"] == 2
    np.testing.assert_array_equal(*(TFLiteModel(content).predict(images(8)) for content in integers))


def test_a_gate_that_is_not_half_the_map_stays(randomized):
    plain = gated(randomized, 7)
    assert read_graph(with_broadcast_gates(plain)).ops == read_graph(plain).ops


def test_tanh_is_the_sigmoid_to_float_rounding(randomized):
    plain = gated(randomized, 8)
    changed = with_tanh_gates(plain)
    ops = read_graph(changed).ops
    assert "LOGISTIC" not in ops and ops["TANH"] == 1
    assert read_graph(changed).partitions == (sum(ops.values()),)
    expected = TFLiteModel(plain).predict(images(8))
    # Of a gate between 0 and 1: two steps of the rounding of 1 in it, of what it multiplies.
    ungated = np.abs(expected).max() / 0.5
    np.testing.assert_allclose(TFLiteModel(changed).predict(images(8)), expected, atol=2.4e-7 * ungated)


@pytest.mark.parametrize("kind", ["read twice", "of a vector", "of a sum"])
def test_other_sigmoids_stay(kind):
    image = keras.Input((8, 8, 4), name="image")
    x = layers.Conv2D(4, 1)(image)
    if kind == "read twice":
        result = layers.Multiply()([x, layers.Activation("sigmoid")(x)])
    elif kind == "of a vector":
        x = layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
        result = layers.Activation("sigmoid")(x)
    else:
        result = layers.Activation("sigmoid")(layers.Add()([x, image]))
    plain = converted(keras.Model(image, result), SCHEMES["fp32"])
    assert read_graph(plain).ops["LOGISTIC"] == 1
    assert read_graph(with_tanh_gates(plain)).ops == read_graph(plain).ops


@pytest.mark.parametrize("scheme", ["fp32", "int8"])
def test_floats_alone_have_tanh(randomized, scheme):
    ops = read_graph(convert(attentive(randomized, 8), scheme, representative_dataset=images(8))).ops
    assert ("TANH" in ops) == (scheme == "fp32") and ("LOGISTIC" in ops) == (scheme == "int8")
    assert ops["RESHAPE"] == 3  # for and behind the product
