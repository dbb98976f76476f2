"""What happens during `fit`: a bar, a log line, metrics, curves and a checkpoint an epoch."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras

from ghostnet_tf.commands import CommandError, log, progress
from ghostnet_tf.training.checkpoints import latest_checkpoint, save_checkpoint
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.history import (
    COLUMNS,
    best_epoch,
    draw_curves,
    out_of_patience,
    read_metrics,
    write_metrics,
)

PIPELINE_SHARE = {"CPU": 0.5, "GPU": 0.8}  # of the pipeline's own rate, from which it is the bottleneck


class Bar(keras.callbacks.Callback):
    """A progress bar over the images of an epoch, when a person is watching: images/s, time left of epoch and run."""

    def __init__(self, epochs: int, steps: int, batch_size: int):
        super().__init__()
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self.started, self.done = time.monotonic(), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.left = (self.epochs - epoch) * self.steps
        self.bar = progress(range(self.steps), f"epoch {epoch + 1}/{self.epochs}", self.steps)
        self.bar.unit, self.bar.unit_scale = " images", self.batch_size

    def on_train_batch_end(self, batch, logs=None):
        steps = batch + 1 - self.bar.n  # several with --steps-per-execution
        self.bar.update(steps)
        if not self.bar.disable:
            self.done += steps
            self.left -= steps
            left = (time.monotonic() - self.started) / self.done * self.left
            shown = {key: f"{value:.3f}" for key, value in (logs or {}).items()}
            self.bar.set_postfix({**shown, "run": f"{self.bar.format_interval(left)} left"}, refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()


class AveragedEvaluation(keras.callbacks.Callback):
    """Measures the held-out images with the optimizer's moving average of the weights, then puts the weights back.

    `keras.callbacks.SwapEMAWeights` swaps by adding and subtracting, which rounds; here not a bit changes.
    """

    def on_test_begin(self, logs=None):
        self.weights = [variable.numpy() for variable in self.model.trainable_variables]
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def on_test_end(self, logs=None):
        for variable, value in zip(self.model.trainable_variables, self.weights, strict=True):
            variable.assign(value)


class RunRecorder(keras.callbacks.Callback):
    """Writes `metrics.csv`, `curves.png` and a checkpoint of a run after each epoch, and logs a line.

    The newest checkpoint is kept and the best one. Rows of the table are written before the checkpoint of their epoch,
    so that a run killed in between repeats the row. The random state of dropout follows from the seed and the step, so
    that it is the same in a resumed run. Patience is counted in the table, so that a resumed run goes on counting.

    Says once if the input pipeline is the bottleneck; `measure_pipeline` gives its images/s while nothing trains.
    """

    def __init__(self, folder: Path, config: RunConfig, steps: int, measure_pipeline: Callable[[], float]):
        super().__init__()
        self.folder, self.config, self.steps, self.measure_pipeline = folder, config, steps, measure_pipeline
        self.pipeline_rate = 0.0
        self.durations: list[float] = []

    def on_train_begin(self, logs=None):
        self.rows = read_metrics(self.folder)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.started = time.monotonic()
        self.training = None
        for index, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                layer.seed_generator.state.assign([self.config.seed + index, epoch * self.steps])

    def on_train_batch_end(self, batch, logs=None):
        together = self.config.steps_per_execution
        where = f"step {self.epoch * self.steps + batch + 1}, "
        where += "" if together == 1 else f"or one of the {together - 1} before: "
        self._check_finite(logs["loss"], where + f"batch {batch + 1} of {self.steps} in epoch {self.epoch + 1}")

    def on_test_begin(self, logs=None):
        self.training = time.monotonic() - self.started

    def on_epoch_end(self, epoch, logs=None):
        evaluated = "val_loss" in logs
        if evaluated:
            self._check_finite(logs["val_loss"], f"the held-out images after step {(epoch + 1) * self.steps}")
        seconds = time.monotonic() - self.started
        self.durations.append(seconds)
        row = {name: round(float(logs[name]), 5) if name in logs else "" for name in COLUMNS[1:5]}
        row |= {"epoch": epoch + 1, "seconds": round(seconds, 1)}
        row["learning_rate"] = float(f"{float(self.model.optimizer.learning_rate):.4g}")
        row["images_per_second"] = round(self.steps * self.config.batch_size / (self.training or seconds), 1)
        self.rows = [old for old in self.rows if int(old["epoch"]) <= epoch] + [row]
        write_metrics(self.folder, self.rows)
        draw_curves(self.rows, self.folder / "curves.png")
        best = best_epoch(self.rows)
        save_checkpoint(self.model, self.folder, epoch + 1, best)
        left = (self.config.epochs - epoch - 1) * sum(self.durations) / len(self.durations)
        log(
            f"epoch {epoch + 1}/{self.config.epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}, "
            + (f"held out {row['val_accuracy']:.4f}, " if evaluated else "")
            + f"{row['images_per_second']:.0f} images/s, {left / 60:.1f} min left"
        )
        self._tell_bottleneck(row["images_per_second"])
        if out_of_patience(self.rows, self.config.early_stopping):
            log(f"stopping early: no epoch since epoch {best} was better on the held-out images")
            self.model.stop_training = True

    def _check_finite(self, loss: float, where: str) -> None:
        """Stops the run where the loss is no number, before weights that make it so become a checkpoint."""
        if not math.isfinite(loss):
            raise CommandError(
                f"the loss is {loss} at {where}; try a lower --learning-rate, or --global-clipnorm 1. "
                f"The last good checkpoint is {latest_checkpoint(self.folder) or 'none'}"
            )

    def _tell_bottleneck(self, rate: float) -> None:
        """A GPU waits for a pipeline that is hardly faster; a processor that does both spends half its time on it."""
        share = PIPELINE_SHARE["GPU" if keras.distribution.list_devices("gpu") else "CPU"]
        if rate > share * self.pipeline_rate:
            self.pipeline_rate = max(self.pipeline_rate, self.measure_pipeline())
        # Training faster than the pipeline alone: something else took the processor while it was measured.
        if share * self.pipeline_rate < rate <= 1.1 * self.pipeline_rate:
            log(
                f"the input pipeline is the bottleneck: alone it gives {self.pipeline_rate:.0f} images/s, training "
                f"takes {rate:.0f}; more processor cores, smaller photos or less augmentation would help"
            )
            self.pipeline_rate = math.inf
