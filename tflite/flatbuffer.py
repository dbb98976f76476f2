"""`.tflite` files as objects, to change and to write; `ghostnet_tf.litert.flatbuffer` reads them."""

import copy
import itertools
from collections.abc import Iterable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.litert.flatbuffer import OP_NAMES, TYPE_NAMES, unpack

NONE = schema.ActivationFunctionType.NONE
WEIGHTED = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
)  # the operations that read weights, and behind them a bias


class _Builder(flatbuffers.Builder):
    """Places bytes at multiples of 16, as the schema wants of weights and its generated Python does not do.

    Equal vectors of other types are stored once, as the format allows: the zero points of weights, all 0 and 8 bytes a
    channel each, are 6 % of an int8 GhostNet.
    """

    def __init__(self, size: int):
        super().__init__(size)
        self.stored: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x):
        if x.dtype == np.uint8:
            self.Prep(16, x.nbytes)
            return super().CreateNumpyVector(x)
        key = x.dtype.str, x.tobytes()
        if key not in self.stored:
            self.stored[key] = super().CreateNumpyVector(x)
        return self.stored[key]


def pack(model: schema.ModelT) -> bytes:
    """The file of an object tree; what lies behind the FlatBuffer (files of the metadata) is not part of the tree."""
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def op_name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Such as `CONV_2D`; a custom op's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    return code.customCode.decode() if builtin == schema.BuiltinOperator.CUSTOM else OP_NAMES[builtin]


def short_name(name: str) -> str:
    """A tensor's name, which for merged operations is that of all of them, as the layer that they share has it.

    `net_1/stem_1/Relu` for `net_1/stem_1/act_1/Relu;net_1/stem_1/conv_1/convolution`; where they share the network
    only, the last, which is the first to run.
    """
    merged = [part.split("/") for part in name.split(";") if "/" in part]
    if len(merged) < 2:
        return name
    shared = shared_beginning(part[:-1] for part in merged)
    return "/".join([*shared, merged[0][-1]] if len(shared) > 1 else merged[-1])


def shared_beginning(paths: Iterable[list[str]]) -> list[str]:
    """The parts that all paths begin with."""
    alike = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    return [level[0] for level in alike]


