"""Exact rewrites of a float file: ghost modules whose two halves stay apart, for good or for longer.

A convolution over [x1, x2] is the sum of one over x1 and one over x2; padding, depthwise convolutions, means and
products by a gate work on each half alone. So a concatenation that only such operations read, up to a convolution at
the end of every way, is not needed: its copies go, and the halves need not share one scale in int8. What comes in for
it are additions. A concatenation that ends a block, whose reader is the shortcut's addition, stays.

Where all that reads a concatenation is a depthwise convolution that halves the map, it may as well come behind it: a
quarter is left to copy, and nothing comes in for it.
"""

import copy
import itertools
from collections.abc import Iterable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import (
    NONE,
    add_buffer,
    add_like,
    drop_unused,
    holds_floats,
    op_name,
    pack,
    unpack,
    values,
)
from ghostnet_tf.tflite.operations import elementwise

LANES = 8  # channels that XNNPACK's kernels compute at once: parts of other sizes would leave some idle
APART = ("DEPTHWISE_CONV_2D", "PAD", "MEAN", "MUL")  # keep channels apart


def without_concatenations(content: bytes) -> bytes:
    """The float file with every concatenation removed that has only readers of the kinds above."""
    rewriter = _Rewriter(unpack(content))
    rewriter.run()
    return pack(rewriter.model)


def with_late_concatenations(content: bytes) -> bytes:
    """The float file with each concatenation behind the depthwise convolution with a stride that is its only reader."""
    rewriter = _Late(unpack(content))
    rewriter.run()
    return pack(rewriter.model)


