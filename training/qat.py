"""Quantization-aware training: a finished run is trained further with the rounding of its int8 file in place.

It learns the answers of the float model that it begins as beside the labels, so that what it does not need to change
stays as it was.
"""

import dataclasses
import math
import time
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from scipy.special import softmax

from ghostnet_tf.commands import BadInput, CommandError, log, progress, write_json
from ghostnet_tf.models.ghostnet_v3 import branched_layers
from ghostnet_tf.training import metrics
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Data
from ghostnet_tf.training.fit import begin, build, class_weights, finish, prepare
from ghostnet_tf.training.history import draw_curves, write_metrics
from ghostnet_tf.training.pipeline import evaluation_batches, training_batches
from ghostnet_tf.training.predict import load_predictor
from ghostnet_tf.training.qat_quantizers import classes
from ghostnet_tf.training.qat_settings import FILE
from ghostnet_tf.training.qat_twin import Twin, fake_quantized
from ghostnet_tf.training.runs import recorded_split
from ghostnet_tf.training.schedule import learning_rate
from ghostnet_tf.training.splits import Split

CALIBRATION_IMAGES = 512  # at least; whole batches
ADVICE = "try a lower --learning-rate, or --global-clipnorm 1"


def train_quantized(start: Path, config: RunConfig, folder: Path) -> dict:
    """Trains a run's model further, quantized as its int8 file will be, and fills a run folder.

    Writes what `fit.train` writes but checkpoints, and `quantization.json`: the ranges with which `tflite/convert.py`
    makes the int8 file, and the accuracy of the fake-quantized model. `model.keras` has the weights in float.

    Args:
        start: The folder of a finished run.
        config: What `qat_settings` gives.
        folder: The new run folder.

    Returns:
        The test result of the fake-quantized model, see `metrics.accuracy`.

    Raises:
        BadInput: If the run's network has a layer that the training does not know, or its data changed.
    """
    data, config = prepare(config, recorded_split(start))
    logits = _logits_of(start, config, data)
    classes().tf_keras.utils.set_random_seed(config.seed)
    twin = fake_quantized(logits)
    begin(folder, config, data, logits)
    count = math.ceil(CALIBRATION_IMAGES / config.batch_size)
    record = {"start": str(start), "calibration_images": count * config.batch_size}
    write_json(folder / FILE, record)

    epochs = math.ceil(count * config.batch_size / len(data.train)) + 1  # that have so many batches
    batches = islice(training_batches(data.train, len(data.labels), config, epochs=epochs), count)
    twin.calibrate(images for images, _ in progress(batches, "calibrating", count))
    log(
        f"{logits.name}: {len(twin.ranges)} ranges, {len(data.train)} training and {len(data.val)} held-out images of "
        f"{config.size} px"
    )
    rows = _fit(twin, logits, config, data, folder)
    twin.return_weights()
    chosen = {"weights": "last", "epoch": config.epochs, "epochs": config.epochs}
    in_float = finish(logits, config, data, folder, chosen | {"val_accuracy": rows[-1]["val_accuracy"]})
    result = metrics.accuracy(_scores(twin, data.test, config, len(data.labels)), data.test.labels)
    write_json(folder / FILE, record | {"ranges": twin.read_ranges(), "test": result})
    log(f"in float, with the same weights: test top-1 {in_float['top1']:.4f}")
    return result


def _logits_of(start: Path, config: RunConfig, data: Data) -> keras.Model:
    """The run's model without softmax."""
    names = (start / "labels.txt").read_text(encoding="utf-8").splitlines()
    if names != data.labels:
        raise BadInput(
            f"expected the data that {start} was trained on, of the classes {', '.join(names)}. "
            f"Received: {config.data} of {', '.join(data.labels)}"
        )
    saved = load_predictor(start / "model.keras").model
    model = build(dataclasses.replace(config, weights=None), len(names), classifier_activation=None)
    if branched_layers(model):
        raise BadInput(
            f"expected a network without parallel branches, which conversion folds. Received: {config.model}"
        )
    if [weight.shape for weight in model.get_weights()] != [weight.shape for weight in saved.get_weights()]:
        raise BadInput(f"{start / 'model.keras'} is another network than {start / 'config.toml'} says")
    model.set_weights(saved.get_weights())
    return model


