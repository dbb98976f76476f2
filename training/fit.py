"""One training run, from settings to a run folder."""

import dataclasses
import platform
import resource
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import ghostnet_tf
from ghostnet_tf.commands import BadInput, MissingResource, log, write_json, write_text, written_whole
from ghostnet_tf.models import BUILDERS
from ghostnet_tf.training import callbacks, identity, metrics
from ghostnet_tf.training.checkpoints import checkpoint, checkpoint_epoch, latest_checkpoint
from ghostnet_tf.training.config import RunConfig, check_sizes
from ghostnet_tf.training.data import Data, load_data, split_of
from ghostnet_tf.training.distillation import student_of
from ghostnet_tf.training.freezing import FrozenBackbone
from ghostnet_tf.training.history import best_epoch, out_of_patience, read_metrics
from ghostnet_tf.training.initialization import zero_init_residual
from ghostnet_tf.training.pipeline import evaluation_batches, images_per_second, training_batches
from ghostnet_tf.training.precision import log_precision, mixed_precision
from ghostnet_tf.training.runs import check_output, recorded_split
from ghostnet_tf.training.schedule import learning_rate, optimizer
from ghostnet_tf.training.strategy import check_agreement, fit_replicas, processes, synchronize_batch_norm
from ghostnet_tf.training.towers import Towers
from ghostnet_tf.weights import WeightsUnavailable


def train(
    config: RunConfig, folder: Path, resume: bool = False, strategy: tf.distribute.Strategy | None = None
) -> dict:
    """Trains a model and fills the run folder.

    Writes `config.toml`, `labels.txt`, `environment.json` and `resume.json`, after each epoch `metrics.csv`,
    `curves.png` and a checkpoint, at the end `model.keras`, `model.json`, which says whose weights it holds, and an
    entry in `evaluation.json`. For a folder of photos that is split here, `split.json` records the split.

    Args:
        config: The settings.
        folder: The run folder, replaced once data and model are sound; with `resume`, one that an earlier call began.
        resume: Whether to continue from the newest checkpoint.
        strategy: What `strategy.start` gives for the settings; by default the one device.

    Returns:
        The test result, see `metrics.accuracy`.
    """
    data, config = prepare(config, recorded_split(folder) if resume else None)
    keras.utils.set_random_seed(config.seed)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        logits = model_of_logits(config, data.labels)
    if config.synchronized_batch_norm:
        synchronize_batch_norm(logits)
    if resume and ((folder / identity.FILE).is_file() or latest_checkpoint(folder)):
        identity.check_same(folder, config, data, logits)
    else:
        begin(folder, config, data, logits)
    with strategy.scope():
        _fit(logits, config, data, folder, strategy)
    return finish(logits, config, data, folder, _choose_weights(logits, config, data, folder))


def finish(logits: keras.Model, config: RunConfig, data: Data, folder: Path, chosen: dict) -> dict:
    """Saves what a run trained as `model.keras` and measures it on the test images.

    Args:
        logits: The trained model, see `model_of_logits`.
        config, data, folder: Of the run.
        chosen: Whose weights these are, for `model.json`.

    Returns:
        The test result, see `metrics.accuracy`.
    """
    model = build(dataclasses.replace(config, weights=None), len(data.labels))
    model.set_weights(logits.get_weights())
    with written_whole(folder / "model.keras") as temporary:
        model.save(temporary)
    write_json(folder / "model.json", chosen)
    test = evaluation_batches(data.test, len(data.labels), config.batch_size)
    result = metrics.accuracy(model.predict(test, verbose=0), data.test.labels)
    metrics.record(folder, "model.keras", "keras", result)
    return result


def prepare(config: RunConfig, split: dict[str, list[str]] | None = None) -> tuple[Data, RunConfig]:
    """The data set of a run, and its settings with what the data set decides; `split` as in `data.load_data`."""
    data = load_data(config.data, data_dir=config.data_dir, size=config.size, seed=config.seed, split=split)
    _check_steps(config, len(data.train))
    config = config.resolved(size=data.train.size, flip=data.flip, photos=data.train.encoded)
    check_sizes(config)
    return data, config


