"""`.tflite` files as objects, through the schema that the runtime ships."""

from collections.abc import Iterable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OP_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
TYPE_NAMES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}


def unpack(content: bytes) -> schema.ModelT:
    """The object tree of a file.

    Raises:
        ValueError: If it is no `.tflite` file.
    """
    if content[4:8] != b"TFL3":
        raise ValueError(f"Expected the content of a .tflite file. Received: {len(content)} bytes, {content[:8]!r}…")
    return schema.ModelT.InitFromPackedBuf(content, 0)


def pack(model: schema.ModelT) -> bytes:
    """The file of an object tree."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def op_name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Such as `CONV_2D`; a custom op's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    return code.customCode.decode() if builtin == schema.BuiltinOperator.CUSTOM else OP_NAMES[builtin]


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
    graph = model.subgraphs[0]
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    last = made_by[graph.outputs[0]]
    while op_name(model, last) in ("DEQUANTIZE", "QUANTIZE") and last.inputs[0] in made_by:
        last = made_by[last.inputs[0]]
    return with_outputs(model, [last.inputs[0]]) if op_name(model, last) == "SOFTMAX" else None
