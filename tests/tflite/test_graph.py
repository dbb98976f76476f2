"""What is said about a file is what is in it."""

import numpy as np
import pytest

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import pack, unpack, with_logits, with_outputs
from ghostnet_tf.tflite.graph import Graph, read_graph
from ghostnet_tf.tflite.tensorflow_converter import ConversionError
from ghostnet_tf.tflite.verify import check_name

# 16 blocks of 2 ghost modules (1x1 and depthwise convolution, concatenation), of which 7 have SE (mean, 2
# convolutions, 2 products) and 5 a projection; at 32 pixels 3 of the 4 strided depthwise convolutions; stem, final and
# head convolution; a border of the image above it and one to its left. Halves are no multiples of 8 channels before
# strides, so concatenations are as in Keras.
OPS = {
    "CONV_2D": 1 + 32 + 7 * 2 + 5 + 1 + 1,
    "DEPTHWISE_CONV_2D": 32 + 5 + 3,
    "CONCATENATION": 32 + 2,
    "ADD": 16,
    "MUL": 7 * 2,
    "MEAN": 7 + 1,
    "FULLY_CONNECTED": 1,
    "SOFTMAX": 1,
}


@pytest.fixture(scope="module")
def graphs(small_files):
    return {scheme: read_graph(content) for scheme, content in small_files.items()}


def test_operations_are_those_of_the_architecture(graphs, small_to_quantize):
    # Normalization and activations are folded.
    assert {name: graphs["dynamic"].ops.get(name) for name in OPS} == OPS
    assert set(graphs["dynamic"].ops) - set(OPS) == {"PAD"}
    # In floats, wide kernels want maps of one row.
    assert differences(graphs["fp32"], graphs["dynamic"]).keys() == {"RESHAPE"}
    # The weights of fp16 are behind casts: its image is normalized by a depthwise convolution.
    assert differences(graphs["fp16"], graphs["dynamic"]).keys() == {"DEPTHWISE_CONV_2D", "CONCATENATION", "DEQUANTIZE"}
    assert graphs["fp16"].ops["DEPTHWISE_CONV_2D"] == OPS["DEPTHWISE_CONV_2D"] + 1
    casts = {"QUANTIZE": 1, "DEQUANTIZE": 1}  # of input and output
    assert differences(graphs["int8"], read_graph(small_to_quantize)) == casts


def differences(graph: Graph, other: Graph) -> dict[str, int]:
    """How many more operations of a kind `graph` has."""
    more = {name: graph.ops.get(name, 0) - other.ops.get(name, 0) for name in graph.ops | other.ops}
    return {name: number for name, number in more.items() if number}


def test_int8_holds_integers_only(graphs):
    total = sum(graphs["int8"].ops.values())
    assert graphs["int8"].dtypes == {"int8": total - 1, "float32": 1}  # the cast of the output
    assert graphs["int8"].float_ops == ()
    check_name("int8", graphs["int8"])


@pytest.mark.parametrize("scheme", ["fp32", "fp16", "dynamic"])
def test_a_float_file_is_never_called_int8(graphs, scheme):
    assert len(graphs[scheme].float_ops) == sum(graphs[scheme].ops.values())
    with pytest.raises(ConversionError, match=r"float operations are left, so this is no int8 file: \w+ \("):
        check_name("int8", graphs[scheme])


def test_a_cast_inside_the_graph_is_no_cast_of_the_output(small_files):
    model = unpack(small_files["int8"])
    graph = model.subgraphs[0]
    softmax = graph.operators[-1].inputs[0]
    inside = read_graph(with_outputs(model, [softmax]))
    assert [name.split(" ")[0] for name in inside.float_ops] == ["DEQUANTIZE"]


def test_xnnpack_takes_the_whole_network(graphs):
    for scheme in ("fp32", "fp16"):
        assert graphs[scheme].partitions == (sum(graphs[scheme].ops.values()),)
        assert graphs[scheme].outside == {}
    int8 = graphs["int8"]
    assert int8.outside == {"QUANTIZE": 1, "SOFTMAX": 1}
    # The network, and behind the softmax the cast of the output.
    assert int8.partitions == (sum(int8.ops.values()) - 3, 1)
    dynamic = graphs["dynamic"]
    assert sum(dynamic.partitions) + sum(dynamic.outside.values()) == sum(dynamic.ops.values())


def test_inputs_and_outputs(graphs, small_files):
    for scheme, graph in graphs.items():
        (image,), (output,) = graph.inputs, graph.outputs
        assert (image.name, image.shape) == ("image", (1, 32, 32, 3))
        assert (output.name, output.shape, output.dtype) == ("output_0", (1, 5), "float32")
        assert (image.dtype, image.scale) == (("uint8", 1.0) if scheme == "int8" else ("float32", 0.0))
        assert graph.bytes == len(small_files[scheme])


def test_files_survive_unpacking(small_files):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    for content in small_files.values():
        again = TFLiteModel(pack(unpack(content)))
        np.testing.assert_array_equal(again.predict(images), TFLiteModel(content).predict(images))


def test_logits_are_what_the_softmax_reads(small_files):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
    for scheme, content in small_files.items():
        logits = TFLiteModel(with_logits(content)).predict(images)
        exponents = np.exp(logits - logits.max(-1, keepdims=True))
        probabilities = exponents / exponents.sum(-1, keepdims=True)
        step = 1 / 256 if scheme == "int8" else 1e-6
        np.testing.assert_allclose(TFLiteModel(content).predict(images), probabilities, atol=step)
    assert with_logits(with_logits(small_files["fp32"])) is None


def test_what_is_no_tflite_file():
    with pytest.raises(ValueError, match=r"Expected the content of a \.tflite file\. Received: 8 bytes"):
        read_graph(b"PK\x03\x04abcd")


def test_constants_behind_the_flatbuffer_are_part_of_the_tree(small_files, small_images):
    """litert-quantizer writes them there."""
    model = unpack(small_files["fp32"])
    buffer = max(model.buffers, key=lambda each: 0 if each.data is None else len(each.data))
    data = bytes(buffer.data)
    buffer.data, buffer.size, buffer.offset = None, len(data), 1 << 30  # as wide as the true offset
    buffer.offset = -(-len(pack(model)) // 16) * 16
    moved = pack(model).ljust(buffer.offset, b"\0") + data
    images = small_images.held_out[:2]
    expected = TFLiteModel(small_files["fp32"]).predict(images)
    np.testing.assert_array_equal(TFLiteModel(moved).predict(images), expected)
    np.testing.assert_array_equal(TFLiteModel(pack(unpack(moved))).predict(images), expected)
    with pytest.raises(ValueError, match="Expected constants inside the file"):
        unpack(moved[:-1])
