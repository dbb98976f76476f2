"""Hostile `.tflite` files, built here: refused by their structure, or by the end of a child process."""

import random
import time
import tracemalloc

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf import commands
from ghostnet_tf.litert import claims, untrusted
from ghostnet_tf.litert.flatbuffer import unpack
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


def meeting(times: int) -> bytes:
    """A file whose graphs are all one, `times` over, whose tensors are all one, which has a name of a kilobyte."""
    builder = flatbuffers.Builder()
    name = builder.CreateString("x" * 1000)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    tensors = _over_and_over(builder, schema.TensorEnd(builder), times)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = _over_and_over(builder, schema.SubGraphEnd(builder), times)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _over_and_over(builder: flatbuffers.Builder, place: int, times: int) -> int:
    builder.StartVector(4, times, 4)
    for _ in range(times):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def _peak_memory(action) -> int:
    """Bytes that Python's objects take at most while it runs."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_tables_that_meet_in_one_place_are_counted_before_they_are_made(tmp_path, capsys):
    small, large = meeting(40), meeting(1000)
    assert _peak_memory(lambda: unpack(small)) > 40 * 40 * 1000 > 1000 * len(small), "so that a gigabyte waits here:"
    assert len(large) < 10_000

    def check():
        with pytest.raises(ValueError, match=r"damaged bytes \(it claims 17 MB and has 0\.0\)"):
            untrusted.check_structure(large)

    assert _peak_memory(check) < 1e6
    (tmp_path / "meeting.tflite").write_bytes(large)
    assert benchmark.main([str(tmp_path / "meeting.tflite"), "--num-runs=1"]) == commands.BAD_INPUT
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "it claims 17 MB" in printed.err and not printed.out


def test_everything_that_becomes_an_object_is_counted():
    """A text, numbers and a table of each way in which the schema holds them count as often as they are held."""

    def claimed(model: schema.ModelT) -> int:
        counter = claims.Counter(1 << 30)
        counter.table(schema.Model.GetRootAs(pack(model)))
        return counter.claimed

    model = network(OPS.SPLIT)
    before = claimed(model)
    graph = model.subgraphs[0]
    graph.operators[0].builtinOptions.numSplits = 2  # a number inside a table takes nothing
    assert claimed(model) == before
    model.buffers.append(schema.BufferT(data=np.zeros(300, np.uint8)))
    graph.tensors[0].quantization = schema.QuantizationParametersT(scale=np.zeros(5, np.float32))
    graph.operators[0].builtinOptions2Type = schema.BuiltinOptions2.StableHLOCompositeOptions
    graph.operators[0].builtinOptions2 = schema.StableHLOCompositeOptionsT(name="seven b")
    assert claimed(model) == before + 3 * claims.OBJECT + 300 + 5 * 4 + 7
    graph.operators[0].builtinOptions2Type = 0  # no table of a known kind
    assert claimed(model) == before + 2 * claims.OBJECT + 300 + 5 * 4


def test_the_schema_numbers_each_kind_of_table():
    for numbers in claims.UNIONS.values():
        kinds = [name for number, name in claims.names(numbers).items() if number]
        assert kinds and all(hasattr(getattr(schema, name), "Init") for name in kinds)
    tables = [kind for kind in vars(schema).values() if isinstance(kind, type) and hasattr(kind, "Init")]
    fields = {name for kind in tables for name, _ in claims.fields(kind)}
    # A field with a number for its kind of table beside it is a union.
    assert {name for name in fields if f"{name}Type" in fields} == set(claims.UNIONS)


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
