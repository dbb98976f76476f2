"""int8 weights, rounded on the fly, where one pixel is multiplied: behind pooling, in squeeze-and-excitation and head.

There a float weight is read from memory for a single multiplication, so reading takes the time: of GhostNet 1.0, 3 % of
the multiply-adds read 78 % of the weights. LiteRT's operations of float activations and int8 weights, called hybrid,
read a quarter of the bytes. See docs/benchmarks.md.
"""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.bias_correction import real_weights
from ghostnet_tf.tflite.flatbuffer import add_buffer, drop_unused, holds_floats, op_name, pack, unpack, values

VERSIONS = {"CONV_2D": 5, "FULLY_CONNECTED": 12}  # of LiteRT's operations, from which on weights have scales by channel
FEWEST = 1024  # weights, as in TensorFlow's converter: fewer are not worth rounding the activations
LIMIT = 127  # of symmetric weights


def with_hybrid_products(content: bytes) -> bytes:
    """The fp32 file with such weights in int8, by output channel; activations and everything else stay floats."""
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    for operator in model.subgraphs[0].operators:
        if not _multiplies_one_pixel(model, operator):
            continue
        tensor = copy.copy(tensors[operator.inputs[1]])
        data = values(model, tensor)
        scale = np.abs(data).reshape(len(data), -1).max(axis=1) / LIMIT
        scale[scale == 0] = 1
        rounded = np.round(data / scale.reshape(-1, *[1] * (data.ndim - 1))).astype(np.int8)
        tensor.type, tensor.buffer = schema.TensorType.INT8, add_buffer(model, rounded)
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale, np.zeros(len(scale), np.int64)
        tensors.append(tensor)
        operator.inputs = np.array([operator.inputs[0], len(tensors) - 1, *operator.inputs[2:]], np.int32)
        if op_name(model, operator) == "FULLY_CONNECTED":
            operator.builtinOptions.asymmetricQuantizeInputs = True
        code = model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, VERSIONS[op_name(model, operator)])
    drop_unused(model)
    return pack(model)


def has_hybrid_products(content: bytes) -> bool:
    """Whether any operation of the file has float activations and int8 weights."""
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    wanted = (schema.TensorType.FLOAT32, schema.TensorType.INT8)
    return any(
        tuple(tensors[index].type for index in operator.inputs[:2]) == wanted
        for operator in model.subgraphs[0].operators
        if op_name(model, operator) in VERSIONS
    )


def with_float_weights(content: bytes) -> bytes:
    """A hybrid or dynamic file with its int8 weights as the floats that they stand for, which is what GPUs compute."""
    model = unpack(content)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT8:
            data = real_weights(model, tensor).astype(np.float32)
            tensor.type, tensor.buffer, tensor.quantization = schema.TensorType.FLOAT32, add_buffer(model, data), None
    drop_unused(model)
    return pack(model)


def _multiplies_one_pixel(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether it multiplies one vector by enough float weights."""
    if op_name(model, operator) not in VERSIONS or not holds_floats(model, operator.inputs[1]):
        return False
    read, weights = (model.subgraphs[0].tensors[index].shape for index in operator.inputs[:2])
    return np.prod(read[:-1]) == 1 and read[-1] == weights[-1] and np.prod(weights) >= FEWEST