def _check_steps(config: RunConfig, images: int) -> None:
    """Refuses a batch size and steps per execution that do not suit the number of training images."""
    steps, together = images // config.batch_size, config.steps_per_execution
    if not steps:
        raise BadInput(
            f"expected at least one batch of training images. Received: {images} images, "
            f"--batch-size {config.batch_size}"
        )
    if steps % together:
        divisors = ", ".join(str(number) for number in range(1, steps + 1) if steps % number == 0)
        raise BadInput(
            f"expected --steps-per-execution to divide the {steps} steps of an epoch: {divisors}. Received: {together}"
        )


def model_of_logits(config: RunConfig, labels: list[str]) -> keras.Model:
    """What a run trains: its model in the run's precision, without softmax and in towers, a student with a teacher."""
    with mixed_precision(config.mixed_precision):
        logits = build(config, len(labels), classifier_activation=None)
    if config.teacher is not None:
        return student_of(logits, config, labels)
    model = Towers(logits.input, logits.output, towers=config.towers, name=logits.name)
    for size in config.progressive_sizes or []:
        try:
            model.compute_output_spec(keras.KerasTensor((config.towers, size, size, 3)), training=True)
        except ValueError as error:
            raise BadInput(f"{logits.name} does not take images of {size} px (--progressive-sizes): {error}") from error
    return model


def build(config: RunConfig, classes: int, classifier_activation: str | None = "softmax") -> keras.Model:
    """The model of a run, new or from its starting weights."""
    try:
        with warnings.catch_warnings(record=True) as warned:
            model = BUILDERS[config.model](
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
    for warning in warned:  # that the classifier starts anew
        log(warning.message)
    if config.zero_init_residual and config.weights is None:
        zero_init_residual(model)
    return model


def begin(folder: Path, config: RunConfig, data: Data, model: keras.Model) -> None:
    """Makes a new run folder, in place of an earlier run, with what is known before training.

    The settings are there first and until last, so that a folder whose making or emptying was cut off is a run's.
    """
    check_output(folder, config.data, overwrite=True)  # again: loading took time
    if folder.exists():
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "config.toml":
                path.unlink()
    config.save(folder / "config.toml")
    source = Path(config.data)
    if source.is_dir():
        write_json(folder / "split.json", split_of(data, source))
    write_text(folder / "labels.txt", "\n".join(data.labels) + "\n")
    write_json(folder / "environment.json", environment())
    identity.record(folder, config, data, model)


def environment() -> dict:
    """What a run was made with, to be read beside its numbers."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "scikit-learn")
    return {
        "command": shlex.join(["python", *sys.argv]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "ghostnet-tf": ghostnet_tf.__version__,
        **{package: version(package) for package in packages},
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": metrics.processor(),
    }


def compile_model(model: keras.Model, config: RunConfig, schedule) -> None:
    """Compiles a model of logits (more accurate than probabilities) and creates the optimizer's variables."""
    model.compile(
        optimizer(config, schedule),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],  # made here, in the scope of the devices
        steps_per_execution=config.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)


def class_weights(config: RunConfig, labels: np.ndarray, classes: int) -> np.ndarray | None:
    """What an image of each class counts, float64 `(classes,)`, or `None` where all count the same."""
    if config.class_weights is None:
        return None
    from sklearn.utils.class_weight import compute_class_weight

    weights, present = np.ones(classes), np.unique(labels)
    weights[present] = compute_class_weight(config.class_weights, classes=present, y=labels)
    return weights


