"""Quantization-aware training through the commands: a run, its int8 file, and what a user gets wrong."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ghostnet_tf import layers
from ghostnet_tf.commands import BAD_INPUT, OK
from ghostnet_tf.models import _build
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import convert
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.training import fit, train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import load_data
from ghostnet_tf.training.history import read_metrics
from ghostnet_tf.training.predict import load_predictor
from ghostnet_tf.training.qat_settings import qat_settings
from ghostnet_tf.training.runs import load_run


def build(*, input_shape, classes, classifier_activation, dropout_rate=0.2, **_) -> keras.Model:
    """A bottleneck in the place of GhostNet."""
    image = keras.Input(input_shape, name="image")
    x = layers.ConvBN(8, 3, strides=2, name="stem")(_build.normalization(3)(image))
    x = layers.GhostBottleneck(24, 16, strides=2, se_ratio=0.25, name="block")(x)
    return keras.Model(image, _build.head(x, 32, classes, classifier_activation, dropout_rate))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on digits and one of quantization-aware training that starts from it."""
    folder = tmp_path_factory.mktemp("qat")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fit.BUILDERS, "ghostnet", build)
        first, second = folder / "first", folder / "second"
        options = ["--batch-size", "32", "--label-smoothing", "0.05"]
        assert train.main(["--data", "digits", "--epochs", "2", "--output", str(first), *options]) == OK
        arguments = ["--qat", "--model", str(first), "--epochs", "2", "--learning-rate", "0.00005"]
        arguments += ["--output", str(second)]
        assert train.main(arguments) == OK
    return first, second


