"""What happens during `fit`: a bar, a log line, metrics, curves and a checkpoint an epoch."""

import csv
import math
import time
from pathlib import Path

import keras

from ghostnet_tf.commands import CommandError, log, progress, written_whole

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second")


class Bar(keras.callbacks.Callback):
    """A progress bar over the steps of an epoch, when a person is watching."""

    def __init__(self, epochs: int, steps: int):
        super().__init__()
        self.epochs, self.steps = epochs, steps

    def on_epoch_begin(self, epoch, logs=None):
        self.bar = progress(range(self.steps), f"epoch {epoch + 1}/{self.epochs}", self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        if not self.bar.disable:
            self.bar.set_postfix({key: f"{value:.3f}" for key, value in (logs or {}).items()}, refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()


class RunRecorder(keras.callbacks.Callback):
    """Writes `metrics.csv`, `curves.png` and the newest checkpoint of a run after each epoch, and logs a line.

    A checkpoint holds weights and optimizer; it is complete or not there. Rows of the table are written before the
    checkpoint of their epoch, so that a run killed in between repeats the row. The random state of dropout follows
    from the seed and the step, so that it is the same in a resumed run.
    """

    def __init__(self, folder: Path, epochs: int, steps: int, batch_size: int, seed: int):
        super().__init__()
        self.folder, self.epochs, self.steps, self.seed = folder, epochs, steps, seed
        self.images = steps * batch_size
        self.durations: list[float] = []

    def on_train_begin(self, logs=None):
        self.rows = read_metrics(self.folder)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        self.training = None
        for index, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                layer.seed_generator.state.assign([self.seed + index, epoch * self.steps])

    def on_test_begin(self, logs=None):
        self.training = time.monotonic() - self.started

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            last = latest_checkpoint(self.folder)
            raise CommandError(
                f"the loss is {logs['loss']} in epoch {epoch + 1}: try a lower --learning-rate. "
                f"The last good checkpoint is {last or 'none'}"
            )
        seconds = time.monotonic() - self.started
        self.durations.append(seconds)
        row = {name: round(float(logs[name]), 5) for name in COLUMNS[1:5]}
        row |= {"epoch": epoch + 1, "seconds": round(seconds, 1)}
        row["learning_rate"] = float(f"{float(self.model.optimizer.learning_rate):.4g}")
        row["images_per_second"] = round(self.images / (self.training or seconds), 1)
        self.rows = [old for old in self.rows if int(old["epoch"]) <= epoch] + [row]
        write_metrics(self.folder, self.rows)
        draw_curves(self.rows, self.folder / "curves.png")
        save_checkpoint(self.model, self.folder, epoch + 1)
        left = (self.epochs - epoch - 1) * sum(self.durations) / len(self.durations)
        log(
            f"epoch {epoch + 1}/{self.epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}, "
            f"held out {row['val_accuracy']:.4f}, {row['images_per_second']:.0f} images/s, {left / 60:.1f} min left"
        )


def read_metrics(folder: Path) -> list[dict]:
    """The rows of `metrics.csv`, none if there is no such file."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_metrics(folder: Path, rows: list[dict]) -> None:
    """Writes `metrics.csv` anew."""
    with written_whole(folder / "metrics.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(rows: list[dict], path: Path) -> None:
    """A picture of loss and accuracy by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [int(row["epoch"]) for row in rows]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "held out")):
            axes.plot(epochs, [float(row[key]) for row in rows], label=label, marker="." if len(rows) < 30 else None)
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
    axes.legend()
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)


def save_checkpoint(model: keras.Model, folder: Path, epoch: int) -> None:
    """Saves the state after `epoch` epochs and removes older ones."""
    path = folder / "checkpoints" / f"epoch_{epoch:04d}.weights.h5"
    with written_whole(path) as temporary:
        model.save_weights(temporary)
    for old in path.parent.glob("epoch_*.weights.h5"):
        if old != path:
            old.unlink()


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run folder, or `None`."""
    return max((folder / "checkpoints").glob("epoch_*.weights.h5"), default=None)


def checkpoint_epoch(path: Path) -> int:
    """How many epochs lie behind a checkpoint."""
    return int(path.name.removeprefix("epoch_").split(".")[0])
