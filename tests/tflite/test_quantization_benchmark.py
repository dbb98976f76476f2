"""The table of results/quantization.csv, from a small run: a row a file, and the other quantizers for comparison."""

import csv
import importlib.util
import shlex
from pathlib import Path

import keras
import pytest

import ghostnet_tf
from ghostnet_tf import commands
from ghostnet_tf.training.config import RunConfig

SCRIPT = Path(ghostnet_tf.__file__).resolve().parents[1] / "benchmarks" / "quantization.py"


@pytest.fixture(scope="module")
def benchmark():
    if not SCRIPT.is_file():
        pytest.skip("benchmarks/ is not part of an installation: run in a checkout")
    spec = importlib.util.spec_from_file_location("quantization_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.path", [""])
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path) -> Path:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(8, 4, strides=4, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(10, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    RunConfig(data="digits", width=0.25, size=32).save(folder / "config.toml")
    keras.Model(image, x).save(folder / "model.keras")
    return folder


def test_every_file_has_a_row(benchmark, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    methods = ["minmax + equalization", "mse + bias correction", "TensorFlow guide"]
    if importlib.util.find_spec("litert_quantizer"):
        methods.append("litert-quantizer")
    argv = ["--model", "runs/tiny", "--methods", *methods, "--calibration-images", "20", "--test-images", "30"]
    assert benchmark.main([*argv, "--csv", "table.csv"]) == commands.OK
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = ["ours", *(f"ours, {name}" for name in methods[:2]), *methods[2:]]
    assert [row["method"] for row in rows] == expected
    assert [row["scheme"] for row in rows] == ["fp32", *["int8"] * (len(rows) - 1)]
    assert shlex.split(rows[0]["command"])[1:] == ["benchmarks/quantization.py", *argv, "--csv", "table.csv"]
    for row in rows:
        assert (row["model"], row["test_images"]) == ("tiny/model.keras", "30")
        lost = 100 * (float(row["float_top1"]) - float(row["top1"]))
        assert float(row["points_lost"]) == pytest.approx(lost, abs=0.002)
        assert float(row["snr_db"]) > (100 if row["scheme"] == "fp32" else 10)
        assert (row["float_ops"] == "0") == (row["scheme"] == "int8")
        assert float(row["median_ms"]) > 0
    assert float(rows[0]["points_lost"]) == 0
    assert float(rows[0]["ratio"]) == 1
    assert f"{run.name}: top-1" in capsys.readouterr().out


def test_what_is_refused(benchmark, run, capsys):
    assert benchmark.main(["--model", "gone"]) == commands.BAD_INPUT
    assert "expected a run folder" in capsys.readouterr().err
    (run / "model.keras").unlink()
    assert benchmark.main(["--model", str(run)]) == commands.BAD_INPUT
    assert "the training did not finish" in capsys.readouterr().err
