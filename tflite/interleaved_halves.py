"""An exact rewrite: upper and lower half of a map side by side as channels, for its depthwise convolutions.

XNNPACK computes a depthwise convolution for 16 channels at once: the 8 and 24 channels of GhostNet's largest maps leave
8 of them idle at each pixel. So the first stage is computed in halves, which alternate pixel by pixel: one of the upper
half, then the one below it of the lower. Seen as a map of twice the width, 1x1 convolutions, sums and concatenations
work on it with the weights that they have; seen as one of twice the channels, depthwise convolutions do. In memory both
are the same. Each half has some rows of the other, which make up for the borders that windows meet in the middle.

It is for float files and, behind the quantization, for int8 ones: what is computed stays the same, bit by bit.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import (
    NONE,
    add_buffer,
    add_like,
    drop_unused,
    is_constant,
    maker,
    only_reader,
    op_name,
    pack,
    unpack,
    values,
)
from ghostnet_tf.tflite.operations import concatenation, reshape, slice_of
from ghostnet_tf.tflite.stacked_halves import reads_stacked

LANES = 16  # channels that a depthwise convolution computes at once: int8 on ARM, floats with AVX-512
MOST_STEPS = 0.9  # of those that the depthwise convolutions take now; with more, it does not pay
MOST_ROWS = 1.1  # of the map's rows, counting twice what both halves have; with more, it does not pay


@dataclass(frozen=True)
class Stage:
    """The operations that read maps of one height, from one map on.

    Attributes:
        source: The map that they begin with, a tensor of shape `(1, height, width, channels)`.
        operators: In their order.
        ends: What depthwise convolutions with a stride leave of it: tensor to stride.
        rows: Height of a half, with its rows of the other.
    """

    source: int
    operators: list[schema.OperatorT]
    ends: dict[int, int]
    rows: int


def with_interleaved_halves(content: bytes) -> bytes:
    """The file with the stage behind its first convolution in halves; unchanged where that cannot be or does not pay.

    Args:
        content: A file of any scheme: with weights that are computed, as in fp16, it stays as it is.
    """
    model = unpack(content)
    stage = first_stage(model)
    if stage is None or not _pays(model, stage):
        return content
    _Interleaver(model, stage).run()
    return pack(model)


def first_stage(model: schema.ModelT) -> Stage | None:
    """All between the first convolution and a stride; `None` if halves of it cannot be computed."""
    graph = model.subgraphs[0]
    first = next((operator for operator in graph.operators if op_name(model, operator) == "CONV_2D"), None)
    if first is None:
        return None
    source = int(first.outputs[0])
    wrong = {source: 0}  # of each tensor, how many rows of each half a border in the middle reaches
    operators, ends, reach = [], {}, 0
    for operator in graph.operators:
        read = [index for index in map(int, operator.inputs) if index in wrong]
        if not read:
            continue
        if not _works_in_halves(model, operator, len(read)):
            return None
        operators.append(operator)
        output, rows = int(operator.outputs[0]), max(wrong[index] for index in read)
        if op_name(model, operator) == "DEPTHWISE_CONV_2D":
            rows += int(graph.tensors[operator.inputs[1]].shape[1]) // 2
        stride = getattr(operator.builtinOptions, "strideH", 1)
        if stride > 1:
            ends[output] = stride
            reach = max(reach, rows)
        else:
            wrong[output] = rows
    height = int(graph.tensors[source].shape[1])
    step = math.lcm(*ends.values())
    if not ends or height % (2 * step) or set(map(int, graph.outputs)) & set(wrong):
        return None
    return Stage(source, operators, ends, height // 2 + step * math.ceil(reach / step))


def _works_in_halves(model: schema.ModelT, operator: schema.OperatorT, read: int) -> bool:
    """Whether an operation treats rows alike, with windows to both sides or none; `read` of its inputs are maps."""
    graph, options = model.subgraphs[0], operator.builtinOptions
    tensors = graph.tensors
    if min(operator.inputs) < 0:
        return False
    constants = [is_constant(model, index) for index in operator.inputs]
    if constants != [False] * read + [True] * (len(constants) - read) or len(tensors[operator.outputs[0]].shape) != 4:
        return False
    kind, shape = op_name(model, operator), list(tensors[operator.inputs[0]].shape)
    if kind == "ADD":
        return read == 2 and list(tensors[operator.inputs[1]].shape) == shape
    if kind == "CONCATENATION":
        reader = only_reader(model, int(operator.outputs[0]))
        stacks = options.axis == 1 and reader is not None and reads_stacked(model, reader)
        return options.fusedActivationFunction == NONE and (stacks or options.axis in (-1, 3))
    if kind == "PAD":
        reader = only_reader(model, int(operator.outputs[0]))
        return reader is not None and op_name(model, reader) == "DEPTHWISE_CONV_2D" and _is_symmetric(model, operator)
    if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or len(operator.inputs) != 3:
        return False
    weights = list(tensors[operator.inputs[1]].shape)
    if kind == "CONV_2D":
        pixelwise = weights[1:] == [1, 1, shape[3]] and options.strideH == options.strideW == 1
        return pixelwise or reads_stacked(model, operator)
    bordered = op_name(model, maker(model, int(operator.inputs[0]))) == "PAD"
    return (
        weights[3] == shape[3]
        and weights[1] % 2 == 1
        and options.dilationHFactor == 1
        and bordered == (options.padding == schema.Padding.VALID)
    )


def _is_symmetric(model: schema.ModelT, pad: schema.OperatorT) -> bool:
    """Whether it is a border above and below of half of what the depthwise convolution behind it has as a window."""
    reader = only_reader(model, int(pad.outputs[0]))
    rows = int(model.subgraphs[0].tensors[reader.inputs[1]].shape[1]) // 2
    sides = values(model, model.subgraphs[0].tensors[pad.inputs[1]])
    return sides[1].tolist() == [rows, rows] and not sides[[0, 3]].any()


def _pays(model: schema.ModelT, stage: Stage) -> bool:
    """Whether the depthwise convolutions take fewer steps, and all others not many more."""
    tensors = model.subgraphs[0].tensors
    height = int(tensors[stage.source].shape[1])
    now = in_halves = 0
    for operator in stage.operators:
        if op_name(model, operator) == "DEPTHWISE_CONV_2D":
            _, rows, columns, channels = map(int, tensors[operator.outputs[0]].shape)
            now += rows * columns * _steps(channels)
            in_halves += rows * stage.rows / height * columns * _steps(2 * channels)
    return in_halves <= MOST_STEPS * now and 2 * stage.rows <= MOST_ROWS * height


def _steps(channels: int) -> int:
    return -(-channels // LANES)


class _Interleaver:
    """One pass over the operations in their order.

    Attributes:
        seen: Tensor of the stage, and whether as one of twice the channels (else of twice the width), to the tensor
            that holds it so.
    """

    def __init__(self, model: schema.ModelT, stage: Stage):
        self.model, self.graph, self.stage = model, model.subgraphs[0], stage
        self.tensors = self.graph.tensors
        self.height = int(self.tensors[stage.source].shape[1])
        self.seen: dict[tuple[int, bool], int] = {}
        self.written: list[schema.OperatorT] = []

    def run(self) -> None:
        inside = set(map(id, self.stage.operators))
        for operator in self.graph.operators:
            if id(operator) in inside:
                self._write(operator)
            else:
                self.written.append(operator)
            if self.stage.source in operator.outputs:
                self._interleave()
        self.graph.operators = self.written
        drop_unused(self.model)

    def _interleave(self) -> None:
        """The upper and the lower rows of the source, as channels."""
        source, rows = self.stage.source, self.stage.rows
        parts = self._slices(source, source, rows, (0, self.height - rows, 0, 0))
        self.written.append(concatenation(self.model, parts, self._add(source, deep=True), 3))

    def _write(self, operator: schema.OperatorT) -> None:
        """An operation of the stage, in halves."""
        kind, output = op_name(self.model, operator), int(operator.outputs[0])
        maps = [index for index in map(int, operator.inputs) if not is_constant(self.model, index)]
        if kind == "CONCATENATION" and operator.builtinOptions.axis == 1:
            return  # its reader writes it
        if kind == "CONV_2D":
            self._convolution(operator)
        elif kind == "DEPTHWISE_CONV_2D":
            weights, bias = (self._twice(index, axis) for index, axis in zip(operator.inputs[1:3], (3, 0), strict=True))
            self._copy(operator, [self._as(maps[0], deep=True), weights, bias], deep=True)
            if output in self.stage.ends:
                self._join(output)
        else:
            deep = kind == "PAD" or (kind == "ADD" and all((index, True) in self.seen for index in maps))
            self._copy(operator, [*(self._as(index, deep) for index in maps), *operator.inputs[len(maps) :]], deep)

    def _convolution(self, operator: schema.OperatorT) -> None:
        """A 1x1 convolution, of both halves at once where that takes no more of the processor's steps."""
        image, weights, bias = map(int, operator.inputs)
        filters = int(self.tensors[weights].shape[0])
        deep = _steps(2 * filters) == _steps(filters)
        if deep:
            weights, bias = self._block_diagonal(weights), self._twice(bias, 0)
        stacked = reads_stacked(self.model, operator)
        read = self._stacked(image, deep) if stacked else self._as(image, deep)
        self._copy(operator, [read, weights, bias], deep)
        if stacked:
            self.written[-1].builtinOptions.dilationHFactor = self.stage.rows

    def _stacked(self, index: int, deep: bool) -> int:
        """Maps one below the other, as halves."""
        parts = [self._as(int(part), deep) for part in maker(self.model, index).inputs]
        _, rows, *others = map(int, self.tensors[parts[0]].shape)
        whole = add_like(self.model, index, (1, len(parts) * rows, *others), "halves")
        self.written.append(concatenation(self.model, parts, whole, 1))
        return whole

    def _join(self, index: int) -> None:
        """What leaves the stage, as it was: the right rows of each half, one below the other."""
        _, height, _, channels = map(int, self.tensors[index].shape)
        halves = self._as(index, deep=True)
        unused = int(self.tensors[halves].shape[1]) - height // 2
        parts = self._slices(halves, index, height // 2, (0, unused, 0, channels))
        reader = only_reader(self.model, index)
        if reader is not None and op_name(self.model, reader) == "CONCATENATION" and reader.builtinOptions.axis == 1:
            place = list(reader.inputs).index(index)
            reader.inputs = np.array([*reader.inputs[:place], *parts, *reader.inputs[place + 1 :]], np.int32)
        else:
            self.written.append(concatenation(self.model, parts, index, 1))

    def _slices(self, tensor: int, like: int, rows: int, lower: tuple[int, ...]) -> list[int]:
        """Two pieces of a tensor, from its beginning and from `lower` on: as `like` is, but of `rows`."""
        _, _, width, channels = map(int, self.tensors[like].shape)
        parts = []
        for name, begin in (("upper", (0, 0, 0, 0)), ("lower", lower)):
            parts.append(add_like(self.model, like, (1, rows, width, channels), name))
            self.written.append(slice_of(self.model, tensor, parts[-1], begin))
        return parts

    def _copy(self, operator: schema.OperatorT, inputs: list[int], deep: bool) -> None:
        """The operation with other inputs; its output is new."""
        written = copy.copy(operator)
        written.builtinOptions = copy.copy(operator.builtinOptions)
        written.inputs = np.array(inputs, np.int32)
        written.outputs = np.array([self._add(int(operator.outputs[0]), deep)], np.int32)
        self.written.append(written)

    def _as(self, index: int, deep: bool) -> int:
        """A map of the stage in halves, of twice the channels or of twice the width."""
        if (index, deep) not in self.seen:
            other = self.seen[index, not deep]
            self.written.append(reshape(self.model, other, self._add(index, deep)))
        return self.seen[index, deep]

    def _add(self, index: int, deep: bool) -> int:
        """A new tensor for a map in halves."""
        _, height, width, channels = map(int, self.tensors[index].shape)
        stride = self.stage.ends.get(index, 1)
        rows = height + (self.stage.rows - self.height) // stride  # with its border, where it has one
        shape = (1, rows, width, 2 * channels) if deep else (1, rows, 2 * width, channels)
        self.seen[index, deep] = add_like(self.model, index, shape, "halves" if deep else "columns")
        return self.seen[index, deep]

    def _twice(self, index: int, axis: int) -> int:
        """Constants of both halves, by channel along `axis`."""
        data = values(self.model, self.tensors[index])
        return self._constant(index, np.concatenate([data, data], axis))

    def _block_diagonal(self, index: int) -> int:
        """Weights of a convolution for both halves, neither of which sees the other's channels."""
        data = values(self.model, self.tensors[index])
        zeros = np.zeros_like(data)
        rows = [np.concatenate(pair, axis=3) for pair in ((data, zeros), (zeros, data))]
        return self._constant(index, np.concatenate(rows))

    def _constant(self, like: int, data: np.ndarray) -> int:
        """A constant of twice the channels of another."""
        index = add_like(self.model, like, data.shape, "twice")
        tensor = self.tensors[index]
        tensor.buffer = add_buffer(self.model, data)
        scales = tensor.quantization
        if scales is not None and scales.scale is not None and len(scales.scale) > 1:
            tensor.quantization = copy.copy(scales)
            tensor.quantization.scale = np.tile(scales.scale, 2)
            tensor.quantization.zeroPoint = np.tile(scales.zeroPoint, 2)
        return index
