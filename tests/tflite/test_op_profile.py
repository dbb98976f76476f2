"""The profile of operations: which layer each belongs to, where the time is, what happens when native code crashes."""

import json
import os
import sys
from pathlib import Path

import ai_edge_litert
import keras
import pytest

from ghostnet_tf import child, commands
from ghostnet_tf.tflite import benchmark, flatbuffer, op_profile
from ghostnet_tf.tflite.schemes import convert


class Reverse(keras.layers.Layer):
    """REVERSE_V2, which XNNPACK leaves to the interpreter."""

    def call(self, inputs):
        return keras.ops.flip(inputs, axis=1)


@pytest.fixture(scope="module")
def profiled_file(tmp_path_factory) -> Path:
    """Two pieces of XNNPACK around an operation that it does not take; `heavy` has 92 % of the multiply-adds."""
    keras.utils.set_random_seed(0)
    image = keras.Input((48, 48, 8))
    x = keras.layers.Conv2D(16, 1, activation="relu", name="light")(image)
    x = keras.layers.Conv2D(96, 3, padding="same", activation="relu", name="wide")(x)
    x = Reverse(name="reverse")(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    x = keras.layers.Concatenate(name="both")([x, y])
    x = keras.layers.Conv2D(96, 3, padding="same", name="heavy")(x)
    x = keras.layers.Add(name="sum")([x, y])
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x), name="tiny")
    path = tmp_path_factory.mktemp("profile") / "tiny.tflite"
    path.write_bytes(convert(model, "fp32"))
    return path


@pytest.fixture(scope="module")
def measured(profiled_file) -> dict:
    return op_profile.profile(profiled_file, num_runs=9, warmup_runs=1)


def test_every_operation_has_its_layer_and_the_heavy_one_the_time(measured):
    found = [(row["layer"], row["delegated"]) for row in measured["operators"]]
    # The last one's name is that of the file's output, `PartitionedCall:0`.
    assert [layer for layer, _ in found if layer] == ["light", "wide", "reverse", "deep", "both", "heavy", "sum"]
    assert [layer for layer, delegated in found if not delegated] == ["reverse"]
    by_layer = {row["name"]: row for row in measured["by_layer"]}
    # 382 million multiply-adds against 32 million in the next; half leaves room for a busy machine.
    assert by_layer["heavy"]["share"] > 0.5
    assert measured["by_operator"][0]["name"].startswith("Convolution")


def test_sums_agree(measured):
    for key in ("by_operator", "by_layer"):
        rows = measured[key]
        assert sum(row["count"] for row in rows) == len(measured["operators"])
        # Each of at most 20 numbers is rounded to four digits.
        assert sum(row["share"] for row in rows) == pytest.approx(1, abs=2e-3)
        assert sum(row["ms"] for row in rows) == pytest.approx(sum(row["ms"] for row in measured["operators"]))
    assert 0 < sum(row["ms"] for row in measured["operators"]) <= 1.05 * measured["invoke_ms"]


def test_other_input_types_files_without_signature_and_threads(small_files, tmp_path):
    for scheme in ("int8", "dynamic"):
        path = tmp_path / f"{scheme}.tflite"
        path.write_bytes(flatbuffer.with_logits(small_files[scheme]))
        found = op_profile.profile(path, num_threads=2, num_runs=2, warmup_runs=1)
        names = [row["name"] for row in found["by_layer"]]
        blocks = [name for name in names if name and name.startswith("blocks_")]
        assert {"stem", "head_conv", "classifier"} < set(names)
        assert blocks == [f"blocks_{number}" for number in range(16)]


