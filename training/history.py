"""What a run's epochs brought: `metrics.csv`, `curves.png`, and which epoch was the best."""

import csv
from pathlib import Path

from ghostnet_tf.commands import written_whole

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second")


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


def best_epoch(rows: list[dict]) -> int:
    """The first epoch with the highest accuracy on the held-out images, to the digits of `metrics.csv`.

    The last one as long as none has been evaluated.
    """
    evaluated = [row for row in rows if row["val_accuracy"] != ""] or rows[-1:]
    return int(max(evaluated, key=lambda row: float(row["val_accuracy"] or 0))["epoch"])


def out_of_patience(rows: list[dict], patience: int | None) -> bool:
    """Whether `patience` epochs have passed without a better one, the last of them evaluated."""
    if patience is None or not rows or rows[-1]["val_accuracy"] == "":
        return False
    return int(rows[-1]["epoch"]) - best_epoch(rows) >= patience


def draw_curves(rows: list[dict], path: Path) -> None:
    """A picture of loss and accuracy by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "held out")):
            known = [row for row in rows if row[key] != ""]
            epochs, values = [int(row["epoch"]) for row in known], [float(row[key]) for row in known]
            axes.plot(epochs, values, label=label, marker="." if len(rows) < 30 else None)
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
    axes.legend()
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)
