"""An exact rewrite: the halves of a ghost module one below the other rather than side by side, for a 1x1 convolution.

XNNPACK copies for a concatenation of channels pixel after pixel, a few bytes at a time; halves that lie one below the
other it copies whole. The convolution that reads them takes a window of two rows, as far from each other as the map is
high: a dilation. Its sums are the same, and its weights lie in memory as before. Such a convolution is also none of
those for which `wide_kernels` wants reshapes. See docs/benchmarks.md.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import (
    NONE,
    add_constant,
    add_like,
    drop_unused,
    holds_floats,
    only_reader,
    op_name,
    pack,
    unpack,
    values,
)


def with_stacked_halves(content: bytes) -> bytes:
    """The file with every concatenation of equal maps stacked whose only reader is a 1x1 convolution of floats."""
    model = unpack(content)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if op_name(model, operator) != "CONCATENATION":
            continue
        whole = int(operator.outputs[0])
        convolution = only_reader(model, whole)
        if convolution is None or not _can_stack(model, operator, convolution):
            continue
        _, height, width, channels = map(int, graph.tensors[operator.inputs[0]].shape)
        weights = values(model, graph.tensors[convolution.inputs[1]])
        halves = len(operator.inputs)
        stacked = add_like(model, whole, (1, halves * height, width, channels), "stacked")
        weights = weights.reshape(len(weights), halves, 1, channels)
        kernel = add_constant(model, weights, graph.tensors[convolution.inputs[1]].name)
        operator.outputs, operator.builtinOptions.axis = np.array([stacked], np.int32), 1
        convolution.inputs = np.array([stacked, kernel, *convolution.inputs[2:]], np.int32)
        convolution.builtinOptions.dilationHFactor = height
        convolution.builtinOptions.padding = schema.Padding.VALID
    drop_unused(model)
    return pack(model)


def reads_stacked(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether an operation is a convolution over stacked maps."""
    if op_name(model, operator) != "CONV_2D":
        return False
    before, weights, after = (
        model.subgraphs[0].tensors[index] for index in (*operator.inputs[:2], operator.outputs[0])
    )
    high = int(weights.shape[1])
    return (
        high > 1
        and weights.shape[2] == 1
        and operator.builtinOptions.dilationHFactor == after.shape[1]
        and before.shape[1] == high * after.shape[1]
    )


def _can_stack(model: schema.ModelT, operator: schema.OperatorT, reader: schema.OperatorT) -> bool:
    """Whether a concatenation is one of channels, of equal maps, and its reader a 1x1 convolution of all of them."""
    tensors, options = model.subgraphs[0].tensors, operator.builtinOptions
    shapes = {tuple(map(int, tensors[index].shape)) for index in operator.inputs}
    if len(shapes) != 1 or options.fusedActivationFunction != NONE or op_name(model, reader) != "CONV_2D":
        return False
    (shape,) = shapes
    if len(shape) != 4 or options.axis not in (-1, 3):
        return False
    weights = reader.inputs[1]
    return (
        holds_floats(model, weights)
        and list(tensors[weights].shape[1:]) == [1, 1, len(operator.inputs) * shape[3]]
        and reader.builtinOptions.strideH == reader.builtinOptions.strideW == 1
    )
