"""What a run would see and how fast: preview, learning-rate finder, the input pipeline's own speed."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from ghostnet_tf.commands import OK
from ghostnet_tf.training import callbacks, find_lr, pipeline, train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.preview import target_text

DIGITS = ["--data", "digits", "--batch-size", "128"]


def test_a_preview_is_a_picture_and_no_run(tmp_path, capsys):
    run = tmp_path / "run"
    assert train.main([*DIGITS, "--output", str(run), "--mixup", "0.2", "--preview"]) == OK
    picture = tmp_path / "run_preview.png"
    assert capsys.readouterr().out == f"saved as {picture}\n"
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]
    with Image.open(picture) as image:
        assert image.size == (1280, 740)  # 32 images in 4 rows of 8
        assert len(image.convert("L").getcolors()) > 50


def test_a_mixed_target_is_named_by_its_shares():
    labels = ["cat", "dog", "fox"]
    assert target_text(np.array([0, 1, 0]), labels) == "dog"
    assert target_text(np.array([0.3, 0, 0.7]), labels) == "fox 70%, cat 30%"
    assert target_text(np.array([0.999, 0.001, 0]), labels) == "cat"


def test_the_learning_rate_finder_suggests_one(tmp_path, capsys, tiny_network):
    picture = tmp_path / "rates.png"
    arguments = [*DIGITS, "--class-weights", "balanced", "--output", str(tmp_path / "run"), "--find-lr", str(picture)]
    assert train.main(arguments) == OK
    saved, line = capsys.readouterr().out.splitlines()
    assert saved == f"saved as {picture}"
    assert 1e-3 < float(line.removeprefix("suggested: --learning-rate ")) <= 1
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]


def test_the_suggestion_is_a_tenth_of_the_lowest_loss():
    assert find_lr.suggested(np.array([1e-3, 1e-2, 0.123, 1.0]), np.array([2.3, 2.0, 1.1, 1.7])) == 0.012


def test_the_pipeline_is_timed_after_its_first_batch(monkeypatch):
    times = iter([10.0, 10.2, 10.4, 10.6, 10.8])
    monkeypatch.setattr(pipeline.time, "monotonic", lambda: next(times))
    assert pipeline.images_per_second(tf.data.Dataset.range(9), batch_size=32) == pytest.approx(3 * 32 / 0.6)
    monkeypatch.setattr(pipeline.time, "monotonic", lambda: 0.0)
    assert pipeline.images_per_second(tf.data.Dataset.range(1), batch_size=32) == math.inf


def test_a_pipeline_that_is_the_bottleneck_is_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(callbacks.keras.distribution, "list_devices", lambda kind: [])
    rates = iter([1000.0, 900.0, 1100.0])  # a measurement that was disturbed does not count
    recorder = callbacks.RunRecorder(tmp_path, RunConfig(), steps=10, measure_pipeline=lambda: next(rates))
    recorder._tell_bottleneck(450.0)
    recorder._tell_bottleneck(1200.0)
    assert capsys.readouterr().err == ""
    for _ in range(2):
        recorder._tell_bottleneck(600.0)
    assert capsys.readouterr().err.count("alone it gives 1100 images/s, training takes 600") == 1


def test_the_bar_counts_images_and_tells_the_time_left(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(callbacks, "progress", lambda *given: tqdm(*given, file=screen, mininterval=0))
    bar = callbacks.Bar(epochs=2, steps=4, batch_size=32)
    bar.on_epoch_begin(0)
    for batch in (1, 3):  # two steps an execution
        bar.on_train_batch_end(batch, {"loss": 1.25})
    bar.on_epoch_end(0)
    shown = screen.getvalue().splitlines()[-1]
    assert "epoch 1/2: 100%" in shown
    assert "128/128" in shown
    assert "images/s, loss=1.250, run=00:00 left" in shown
