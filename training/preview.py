"""A picture of a training batch."""

import math
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import written_whole
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Data
from ghostnet_tf.training.pipeline import training_batches

MAX_IMAGES = 32


def draw_preview(config: RunConfig, data: Data, path: Path) -> None:
    """Draws the first images that a run of these settings would train on, as it would see them, with their targets.

    Args:
        config: Settings as `RunConfig.resolved` gives them.
        data: Their data set.
        path: A `.png` file, written whole.
    """
    from matplotlib.figure import Figure

    images, targets = next(iter(training_batches(data.train, len(data.labels), config).as_numpy_iterator()))
    images, targets = images[:MAX_IMAGES], targets[:MAX_IMAGES]
    columns = min(8, len(images))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.6 * columns, 1.85 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, target in zip(grid, images, targets, strict=False):
        axes.imshow(np.clip(np.round(image), 0, 255).astype(np.uint8))
        axes.set_title(target_text(target, data.labels), fontsize=7)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=100)


def target_text(target: np.ndarray, labels: list[str]) -> str:
    """The class of a target `(classes,)`, or the shares of a mixed one, largest first."""
    shares = [index for index in np.argsort(-target, kind="stable")[:2] if target[index] >= 0.005]
    if len(shares) == 1:
        return labels[shares[0]]
    return ", ".join(f"{labels[index]} {target[index]:.0%}" for index in shares)
