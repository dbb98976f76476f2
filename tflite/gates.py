"""Exact rewrites of the gates of GhostNetV2's attention, which has half the resolution of what it multiplies.

Brought to full resolution by concatenations and reshapes, every gate is written twice and then twice again. The second
time is for nothing if the product broadcasts: rows of the map go two by two, those of the gate one by one.

The sigmoid is `(tanh(x / 2) + 1) / 2`. XNNPACK's tanh takes two thirds of its sigmoid's instructions on ARM and less
time on x86, the two operations behind it included; the halving of x goes into the convolution before. Equal to float
rounding of a number near 1: a gate near 0 has the same error, as what it multiplies has. See docs/benchmarks.md.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import (
    NONE,
    add_constant,
    add_like,
    drop_unread,
    holds_floats,
    maker,
    only_reader,
    op_name,
    opcode,
    pack,
    replace_constant,
    unpack,
    values,
)
from ghostnet_tf.tflite.operations import elementwise, reshape


def with_broadcast_gates(content: bytes) -> bytes:
    """The file, of any scheme but int8, with products of a map and a gate of half its size that broadcast by rows."""
    model = unpack(content)
    graph = model.subgraphs[0]
    for product in [operator for operator in graph.operators if op_name(model, operator) == "MUL"]:
        found = _doubled_rows(model, product)
        if found is None:
            continue
        image, rows = found
        _, height, width, channels = map(int, graph.tensors[image].shape)
        output = int(product.outputs[0])
        twice, once = (height // 2, 2, width, channels), (height // 2, 1, width, channels)
        parts = [
            add_like(model, index, shape, "rows") for index, shape in ((image, twice), (rows, once), (output, twice))
        ]
        product.inputs, product.outputs = np.array(parts[:2], np.int32), np.array(parts[2:], np.int32)
        place = graph.operators.index(product)
        graph.operators[place : place + 1] = [
            reshape(model, image, parts[0]),
            reshape(model, rows, parts[1]),
            product,
            reshape(model, parts[2], output),
        ]
    drop_unread(model)
    return pack(model)


def with_tanh_gates(content: bytes) -> bytes:
    """The float file with sigmoids of maps that a convolution makes as tanh."""
    model = unpack(content)
    graph = model.subgraphs[0]
    written = []
    for operator in graph.operators:
        before = _maker(model, operator) if op_name(model, operator) == "LOGISTIC" else None
        written.append(operator)
        if before is None or not _may_halve(model, before):
            continue
        for position in (1, 2):
            constant = values(model, graph.tensors[before.inputs[position]])
            replace_constant(model, before, position, constant / 2)
        output = int(operator.outputs[0])
        steps = [add_like(model, output, graph.tensors[output].shape, suffix) for suffix in ("tanh", "half")]
        half = add_constant(model, np.array([0.5], np.float32), graph.tensors[output].name + b"/half")
        operator.opcodeIndex = opcode(model, schema.BuiltinOperator.TANH)
        operator.outputs = np.array(steps[:1], np.int32)
        written.append(elementwise(model, "MUL", (steps[0], half), steps[1]))
        written.append(elementwise(model, "ADD", (steps[1], half), output))
    graph.operators = written
    return pack(model)


def _doubled_rows(model: schema.ModelT, product: schema.OperatorT) -> tuple[int, int] | None:
    """What a product multiplies: a map, and a gate of half the rows, in any shape, that are doubled for it alone."""
    tensors = model.subgraphs[0].tensors
    if product.builtinOptions.fusedActivationFunction != NONE:
        return None
    for image, gate in (product.inputs, product.inputs[::-1]):
        last = _maker(model, product, gate)
        doubled = last and op_name(model, last) == "RESHAPE" and _maker(model, last)
        if not doubled or op_name(model, doubled) != "CONCATENATION" or doubled.builtinOptions.axis != 2:
            continue
        rows, *others = map(int, doubled.inputs)
        shape, full = ([int(side) for side in tensors[index].shape] for index in (rows, image))
        if others == [rows] and full == [1, 2 * shape[1], *shape[2:]] and len(full) == 4:
            before = _maker(model, doubled)  # a second reshape would merge with it in TensorFlow's quantizer
            return int(image), int(before.inputs[0]) if before and op_name(model, before) == "RESHAPE" else rows
    return None


def _maker(model: schema.ModelT, reader: schema.OperatorT, index: int | None = None) -> schema.OperatorT | None:
    """What makes a tensor, by default the first that `reader` reads, if nothing else reads it."""
    index = reader.inputs[0] if index is None else index
    return None if only_reader(model, index) is None else maker(model, index)


def _may_halve(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether it is a convolution of floats to a map, without activation."""
    if op_name(model, operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D") or len(operator.inputs) < 3:
        return False
    tensors = model.subgraphs[0].tensors
    return (
        operator.builtinOptions.fusedActivationFunction == NONE
        and all(holds_floats(model, index) for index in operator.inputs[1:3])
        and np.prod(tensors[operator.outputs[0]].shape[1:3]) > 1
    )
