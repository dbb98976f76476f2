"""The guard: what it counts, and that a difference is seen. Its own run on results/guard.json is for CI."""

import copy
import json
import os
from pathlib import Path

import pytest

from ghostnet_tf import commands
from ghostnet_tf.analysis import complexity

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "results/guard.json"


@pytest.fixture(scope="module")
def guard(script):
    return script("guard")


@pytest.fixture
def expected(guard):
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tiny():
    """A network with all that is counted, and its float file."""
    import keras

    from ghostnet_tf.tflite.schemes import convert

    image = keras.Input((12, 12, 4))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(image)
    x = keras.layers.DepthwiseConv2D(5, padding="same")(x)
    x = keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    return model, convert(model, "fp32")


def test_multiply_adds_are_those_of_the_keras_model(guard, tiny):
    model, content = tiny
    by_hand = 6 * 6 * 8 * 9 * 4 + 6 * 6 * 8 * 25 + 8 * 6
    assert guard.multiply_adds(content) == complexity(model).macs == by_hand


def test_what_was_recorded_is_complete(guard, expected):
    assert list(expected["files"]) == list(guard.FILES)
    for row in expected["files"].values():
        assert list(row) == list(guard.COUNTS) and row["bytes"] > 100_000
    plain = expected["files"]["ghostnet_025_fp32"]
    # int8 computes some rows twice, and zeros between the halves of its largest maps; fp32 runs in one piece.
    assert 1 < expected["files"]["ghostnet_025_int8"]["multiply_adds"] / plain["multiply_adds"] < 1.1
    assert len(plain["partitions"]) == 1 and not plain["outside"]
    assert list(expected[guard.ARM]) == list(guard.FILES) and min(expected[guard.ARM].values()) > 1e6


def test_every_count_that_differs_fails(guard, expected):
    assert guard.differences(expected, expected) == []
    for count, value in (("bytes", 1), ("multiply_adds", 2), ("partitions", [3]), ("ops", {}), ("outside", {"X": 1})):
        found = copy.deepcopy(expected)
        found["files"]["ghostnet_025_int8"][count] = value
        (line,) = guard.differences(found, expected)
        assert line.startswith(f"ghostnet_025_int8, {count}: expected ") and line.endswith(f"Received: {value}")
    fewer = {"files": {"ghostnet_025_fp32": expected["files"]["ghostnet_025_fp32"], "other": {}}}
    lines = guard.differences(fewer, expected)
    assert "other: not recorded" in lines and sum("not made any more" in line for line in lines) == 3


def test_instructions_may_be_off_by_two_percent(guard, expected):
    name = "ghostnet_025_int8"
    for factor, lines in ((0.97, 1), (0.99, 0), (1.01, 0), (1.03, 1)):
        counted = int(factor * expected[guard.ARM][name])
        found = guard.differences(expected | {guard.ARM: {name: counted}}, expected)
        assert len(found) == lines
        assert not lines or (f"{name}, arm_instructions" in found[0] and f"{counted:,}" in found[0])
    assert guard.differences({"files": expected["files"]}, expected) == []  # where they were not counted


def test_instructions_are_as_recorded(guard, expected):
    if not os.environ.get("FULL_SIZE"):
        pytest.skip("sets up and starts an emulated processor: set FULL_SIZE=1, as make test-arm does")
    try:
        counted = guard.instructions(guard.converted())
    except commands.MissingResource as reason:
        pytest.skip(str(reason))
    assert guard.differences({"files": expected["files"], guard.ARM: counted}, expected) == []


def test_time_only_warns_and_only_on_the_same_processor(guard, expected):
    slow = copy.deepcopy(expected)
    name = next(iter(expected["time_to_fp32"]))
    slow["time_to_fp32"][name] = 2 * expected["time_to_fp32"][name]
    assert guard.warnings(expected, expected) == []
    (line,) = guard.warnings(slow, expected)
    assert name in line
    assert guard.differences(slow, expected) == []
    (line,) = guard.warnings(slow | {"cpu": "another"}, expected)
    assert "not compared" in line


def test_the_command(guard, tiny, tmp_path, capsys, monkeypatch):
    _, content = tiny
    monkeypatch.setattr(guard, "converted", lambda: {"tiny_fp32": content, "tiny_int8": content})
    words = ["--expected", str(tmp_path / "guard.json")]
    assert guard.main(words) == commands.BAD_INPUT
    assert "--record" in capsys.readouterr().err
    assert guard.main([*words, "--record"]) == commands.OK
    assert guard.main(words) == commands.OK
    printed = capsys.readouterr()
    assert "2 files are as recorded" in printed.out and "without --arm" in printed.err
    assert guard.main([*words, "--arm"]) == commands.BAD_INPUT
    assert "record them with --record --arm" in capsys.readouterr().err
    monkeypatch.setattr(guard, "instructions", lambda files: dict.fromkeys(files, 1000))
    assert guard.main([*words, "--record", "--arm"]) == commands.OK
    monkeypatch.setattr(guard, "instructions", lambda files: dict.fromkeys(files, 1050))
    assert guard.main([*words, "--arm"]) == commands.FAILED
    assert "expected 1,000 within 2%. Received: 1,050" in capsys.readouterr().out
    recorded = json.loads((tmp_path / "guard.json").read_text())
    recorded["files"]["tiny_int8"]["bytes"] += 1
    (tmp_path / "guard.json").write_text(json.dumps(recorded))
    assert guard.main(words) == commands.FAILED
    printed = capsys.readouterr()
    assert "tiny_int8, bytes: expected" in printed.out and "--record" in printed.err