def test_a_kind_that_does_not_match_is_told_only_as_far_as_its_neighbours(profiled_file, measured):
    operators = [[row["operator"], index, row["delegated"]] for index, row in enumerate(measured["operators"])]
    pieces = [index for index, row in enumerate(measured["operators"]) if row["layer"] == "reverse"]
    for row in operators[pieces[0] + 1 :]:
        row[1] -= pieces[0] + 1  # XNNPACK counts anew in each piece
    operators[pieces[0]][1] = _place(profiled_file, "REVERSE_V2")  # the interpreter counts in the file
    content = profiled_file.read_bytes()
    model = flatbuffer.unpack(content)
    whole = op_profile.layers(content, model, operators)
    assert whole == [row["layer"] for row in measured["operators"]]
    heavy = whole.index("heavy")
    without = op_profile.layers(content, model, operators[:heavy] + operators[heavy + 1 :])
    assert "heavy" not in without
    assert {"deep", "both", "sum"} < set(without), "other kinds still match"
    assert op_profile._between(["a/b/c", None, "a/b/d", None, "e"]) == ["a/b/c", "a/b", "a/b/d", None, "e"]


def _place(path: Path, name: str) -> int:
    model = flatbuffer.unpack(path.read_bytes())
    return [flatbuffer.op_name(model, operator) for operator in model.subgraphs[0].operators].index(name)


def test_names_of_layers():
    merged = "net_1/stem_1/act_1/Relu;net_1/stem_1/bn_1/add_1;net_1/stem_1/conv_1/convolution"
    assert op_profile._paths([merged]) == ["stem"]
    assert op_profile._paths(["net_1/head_act_1/Relu;net_1/head_conv_1/convolution"]) == ["head_conv"]
    assert op_profile._paths(["net_1/blocks_1_1/blocks_1_add_1/Add"]) == ["blocks_1/blocks_1_add"]
    assert op_profile._paths(["net_1/blocks_1_1/up_1/Repeat/concat"]) == ["blocks_1/up"]
    assert op_profile._paths(["net_100/blocks_1/add/Add"]) == ["blocks_1/add"], "numbers of its own stay"
    assert op_profile._paths(["net/blocks_1/add/Add", "tfl.quantize", "x/y"]) == ["blocks_1/add", None, None]


def test_the_command_prints_draws_and_stores_it(profiled_file, tmp_path, capsys):
    words = [str(profiled_file), "--num-runs=3", "--warmup-runs=1", "--profile"]
    words += ["--picture", str(tmp_path / "p.svg"), "--json", str(tmp_path / "p.json")]
    assert benchmark.main(words) == commands.OK
    printed = capsys.readouterr().out
    for heading in ("operation ", "layer ", "slowest operation"):
        assert f"\n{heading}" in printed
    assert "heavy" in printed and printed.splitlines()[-1].startswith("Inference timings in us")
    (found,) = json.loads((tmp_path / "p.json").read_text())["profiles"]
    assert found["file"] == "tiny.tflite" and len(found["operators"]) >= 8
    picture = (tmp_path / "p.svg").read_text()
    assert picture.count(">heavy<") == 1 and "Convolution (NHWC, F32)" in picture


def test_what_cannot_be_profiled_is_one_line(profiled_file, tmp_path, capsys, monkeypatch):
    for words in (["--picture", "p.svg"], ["--profile", "--picture", "p.pdf"]):
        assert benchmark.main([str(profiled_file), *words]) == commands.BAD_INPUT
        assert "--picture" in capsys.readouterr().err
    (tmp_path / "bad.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(60))
    with pytest.raises(commands.CommandError, match=r"profiling .*bad\.tflite ended with .* and said: "):
        op_profile.profile(tmp_path / "bad.tflite")
    monkeypatch.setattr(ai_edge_litert, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(commands.MissingResource, match="libLiteRt"):
        op_profile.profile(profiled_file)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_crash_of_native_code_is_one_message(tmp_path, monkeypatch):
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\necho 'the last words' >&2\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(commands.CommandError, match="profiling x ended with signal SIGSEGV and said: the last words"):
        child.in_own_process("tflite.litert_profiler", [], "profiling x")
