"""The words and numbers of the report's page."""

import math
import platform
import shlex
from datetime import UTC, datetime
from pathlib import Path

from ghostnet_tf import __version__, commands
from ghostnet_tf.litert import untrusted
from ghostnet_tf.tflite import charts, predictions
from ghostnet_tf.tflite.run_folder import ModelFile, Run
from ghostnet_tf.training.runs import load_run_data

FACTS = {"started": "Started", "processor": "Processor", "system": "System"}  # of environment.json


def content(run: Run, tested_images: int) -> dict[str, object]:
    """What `report.html` needs about a run.

    Args:
        run: The run.
        tested_images: How many test images to run through the files to choose examples from.
    """
    from markupsafe import Markup

    converted = [file for file in run.files if file.scheme != "keras"]
    shown, why_not = _predictions(run, tested_images)
    lines = _commands(run, run.path)
    return {
        "title": f"{run.config.network} on {run.config.data}",
        "headline": headline(run.files),
        "facts": _facts(run),
        "settings": (run.path / "config.toml").read_text(encoding="utf-8"),
        "files": run.files,
        "converted": converted,
        "images": max((file.images or 0 for file in run.files), default=0),
        "labels": run.labels,
        "benchmark": run.benchmark,
        "x86": platform.machine().lower() in ("x86_64", "amd64"),
        "missing": _missing(run, converted, lines),
        "charts": [Markup(chart) for chart in _charts(run.metrics)],  # our own SVG, not a string of the run
        "predictions": shown,
        "no_predictions": why_not,
        "rendering": "pixelated" if run.config.size < predictions.PICTURE_SIZE else "auto",
        "confusion": predictions.data_uri(run.confusion) if run.confusion else None,
        "evaluate": lines["evaluate"],
        "reproduce": list(_commands(run, run.path.parent / f"{run.path.resolve().name}-again").values()),
        "next_commands": _next(run),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(" ", "minutes"),
        "percent": percent,
        "megabytes": lambda size: f"{size / 1e6:.{2 if size > 1e6 else 3}f}",
        "milliseconds": lambda value: f"{value:#.3g}" if value < 100 else f"{value:.0f}",
    }


def percent(share: float) -> str:
    """A share of 1 for people; all of them is not 100.0 % unless it is."""
    text = f"{100 * share:.1f}"
    return ("99.9" if text == "100.0" and share < 1 else text) + " %"


def headline(files: list[ModelFile]) -> str | None:
    """One sentence that compares the int8 file with the float one, as far as measured; `None` without both."""
    by_scheme = {file.scheme: file for file in files}
    quantized, full = by_scheme.get("int8"), by_scheme.get("fp32")
    if not quantized or not full:
        return None
    parts = [f"is {full.size / quantized.size:.1f} times smaller"]
    if quantized.top1 is not None and full.top1 is not None:
        points = f"{100 * (quantized.top1 - full.top1):+.1f} points".replace("-", "−")
        parts.append(
            f"is right on {percent(quantized.top1)} of the test images against {percent(full.top1)} ({points})"
        )
    if quantized.timing and full.timing:
        parts.append(f"takes {quantized.timing['median_ms'] / full.timing['median_ms']:.2f} times as long here")
    *first, last = parts
    return "Against fp32, the int8 file " + (", ".join(first) + " and " if first else "") + last + "."


def _facts(run: Run) -> list[tuple[str, str]]:
    environment = run.environment or {}
    versions = {key: value for key, value in environment.items() if key not in ("command", *FACTS)}
    facts = [
        ("Run", run.path.resolve().name),
        ("Classes", _classes(run.labels)),
        ("Input", f"{run.config.size} x {run.config.size} pixels, RGB"),
    ]
    if run.metrics:
        seconds = sum(row["seconds"] for row in run.metrics if not math.isnan(row["seconds"]))
        facts.append(("Trained", f"{len(run.metrics)} epochs in {duration(seconds)}"))
    facts += [(name, environment[key]) for key, name in FACTS.items() if key in environment]
    if versions:
        facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return facts


def _classes(labels: list[str], shown: int = 12) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return f"{len(labels)}: {', '.join(labels[:shown])}{more}"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def _charts(metrics: list[dict[str, float]]) -> list[str]:
    if not metrics:
        return []
    epochs = [row["epoch"] for row in metrics]

    def chart(title: str, name: str) -> str:
        series = {"training": [row[name] for row in metrics], "held out": [row[f"val_{name}"] for row in metrics]}
        return charts.lines(epochs, series, title=title, x_label="epoch")

    return [chart("Accuracy", "accuracy"), chart("Loss", "loss")]


def _commands(run: Run, path: Path) -> dict[str, str]:
    """The commands that made `run`, for a run folder at `path`."""
    folder, results = _quoted(path), _quoted(path / "benchmark.json")
    # The float file first: the ratios are to it.
    files = [_quoted(path / file.path.relative_to(run.path)) for file in run.files if file.scheme != "keras"]
    converted = " ".join(files) or f"{folder}/*/*.tflite"
    return {
        "train": f"python training/train.py --config {_quoted(run.path / 'config.toml')} --output {folder}",
        "evaluate": f"python training/evaluate.py --model {folder}",
        "convert": f"python tflite/convert.py --model {folder} --fp32 --fp16 --dynamic --int8",
        "evaluate_files": f"for file in {converted}; do python training/evaluate.py --model $file; done",
        "benchmark": f"python tflite/benchmark.py {converted} --json {results}",
        "report": f"python tflite/report.py --run {folder}",
    }


def _quoted(path: Path) -> str:
    return shlex.quote(path.as_posix())


def _missing(run: Run, converted: list[ModelFile], lines: dict[str, str]) -> list[tuple[str, str]]:
    missing = []
    if any(file.top1 is None for file in run.files if file.scheme == "keras"):
        missing.append(("accuracy", lines["evaluate"]))
    if not converted:
        missing.append(("the .tflite files", lines["convert"]))
    if any(file.top1 is None for file in converted):
        missing.append(("accuracy of the files", lines["evaluate_files"]))
    if any(file.timing is None for file in converted):
        missing.append(("milliseconds", lines["benchmark"]))
    return missing


def _predictions(run: Run, tested_images: int) -> tuple[predictions.Predictions | None, str]:
    """The examples, or why there are none."""
    files = predictions.compared(run)
    if not files:
        return None, "Not shown: there is no .tflite file yet."
    try:
        test = load_run_data(run.path).test
    except commands.CommandError as error:
        commands.log(f"warning: the page shows no test images: {error}")
        return None, f"Not shown, the test images could not be read: {error}"
    for file in files:
        untrusted.trial(file.path)
    chosen = test.indices(tested_images, seed=0)
    return predictions.predict(files, test.images(tested_images, seed=0), test.labels[chosen], run.labels), ""


def _next(run: Run) -> list[str]:
    smallest = next((file for file in reversed(run.files) if file.scheme.startswith("int8")), None)
    lines = ["# train on your own photos: a folder with one folder a class", "python training/train.py --data PHOTOS"]
    if smallest:
        timed = f"python tflite/benchmark.py {_quoted(smallest.path)} --num-threads 2"
        lines = ["# time it with two threads", timed, *lines]
    return [*lines, "# the published network as an int8 file for a phone", "python tflite/convert.py --int8"]
