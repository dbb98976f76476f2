"""The cast of bytes to int8 by way of floats: the same bits, inside XNNPACK, and no float operation."""

import keras
import numpy as np
import pytest

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.graph import read_graph, structure
from ghostnet_tf.tflite.input_cast import with_input_cast_in_xnnpack
from ghostnet_tf.tflite.schemes import convert

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    return keras.Model(image, keras.layers.Conv2D(8, 3, activation="relu")(image))


def file(model: keras.Model, graph: str = "plain", **types) -> bytes:
    return convert(model, "int8", representative_dataset=BYTES, graph=graph, **types)


def kinds(content: bytes) -> list[str]:
    model = unpack(content)
    return [op_name(model, operator) for operator in model.subgraphs[0].operators]


def test_every_byte_becomes_the_same_int8_inside_xnnpack(model):
    before = file(model)
    after = with_input_cast_in_xnnpack(before)
    assert kinds(before) == ["QUANTIZE", "CONV_2D", "DEQUANTIZE"]
    assert kinds(after) == ["DEQUANTIZE", *kinds(before)]
    np.testing.assert_array_equal(TFLiteModel(after).predict(BYTES), TFLiteModel(before).predict(BYTES))
    assert read_graph(before).outside == {"QUANTIZE": 1}
    assert read_graph(after).outside == {}
    assert read_graph(after).partitions == (4,)
    assert read_graph(after).inputs == read_graph(before).inputs


def test_the_casts_are_no_float_operations_but_what_reads_their_floats_is(model):
    after = with_input_cast_in_xnnpack(file(model))
    assert read_graph(after).float_ops == ()
    changed = unpack(after)
    convolution = next(each for each in changed.subgraphs[0].operators if op_name(changed, each) == "CONV_2D")
    convolution.inputs = [changed.subgraphs[0].operators[0].outputs[0], *convolution.inputs[1:]]
    assert len(structure(changed)["float_ops"]) == 3


@pytest.mark.parametrize("types", [("int8", "int8"), ("float32", "float32")])
def test_other_inputs_stay(model, types):
    content = file(model, input_type=types[0], output_type=types[1])
    assert kinds(with_input_cast_in_xnnpack(content)) == kinds(content)


def test_it_is_in_files_of_the_default_graph(model):
    assert kinds(file(model, graph="arm"))[:2] == kinds(file(model, graph="late"))[:2] == ["DEQUANTIZE", "QUANTIZE"]
    assert kinds(file(model, graph="optimized"))[0] == "QUANTIZE"
