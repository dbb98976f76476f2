"""Tries a stranger's `.tflite` file before it is used: its structure is checked, then a process of its own runs it.

The interpreter believes what a file says, so a bad one may end its process without a word. Here that is a child's end.
"""

import math
import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.child import ending, last_line, run_module
from ghostnet_tf.commands import BAD_INPUT, OK, BadInput, run
from ghostnet_tf.litert.flatbuffer import OP_NAMES, TYPE_NAMES, unpack
from ghostnet_tf.runtime import WAY_OUT, check_file, open_model
from ghostnet_tf.untrusted import DAMAGE, first_line

TIMEOUT = 120  # seconds of a child, for one inference
TENSOR_LIMIT = 1 << 31  # bytes of one tensor, more than a flatbuffer can address


def check_structure(content: bytes) -> None:
    """Checks that everything in a `.tflite` file refers to what is there, and that tensors are as large as they say.

    Raises:
        ValueError: If not, or if it needs operations that the interpreter does not have.
    """
    try:
        model = unpack(content, untrusted=True)
        sizes = [0 if buffer.data is None else len(buffer.data) for buffer in model.buffers or []]
        for code in model.operatorCodes or []:
            if code.customCode is not None:
                name = code.customCode.decode(errors="replace")
                raise ValueError(f"it needs the custom operation {name!r}, which the interpreter does not have")
            _need(max(code.builtinCode, code.deprecatedBuiltinCode) in OP_NAMES, "an operation is unknown")
        _need(bool(model.subgraphs), "it has no graph")
        for graph in model.subgraphs:
            tensors = graph.tensors or []
            _need(len(graph.inputs) > 0 and len(graph.outputs) > 0, "its graph has no inputs or outputs")
            _within(graph.inputs, len(tensors))
            _within(graph.outputs, len(tensors))
            for tensor in tensors:
                _within([tensor.buffer], len(sizes))
                _check_tensor(tensor, sizes[tensor.buffer])
            for operator in graph.operators or []:
                _within([operator.opcodeIndex], len(model.operatorCodes))
                # -1 stands for an input that is left out.
                _within([index for index in _list(operator.inputs) if index != -1], len(tensors))
                _within(_list(operator.outputs), len(tensors))
    except (*DAMAGE, struct.error) as error:
        raise ValueError(first_line(error)) from error


def trial(path: Path, num_threads: int = 1) -> None:
    """Checks the file at `path` and runs it once on zeros, in a process of its own.

    Raises:
        BadInput: If it is no sound `.tflite` file, or the interpreter refuses it, crashes or does not end; in one line.
    """
    check_file(path)
    try:
        child = run_module("litert.untrusted", [path, num_threads], timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"{path} does not end one inference in {TIMEOUT} seconds; {WAY_OUT}") from error
    if child.returncode == OK:
        return
    if child.returncode == BAD_INPUT:
        raise BadInput(last_line(child).removeprefix("error: "))
    how = ending(child).removeprefix("signal ")
    raise BadInput(f"{path} makes the LiteRT interpreter crash ({how}); {WAY_OUT}")


def _check_tensor(tensor: schema.TensorT, stored: int) -> None:
    name = TYPE_NAMES[tensor.type]
    number = re.search(r"\d+", name)
    bits = 8 if name == "bool" else int(number[0]) if number else 0  # texts and the like have none
    shape = [int(side) for side in _list(tensor.shape)]
    _need(all(side >= 0 for side in shape), "a tensor has a negative side")
    claimed = (math.prod(shape) * bits + 7) // 8
    _need(claimed < TENSOR_LIMIT, f"a tensor claims {claimed / 1e6:,.0f} MB")
    if stored and bits and tensor.sparsity is None:
        _need(claimed == stored, f"a tensor of {claimed} bytes has {stored}")


def _list(values: Iterable[int] | None) -> Iterable[int]:
    return [] if values is None else values


def _within(indices: Iterable[int], length: int) -> None:
    _need(all(0 <= index < length for index in indices), "something refers to what is not there")


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _child(words: list[str] | None) -> int:
    path, num_threads = Path(words[0]), int(words[1])
    try:
        check_structure(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"{path} is no sound .tflite file: {error}; {WAY_OUT}") from error
    interpreter = open_model(path, num_threads).interpreter
    try:
        for row in interpreter.get_input_details():
            interpreter.set_tensor(row["index"], np.zeros(row["shape"], row["dtype"]))
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"the LiteRT interpreter refuses {path}: {first_line(error)}") from error
    return OK


if __name__ == "__main__":
    raise SystemExit(run(_child, sys.argv[1:]))
