"""Halving and bringing back, and the attention made of them."""

import math

import keras
import numpy as np
import pytest

from ghostnet_tf.layers import AveragePooling2D, DFCAttention, HalfToFull
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.schemes import convert


def rows_taken(size: int, dynamic: bool) -> list[int]:
    """Which of `size // 2` rows `HalfToFull` takes for each of `size`."""
    numbered = np.arange(size // 2, dtype="float32").reshape(1, -1, 1, 1)
    like = np.zeros((1, size, 2, 1), "float32")
    shapes = [(None, None, 1)] * 2 if dynamic else [x.shape[1:] for x in (numbered, like)]
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, HalfToFull()(*inputs))
    return np.asarray(model([numbered, like]))[0, :, 0, 0].astype(int).tolist()


@pytest.mark.parametrize("dynamic", [False, True])
def test_rows_are_pytorchs_and_not_those_of_half_pixels(dynamic):
    assert rows_taken(7, dynamic) == [0, 0, 0, 1, 1, 2, 2]  # half pixels: 0, 0, 1, 1, 1, 2, 2
    assert rows_taken(6, dynamic) == [0, 0, 1, 1, 2, 2]
    for size in (2, 3, 5, 28, 29):
        assert rows_taken(size, dynamic) == [math.floor(row * (size // 2) / size) for row in range(size)]


def test_columns_and_rows_of_different_parity():
    half = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    full = np.asarray(HalfToFull()(half, np.zeros((2, 7, 8, 1), "float32")))
    np.testing.assert_array_equal(full, half[:, [0, 0, 0, 1, 1, 2, 2]][:, :, [0, 0, 1, 1, 2, 2, 3, 3]])


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
@pytest.mark.parametrize("training", [False, True])
def test_average_pooling_equals_keras(size, training):
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    layer = AveragePooling2D(2)
    assert not layer.weights
    # The sums of four values may round differently.
    np.testing.assert_allclose(layer(images, training=training), keras.layers.AveragePooling2D(2)(images), atol=1e-6)


def test_attention_is_one_gate_a_value():
    layer = DFCAttention(6, length=5)
    layer.build((None, 9, 8, 4))
    parameters = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
    assert parameters == (4 * 6 + 2 * 6) + (5 * 6 + 2 * 6) * 2
    gate = np.asarray(layer(np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype("float32")))
    assert gate.shape == layer.compute_output_shape((2, 9, 8, 4)) == (2, 9, 8, 6)
    assert ((gate > 0) & (gate < 1)).all() and np.ptp(gate) > 0.01


@pytest.mark.parametrize("size", [7, 8])
def test_int8_attention_is_one_piece_for_the_delegate(size):
    image = keras.Input((size, size, 4), name="image")
    model = keras.Model(image, keras.layers.Multiply()([image, DFCAttention(4)(image)]))
    images = np.random.default_rng(0).normal(size=(8, size, size, 4)).astype("float32")
    types = {"input_type": "int8", "output_type": "int8"}
    graph = read_graph(convert(model, "int8", representative_dataset=images, **types))
    assert (len(graph.partitions), graph.outside, graph.float_ops) == (1, {}, ())
    assert not {"AVERAGE_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "GATHER", "TILE"} & set(graph.ops)