class _Rewriter:
    """One pass over the operations in their order.

    Attributes:
        parts: Tensor to the tensors that hold its channels, in order.
        gates: Tensor to be made in parts, to the channels of each.
    """

    def __init__(self, model: schema.ModelT):
        self.model, self.graph = model, model.subgraphs[0]
        self.parts: dict[int, list[int]] = {}
        self.gates: dict[int, list[int]] = {}
        self.readers: dict[int, list[schema.OperatorT]] = {}
        self.made_by: dict[int, schema.OperatorT] = {}
        for operator in self.graph.operators:
            for index in set(map(int, operator.inputs)):
                self.readers.setdefault(index, []).append(operator)
            self.made_by[int(operator.outputs[0])] = operator
        self.written: list[schema.OperatorT] = []

    def run(self) -> None:
        for operator in self.graph.operators:
            kind, output = op_name(self.model, operator), int(operator.outputs[0])
            if kind == "CONCATENATION" and self._may_go(operator):
                self.parts[output] = list(map(int, operator.inputs))
            elif any(int(index) in self.parts for index in operator.inputs):
                (self._sum if kind == "CONV_2D" else self._apart)(operator)
            elif output in self.gates:
                self._gate(operator)
            else:
                self.written.append(operator)
        self.graph.operators = self.written
        drop_unused(self.model)

    def _may_go(self, operator: schema.OperatorT) -> bool:
        shapes = [self.graph.tensors[index].shape for index in operator.inputs]
        options = operator.builtinOptions
        if options.axis not in (-1, len(shapes[0]) - 1) or options.fusedActivationFunction != NONE:
            return False
        if len(shapes[0]) != 4 or any(int(index) in self.parts for index in operator.inputs):
            return False
        gates = self._gates_of(int(operator.outputs[0]), [int(shape[-1]) for shape in shapes])
        if gates is None:
            return False
        self.gates |= gates
        return True

    def _gates_of(self, index: int, sizes: list[int]) -> dict[int, list[int]] | None:
        """What else must come in parts if a tensor does; `None` if one of its readers needs it whole."""
        if index in self.graph.outputs or not self.readers.get(index):
            return None
        found = {}
        for reader in self.readers[index]:
            kind = op_name(self.model, reader)
            if kind not in ("CONV_2D", *APART):
                return None
            output = int(reader.outputs[0])
            weights = self.graph.tensors[reader.inputs[1]]
            if kind == "CONV_2D" and int(weights.shape[3]) == sum(sizes):
                continue
            if kind == "CONV_2D" or (kind == "MUL" and reader.builtinOptions.fusedActivationFunction != NONE):
                return None
            if kind == "MEAN" and {-1, 3} & set(values(self.model, weights).ravel().tolist()):
                return None
            if kind == "MUL":
                (other,) = [int(read) for read in reader.inputs if int(read) != index] or (index,)
                gate = self._gate_parts(other, sizes)
                if gate is None:
                    return None
                found |= gate
            factor = int(weights.shape[3]) // sum(sizes) if kind == "DEPTHWISE_CONV_2D" else 1
            further = self._gates_of(output, [factor * size for size in sizes])
            if further is None:
                return None
            found |= further
        return found

    def _gate_parts(self, index: int, sizes: list[int]) -> dict[int, list[int]] | None:
        """A gate, and what it is made of by products with one number, back to the convolution that makes it."""
        operator = self.made_by.get(index)
        if operator is None or len(self.readers[index]) > 1 or index in self.graph.outputs:
            return None
        if int(self.graph.tensors[index].shape[-1]) != sum(sizes):
            return None
        kind = op_name(self.model, operator)
        if kind == "CONV_2D":
            reduce = self.made_by.get(int(operator.inputs[0]))  # whose output is whole, as that of every convolution
            return {index: sizes} if reduce is not None and op_name(self.model, reduce) == kind else None
        if kind != "MUL" or np.prod(self.graph.tensors[operator.inputs[1]].shape) != 1:
            return None
        before = self._gate_parts(int(operator.inputs[0]), sizes)
        return None if before is None else before | {index: sizes}

    def _sum(self, operator: schema.OperatorT) -> None:
        """A convolution over parts: one over each, and the sum of them."""
        parts = self.parts[int(operator.inputs[0])]
        weights, bias = (self._constant(index) for index in operator.inputs[1:3])
        activation = operator.builtinOptions.fusedActivationFunction
        ends = np.cumsum([self.graph.tensors[part].shape[-1] for part in parts])
        terms, whole = [], self.graph.tensors[operator.outputs[0]].shape
        for number, (part, kernel) in enumerate(zip(parts, np.split(weights, ends[:-1], axis=3), strict=True)):
            constants = [
                self._add_constant(operator.inputs[1], kernel, number),
                self._add_constant(operator.inputs[2], bias if number == 0 else np.zeros_like(bias), number),
            ]
            terms.append(self._write(operator, [part, *constants], number))
            self.written[-1].builtinOptions = copy.copy(operator.builtinOptions)
            self.written[-1].builtinOptions.fusedActivationFunction = NONE
        total = terms[0]
        for number, term in enumerate(terms[1:], 1):
            last = number == len(terms) - 1
            output = int(operator.outputs[0]) if last else self._add_tensor(operator.outputs[0], whole, f"sum{number}")
            self.written.append(elementwise(self.model, "ADD", (total, term), output, activation if last else NONE))
            total = output

    def _apart(self, operator: schema.OperatorT) -> None:
        """Any other operation over parts, on each."""
        whole = next(int(index) for index in operator.inputs if int(index) in self.parts)
        sizes = [int(self.graph.tensors[part].shape[-1]) for part in self.parts[whole]]
        constants = list(operator.inputs[1:])
        pieces = [constants] * len(sizes)
        channels = sizes
        if op_name(self.model, operator) == "DEPTHWISE_CONV_2D":
            factor = int(self.graph.tensors[constants[0]].shape[3]) // sum(sizes)
            channels = [factor * size for size in sizes]
            pieces = self._split(constants, (3, 0), channels)
        elif op_name(self.model, operator) == "MUL":
            both = [self.parts.get(int(index), [int(index)] * len(sizes)) for index in operator.inputs]
            pieces = list(zip(*both, strict=True))
        made = []
        for number, (part, others) in enumerate(zip(self.parts[whole], pieces, strict=True)):
            inputs = others if len(others) == len(operator.inputs) else [part, *others]
            made.append(self._write(operator, inputs, number, channels[number]))
        self.parts[int(operator.outputs[0])] = made

    def _gate(self, operator: schema.OperatorT) -> None:
        """A convolution whose channels are to come in parts."""
        sizes = self.gates[int(operator.outputs[0])]
        self.parts[int(operator.outputs[0])] = [
            self._write(operator, [operator.inputs[0], *constants], number, sizes[number])
            for number, constants in enumerate(self._split(list(operator.inputs[1:]), (0, 0), sizes))
        ]

    def _split(self, constants: list[int], axes: tuple[int, int], sizes: list[int]) -> list[list[int]]:
        """Weights and bias of each part."""
        ends = list(itertools.accumulate(sizes))[:-1]
        both = [
            [self._add_constant(index, piece, number) for number, piece in enumerate(np.split(data, ends, axis))]
            for index, axis, data in zip(constants, axes, map(self._constant, constants), strict=True)
        ]
        return [list(pair) for pair in zip(*both, strict=True)]

    def _constant(self, index: int) -> np.ndarray:
        return values(self.model, self.graph.tensors[index])

    def _add_constant(self, like: int, data: np.ndarray, number: int) -> int:
        index = self._add_tensor(like, data.shape, f"part{number}")
        self.graph.tensors[index].buffer = add_buffer(self.model, data)
        return index

    def _add_tensor(self, like: int, shape: Iterable[int], suffix: str) -> int:
        """As `add_like`, in the other one's buffer."""
        index = add_like(self.model, like, shape, suffix)
        self.graph.tensors[index].buffer = self.graph.tensors[like].buffer
        return index

    def _write(self, operator: schema.OperatorT, inputs: list[int], number: int, channels: int | None = None) -> int:
        """Writes `operator` with other inputs; gives its output, of `channels` where they are others."""
        shape = list(self.graph.tensors[operator.outputs[0]].shape)
        output = self._add_tensor(operator.outputs[0], (*shape[:-1], channels or shape[-1]), f"part{number}")
        written = copy.copy(operator)
        written.inputs, written.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        self.written.append(written)
        return output


