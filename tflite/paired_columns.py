"""An exact rewrite: the first convolution reads two columns of the image as one of twice the channels.

XNNPACK's kernels go through a window pixel by pixel and through four channels or more at a time, so that of an image's
three channels they do not fill one step. A stride of 2 reads pairs of columns anyway. As pairs they lie in memory
already: a reshape, a window of half the width with a column of zeros, and a stride of 1. See docs/benchmarks.md.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import (
    add_constant,
    add_like,
    drop_unused,
    holds_floats,
    maker,
    only_reader,
    op_name,
    pack,
    unpack,
    values,
)
from ghostnet_tf.tflite.normalization import with_borders
from ghostnet_tf.tflite.operations import reshape

STEP = 4  # channels that fill one step of XNNPACK's kernels


def with_paired_columns(content: bytes) -> bytes:
    """The float file with pairs of columns; unchanged where it does not begin with such a convolution."""
    model = unpack(content)
    graph = model.subgraphs[0]
    image = with_borders(model, int(graph.inputs[0]))[-1]
    convolution = only_reader(model, image)
    if convolution is None or not _reads_pairs(model, convolution):
        return content
    _, height, width, channels = map(int, graph.tensors[image].shape)
    if width % 2 and not _widened(model, image):
        return content
    weights = values(model, graph.tensors[convolution.inputs[1]])
    filters, rows, columns, _ = weights.shape
    weights = np.pad(weights, ((0, 0), (0, 0), (0, 1), (0, 0))).reshape(filters, rows, (columns + 1) // 2, 2 * channels)
    pairs = add_like(model, image, (1, height, (width + 1) // 2, 2 * channels), "pairs")
    kernel = add_constant(model, weights, graph.tensors[convolution.inputs[1]].name)
    convolution.inputs = np.array([pairs, kernel, *convolution.inputs[2:]], np.int32)
    convolution.builtinOptions.strideW = 1
    graph.operators.insert(graph.operators.index(convolution), reshape(model, image, pairs))
    drop_unused(model)
    return pack(model)


def _reads_pairs(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether it is a float convolution of a few channels, in steps of two columns and with an odd window."""
    if op_name(model, operator) != "CONV_2D":
        return False
    tensors, options = model.subgraphs[0].tensors, operator.builtinOptions
    image, weights = (tensors[index] for index in operator.inputs[:2])
    return (
        holds_floats(model, operator.inputs[1])
        and weights.shape[3] == image.shape[3] < STEP
        and weights.shape[2] % 2 == 1
        and options.strideW == 2
        and options.dilationWFactor == 1
        and options.padding == schema.Padding.VALID
    )


def _widened(model: schema.ModelT, image: int) -> bool:
    """Gives the image one more column, which only zeros of the window meet; `False` if it has no border of columns."""
    graph = model.subgraphs[0]
    made_by = maker(model, image)
    if made_by is None or made_by.builtinOptions.axis != 2:
        return False
    columns = [index for index in map(int, made_by.inputs) if graph.tensors[index].shape[2] == 1]
    if not columns:
        return False
    made_by.inputs = np.array([*made_by.inputs, columns[0]], np.int32)
    graph.tensors[image].shape = graph.tensors[image].shape + np.array([0, 0, 1, 0], np.int32)
    return True
