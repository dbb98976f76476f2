"""The settings of a training run, on a network small enough to train in a second."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest

from ghostnet_tf.commands import BadInput, CommandError, MissingResource
from ghostnet_tf.training import callbacks, fit, flags, history, pipeline
from ghostnet_tf.training.checkpoints import checkpoint
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Split
from ghostnet_tf.training.runs import read_config
from ghostnet_tf.training.schedule import learning_rate

SMALL = RunConfig(batch_size=256, epochs=3, warmup_epochs=1.0, weight_decay=1e-3)  # of digits: 5 steps an epoch


pytestmark = pytest.mark.usefixtures("tiny_network")


def weights_of(folder):
    return keras.models.load_model(folder / "model.keras").get_weights()


def assert_same(one, other, atol=0.0):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_a_resumed_run_with_every_option_ends_the_same(resumed_after):
    """What a run was killed after two epochs is resumed from: averages, gradients, loss scale and patience go on."""
    config = dataclasses.replace(
        SMALL,
        optimizer="muon",
        ema=0.9,
        gradient_accumulation_steps=2,
        global_clipnorm=1.0,
        class_weights="balanced",
        color_jitter=0.4,
        random_erasing=0.5,
        mixup=0.2,
        cutmix=1.0,
        mixed_precision="float16",
        early_stopping=5,
        keep="last",
    )
    whole, killed = resumed_after(config, 2)
    assert_same(weights_of(whole), weights_of(killed), atol=1e-6)  # threads add in any order
    expected, found = history.read_metrics(whole), history.read_metrics(killed)
    assert [row["val_loss"] for row in expected] == [row["val_loss"] for row in found]
    assert len(found) == 3
    saved = keras.models.load_model(killed / "model.keras")
    assert saved.dtype_policy.name == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_the_held_out_images_are_measured_with_the_average(tmp_path):
    """What `model.keras` scores is what the last row of the table says, and the trained weights score otherwise."""
    fit.train(dataclasses.replace(SMALL, ema=0.9, learning_rate=0.1), tmp_path / "run")
    row = history.read_metrics(tmp_path / "run")[-1]
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation[0]["top1"] == pytest.approx(float(row["val_accuracy"]), abs=1e-5)
    config = SMALL.resolved(size=32, flip=False, photos=False)
    trained = fit.build(config, 10)
    fit.compile_model(trained, dataclasses.replace(config, ema=0.9), learning_rate(config, 5))
    trained.load_weights(checkpoint(tmp_path / "run", 3))
    kernel, average = trained.get_weights()[0], weights_of(tmp_path / "run")[0]
    assert np.abs(kernel - average).max() > 1e-3


def test_early_stopping_keeps_the_best_epoch(tmp_path, capsys):
    run = tmp_path / "run"
    config = dataclasses.replace(SMALL, epochs=20, learning_rate=1e-12, early_stopping=2)  # nothing is ever learnt
    fit.train(config, run)
    rows = history.read_metrics(run)
    best = history.best_epoch(rows)
    assert len(rows) == best + 2
    chosen = json.loads((run / "model.json").read_text())
    assert (chosen["weights"], chosen["epoch"], chosen["epochs"]) == ("best", best, best + 2)
    assert "stopping early" in capsys.readouterr().err
    logits = fit.build(config.resolved(size=32, flip=False, photos=False), 10, classifier_activation=None)
    fit.compile_model(logits, config, learning_rate(config, 5))
    for epoch in (best, best + 2):
        logits.load_weights(checkpoint(run, epoch))
        same = [np.array_equal(a, b) for a, b in zip(logits.get_weights(), weights_of(run), strict=True)]
        assert all(same) == (epoch == best)  # the statistics of normalization moved on
    fit.train(config, run, resume=True)
    assert len(history.read_metrics(run)) == len(rows)


def test_held_out_images_are_evaluated_at_times_and_last(tmp_path, capsys):
    config = dataclasses.replace(SMALL, epochs=5, validation_freq=2, keep="best", early_stopping=4)
    fit.train(config, tmp_path / "run")
    rows = history.read_metrics(tmp_path / "run")
    assert [row["val_accuracy"] != "" for row in rows] == [False, True, False, True, True]
    assert all(float(row["loss"]) > 0 for row in rows)
    assert int(json.loads((tmp_path / "run" / "model.json").read_text())["epoch"]) in (2, 4, 5)
    assert capsys.readouterr().err.count("held out 0.") == 3
    assert not history.out_of_patience(rows[:3], 1)  # the third epoch may have been better
    assert history.out_of_patience([rows[1], {**rows[3], "val_accuracy": "0"}], 2)


def test_steps_together_are_the_steps_alone(tmp_path):
    runs = {1: tmp_path / "alone", 5: tmp_path / "together"}
    for steps, folder in runs.items():
        fit.train(dataclasses.replace(SMALL, epochs=1, warmup_epochs=0, steps_per_execution=steps), folder)
    assert_same(weights_of(runs[1]), weights_of(runs[5]), atol=1e-6)
    with pytest.raises(BadInput, match=r"divide the 5 steps of an epoch: 1, 5\. Received: 2"):
        fit.train(dataclasses.replace(SMALL, steps_per_execution=2), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_rare_classes_count_as_much(tmp_path):
    labels = np.repeat([0, 2], [6, 2])
    config = dataclasses.replace(SMALL, class_weights="balanced")
    weights = fit.class_weights(config, labels, 3)
    np.testing.assert_allclose(weights, [8 / (2 * 6), 1, 8 / (2 * 2)])
    assert fit.class_weights(SMALL, labels, 3) is None
    split = Split(np.zeros((8, 32, 32, 3), np.uint8), labels, 32)
    config = RunConfig(batch_size=4, augment="none", epochs=1)
    batches = pipeline.training_batches(split, 3, config, class_weights=weights)
    for _, targets, counts in batches:
        np.testing.assert_allclose(counts, weights[targets.numpy().argmax(axis=1)], rtol=1e-6)


def test_a_loss_that_is_no_number_names_step_batch_and_checkpoint(tmp_path):
    with pytest.raises(CommandError, match=r"at step 2, batch 2 of 5 in epoch 1; .* checkpoint is none"):
        fit.train(dataclasses.replace(SMALL, learning_rate=1e30, warmup_epochs=0.0), tmp_path / "run")
    recorder = callbacks.RunRecorder(tmp_path, dataclasses.replace(SMALL, steps_per_execution=5), 45, lambda: math.inf)
    recorder.epoch = 2
    checkpoint(tmp_path, 2).parent.mkdir()
    checkpoint(tmp_path, 2).touch()
    with pytest.raises(CommandError, match=r"step 100, or one of the 4 before: batch 10 of 45.*epoch_0002\.weights"):
        recorder.on_train_batch_end(9, {"loss": math.nan})


def test_the_best_epoch_is_the_first_of_the_highest():
    rows = [{"epoch": str(n + 1), "val_accuracy": str(value)} for n, value in enumerate([0.1, 0.3, 0.3, 0.2])]
    assert history.best_epoch(rows) == 2
    assert history.out_of_patience(rows, 2)
    assert not history.out_of_patience(rows, 3)
    assert not history.out_of_patience(rows, None)
    assert not history.out_of_patience([], 1)


def test_every_setting_has_a_flag_and_back(tmp_path):
    fields = {field.name for field in dataclasses.fields(RunConfig)}
    assert set(flags.FLAGS) == fields
    path = tmp_path / "config.toml"
    config = RunConfig(tensorboard=True, ema=0.5, decay_epochs=flags.number_list("8,12.5"))
    config.save(path)
    assert RunConfig(**read_config(path)) == config
    assert config.decay_epochs == [8, 12.5]
    path.write_text("tensorboard = 1\n")
    with pytest.raises(BadInput, match="expected `tensorboard` as bool"):
        read_config(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixed_precision": "float32"}, "expected one of float16, bfloat16"),
        ({"keep": "first"}, "expected one of best, last"),
        ({"mixup": 0.1}, "--mixup as 0, or 0.2 to 1. Received: 0.1"),
        ({"crop_area": 0.0}, "--crop-area as 0.01 to 1. Received: 0"),
        ({"color_jitter": 1.0}, "--color-jitter from 0 to below 1"),
        ({"ema": 1.0}, "--ema from 0 to below 1"),
        ({"clipnorm": 1.0, "global_clipnorm": 1.0}, "not both"),
        ({"clipnorm": -1.0}, "--clipnorm: expected a number above 0"),
        ({"early_stopping": 0}, "--early-stopping: expected a whole number of at least 1"),
        ({"optimizer": "adam"}, "expected one of sgd, muon"),
        ({"decay_epochs": [8, 4]}, r"--decay-epochs as rising numbers above 0 and below 20. Received: \[8, 4\]"),
        ({"decay_epochs": [10, 20]}, "--decay-epochs as rising numbers"),
        ({"decay_epochs": ["10"]}, "--decay-epochs as rising numbers"),
        ({"progressive_sizes": [24]}, "an epoch in --progressive-epochs for each size .* Received: 0 and 1"),
        (
            {"progressive_sizes": [24], "progressive_epochs": [20]},
            r"--progressive-epochs as .* below 20. Received: \[20\]",
        ),
        (
            {"progressive_sizes": [24, 16], "progressive_epochs": [2, 4]},
            r"from 8 to below --size. Received: \[24, 16\]",
        ),
        ({"progressive_sizes": [4], "progressive_epochs": [2]}, r"rising numbers from 8 to below --size"),
        ({"progressive_sizes": [32], "progressive_epochs": [2], "size": 32}, "below --size 32"),
        (
            {"progressive_sizes": [24], "progressive_epochs": [2], "teacher": "a.keras"},
            "--progressive-sizes does not go with --teacher",
        ),
        ({"towers": 3}, "--batch-size as a multiple of --towers. Received: 128 and 3"),
        ({"towers": 2, "strategy": "mirrored"}, "--towers does not go with --strategy"),
        ({"freeze_epochs": 20, "weights": "w.keras"}, "--freeze-epochs from 0 to below 20"),
        ({"freeze_epochs": 2}, "expected --weights with --freeze-epochs"),
        ({"teacher": "a.keras,b.tflite"}, "--teacher as .keras files .* Received: a.keras,b.tflite"),
        ({"distillation_weight": 1.1}, "--distillation-weight as 0 to 1"),
        ({"temperature": 0.0}, "--temperature: expected a number above 0"),
        ({"zero_init_residual": True, "weights": "imagenet"}, "--zero-init-residual without --weights"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        flags.check(RunConfig(**settings))


def test_tensorboard_is_asked_for_before_training(monkeypatch):
    monkeypatch.setattr(flags.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingResource, match="pip install"):
        flags.check(RunConfig(tensorboard=True))


def test_tensorboard_gets_its_logs(tmp_path):
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    fit.train(dataclasses.replace(SMALL, epochs=1, warmup_epochs=0, tensorboard=True), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run" / "tensorboard").iterdir()} == {"train", "validation"}
