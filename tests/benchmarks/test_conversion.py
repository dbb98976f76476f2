"""What a conversion costs and gives, by the command that measures it."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image

from ghostnet_tf import commands
from ghostnet_tf.tflite.schemes import SCHEMES
from ghostnet_tf.tflite.verify import Reference, reference


@pytest.fixture(scope="module")
def conversion(script):
    return script("conversion")


CONVERT = """\
import json, pathlib, sys
memory = bytearray(300_000_000)
memory[::4096] = bytes(len(memory[::4096]))  # touched
words = dict(zip(sys.argv[4::2], sys.argv[5::2]))
assert sys.argv[1:4] == ["--int8", "--weights", "none"], sys.argv
assert words["--size"] == "32" and words["--width"] == "0.25", words
report = {"calibration": {"images": int(words["--calibration-images"])}, "agreement": {"images": 7}}
if words["--seed"] == "9":
    sys.exit("error: no such luck")
pathlib.Path(words["--json"]).write_text(json.dumps({"files": [report]}))
"""


def test_seconds_and_memory_are_those_of_the_command(conversion, tmp_path, monkeypatch, capsys):
    (tmp_path / "tflite").mkdir()
    (tmp_path / "tflite" / "convert.py").write_text(CONVERT)
    monkeypatch.setattr(conversion, "ROOT", tmp_path)
    words = ["--size", "32", "--width", "0.25", "--calibration-images", "20"]
    table = tmp_path / "conversion.csv"
    assert conversion.main([*words, "--csv", str(table)]) == commands.OK
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["network"], row["size"], row["calibration_images"], row["verification_images"]) == (
        "ghostnet",
        "32",
        "20",
        "7",
    )
    # Linux counts a process from the memory of its parent, which here is pytest and may be larger.
    assert float(row["peak_memory_mb"]) > 300
    assert 0 < float(row["seconds"]) < 60
    assert f"{row['seconds']} s" in capsys.readouterr().out
    assert conversion.main([*words, "--seed", "9"]) == commands.FAILED
    assert "error: the conversion failed: error: no such luck" in capsys.readouterr().err


def test_every_way_to_int8_is_compared(conversion):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Conv2D(8, 3, activation="relu")(x)
    x = keras.layers.Dense(5, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    expected = reference(model, images, classified=False)
    found = {name: conversion.compared(content, expected) for name, content in conversion.files(model, images)}
    ways = [name for name in found if name.startswith("int8")]
    assert len(ways) == len(set(ways)) == 12
    assert set(found) - set(ways) >= {scheme for scheme in SCHEMES if scheme != "int8"}
    weights = found["fp32 with the weights of int8"]["snr_db"]
    # Rounded weights are a part of what int8 costs.
    assert max(found[name]["snr_db"] for name in ways if "equal" not in name) < weights < found["fp32"]["snr_db"]


def test_the_mean_over_the_images_is_not_what_varies(conversion, monkeypatch):
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    expected = Reference(None, logits + 100, logits + 100, True, False)

    class File:
        def __init__(self, content):
            pass

        def predict(self, images):
            return logits * 1.1 + 100

    monkeypatch.setattr("ghostnet_tf.runtime.TFLiteModel", File)
    monkeypatch.setattr("ghostnet_tf.tflite.flatbuffer.with_logits", lambda content: content)
    found = conversion.compared(b"", expected)
    assert found["varying_snr_db"] == pytest.approx(20, abs=0.3)  # a tenth of the signal
    assert found["snr_db"] > 50
    assert found["top1_agreement"] == 1


def test_too_few_photos(conversion, tmp_path, capsys):
    for number in range(5):
        Image.new("RGB", (40, 50), (number, 0, 0)).save(tmp_path / f"{number}.png")
    assert conversion.main(["--photos", str(tmp_path), "--calibration-images", "3"]) == commands.BAD_INPUT
    assert "expected 6 photos in" in capsys.readouterr().err
