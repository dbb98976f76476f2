"""Operations to add to a `.tflite` file that is changed; `ghostnet_tf.tflite.flatbuffer` has the file."""

from collections.abc import Iterable, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import NONE, add_constant, opcode


def elementwise(
    model: schema.ModelT, kind: str, inputs: Iterable[int], output: int, activation: int = NONE
) -> schema.OperatorT:
    """A sum (`kind` is ADD) or a product (MUL) of two tensors."""
    return _operation(model, kind, inputs, output, fusedActivationFunction=activation)


def concatenation(model: schema.ModelT, inputs: Iterable[int], output: int, axis: int) -> schema.OperatorT:
    """Tensors one behind the other along `axis`."""
    return _operation(model, "CONCATENATION", inputs, output, axis=axis, fusedActivationFunction=NONE)


def reshape(model: schema.ModelT, before: int, after: int) -> schema.OperatorT:
    """The values of one tensor in the shape of another."""
    sides = np.array(model.subgraphs[0].tensors[after].shape, np.int32)
    constant = add_constant(model, sides, model.subgraphs[0].tensors[after].name + b"/shape")
    return _operation(model, "RESHAPE", (before, constant), after, newShape=sides)


def dequantize(model: schema.ModelT, before: int, after: int) -> schema.OperatorT:
    """The reals that one tensor's integers stand for."""
    return _operation(model, "DEQUANTIZE", (before,), after)


def slice_of(model: schema.ModelT, before: int, after: int, begin: Sequence[int]) -> schema.OperatorT:
    """What of one tensor lies at `begin`, as much as the shape of another holds."""
    tensor = model.subgraphs[0].tensors[after]
    corners = (np.array(begin, np.int32), np.array(tensor.shape, np.int32))
    constants = [
        add_constant(model, corner, tensor.name + suffix)
        for corner, suffix in zip(corners, (b"/begin", b"/size"), strict=True)
    ]
    return _operation(model, "SLICE", (before, *constants), after)


def _operation(model: schema.ModelT, kind: str, inputs: Iterable[int], output: int, **options) -> schema.OperatorT:
    """An operation of one output; `kind` such as RESHAPE, whose options are called ReshapeOptions."""
    operator = schema.OperatorT()
    operator.opcodeIndex = opcode(model, getattr(schema.BuiltinOperator, kind))
    operator.inputs, operator.outputs = np.array(list(inputs), np.int32), np.array([output], np.int32)
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind.title()}Options")
    operator.builtinOptions = getattr(schema, f"{kind.title()}OptionsT")()
    for name, value in options.items():
        setattr(operator.builtinOptions, name, value)
    return operator