def _fit(twin: Twin, teacher: keras.Model, config: RunConfig, data: Data, folder: Path) -> list[dict]:
    """Trains the fake-quantized model; the rows of `metrics.csv`, whose held-out accuracy is the quantized model's.

    Normalization trains in the first half of the epochs, rounded down, and then uses its statistics as the file does.
    """
    labels, steps = len(data.labels), len(data.train) // config.batch_size
    schedule = learning_rate(config, steps)
    sgd = _sgd(config)
    weights = class_weights(config, data.train.labels, labels)
    batches = iter(training_batches(data.train, labels, config, class_weights=weights))
    held_out = evaluation_batches(data.val, labels, config.batch_size)
    rows = []
    for epoch in range(config.epochs):
        if epoch in (0, config.epochs // 2):
            _compile(twin, sgd, config, frozen=epoch >= config.epochs // 2)
        started = time.monotonic()
        for step in progress(range(steps), f"epoch {epoch + 1}/{config.epochs}", steps):
            sgd.learning_rate.assign(schedule(epoch * steps + step))
            images, targets, *counts = next(batches)
            if config.distillation_weight:
                targets = np.concatenate([targets, softmax(teacher.predict_on_batch(images), axis=1)], axis=1)
            logs = twin.model.train_on_batch(images, targets, *counts, reset_metrics=step == 0, return_dict=True)
            if not math.isfinite(logs["loss"]):
                raise CommandError(f"the loss is {logs['loss']} at step {step + 1} of epoch {epoch + 1}; {ADVICE}")
        training = time.monotonic() - started
        found = twin.model.evaluate(held_out, verbose=0, return_dict=True)
        row = {name: round(float(logs[name]), 5) for name in ("loss", "accuracy")}
        row |= {f"val_{name}": round(float(found[name]), 5) for name in ("loss", "accuracy")}
        row |= {"epoch": epoch + 1, "learning_rate": float(f"{float(sgd.learning_rate):.4g}")}
        row["seconds"] = round(time.monotonic() - started, 1)
        row["images_per_second"] = round(steps * config.batch_size / training, 1)
        rows.append(row)
        write_metrics(folder, rows)
        draw_curves(rows, folder / "curves.png")
        log(
            f"epoch {epoch + 1}/{config.epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}, "
            f"held out {row['val_accuracy']:.4f}, {row['images_per_second']:.0f} images/s"
        )
    return rows


def _sgd(config: RunConfig):
    """The optimizer of `schedule.optimizer`, of tf_keras; the learning rate is set at every step."""
    made = classes().tf_keras.optimizers.SGD(
        0.0,
        momentum=config.momentum,
        nesterov=True,
        weight_decay=config.weight_decay / (1 - config.momentum) or None,
        clipnorm=config.clipnorm,
        global_clipnorm=config.global_clipnorm,
    )
    made.exclude_from_weight_decay(var_names=["beta", "bias", "gamma"])
    return made


def _compile(twin: Twin, sgd, config: RunConfig, frozen: bool) -> None:
    """Compiles, anew where normalization stops training; the optimizer keeps its state.

    Targets are those of the labels and behind them, in training, the float model's probabilities.
    """
    for layer in twin.normalizations:
        layer.trainable = not frozen
    losses, weight, labels = classes().tf_keras.losses, config.distillation_weight, twin.model.output_shape[-1]

    def loss(targets, scores):
        hard = losses.categorical_crossentropy(targets[:, :labels], scores, True, config.label_smoothing)
        if targets.shape[1] == labels:
            return hard
        return (1 - weight) * hard + weight * losses.categorical_crossentropy(targets[:, labels:], scores, True)

    def accuracy(targets, scores):
        return classes().tf_keras.metrics.categorical_accuracy(targets[:, :labels], scores)

    twin.model.compile(sgd, loss=loss, metrics=[accuracy])


def _scores(twin: Twin, split: Split, config: RunConfig, labels: int) -> np.ndarray:
    """Logits `(n, classes)` of the fake-quantized model for all images of a split."""
    return twin.model.predict(evaluation_batches(split, labels, config.batch_size), verbose=0)