class _Late(_Rewriter):
    """The same pass, with the parts concatenated again as soon as they are smaller.

    Attributes:
        whole: Depthwise convolution's output to the concatenation that is to make it.
    """

    def __init__(self, model: schema.ModelT):
        super().__init__(model)
        self.whole: dict[int, schema.OperatorT] = {}

    def _gates_of(self, index: int, sizes: list[int]) -> dict[int, list[int]] | None:
        """No gates, but `None` if anything else reads a tensor than such a convolution, or a padding for one."""
        readers = self.readers.get(index, [])
        if index in self.graph.outputs or len(readers) != 1:
            return None
        (reader,) = readers
        output, options = int(reader.outputs[0]), reader.builtinOptions
        if op_name(self.model, reader) == "PAD":
            return self._gates_of(output, sizes)
        if op_name(self.model, reader) != "DEPTHWISE_CONV_2D" or options.strideH * options.strideW == 1:
            return None
        if not holds_floats(self.model, reader.inputs[1]) or any(size % LANES for size in sizes):
            return None
        self.whole[output] = self.made_by[self._source(reader)]
        return {}

    def _source(self, operator: schema.OperatorT) -> int:
        """The tensor that an operation reads, through a padding or at once."""
        index = int(operator.inputs[0])
        before = self.made_by[index]
        return self._source(before) if op_name(self.model, before) == "PAD" else index

    def _apart(self, operator: schema.OperatorT) -> None:
        super()._apart(operator)
        output = int(operator.outputs[0])
        if output in self.whole:
            written = copy.copy(self.whole[output])
            written.inputs, written.outputs = np.array(self.parts.pop(output), np.int32), operator.outputs
            self.written.append(written)
