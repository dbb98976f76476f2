"""Hostile `.tflite` files, built here: refused by their structure, or by the end of a child process."""

import random
import time

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf import commands
from ghostnet_tf.litert import untrusted
from ghostnet_tf.tflite import benchmark
from ghostnet_tf.tflite.flatbuffer import pack
from ghostnet_tf.training import evaluate

OPS, OPTIONS = schema.BuiltinOperator, schema.BuiltinOptions


def network(op: int = OPS.RELU, inputs: tuple[int, ...] = (0,)) -> schema.ModelT:
    """One operation from tensor 0 to tensor 1, four numbers each."""

    def tensor(name: bytes) -> schema.TensorT:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.array([1, 4], np.int32), schema.TensorType.FLOAT32, 0
        return made

    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = op
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([1], np.int32)
    if op == OPS.SPLIT:
        operator.builtinOptionsType, operator.builtinOptions = OPTIONS.SplitOptions, schema.SplitOptionsT()
    graph.tensors, graph.operators = [tensor(b"in"), tensor(b"out")], [operator]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([1], np.int32)
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [code], [graph]
    return model


def test_a_sound_file_passes(tmp_path):
    (tmp_path / "relu.tflite").write_bytes(pack(network()))
    untrusted.trial(tmp_path / "relu.tflite")


def _custom(model):
    model.operatorCodes[0].customCode = b"FlexErf"
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = OPS.CUSTOM


def _unknown(model):
    model.operatorCodes[0].builtinCode = 9999


def _gigabytes(model):
    model.subgraphs[0].tensors[0].shape = np.array([1 << 16, 1 << 16], np.int32)


def _negative(model):
    model.subgraphs[0].tensors[0].shape = np.array([-5, 4], np.int32)


def _short_constant(model):
    model.buffers.append(schema.BufferT(data=np.zeros(3, np.uint8)))
    model.subgraphs[0].tensors[0].buffer = 1


def _beyond(model):
    model.buffers.append(schema.BufferT(offset=1 << 40, size=1 << 40))


def _no_graph(model):
    model.subgraphs = []


def _absent_tensor(model):
    model.subgraphs[0].operators[0].inputs = np.array([77], np.int32)


def _absent_buffer(model):
    model.subgraphs[0].tensors[0].buffer = 9


def _absent_code(model):
    model.subgraphs[0].operators[0].opcodeIndex = 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_custom, "custom operation 'FlexErf'"),
        (_unknown, "an operation is unknown"),
        (_gigabytes, "a tensor claims 17,180 MB"),
        (_negative, "a negative side"),
        (_short_constant, "a tensor of 16 bytes has 3"),
        (_beyond, "Expected constants inside the file"),
        (_no_graph, "no graph"),
        (_absent_tensor, "refers to what is not there"),
        (_absent_buffer, "refers to what is not there"),
        (_absent_code, "refers to what is not there"),
    ],
)
def test_structure(change, message):
    model = network()
    untrusted.check_structure(pack(model))
    change(model)
    with pytest.raises(ValueError, match=message):
        untrusted.check_structure(pack(model))


def test_damaged_content_is_a_value_error_in_time(small_files):
    content, rng = small_files["int8"], random.Random(0)
    untrusted.check_structure(content)
    start = time.process_time()
    for length in (0, 8, 100, len(content) // 2):
        with pytest.raises(ValueError):
            untrusted.check_structure(content[:length])
    refused = 0
    for _ in range(20):
        flipped = bytearray(content)
        for _ in range(10):
            flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        try:
            untrusted.check_structure(bytes(flipped))
        except ValueError:
            refused += 1
    assert 2 < refused < 20, "most bits are of weights"
    assert time.process_time() - start < 20


def test_a_crash_of_native_code_is_one_line(tmp_path, capsys):
    """SPLIT into 0 parts: sound as a file, and LiteRT 2.3 ends with a segmentation fault."""
    path = tmp_path / "split.tflite"
    path.write_bytes(pack(network(OPS.SPLIT, (0, 0))))
    untrusted.check_structure(path.read_bytes())
    for main, words in (
        (benchmark.main, [str(path), "--num-runs=1"]),
        (evaluate.main, ["--model", str(path), "--data=digits"]),
    ):
        assert main(words) == commands.BAD_INPUT
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1 and not printed.out
        assert f"{path} makes the LiteRT interpreter crash (SIG" in printed.err


def test_what_does_not_end_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "relu.tflite").write_bytes(pack(network()))
    monkeypatch.setattr(untrusted, "TIMEOUT", 0.01)
    with pytest.raises(commands.BadInput, match="does not end one inference"):
        untrusted.trial(tmp_path / "relu.tflite")


def test_what_the_interpreter_refuses_is_one_line(tmp_path):
    (tmp_path / "conv.tflite").write_bytes(pack(network(OPS.CONV_2D, (0, 0, 0))))
    with pytest.raises(commands.BadInput, match=r"the LiteRT interpreter refuses .*conv\.tflite: [^\n]*$"):
        untrusted.trial(tmp_path / "conv.tflite")


def test_no_identifier(tmp_path):
    builder = flatbuffers.Builder(0)
    builder.Finish(network().Pack(builder))
    (tmp_path / "bare.tflite").write_bytes(bytes(builder.Output()))
    with pytest.raises(commands.BadInput, match="no identifier TFL3"):
        untrusted.trial(tmp_path / "bare.tflite")
