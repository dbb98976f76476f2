"""One training run, from settings to a run folder."""

import dataclasses
import json
import platform
import resource
import shlex
import shutil
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import keras

import ghostnet_tf
from ghostnet_tf.commands import BadInput, MissingResource, log, write_json, write_text, written_whole
from ghostnet_tf.models import BUILDERS
from ghostnet_tf.training import callbacks, metrics
from ghostnet_tf.training.config import RunConfig, check_output
from ghostnet_tf.training.data import Data, load_data, split_of
from ghostnet_tf.training.pipeline import evaluation_batches, training_batches
from ghostnet_tf.training.schedule import optimizer
from ghostnet_tf.weights import WeightsUnavailable


def train(config: RunConfig, folder: Path, resume: bool = False) -> dict:
    """Trains a model and fills the run folder.

    Writes `config.toml`, `labels.txt`, `environment.json`, after each epoch `metrics.csv`, `curves.png` and a
    checkpoint, at the end `model.keras` and an entry in `evaluation.json`. For a folder of photos that is split
    here, `split.json` records the split.

    Args:
        config: The settings.
        folder: The run folder, replaced once data and model are sound; with `resume`, one that an earlier call began.
        resume: Whether to continue from the newest checkpoint.

    Returns:
        The test result, see `metrics.accuracy`.
    """
    record = folder / "split.json"
    split = json.loads(record.read_text(encoding="utf-8")) if resume and record.is_file() else None
    data = load_data(config.data, data_dir=config.data_dir, size=config.size, seed=config.seed, split=split)
    if len(data.train) < config.batch_size:
        raise BadInput(
            f"expected at least one batch of training images. Received: {len(data.train)} images, "
            f"--batch-size {config.batch_size}"
        )
    config = config.resolved(size=data.train.size, flip=data.flip, photos=data.train.encoded)
    keras.utils.set_random_seed(config.seed)
    logits = build(config, len(data.labels), classifier_activation=None)
    if not resume:
        _begin(folder, config, data)
    _fit(logits, config, data, folder)
    model = build(dataclasses.replace(config, weights=None), len(data.labels))
    model.set_weights(logits.get_weights())
    with written_whole(folder / "model.keras") as temporary:
        model.save(temporary)
    result = metrics.accuracy(model.predict(evaluation_images(data), verbose=0), data.test.labels)
    metrics.record(folder, "model.keras", "keras", result)
    return result


def evaluation_images(data: Data):
    """The test images as a model takes them, float32 of 0-255."""
    return data.test.images().astype("float32")


def build(config: RunConfig, classes: int, classifier_activation: str | None = "softmax") -> keras.Model:
    """The model of a run, new or from its starting weights."""
    try:
        return BUILDERS[config.model](
            input_shape=(config.size, config.size, 3),
            classes=classes,
            classifier_activation=classifier_activation,
            dropout_rate=config.dropout_rate,
            weights=config.weights,
            **config.options,
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
    except WeightsUnavailable as error:
        raise MissingResource(str(error)) from error


def _begin(folder: Path, config: RunConfig, data: Data) -> None:
    check_output(folder, config.data, overwrite=True)  # again: loading took time
    if folder.exists():
        shutil.rmtree(folder.resolve())  # what a link points to, not the link
    source = Path(config.data)
    if source.is_dir():
        write_json(folder / "split.json", split_of(data, source))
    write_text(folder / "labels.txt", "\n".join(data.labels) + "\n")
    write_json(folder / "environment.json", environment())
    config.save(folder / "config.toml")


def environment() -> dict:
    """What a run was made with, to be read beside its numbers."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "scikit-learn")
    return {
        "command": shlex.join(["python", *sys.argv]),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ghostnet-tf": ghostnet_tf.__version__,
        **{package: version(package) for package in packages},
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": metrics.processor(),
    }


def _fit(model: keras.Model, config: RunConfig, data: Data, folder: Path) -> None:
    """Fits a model of logits (more accurate than probabilities), from the newest checkpoint if there is one."""
    classes, steps = len(data.labels), len(data.train) // config.batch_size
    model.compile(
        optimizer(config, steps),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    checkpoint = callbacks.latest_checkpoint(folder)
    done = 0
    if checkpoint:
        done = callbacks.checkpoint_epoch(checkpoint)
        model.load_weights(checkpoint)
        log(f"continuing after epoch {done}")
    log(
        f"{model.name}: {model.count_params():,} parameters, {len(data.train)} training and {len(data.val)} held-out "
        f"images of {config.size} px, {classes} classes"
    )
    started = time.monotonic()
    model.fit(
        training_batches(
            data.train,
            classes,
            batch_size=config.batch_size,
            augment=config.augment,
            seed=config.seed,
            first_epoch=done,
            epochs=config.epochs,
        ),
        epochs=config.epochs,
        initial_epoch=done,
        steps_per_epoch=steps,
        validation_data=evaluation_batches(data.val, classes, config.batch_size),
        callbacks=[
            callbacks.Bar(config.epochs, steps),
            callbacks.RunRecorder(folder, config.epochs, steps, config.batch_size, config.seed),
        ],
        shuffle=False,  # the batches come shuffled
        verbose=0,
    )
    usage = resource.getrusage(resource.RUSAGE_SELF)
    log(
        f"trained {config.epochs - done} epochs in {(time.monotonic() - started) / 60:.1f} minutes, "
        f"{(usage.ru_utime + usage.ru_stime) / 60:.1f} processor minutes"
    )
