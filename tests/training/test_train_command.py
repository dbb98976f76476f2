"""The training and evaluation commands, through their entry points."""

import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from ghostnet_tf.commands import BAD_INPUT, FAILED, OK
from ghostnet_tf.models import ghostnet
from ghostnet_tf.training import evaluate, train

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("worker.py")
SMALL = ["--width", "0.25", "--size", "32", "--batch-size", "8", "--epochs", "3", "--warmup-epochs", "0.5"]
ROW = 3  # of GhostNet's table: strides, a projection, squeeze and excitation


@pytest.fixture(scope="module")
def photo_run(tmp_path_factory, draw_photos):
    """A run of a GhostNet of one row on a folder of photos, with its data beside it."""
    folder = tmp_path_factory.mktemp("training")
    draw_photos(folder / "photos", 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ghostnet, "ROWS", ghostnet.ROWS[ROW : ROW + 1])
        assert train.main(["--data", str(folder / "photos"), "--output", str(folder / "run"), *SMALL]) == OK
    return folder / "run"


def width_of(picture: Path) -> int:
    with Image.open(picture) as image:
        return image.width


def test_a_run_folder_is_complete(photo_run):
    expected = {"checkpoints", "config.toml", "curves.png", "environment.json", "evaluation.json", "labels.txt"}
    expected |= {"metrics.csv", "model.json", "model.keras", "resume.json", "split.json"}
    assert {path.name for path in photo_run.iterdir()} == expected
    assert (photo_run / "labels.txt").read_text().split() == ["blue", "green", "red"]
    rows = list(csv.DictReader((photo_run / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["loss"]) > 0 and 0 <= float(row["val_accuracy"]) <= 1 for row in rows)
    assert width_of(photo_run / "curves.png") > 500
    best = max(rows, key=lambda row: float(row["val_accuracy"]))["epoch"]
    kept = {path.name for path in (photo_run / "checkpoints").iterdir()}
    assert kept == {f"epoch_000{best}.weights.h5", "epoch_0003.weights.h5"}
    assert json.loads((photo_run / "model.json").read_text())["epoch"] == 3
    environment = json.loads((photo_run / "environment.json").read_text())
    assert environment["keras"] == keras.__version__


def test_the_saved_model_gives_probabilities(photo_run):
    model = keras.models.load_model(photo_run / "model.keras")
    scores = model.predict(np.full((2, 32, 32, 3), 128.0), verbose=0)
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_an_existing_run_is_kept(photo_run, capsys):
    before = (photo_run / "model.keras").stat().st_mtime_ns
    assert train.main(["--data", "digits", "--output", str(photo_run), *SMALL]) == BAD_INPUT
    assert "--resume" in capsys.readouterr().err
    assert (photo_run / "model.keras").stat().st_mtime_ns == before


def test_a_resumed_run_keeps_its_settings(photo_run, capsys):
    assert train.main(["--resume", str(photo_run), "--width", "0.5"]) == BAD_INPUT
    assert "width: 0.25 -> 0.5" in capsys.readouterr().err


def test_evaluation_prints_and_records(photo_run, capsys):
    before = json.loads((photo_run / "evaluation.json").read_text())
    assert evaluate.main(["--model", str(photo_run)]) == OK
    printed = capsys.readouterr().out
    top1 = float(re.search(r"Top-1 accuracy: ([\d.]+)", printed)[1])
    assert top1 == pytest.approx(before[0]["top1"], abs=1e-4)
    assert re.search(r"green\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+2", printed)  # precision, recall, F1, photos
    assert width_of(photo_run / "confusion_model.png") > 300
    assert json.loads((photo_run / "evaluation.json").read_text()) == before


def test_evaluation_of_a_tflite_file_agrees(photo_run, tmp_path, capsys):
    model = keras.models.load_model(photo_run / "model.keras")
    (photo_run / "tflite").mkdir(exist_ok=True)
    file = photo_run / "tflite" / "ghostnet_025_32_photos_fp32.tflite"
    signature = [keras.InputSpec(shape=(1, 32, 32, 3), dtype="float32")]
    model.export(str(file), format="litert", input_signature=signature, verbose=False)
    assert evaluate.main(["--model", str(file), "--json", str(tmp_path / "result.json")]) == OK
    entries = {entry["model"]: entry for entry in json.loads((photo_run / "evaluation.json").read_text())}
    assert entries[file.name]["scheme"] == "fp32"
    assert entries[file.name]["top1"] == entries["model.keras"]["top1"]
    (result,) = json.loads((tmp_path / "result.json").read_text())
    assert (result["images"], result["scheme"]) == (6, "fp32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "missing.keras"], "missing.keras does not exist"),
        (["--model", "pyproject.toml"], "expected a run folder, a .keras or a .tflite file"),
        (["--model", "ghostnet_tf"], "has no model.keras"),
    ],
)
def test_evaluation_refuses_what_is_no_model(arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert evaluate.main(arguments) == BAD_INPUT
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "no/folder"], "expected `digits`, a TensorFlow Datasets name, or a folder"),
        (["--model", "ghostnte"], "Did you mean 'ghostnet'"),
        (["--model", "mobilenetv2", "--ratio", "3"], "--ratio does not apply to mobilenetv2"),
        (["--model", "regnetx", "--variant", "9"], "Received: variant='9'"),
        (["--size", "16"], "--size of at least 32"),
        (["--dropout-rate", "1"], "--dropout-rate from 0 to below 1"),
        (["--warmup-epochs", "20", "--epochs", "3"], "--warmup-epochs from 0 to below 3"),
        (["--batch-size", "2000"], "1437 images, --batch-size 2000"),
        (["--config", "missing.toml"], "which does not exist"),
        (["--resume", "."], "expected a run folder"),
        (["--weights", "missing.safetensors", "--epochs", "2"], "missing.safetensors"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(arguments) == BAD_INPUT
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_flag_gets_a_hint(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--epoch", "3"])
    assert stop.value.code == BAD_INPUT
    assert "did you mean --epochs?" in capsys.readouterr().err


def test_a_diverging_loss_stops_the_run(tmp_path, capsys, tiny_network):
    arguments = ["--data", "digits", "--output", str(tmp_path / "run"), *SMALL, "--batch-size", "512"]
    assert train.main([*arguments, "--learning-rate", "1e30"]) == FAILED
    assert "try a lower --learning-rate" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.keras").exists()


def killed_at(beginning: str, *arguments: object) -> str:
    """What the command in a process of its own said until it was killed, at a line that begins so."""
    command = [sys.executable, WORKER, "--row", str(ROW), *arguments]
    process, said = subprocess.Popen(command, stderr=subprocess.PIPE, text=True), ""
    for line in process.stderr:
        said += line
        if line.startswith(beginning):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    return said


def test_a_run_killed_three_times_ends_with_the_same_weights(photo_run, tmp_path, monkeypatch, capsys):
    """Order, augmentation, dropout, optimizer and schedule continue: 1e-6 allows for threads' order of addition."""
    killed = tmp_path / "killed"
    killed_at("ghostnet_025: ", "--data", photo_run.parent / "photos", "--output", killed, *SMALL)  # before any step
    assert "continuing" not in killed_at("epoch 1/3", "--resume", killed)
    assert "continuing after epoch 1" in killed_at("epoch 2/3", "--resume", killed)
    assert not (killed / "model.keras").exists()
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[ROW : ROW + 1])
    assert train.main(["--resume", str(killed)]) == OK
    assert "continuing after epoch 2" in capsys.readouterr().err
    runs = (photo_run, killed)
    rows = [(folder / "metrics.csv").read_text().splitlines() for folder in runs]
    assert len(rows[0]) == len(rows[1]) == 4
    expected, found = (keras.models.load_model(folder / "model.keras").get_weights() for folder in runs)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_help_does_not_wait_for_tensorflow():
    code = "import sys; sys.argv = ['ghostnet-tf', 'train', '--help']\n"
    code += "from ghostnet_tf.commands import main\n"
    code += "try: main()\nexcept SystemExit: print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--weight-decay" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"