def values(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray:
    """A constant tensor's stored values, a copy."""
    stored = np.array(model.buffers[tensor.buffer].data, np.uint8)
    return stored.view(TYPE_NAMES[tensor.type]).reshape(tensor.shape)


def is_constant(model: schema.ModelT, index: int) -> bool:
    """Whether a tensor's values are stored in the file."""
    return model.buffers[model.subgraphs[0].tensors[index].buffer].data is not None


def holds_floats(model: schema.ModelT, index: int) -> bool:
    """Whether a tensor is a constant of 32-bit floats."""
    return model.subgraphs[0].tensors[index].type == schema.TensorType.FLOAT32 and is_constant(model, index)


def maker(model: schema.ModelT, index: int) -> schema.OperatorT | None:
    """The operation that writes a tensor; `None` of a constant or an input."""
    return next((operator for operator in model.subgraphs[0].operators if index in operator.outputs), None)


def only_reader(model: schema.ModelT, index: int) -> schema.OperatorT | None:
    """The one operation that reads a tensor; `None` if none or several do, or the tensor is an output."""
    graph = model.subgraphs[0]
    readers = [operator for operator in graph.operators if index in operator.inputs]
    return readers[0] if len(readers) == 1 and index not in graph.outputs else None


def replace_constant(model: schema.ModelT, operator: schema.OperatorT, position: int, data: np.ndarray) -> None:
    """Gives one operation other values in a constant input of it; operations that shared the constant keep theirs."""
    graph = model.subgraphs[0]
    index = int(operator.inputs[position])
    tensor = graph.tensors[index]
    if sum(int(read) == index for other in graph.operators for read in other.inputs) > 1:
        tensor = copy.copy(tensor)
        graph.tensors.append(tensor)
        operator.inputs = np.array(operator.inputs, np.int32)
        operator.inputs[position] = len(graph.tensors) - 1
    data = np.ascontiguousarray(data, TYPE_NAMES[tensor.type])
    if sum(other.buffer == tensor.buffer for other in graph.tensors) > 1:
        tensor.buffer = add_buffer(model, data)
    else:
        model.buffers[tensor.buffer].data = data.reshape(-1).view(np.uint8)


def add_buffer(model: schema.ModelT, data: np.ndarray) -> int:
    """Stores values for a constant tensor to come; gives the buffer's place."""
    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def add_constant(model: schema.ModelT, data: np.ndarray, name: bytes) -> int:
    """Adds a constant tensor of 32-bit floats or integers; gives its index."""
    tensor = schema.TensorT()
    tensor.name, tensor.type = name, {"f": schema.TensorType.FLOAT32, "i": schema.TensorType.INT32}[data.dtype.kind]
    tensor.shape, tensor.buffer = np.array(data.shape, np.int32), add_buffer(model, data)
    tensors = model.subgraphs[0].tensors
    tensors.append(tensor)
    return len(tensors) - 1


def add_like(model: schema.ModelT, index: int, shape: Iterable[int], suffix: str) -> int:
    """Adds a tensor that an operation is to write: like another one, in another shape; gives its index."""
    tensors = model.subgraphs[0].tensors
    tensor = copy.copy(tensors[index])
    tensor.name, tensor.buffer = tensor.name + f"_{suffix}".encode(), 0
    tensor.shape, tensor.shapeSignature = np.array(list(shape), np.int32), None
    tensors.append(tensor)
    return len(tensors) - 1


def paired(model: schema.ModelT, quantized: schema.ModelT) -> list[tuple[schema.OperatorT, schema.OperatorT]]:
    """The operations of a float file, each with its own in the int8 file that was made of it.

    Raises:
        ValueError: If the int8 file has other operations, casts between types apart.
    """
    casts = ("QUANTIZE", "DEQUANTIZE")
    both = [
        [operator for operator in file.subgraphs[0].operators if op_name(file, operator) not in casts]
        for file in (model, quantized)
    ]
    names = [
        [op_name(file, operator) for operator in found] for file, found in zip((model, quantized), both, strict=True)
    ]
    if names[0] != names[1]:
        raise ValueError(f"Expected an int8 file of the same operations. Received: {names[1]}, of {names[0]}")
    return list(zip(*both, strict=True))


def with_outputs(model: schema.ModelT, tensors: Iterable[int]) -> bytes:
    """The file with other outputs: tensors of its main graph. `model` stays as it was."""
    graph, signatures = model.subgraphs[0], model.signatureDefs
    outputs = graph.outputs
    try:
        graph.outputs, model.signatureDefs = np.array(list(tensors), np.int32), None
        return pack(model)
    finally:
        graph.outputs, model.signatureDefs = outputs, signatures


def with_logits(content: bytes) -> bytes | None:
    """The file ending before its softmax, else unchanged; `None` where its first output is no softmax's."""
    model = unpack(content)
    last = softmax(model)
    return None if last is None else with_outputs(model, [last.inputs[0]])


def softmax(model: schema.ModelT) -> schema.OperatorT | None:
    """The softmax that makes the first output, casts between types apart; `None` where something else does."""
    graph = model.subgraphs[0]
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    last = made_by[graph.outputs[0]]
    while op_name(model, last) in ("DEQUANTIZE", "QUANTIZE") and last.inputs[0] in made_by:
        last = made_by[last.inputs[0]]
    return last if op_name(model, last) == "SOFTMAX" else None


def opcode(model: schema.ModelT, builtin: int) -> int:
    """Where the operation is in the file's list of kinds, to which it is added if need be."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def drop_unread(model: schema.ModelT) -> None:
    """Removes operations whose outputs nothing reads, and what was there for them alone."""
    graph = model.subgraphs[0]
    while True:
        read = {int(index) for operator in graph.operators for index in operator.inputs} | set(map(int, graph.outputs))
        kept = [operator for operator in graph.operators if read & set(map(int, operator.outputs))]
        if len(kept) == len(graph.operators):
            break
        graph.operators = kept
    drop_unused(model)


def drop_unused(model: schema.ModelT) -> None:
    """Removes tensors that nothing reads or writes, and empties their buffers."""
    graph = model.subgraphs[0]
    lists = [graph.inputs, graph.outputs, *(each for o in graph.operators for each in (o.inputs, o.outputs))]
    used = sorted({int(index) for each in lists for index in each if index >= 0})
    place = {index: number for number, index in enumerate(used)} | {-1: -1}
    kept = [graph.tensors[index] for index in used]
    filled = {tensor.buffer for tensor in kept}
    for tensor in graph.tensors:
        if tensor.buffer not in filled:
            model.buffers[tensor.buffer].data = None

    def moved(indices) -> np.ndarray:
        return np.array([place[int(index)] for index in indices], np.int32)

    for operator in graph.operators:
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
    graph.inputs, graph.outputs, graph.tensors = moved(graph.inputs), moved(graph.outputs), kept
    for signature in model.signatureDefs or []:
        for row in (*signature.inputs, *signature.outputs):
            row.tensorIndex = place[row.tensorIndex]
