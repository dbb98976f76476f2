"""`convert --selftest`: a file that is as it was passes; each thing that changed has its line."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.litert.metadata import read_metadata
from ghostnet_tf.tflite import convert, sources
from ghostnet_tf.tflite.flatbuffer import unpack
from ghostnet_tf.tflite.metadata import with_metadata

NAMES = ("sha256", "operations", "inputs", "outputs", "metadata", "labels", "XNNPACK", "agreement")
DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def converted(digits_model, tmp_path_factory):
    """A run folder with an int8 file in it."""
    run = tmp_path_factory.mktemp("selftest") / "digits_run"
    run.mkdir()
    (run / "config.toml").write_text('data = "digits"\nwidth = 0.25\nsize = 32\n')
    digits_model.save(run / "model.keras")
    (run / "labels.txt").write_text("\n".join(DIGITS) + "\n")
    assert convert.main(["--model", str(run), "--int8", "--license", "CC0-1.0"]) == commands.OK
    return run


@pytest.fixture
def shipped(converted, tmp_path):
    """A copy of the file and its sidecar, away from the run."""
    for path in (converted / "exports").iterdir():
        shutil.copy(path, tmp_path)
    (file,) = tmp_path.glob("*.tflite")
    return file


def checked(capsys, *arguments) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and of each line: name -> verdict, what was found."""
    code = convert.main(["--selftest", *map(str, arguments)])
    said, log = capsys.readouterr()
    assert log == ""
    *lines, last = said.splitlines()
    found = {}
    for line in lines:
        name, _, rest = line.partition(": ")
        verdict, _, said = rest.partition(", ")
        found[name] = verdict, said
    assert tuple(found) == NAMES
    failed = sum(verdict == "FAILED" for verdict, _ in found.values())
    looked_at = sum(verdict != "not checked" for verdict, _ in found.values())
    expected = f"{failed} of {looked_at} checks failed" if failed else f"all {looked_at} checks passed"
    assert last == f"{arguments[0]}: {expected}"
    return code, found


def test_a_file_in_its_run_passes_with_the_model(converted, capsys):
    (file,) = converted.glob("exports/*.tflite")
    record = json.loads(file.with_suffix(".json").read_text())
    code, found = checked(capsys, file)
    assert code == commands.OK
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert found["sha256"][1] == record["sha256"]
    assert found["inputs"][1] == "image uint8 (1, 32, 32, 3)"
    assert found["labels"][1] == "10, 0 to 9"
    assert "licence CC0-1.0, takes RGB from 0 to 255" in found["metadata"][1]
    # The same images and the same processor: the same numbers.
    value, cosine = record["agreement"]["value"], record["agreement"]["cosine"]
    said = f"top-1 agreement {value:.4f} and cosine of logits {cosine:.6f} on 100 images (digits, "
    assert found["agreement"][1].startswith(said)


def test_alone_it_needs_neither_model_nor_images(shipped, capsys, monkeypatch):
    monkeypatch.setattr(sources, "find", lambda _: pytest.fail("looked for a model"))
    code, found = checked(capsys, shipped)
    assert code == commands.OK
    assert found["agreement"] == ("not checked", "no model at hand; --model RUN|FILE compares with one")
    assert {verdict for name, (verdict, _) in found.items() if name != "agreement"} == {"ok"}


def test_a_given_model_is_compared(shipped, converted, digits_model, tmp_path, capsys):
    code, found = checked(capsys, shipped, "--model", converted)
    assert (code, found["agreement"][0]) == (commands.OK, "ok")

    other = keras.models.clone_model(digits_model)
    kernel, bias = digits_model.get_weights()
    other.set_weights([kernel[:, ::-1], bias[::-1]])  # counts backwards
    other.save(tmp_path / "other.keras")
    code, found = checked(capsys, shipped, "--model", tmp_path / "other.keras", "--calibration", "digits")
    assert (code, found["agreement"][0]) == (commands.FAILED, "FAILED")
    assert [name for name, (verdict, _) in found.items() if verdict == "FAILED"] == ["agreement"]
    assert "; expected at least 0.9" in found["agreement"][1]

    five = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(5)])
    five.save(tmp_path / "five.keras")
    code, found = checked(capsys, shipped, "--model", tmp_path / "five.keras")
    assert (code, found["agreement"][0]) == (commands.FAILED, "FAILED")
    assert "expected [(32, 32, 3), (5,)]. Received: [(32, 32, 3), (10,)]" in found["agreement"][1]


def test_a_flipped_byte_fails_the_checksum(shipped, capsys):
    content = bytearray(shipped.read_bytes())
    largest = max((buffer.data for buffer in unpack(bytes(content)).buffers if buffer.data is not None), key=len)
    content[content.find(largest.tobytes()) + 1000] ^= 1
    shipped.write_bytes(content)
    code, found = checked(capsys, shipped)
    assert code == commands.FAILED
    failed = {name for name, (verdict, _) in found.items() if verdict == "FAILED"}
    assert failed == {"sha256"}
    assert found["XNNPACK"] == ("not checked", "a file with another checksum is not run")


