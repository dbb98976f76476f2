"""Accuracy and its record in a run folder."""

import json
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import write_json


def accuracy(scores: np.ndarray, labels: np.ndarray) -> dict:
    """Top-1 and top-5 accuracy (shares from 0 to 1) of scores `(n, classes)` against class indices `(n,)`.

    Equal scores rank by class index, so a constant answer earns no luck.
    """
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    hits = ranked == labels[:, None]
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(axis=1).mean()), "images": len(labels)}


def per_class(scores: np.ndarray, labels: np.ndarray, names: list[str]) -> str:
    """A table of precision, recall, F1 and count by class."""
    from sklearn.metrics import classification_report

    return classification_report(
        labels, scores.argmax(axis=1), labels=range(len(names)), target_names=names, digits=3, zero_division=0
    )


def record(folder: Path, model: str, scheme: str, result: dict) -> None:
    """Adds a result to `evaluation.json`, in place of an earlier one of the same model."""
    path = folder / "evaluation.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    entries = [entry for entry in entries if entry["model"] != model]
    write_json(path, [*entries, {"model": model, "scheme": scheme, **result}])


def processor() -> str:
    """The processor's name, as the system tells it."""
    import platform

    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
