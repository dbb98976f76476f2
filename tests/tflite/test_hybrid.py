"""`--hybrid`: int8 weights where one pixel is multiplied, floats elsewhere."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from ghostnet_tf import GhostNet
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.hybrid import FEWEST, has_hybrid_products, with_hybrid_products
from ghostnet_tf.tflite.schemes import convert


def weights(content: bytes) -> list[tuple[str, str, int, int]]:
    """Of each operation with weights: its kind, their type, number, and how many pixels it reads."""
    model = unpack(content)
    tensors, found = model.subgraphs[0].tensors, []
    for operator in model.subgraphs[0].operators:
        kind = op_name(model, operator)
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            read, stored = (tensors[index] for index in operator.inputs[:2])
            name = {0: "float32", 9: "int8"}[stored.type]
            found.append((kind, name, int(np.prod(stored.shape)), int(np.prod(read.shape[:-1]))))
    return found


def test_which_weights_are_int8(small_files):
    found = weights(small_files["hybrid"])
    assert {kind for kind, name, *_ in found if name == "int8"} == {"CONV_2D", "FULLY_CONNECTED"}
    for kind, name, number, pixels in found:
        assert (name == "int8") == (pixels == 1 and number >= FEWEST), (kind, number, pixels)
    # As many operations of each kind as in fp32, floats between all of them, and XNNPACK runs them all.
    fp32, hybrid = (read_graph(small_files[scheme]) for scheme in ("fp32", "hybrid"))
    assert (hybrid.ops, hybrid.partitions, hybrid.dtypes) == (fp32.ops, fp32.partitions, fp32.dtypes)


def test_their_share_of_ghostnet():
    """What the module's docstring says."""
    model = GhostNet(weights=None)
    found = weights(convert(model, "hybrid"))
    small, total = (
        sum(number for _, name, number, _ in found if name in names) for names in (("int8",), ("int8", "float32"))
    )
    assert round(100 * small / total) == 78
    assert round(100 * small / 142e6) == 3  # the paper's FLOPs


# XNNPACK; the kernels without it, which must not take scales by channel for one of the whole tensor; the reference.
RESOLVERS = ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF")


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("flat", [True, False])
def test_rounding_is_by_channel_everywhere(resolver, flat):
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 64), name="image")
    x = keras.layers.GlobalAveragePooling2D(keepdims=not flat)(image)
    x = (keras.layers.Dense(32) if flat else keras.layers.Conv2D(32, 1))(x)
    model = keras.Model(image, x)
    kernel, bias = model.get_weights()
    model.set_weights([kernel * np.geomspace(1e-3, 1e3, 32), bias])  # one scale would lose the small channels
    images = np.random.default_rng(0).normal(0, 1, (8, 4, 4, 64)).astype(np.float32)
    content = convert(model, "hybrid")
    assert [row[1] for row in weights(content)] == ["int8"] and has_hybrid_products(content)
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=getattr(OpResolverType, resolver), num_threads=1
    )
    interpreter.allocate_tensors()
    found = []
    for each in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], each[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel())
    expected = model.predict(images, verbose=0).reshape(8, 32)
    # 64 products of a weight within 1/254 of its channel's largest and an activation within 1/510 of the range.
    np.testing.assert_allclose(found / np.abs(expected).max(0), expected / np.abs(expected).max(0), atol=0.05)


def test_what_has_no_float_weights_stays(small_files):
    for scheme in ("int8", "fp16", "hybrid"):
        assert has_hybrid_products(small_files[scheme]) == (scheme == "hybrid")
        assert weights_of(with_hybrid_products(small_files[scheme])) == weights_of(small_files[scheme])


def weights_of(content: bytes) -> list[bytes]:
    return [bytes(buffer.data) for buffer in unpack(content).buffers if buffer.data is not None]