def quantization_benchmark(*arguments) -> subprocess.CompletedProcess:
    """`benchmarks/quantization.py`, as a command."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "quantization.py"
    return subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True)


def test_the_run_is_complete_and_goes_on_from_the_first(runs):
    first, second = runs
    config = load_run(second)
    assert (config.weights, config.epochs, config.warmup_epochs) == (str(first / "model.keras"), 2, 0.0)
    assert (config.batch_size, config.label_smoothing, config.data) == (32, 0.05, "digits")
    assert qat_settings({"model": str(first)})[1].learning_rate == pytest.approx(0.2 / 8000 * 32 / 128)  # of 0.2 at 128
    accuracies = [float(row["val_accuracy"]) for row in read_metrics(second)]
    assert len(accuracies) == 2
    # The first run's accuracy, up to a few of 360 images: rounding and few steps at a small rate.
    assert min(accuracies) > float(read_metrics(first)[-1]["val_accuracy"]) - 0.03
    record = json.loads((second / "quantization.json").read_text())
    assert (record["start"], record["calibration_images"]) == (str(first), 512)
    assert record["test"]["top1"] == pytest.approx(accuracies[-1], abs=1e-4)  # of digits, test is held-out
    assert all(low <= 0 <= high for low, high in record["ranges"].values())


def test_weights_come_back_into_the_keras_3_model(runs):
    first, second = (keras.models.load_model(run / "model.keras") for run in runs)
    changes = {
        one.path: np.abs(one.numpy() - other.numpy()).max()
        for one, other in zip(first.weights, second.weights, strict=True)
    }
    assert min(changes.values()) > 0  # normalization trained in the first of the two epochs
    entry = json.loads((runs[1] / "evaluation.json").read_text())[0]
    right = second.predict(load_data("digits").test.images().astype("float32"), verbose=0).argmax(-1)
    assert entry["top1"] == pytest.approx(np.mean(right == load_data("digits").test.labels), abs=1e-6)


def test_the_file_is_what_was_trained(runs, capsys):
    _, second = runs
    assert convert.main(["--model", str(second), "--int8"]) == OK
    said = capsys.readouterr().out
    file = second / "exports" / "ghostnet_100_32_digits_int8_qat.tflite"
    graph = read_graph(file)
    assert graph.float_ops == ()
    assert graph.outside.keys() == {"SOFTMAX"}
    assert graph.ops["QUANTIZE"] == 1
    assert (graph.inputs[0].dtype, graph.inputs[0].scale, graph.inputs[0].zero_point) == ("uint8", 1.0, 0)
    record = json.loads(file.with_suffix(".json").read_text())
    assert (record["scheme"], record["calibration"]) == ("int8_qat", None)
    assert record["fake_quantized_snr_db"] > 25  # differences of a step, from biases in integers, spread
    assert float(re.search(r"that was trained ([\d.]+) dB", said)[1]) > 25
    trained = json.loads((second / "quantization.json").read_text())["test"]["top1"]
    test = load_data("digits").test
    found = np.mean(TFLiteModel(file).predict(test.images()).argmax(-1) == test.labels)
    assert found == pytest.approx(trained, abs=0.0084)  # three of 360 images near a tie
    assert load_predictor(file).scheme == "int8_qat"  # as `evaluate` names it


def test_the_answers_of_the_float_model_are_kept_by_their_share_in_the_loss(runs, tmp_path, monkeypatch):
    """Labels smoothed to next to nothing make answers flat, unless it is the float model that is learnt from."""
    monkeypatch.setitem(fit.BUILDERS, "ghostnet", build)
    images = load_data("digits").test.images().astype("float32")
    before = keras.models.load_model(runs[0] / "model.keras").predict(images, verbose=0)
    distances = []
    for share in ("0", "1"):
        options = ["--epochs", "1", "--learning-rate", "0.01", "--label-smoothing", "0.9", "--output", str(tmp_path)]
        options += ["--distillation-weight", share, "--overwrite"]
        assert train.main(["--qat", "--model", str(runs[0]), *options]) == OK
        after = keras.models.load_model(tmp_path / "model.keras").predict(images, verbose=0)
        distances.append(np.abs(after - before).sum(axis=1).mean() / 2)  # of distributions, total variation
    assert distances[1] < distances[0] / 1.5  # 0.11 and 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --model RUN with --qat"),
        (["--model", "ghostnet"], "expected a run folder, with config.toml inside. Received: ghostnet"),
        (["--model", "FIRST", "--ema", "0.9", "--width", "2"], "does not go with it: --width, --ema"),
        (["--model", "FIRST", "--output", "FIRST"], "expected another --output than"),
        (["--model", "FIRST", "--find-lr"], "--qat does not go with --resume, --preview or --find-lr"),
        (["--model", "UNFINISHED"], "without model.keras"),
    ],
)
def test_bad_input(arguments, message, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    RunConfig().save(tmp_path / "unfinished" / "config.toml")
    names = {"FIRST": str(runs[0]), "UNFINISHED": "unfinished"}
    arguments = ["--qat", *(names.get(word, word) for word in arguments)]
    assert train.main(arguments) == BAD_INPUT
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert (runs[0] / "model.keras").is_file()
    assert not (tmp_path / "runs").exists()


def test_a_run_of_it_is_not_resumed(runs, capsys):
    assert train.main(["--resume", str(runs[1])]) == BAD_INPUT
    assert "start it again with --qat --overwrite" in capsys.readouterr().err


def test_calibration_flags_do_not_apply(runs, capsys):
    assert convert.main(["--model", str(runs[1]), "--int8", "--calibration-method", "mse"]) == BAD_INPUT
    assert "learned its int8 ranges with --qat" in capsys.readouterr().err


def test_the_table_of_quantization_has_a_row_of_it(runs, tmp_path):
    first, second = runs
    table = tmp_path / "table.csv"
    arguments = ["--model", first, "--qat", second, "--methods", "mse + bias correction", "--csv", table]
    done = quantization_benchmark(*arguments, "--calibration-images", "20")
    assert done.returncode == OK, done.stderr
    with table.open(newline="") as file:
        float_file, calibrated, trained = csv.DictReader(file)
    assert (float_file["scheme"], calibrated["scheme"], trained["scheme"]) == ("fp32", "int8", "int8_qat")
    assert (trained["model"], trained["method"]) == ("first/model.keras", "ours, quantization-aware training")
    assert trained["float_top1"] == float_file["top1"]  # of what the training started from
    record = json.loads((second / "quantization.json").read_text())
    assert float(trained["top1"]) == pytest.approx(record["test"]["top1"], abs=0.0084)  # as above, near ties
    assert trained["float_ops"] == "0"


def test_the_table_of_quantization_takes_runs_that_belong_together(runs):
    first, second = runs
    done = quantization_benchmark("--model", second, "--qat", second)
    assert done.returncode == BAD_INPUT
    assert f"Received: {second} and runs that started from {first}" in done.stderr
    done = quantization_benchmark("--model", first, "--qat", first)
    assert done.returncode == BAD_INPUT
    assert f"expected a run of train.py --qat. Received: {first}, without quantization.json" in done.stderr
