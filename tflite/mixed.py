"""int8 files with layers left in float: which operations these are, and that no other one is."""

import difflib
from collections.abc import Iterable

from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import TYPE_NAMES, op_name
from ghostnet_tf.tflite.graph import FLOAT
from ghostnet_tf.tflite.input_cast import floats_between_casts
from ghostnet_tf.tflite.layer_report import layer_path
from ghostnet_tf.tflite.tensorflow_converter import ConversionError

CASTS = ("QUANTIZE", "DEQUANTIZE")
INTEGERS = {"int8", "uint8", "int16"}  # that stand for reals


def operations_of(model: schema.ModelT, layers: Iterable[str]) -> list[schema.OperatorT]:
    """The operations of layers, by the names that `--per-layer-report` prints; a block's name means all inside it.

    Raises:
        ValueError: If the file has no such layer; with the nearest that it has.
    """
    layers = list(layers)
    graph = model.subgraphs[0]
    operators = [operator for operator in graph.operators if op_name(model, operator) not in CASTS]
    paths = [layer_path(graph.tensors[operator.outputs[0]].name.decode()) for operator in operators]
    known = list(dict.fromkeys(name for path in paths for name in path))
    for layer in layers:
        if layer not in known:
            near = difflib.get_close_matches(layer, known, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Expected a layer as --per-layer-report names it. Received: {layer!r}{hint}")
    return [operator for operator, path in zip(operators, paths, strict=True) if set(path) & set(layers)]


def nodes_of(model: schema.ModelT, layers: Iterable[str]) -> set[str]:
    """The names by which TensorFlow's quantizer knows the operations of layers."""
    tensors = model.subgraphs[0].tensors
    return {tensors[operator.outputs[0]].name.decode() for operator in operations_of(model, layers)}


def misplaced(model: schema.ModelT, layers: Iterable[str]) -> list[str]:
    """Operations of a file that are on the wrong side, as `NAME (tensor)`.

    Those of `layers` compute with floats, weights included; all others do not. Casts lie between the two, or at the
    graph's inputs and outputs.
    """
    graph = model.subgraphs[0]
    kept = operations_of(model, layers)
    casts = floats_between_casts(model)
    made = {int(index) for operator in kept for index in operator.outputs} | set(map(int, graph.inputs)) | casts
    read = {int(index) for operator in kept for index in operator.inputs} | set(map(int, graph.outputs)) | casts
    found = []
    for operator in graph.operators:
        name, output = op_name(model, operator), graph.tensors[operator.outputs[0]]
        used = {
            int(index): TYPE_NAMES[graph.tensors[index].type]
            for index in (*operator.inputs, *operator.outputs)
            if index >= 0
        }
        floats = [index for index, kind in used.items() if kind in FLOAT]
        if any(operator is one for one in kept):
            wrong = not INTEGERS.isdisjoint(used.values())
        elif name == "QUANTIZE":
            wrong = not made.issuperset(floats)
        elif name == "DEQUANTIZE":
            # Of activations: a layer whose weights are rounded in the file is not in float.
            weights = model.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None
            wrong = weights or not read.issuperset(floats)
        else:
            wrong = bool(floats)
        if wrong:
            found.append(f"{name} ({output.name.decode()})")
    return found


def check_layers(model: schema.ModelT, layers: Iterable[str]) -> None:
    """Lets a file be called mixed only if its float operations are those of `layers`.

    Raises:
        ConversionError: If they are not.
    """
    if wrong := misplaced(model, layers):
        names = ", ".join(wrong[:5]) + (" …" if len(wrong) > 5 else "")
        raise ConversionError(f"{len(wrong)} operations are not in float and int8 as asked for: {names}")
