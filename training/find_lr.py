"""A learning rate from a short test: the rate rises from step to step until the loss does."""

import dataclasses
import math
from pathlib import Path

import keras
import numpy as np

from ghostnet_tf.commands import CommandError, progress, written_whole
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Data
from ghostnet_tf.training.fit import class_weights, compile_model, model_of_logits
from ghostnet_tf.training.pipeline import training_batches

STEPS = 100
LOWEST, HIGHEST = 1e-5, 10.0  # learning rates
SMOOTHING = 0.9  # momentum of the averaged loss
DIVERGED = 4  # times the lowest loss


def find_learning_rate(config: RunConfig, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Trains for up to 100 steps under a rate that rises by the same factor each, until the loss has diverged.

    Args:
        config: Settings as `RunConfig.resolved` gives them; their learning rate does not count.
        data: Their data set.

    Returns:
        The learning rates, and the smoothed loss at each.
    """
    keras.utils.set_random_seed(config.seed)
    classes = len(data.labels)
    model = model_of_logits(config, data.labels)
    factor = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    rising = keras.optimizers.schedules.ExponentialDecay(LOWEST, decay_steps=1, decay_rate=factor)
    compile_model(model, dataclasses.replace(config, steps_per_execution=1), rising)
    batches = training_batches(
        data.train,
        classes,
        config,
        epochs=math.ceil(STEPS / (len(data.train) // config.batch_size)),
        class_weights=class_weights(config, data.train.labels, classes),
    )
    rates, losses, average = [], [], 0.0
    for step, batch in enumerate(progress(batches.take(STEPS), "finding the learning rate", STEPS)):
        model.reset_metrics()
        average = SMOOTHING * average + (1 - SMOOTHING) * float(model.train_on_batch(*batch)[0])
        smooth = average / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(smooth) or smooth > DIVERGED * min(losses, default=math.inf):
            break
        rates.append(LOWEST * factor**step)
        losses.append(smooth)
    if len(rates) < 2:
        raise CommandError(f"the loss diverges at a learning rate of {LOWEST:g} already; check the data")
    return np.array(rates), np.array(losses)


def suggested(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate at which the smoothed loss is lowest, to two digits: there it still falls."""
    return float(f"{rates[np.argmin(losses)] / 10:.2g}")


def draw_rates(rates: np.ndarray, losses: np.ndarray, path: Path) -> None:
    """Draws loss against learning rate, with the suggested one marked, as a `.png` file, written whole."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses)
    rate = suggested(rates, losses)
    axes.axvline(rate, color="gray", linestyle="--", label=f"suggested: {rate:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
    axes.grid(alpha=0.3)
    axes.legend()
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)