def _fit(model: keras.Model, config: RunConfig, data: Data, folder: Path, strategy: tf.distribute.Strategy) -> None:
    """Fits a model of logits, from the newest checkpoint if there is one."""
    classes, steps = len(data.labels), len(data.train) // config.batch_size
    compile_model(model, config, learning_rate(config, steps))
    newest = latest_checkpoint(folder)
    done = 0
    if newest:
        done = checkpoint_epoch(newest)
        model.load_weights(newest)
        log(f"continuing after epoch {done}")
        if out_of_patience(read_metrics(folder)[:done], config.early_stopping):
            return
    log(
        f"{model.name}: {model.count_params():,} parameters, {len(data.train)} training and {len(data.val)} held-out "
        f"images of {config.size} px, {classes} classes"
    )
    if config.mixed_precision:
        log_precision(config.mixed_precision)
    weights = class_weights(config, data.train.labels, classes)
    if weights is not None:
        low, high = weights.argmin(), weights.argmax()
        log(f"class weights from {weights[low]:.3g} ({data.labels[low]}) to {weights[high]:.3g} ({data.labels[high]})")
    held_out = partial(evaluation_batches, data.val, classes, config.batch_size)

    def batches(size: int, first: int, last: int) -> Callable[..., tf.data.Dataset]:
        span = {"first_epoch": first, "epochs": last, "size": size}
        return partial(training_batches, data.train, classes, config, **span, class_weights=weights)

    def pipeline_rate() -> float:
        return processes(strategy) * images_per_second(batches(config.size, done, config.epochs)(), config.batch_size)

    watchers = [
        callbacks.Bar(config.epochs, steps, config.batch_size),
        callbacks.RunRecorder(folder, config, steps, pipeline_rate),
    ]
    if config.freeze_epochs:
        watchers.append(FrozenBackbone(config.freeze_epochs, steps))
    if config.ema:
        watchers.append(callbacks.AveragedEvaluation())
    if config.tensorboard:
        watchers.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
    if config.strategy is not None:
        settings = dataclasses.replace(config, data="", data_dir=None)  # which may lie elsewhere on another machine
        check_agreement(strategy, (settings, done, data.labels, len(data.train), len(data.val)))
    started = time.monotonic()
    for size, first, last in config.phases(done):
        if size != config.size:
            log(f"epochs {first + 1} to {last} train on images of {size} px")
        phase = batches(size, first, last)
        span = {"epochs": last, "initial_epoch": first, "steps_per_epoch": steps, "callbacks": watchers}
        span["validation_freq"] = config.evaluated_epochs
        if config.strategy is None:  # the batches come shuffled
            model.make_train_function(force=True)  # made for one size is faster than for any
            model.fit(phase(), validation_data=held_out(), shuffle=False, verbose=0, **span)
        else:
            fit_replicas(strategy, model, phase, held_out, **span)
        if model.stop_training:
            break
    usage = resource.getrusage(resource.RUSAGE_SELF)
    log(
        f"trained {len(read_metrics(folder)) - done} epochs in {(time.monotonic() - started) / 60:.1f} minutes, "
        f"{(usage.ru_utime + usage.ru_stime) / 60:.1f} processor minutes"
    )


def _choose_weights(model: keras.Model, config: RunConfig, data: Data, folder: Path) -> dict:
    """Loads the weights that the run is to keep; what they are, for `model.json`."""
    rows = read_metrics(folder)
    last = checkpoint_epoch(latest_checkpoint(folder))
    epoch = best_epoch(rows) if config.keep == "best" else last
    model.load_weights(checkpoint(folder, epoch))
    if config.ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    accuracy = float(rows[epoch - 1]["val_accuracy"])
    log(f"model.keras has the {config.keep} weights: epoch {epoch} of {last}, {accuracy:.4f} on the held-out images")
    if config.keep == "best" and data.test is data.val:
        log("the test images chose the epoch, so their accuracy flatters a little")
    return {
        "weights": config.keep,
        "epoch": epoch,
        "epochs": last,
        "val_accuracy": accuracy,
        "moving average": config.ema or None,
    }
