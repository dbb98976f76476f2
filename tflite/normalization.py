"""An exact rewrite of a float file: the normalization of the image in a convolution.

Keras's `Rescaling` becomes a product and a sum over three channels, for which XNNPACK's kernels are slow. A depthwise
1x1 convolution with a bias does both at once. Better still, a convolution that reads their result takes both into its
weights and bias. What stands in the way is its padding: zeros of the normalized image are no zeros of the image, but
that value of each channel which normalizes to zero, so the image gets a border of these instead.
docs/benchmarks.md has what each brings.
"""

import copy
import re

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import (
    NONE,
    add_constant,
    drop_unread,
    holds_floats,
    maker,
    only_reader,
    op_name,
    opcode,
    pack,
    unpack,
    values,
)
from ghostnet_tf.tflite.operations import concatenation

FLOAT32 = schema.TensorType.FLOAT32
BYTES = (0, 255)  # of an image: in int8, a border outside of them would be clipped


def normalized_by_convolution(content: bytes, by_first: bool = False) -> bytes:
    """The file with `image * scale + offset` at its beginning in a convolution; unchanged if it begins otherwise.

    Args:
        content: A file of any scheme but int8.
        by_first: In the convolution that reads the image, where there is one with weights in 32 bits, rather than in
            one of its own.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    product = _reader(model, graph.inputs[0], "MUL")
    addition = product and _reader(model, product.outputs[0], "ADD")
    if not addition or product.builtinOptions.fusedActivationFunction != NONE:
        return content
    channels = int(graph.tensors[product.inputs[0]].shape[-1])
    constants = [_constant(model, operator.inputs[1], channels) for operator in (product, addition)]
    if any(constant is None for constant in constants):
        return content
    if not (by_first and _by_reader(model, product, addition, *constants)):
        _by_depthwise(model, product, addition, *constants)
    graph.operators.remove(product)
    drop_unread(model)
    return pack(model)


def with_borders(model: schema.ModelT, image: int) -> list[int]:
    """The image, and what it is after each constant border and reshape that it gets: all have the same scale."""
    graph = model.subgraphs[0]
    found = [image]
    made = {int(output) for operator in graph.operators for output in operator.outputs}
    for operator in graph.operators:
        others = {int(index) for index in operator.inputs} - {found[-1]}
        moved = op_name(model, operator) in ("CONCATENATION", "RESHAPE")
        if moved and found[-1] in operator.inputs and not others & made:
            found.append(int(operator.outputs[0]))
    return found


def _by_depthwise(model: schema.ModelT, product, addition, scale: np.ndarray, offset: np.ndarray) -> None:
    """Makes of the addition a depthwise convolution of the image."""
    name = model.subgraphs[0].tensors[addition.outputs[0]].name
    kernel = add_constant(model, scale.reshape(1, 1, 1, -1), name + b"/scale")
    bias = add_constant(model, offset, name + b"/offset")
    addition.opcodeIndex = opcode(model, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    addition.inputs = np.array([product.inputs[0], kernel, bias], np.int32)
    options = schema.DepthwiseConv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    options.depthMultiplier = 1
    options.fusedActivationFunction = addition.builtinOptions.fusedActivationFunction
    addition.builtinOptionsType, addition.builtinOptions = schema.BuiltinOptions.DepthwiseConv2DOptions, options


def _by_reader(model: schema.ModelT, product, addition, scale: np.ndarray, offset: np.ndarray) -> bool:
    """Takes both into the convolution that reads them, through a padding or not; `False` where that is not exact."""
    graph = model.subgraphs[0]
    reader = _reader(model, addition.outputs[0])
    pad = reader if reader and op_name(model, reader) == "PAD" else None
    if pad:
        reader = _reader(model, pad.outputs[0])
    if not reader or op_name(model, reader) != "CONV_2D" or len(reader.inputs) < 3 or not scale.all():
        return False
    if addition.builtinOptions.fusedActivationFunction != NONE:
        return False
    weights, bias = (_stored(model, index) for index in reader.inputs[1:3])
    border = -offset / scale
    if weights is None or bias is None or weights.shape[3] != len(scale):
        return False
    sides = _border(model, pad, reader, product.inputs[0])
    if sides is None or (np.any(sides) and not (BYTES[0] <= border.min() and border.max() <= BYTES[1])):
        return False
    name, *_ = graph.tensors[addition.outputs[0]].name.decode().split("/")
    call = re.search(r"(_\d+)?$", name)[0]
    image = int(product.inputs[0])
    written = []
    for axis, both in enumerate(sides, 1):
        image = _bordered(model, image, axis, both, border, f"{name}/border{call}/axis{axis}", written)
    at = graph.operators.index(addition)
    graph.operators[at : at + 1] = written
    if pad:
        graph.operators.remove(pad)
    kernel = add_constant(model, (weights * scale).astype(np.float32), graph.tensors[reader.inputs[1]].name)
    shift = (weights.astype(np.float64) @ offset).sum(axis=(1, 2))
    shifted = add_constant(model, (bias + shift).astype(np.float32), graph.tensors[reader.inputs[2]].name)
    reader.inputs = np.array([image, kernel, shifted], np.int32)
    reader.builtinOptions.padding = schema.Padding.VALID
    return True


def _border(model: schema.ModelT, pad, convolution, image: int) -> list[tuple[int, int]] | None:
    """Rows above and below, columns left and right, that a convolution reads outside the image; `None` if unusual."""
    graph, options = model.subgraphs[0], convolution.builtinOptions
    padded = [0, 0, 0, 0] if pad is None else values(model, graph.tensors[pad.inputs[1]]).tolist()
    if pad is not None and (options.padding != schema.Padding.VALID or any(padded[0]) or any(padded[3])):
        return None
    inside = graph.tensors[image].shape[1:3]
    outputs = graph.tensors[convolution.outputs[0]].shape[1:3]
    windows = graph.tensors[convolution.inputs[1]].shape[1:3]
    strides = (options.strideH, options.strideW)
    dilations = (options.dilationHFactor, options.dilationWFactor)
    found = []
    for side, output, window, stride, dilation, zeros in zip(
        inside, outputs, windows, strides, dilations, padded[1:3], strict=True
    ):
        seen = int((output - 1) * stride + (window - 1) * dilation + 1)
        if options.padding == schema.Padding.SAME:
            before = max(seen - int(side), 0) // 2
        else:
            before = zeros[0] if pad is not None else 0
        found.append((before, max(seen - int(side) - before, 0)))  # a last row that no window reaches is left out
    return found


def _bordered(
    model: schema.ModelT, image: int, axis: int, sides: tuple[int, int], border: np.ndarray, name: str, written: list
) -> int:
    """The image with rows (or columns) of one colour before and after it; the operation goes to `written`."""
    if not any(sides):
        return image
    tensors = model.subgraphs[0].tensors
    shape = tensors[image].shape.copy()
    before, after = ([] for _ in sides)
    for number, side in zip(sides, (before, after), strict=True):
        if number:
            block = shape.copy()
            block[axis] = number
            filled = np.broadcast_to(border, block).astype(np.float32)
            side.append(add_constant(model, filled, f"{name}/of{len(written)}_{len(before)}".encode()))
    output = copy.copy(tensors[image])
    output.name, output.buffer, output.shapeSignature = f"{name}/concat".encode(), 0, None
    output.shape = shape
    output.shape[axis] += sum(sides)
    tensors.append(output)
    written.append(concatenation(model, [*before, image, *after], len(tensors) - 1, axis))
    return len(tensors) - 1


def _reader(model: schema.ModelT, index: int, kind: str | None = None) -> schema.OperatorT | None:
    """The only operation that reads a float map, if it is of a kind and reads it first."""
    reader = only_reader(model, index)
    if reader is None or reader.inputs[0] != index or (kind is not None and op_name(model, reader) != kind):
        return None
    tensor = model.subgraphs[0].tensors[index]
    return reader if len(tensor.shape) == 4 and tensor.type == FLOAT32 else None


def _stored(model: schema.ModelT, index: int) -> np.ndarray | None:
    """A constant of 32-bit floats; `None` if it is anything else."""
    return values(model, model.subgraphs[0].tensors[index]) if holds_floats(model, index) else None


def _constant(model: schema.ModelT, index: int, channels: int) -> np.ndarray | None:
    """A number for each channel, of a constant stored in 32 or 16 bits; `None` if it is anything else."""
    graph = model.subgraphs[0]
    made_by = maker(model, index)
    if made_by and op_name(model, made_by) == "DEQUANTIZE":
        index = made_by.inputs[0]
    tensor = graph.tensors[index]
    if tensor.type not in (FLOAT32, schema.TensorType.FLOAT16) or model.buffers[tensor.buffer].data is None:
        return None
    stored = values(model, tensor).astype(np.float32).ravel()
    return np.broadcast_to(stored, channels) if len(stored) in (1, channels) else None
