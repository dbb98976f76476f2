"""The benchmark of widths and sizes: which files, against which reference, and what is fitted and drawn."""

import csv

import keras
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite import charts, scaling
from ghostnet_tf.tflite.schemes import convert


@pytest.fixture(scope="module")
def benchmark(script):
    return script("scaling")


@pytest.fixture
def small(monkeypatch):
    """A convolution in place of GhostNet, the same for every width."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    content = convert(keras.Model(image, keras.layers.Conv2D(4, 3)(image)), "fp32")
    monkeypatch.setattr(scaling, "converted", lambda width, size, scheme, **_: content)
    monkeypatch.setattr(scaling, "multiply_adds", lambda width, size: 1000)
    monkeypatch.setattr("ghostnet_tf.tflite.cold_start.cold_start", lambda *_, **__: {"peak_memory_mb": 1.5})


def test_the_command(benchmark, small, tmp_path, capsys):
    words = ["--widths", "0.5", "1", "--sizes", "96", "160", "224", "--int8-widths", "2", "--int8-sizes", "96"]
    words += ["--rounds", "3", "--csv", str(tmp_path / "scaling.csv"), "--picture", str(tmp_path / "scaling.svg")]
    assert benchmark.main(words) == commands.OK
    printed = capsys.readouterr()
    with (tmp_path / "scaling.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["scheme"], row["width"], row["size"]) for row in rows] == [
        *(("fp32", width, size) for width in ("0.5", "1.0") for size in ("96", "160", "224")),
        ("int8", "2.0", "96"),
    ]
    assert float(rows[5]["ratio"]) == float(rows[6]["ratio"]) == 1  # 1.0 at 224, and the only one of int8
    assert rows[6]["reference_size"] == "96" and rows[0]["reference_size"] == "224"
    assert "ratio of int8 is not fitted: 1 files" in printed.err
    assert "fp32: time = " in printed.out and "% at most" in printed.out
    assert rows[0]["fitted_ratio"] and not rows[6]["fitted_ratio"]
    assert "<svg" in (tmp_path / "scaling.svg").read_text()


def test_an_empty_grid_and_a_picture_of_no_kind(benchmark, capsys):
    assert benchmark.main(["--widths", "--int8-widths"]) == commands.BAD_INPUT
    assert "at least one width" in capsys.readouterr().err
    assert benchmark.main(["--picture", "scaling.pdf"]) == commands.BAD_INPUT
    assert ".svg or .png" in capsys.readouterr().err


def test_the_picture_shows_every_width_and_scheme(tmp_path):
    rows = [
        {"scheme": scheme, "width": width, "size": size, "ratio": width * size, "peak_memory_mb": None}
        for scheme in ("fp32", "int8")
        for width in (0.5, 2.0)
        for size in (96, 224)
    ]
    charts.scaling(tmp_path / "a.svg", rows, {("fp32", "ratio"): lambda width, size: width * size})
    drawn = (tmp_path / "a.svg").read_text()
    assert all(f"{scheme}, width {width}" in drawn for scheme in ("fp32", "int8") for width in ("0.5", "2"))