CHANGES = {
    "checksum": (lambda record: record.update(sha256="0" * 64), "sha256", f"expected {'0' * 64}. Received: "),
    "operation": (lambda record: record["graph"]["ops"].update(CONV_2D=3), "operations", "'CONV_2D': 3"),
    "floats": (lambda record: record["graph"].update(float_ops=2), "operations", "Received: {'float_ops': 0}"),
    "scale": (lambda record: record["graph"]["inputs"][0].update(scale=0.5), "inputs", "'scale': 0.5"),
    "type": (lambda record: record["graph"]["outputs"][0].update(dtype="int8"), "outputs", "'dtype': 'int8'"),
    "partitions": (lambda record: record["graph"].update(partitions=[9]), "XNNPACK", "expected {'partitions': [9]}"),
    "licence": (
        lambda record: record["metadata"].update(license="MIT"),
        "metadata",
        "Received: {'license': 'CC0-1.0'}",
    ),
    "order": (lambda record: record["labels"].reverse(), "labels", "10 differ; of class 0 expected '9'. Received: '0'"),
    "one less": (lambda record: record["labels"].pop(), "labels", "expected 9. Received: 10"),
}


@pytest.mark.parametrize(("change", "name", "said"), CHANGES.values(), ids=CHANGES)
def test_a_changed_sidecar_has_its_line(shipped, capsys, change, name, said):
    beside = shipped.with_suffix(".json")
    record = json.loads(beside.read_text())
    change(record)
    beside.write_text(json.dumps(record))
    code, found = checked(capsys, shipped)
    assert code == commands.FAILED
    assert [key for key, (verdict, _) in found.items() if verdict == "FAILED"] == [name]
    assert said in found[name][1]


def test_swapped_labels_are_named(shipped, capsys):
    content = shipped.read_bytes()
    swapped = [*DIGITS[:3], "4", "3", *DIGITS[5:]]
    shipped.write_bytes(with_metadata(content, dataclasses.replace(read_metadata(content), labels=tuple(swapped))))
    code, found = checked(capsys, shipped)
    assert code == commands.FAILED
    assert {key for key, (verdict, _) in found.items() if verdict == "FAILED"} == {"sha256", "labels"}
    assert found["labels"][1] == "2 differ; of class 3 expected '3'. Received: '4'"


def test_a_file_cut_off_is_one_message(shipped, capsys):
    content = shipped.read_bytes()
    for length in (len(content) - 1, len(content) // 2, 100):
        shipped.write_bytes(content[:length])
        assert convert.main(["--selftest", str(shipped)]) == commands.FAILED
        said, log = capsys.readouterr()
        assert said == ""
        assert log == (f"error: {shipped} is cut off: {length} of {len(content)} bytes. Copy it or make it again\n")


def test_damage_anywhere_is_no_crash(shipped, capsys):
    content = shipped.read_bytes()
    rng = np.random.default_rng(0)
    codes = []
    for _ in range(40):
        damaged = bytearray(content)
        # Where the model's structure lies, not its weights: in the first and the last 4 kB.
        place = rng.integers(8, 4096)
        damaged[place if rng.random() < 0.5 else -place] ^= 1 << rng.integers(8)
        shipped.write_bytes(damaged)
        codes.append(convert.main(["--selftest", str(shipped)]))
        said, log = capsys.readouterr()
        assert "sha256: FAILED, expected " in said
        assert len(log.splitlines()) <= 1
    assert set(codes) == {commands.FAILED}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.tflite"], "Received: gone.tflite, gone.tflite not found"),
        (["alone.tflite"], "with its .json beside it. Received: alone.tflite, alone.json not found"),
        (["notes.tflite"], "expected a .tflite file. Received: notes.tflite, which is none"),
        (["odd.tflite"], "odd.json is damaged"),
        (["old.tflite"], "old.json lacks 'metadata'; make it again with the command that made it"),
        (["old.tflite", "--int8"], "--selftest converts nothing. Received: --int8 with it"),
    ],
)
def test_bad_input_is_one_clear_line(shipped, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    record = json.loads(shipped.with_suffix(".json").read_text())
    for name in ("alone", "odd", "old"):
        shutil.copy(shipped, f"{name}.tflite")
    (tmp_path / "notes.tflite").write_text("nothing of the kind")
    (tmp_path / "notes.json").write_text(json.dumps(record))
    (tmp_path / "odd.json").write_text("{")
    del record["metadata"]
    (tmp_path / "old.json").write_text(json.dumps(record))
    assert convert.main(["--selftest", *arguments]) == commands.BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
