"""An exact rewrite of int8 files that take bytes: XNNPACK makes the int8 of them, by way of floats.

XNNPACK has no code from uint8 to int8 but leaves that cast to LiteRT, which computes it on one thread in front of the
rest. From uint8 to floats and from there to int8 it has code, in the same piece as all else. Both types have one scale,
so that floats give every number back. Measured for ai-edge-litert 2.3, see docs/benchmarks.md.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import add_like, op_name, pack, unpack
from ghostnet_tf.tflite.operations import dequantize


def with_input_cast_in_xnnpack(content: bytes) -> bytes:
    """The int8 file whose inputs of bytes become floats before they become int8."""
    model = unpack(content)
    graph = model.subgraphs[0]
    written = []
    for operator in graph.operators:
        if _casts_bytes(model, operator):
            image = int(operator.inputs[0])
            floats = add_like(model, image, graph.tensors[image].shape, "floats")
            graph.tensors[floats].type, graph.tensors[floats].quantization = schema.TensorType.FLOAT32, None
            written.append(dequantize(model, image, floats))
            operator.inputs = np.array([floats], np.int32)
        written.append(operator)
    graph.operators = written
    return pack(model)


def floats_between_casts(model: schema.ModelT) -> set[int]:
    """The tensors of floats that the rewrite added: made of inputs, and read to be int8 alone."""
    graph = model.subgraphs[0]
    made = {
        int(operator.outputs[0])
        for operator in graph.operators
        if op_name(model, operator) == "DEQUANTIZE" and operator.inputs[0] in graph.inputs
    }
    others = (operator for operator in graph.operators if op_name(model, operator) != "QUANTIZE")
    return made - {int(index) for operator in others for index in operator.inputs} - set(map(int, graph.outputs))


def _casts_bytes(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether it makes int8 of an input of bytes, with the same scale."""
    graph = model.subgraphs[0]
    if op_name(model, operator) != "QUANTIZE" or operator.inputs[0] not in graph.inputs:
        return False
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    types = (source.type, target.type) == (schema.TensorType.UINT8, schema.TensorType.INT8)
    return types and list(source.quantization.scale) == list(target.quantization.scale)
