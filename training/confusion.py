"""The confusion matrix as a picture."""

from pathlib import Path

import numpy as np

from ghostnet_tf.commands import written_whole

MAX_NUMBERS = 25  # classes up to which cells carry numbers and axes carry names


def draw_confusion(predicted: np.ndarray, labels: np.ndarray, names: list[str], path: Path) -> None:
    """Draws rows of true classes against columns of answers, coloured by share of the row.

    Args:
        predicted, labels: Class indices `(n,)`.
        names: Class names by index.
        path: A `.png` file, written whole.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    counts = confusion_matrix(labels, predicted, labels=range(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    readable = len(names) <= MAX_NUMBERS
    side = max(4.0, min(12.0, 1.5 + 0.5 * len(names)))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    display = ConfusionMatrixDisplay(shares, display_labels=names if readable else None)
    display.plot(ax=axes, include_values=False, cmap="Blues", colorbar=False, xticks_rotation="vertical")
    if readable:
        for row, column in zip(*np.nonzero(counts), strict=True):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=color, fontsize=8)
    else:
        axes.set(xticks=[], yticks=[])
    axes.set(xlabel="answer", ylabel="truth", title=f"{np.trace(counts)} of {counts.sum()} right")
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=100)
