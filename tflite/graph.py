"""What is in a `.tflite` file: operations, types, what runs in XNNPACK."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel, output_position
from ghostnet_tf.tflite.flatbuffer import TYPE_NAMES, op_name, unpack
from ghostnet_tf.tflite.input_cast import floats_between_casts

FLOAT = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        name: In the signature, if there is one.
        shape: With the batch.
        dtype: As numpy names it.
        scale, zero_point: `real = scale * (stored - zero_point)`; 0 and 0 where it is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Graph:
    """The main graph of a `.tflite` file.

    Attributes:
        bytes: Size of the file.
        ops: Number of operations by name, most frequent first.
        dtypes: Number of operations by the type of their first output.
        float_ops: Operations that read or write floats, as `NAME (tensor)`, without the casts of inputs and outputs.
        partitions: Number of operations in each piece that XNNPACK runs, greatest first; (all,) is best.
        outside: Number of operations that XNNPACK leaves to the interpreter, by name.
        inputs, outputs: Of the graph.
    """

    bytes: int
    ops: dict[str, int]
    dtypes: dict[str, int]
    float_ops: tuple[str, ...]
    partitions: tuple[int, ...]
    outside: dict[str, int]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def as_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)


def read_graph(source: Path | str | bytes) -> Graph:
    """Reads a file (or its bytes) and loads it once into the interpreter, to see what XNNPACK takes.

    Raises:
        ValueError: If it is no `.tflite` file.
    """
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    written = structure(unpack(content))
    with quiet():
        loaded = TFLiteModel(content)
    partitions, outside = _delegated(loaded.interpreter._get_ops_details())
    return Graph(bytes=len(content), partitions=partitions, outside=outside, **written)


def structure(model: schema.ModelT) -> dict:
    """What a file says about its graph, without running it: `Graph` by attribute, as far as that goes."""
    graph = model.subgraphs[0]
    names = [op_name(model, operator) for operator in graph.operators]
    types = [TYPE_NAMES[graph.tensors[operator.outputs[0]].type] for operator in graph.operators]
    outputs = _tensors(model, graph.outputs, "outputs")
    return {
        "ops": dict(Counter(names).most_common()),
        "dtypes": dict(Counter(types).most_common()),
        "float_ops": _float_ops(model),
        "inputs": _tensors(model, graph.inputs, "inputs"),
        "outputs": tuple(sorted(outputs, key=lambda output: output_position(output.name))),
    }


def _tensors(model: schema.ModelT, indices: Iterable[int], role: str) -> tuple[Tensor, ...]:
    signature = [row for definition in (model.signatureDefs or [])[:1] for row in getattr(definition, role) or []]
    names = {row.tensorIndex: row.name for row in signature}
    found = []
    for index in indices:
        tensor = model.subgraphs[0].tensors[index]
        steps = tensor.quantization
        quantized = steps is not None and steps.scale is not None and len(steps.scale) == 1
        found.append(
            Tensor(
                names.get(index, tensor.name).decode(),
                tuple(int(side) for side in tensor.shape),
                TYPE_NAMES[tensor.type],
                float(steps.scale[0]) if quantized else 0.0,
                int(steps.zeroPoint[0]) if quantized else 0,
            )
        )
    return tuple(found)


def _float_ops(model) -> tuple[str, ...]:
    graph = model.subgraphs[0]
    between = floats_between_casts(model)
    inputs, outputs = {*map(int, graph.inputs), *between}, {*map(int, graph.outputs), *between}
    found = []
    for operator in graph.operators:
        name = op_name(model, operator)
        used = [index for index in (*operator.inputs, *operator.outputs) if index >= 0]
        if not any(TYPE_NAMES[graph.tensors[index].type] in FLOAT for index in used):
            continue
        casts_input = name == "QUANTIZE" and operator.inputs[0] in inputs
        casts_output = name == "DEQUANTIZE" and operator.outputs[0] in outputs
        if not (casts_input or casts_output):
            found.append(f"{name} ({graph.tensors[operator.outputs[0]].name.decode()})")
    return tuple(found)


def delegated_pieces(details: list[dict]) -> list[list[int]]:
    """The operations in each of the delegate's pieces, by index, pieces in the order in which they run.

    The interpreter's `details` list the operations as they were, then one DELEGATE for each piece with what goes in
    and out: inside is what lies on the way back from its outputs to its inputs.
    """
    nodes = [node for node in details if node["op_name"] != "DELEGATE"]
    made_by = {int(output): node["index"] for node in nodes for output in node["outputs"]}
    reads = {node["index"]: [int(index) for index in node["inputs"]] for node in nodes}
    taken, pieces = set(), []
    for piece in (node for node in details if node["op_name"] == "DELEGATE"):
        given, inside = set(map(int, piece["inputs"])), []
        pending = [int(output) for output in piece["outputs"]]
        while pending:
            tensor = pending.pop()
            node = made_by.get(tensor)
            if node is None or node in taken or tensor in given:
                continue
            taken.add(node)
            inside.append(node)
            pending += reads[node]
        pieces.append(sorted(inside))
    return pieces


def _delegated(details: list[dict]) -> tuple[tuple[int, ...], dict[str, int]]:
    """Sizes of the delegate's pieces, and the operations in none of them."""
    pieces = delegated_pieces(details)
    inside = {node for piece in pieces for node in piece}
    nodes = [node for node in details if node["op_name"] != "DELEGATE"]
    outside = Counter(node["op_name"] for node in nodes if node["index"] not in inside)
    return tuple(sorted(map(len, pieces), reverse=True)), dict(outside.most_common())
