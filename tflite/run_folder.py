"""What a run folder says, read for the report: the training, the `.tflite` files, and what was measured of them."""

import csv
import dataclasses
import hashlib
import json
import math
from pathlib import Path

from ghostnet_tf import commands
from ghostnet_tf.tflite import artefacts
from ghostnet_tf.tflite.schemes import FILES, MIXED
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.runs import load_run

METRICS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")  # columns of metrics.csv


@dataclasses.dataclass
class ModelFile:
    """One model of the run and what is known about it; `None` is not measured.

    Attributes:
        scheme: `keras`, or that of the `.tflite` file.
        path: Of the file.
        size: Bytes.
        top1, top5: Accuracy on `images` test images, 0 to 1.
        agreement: Share of images whose first class is that of the Keras model, 0 to 1; also `None` where classes
            mean nothing.
        cosine, max_difference: Of its logits, and of its outputs, with the Keras model's.
        input, output: Types of the tensors.
        partitions: Number of pieces of the graph that XNNPACK runs.
        outside: Operations that it leaves out, name to number.
        float_layers: Layers that an int8 file has in float.
        timing: Its entry in the benchmark's results.
    """

    scheme: str
    path: Path
    size: int
    top1: float | None = None
    top5: float | None = None
    images: int | None = None
    agreement: float | None = None
    cosine: float | None = None
    max_difference: float | None = None
    input: str | None = None
    output: str | None = None
    partitions: int | None = None
    outside: dict[str, int] | None = None
    float_layers: list[str] = dataclasses.field(default_factory=list)
    timing: dict | None = None


@dataclasses.dataclass
class Run:
    """A run folder; a part that is not there is `None` or empty.

    Attributes:
        path: The folder.
        config: Settings of the training, `config.toml`.
        labels: Class names.
        metrics: One entry an epoch, column to value (NaN where the cell is empty), `metrics.csv`.
        environment: Where it was trained, `environment.json`.
        files: The Keras model and the `.tflite` files, in the order of `FILES`.
        benchmark: `benchmark.json`, as `benchmark.py --json` writes it.
        confusion: The confusion matrix of the Keras model as PNG.
    """

    path: Path
    config: RunConfig
    labels: list[str]
    metrics: list[dict[str, float]]
    environment: dict | None
    files: list[ModelFile]
    benchmark: dict | None
    confusion: bytes | None


def read_run(path: Path) -> Run:
    """Reads the run folder at `path`.

    Raises:
        BadInput: If it is no run folder, or a file in it is damaged or lacks something; names the file.
    """
    config = load_run(path)
    labels = path / "labels.txt"
    if not labels.is_file():
        raise commands.BadInput(f"expected a run folder, with labels.txt inside. Received: {path}")
    confusion = path / "confusion_model.png"
    benchmark = _json(path / "benchmark.json")
    return Run(
        path=path,
        config=config,
        labels=labels.read_text(encoding="utf-8").splitlines(),
        metrics=_metrics(path / "metrics.csv"),
        environment=_json(path / "environment.json"),
        files=_files(path, benchmark),
        benchmark=benchmark,
        confusion=confusion.read_bytes() if confusion.is_file() else None,
    )


def _metrics(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [{name: float(row[name]) if row[name] else math.nan for name in METRICS} for row in rows]
    except KeyError as error:
        raise commands.BadInput(f"{path} lacks the column {error}") from error
    except ValueError as error:
        raise commands.BadInput(f"{path} is damaged: {error}") from error


def _json(path: Path):
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise commands.BadInput(f"{path} is damaged: {error}") from error


def need(record: object, key: str, path: Path):
    """The value at the dotted `key` of what was read from `path`, else `BadInput`."""
    value = record
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            raise commands.BadInput(f"{path} lacks {key!r}; make it again with the command that made it")
        value = value[name]
    return value


def _files(run: Path, benchmark: dict | None) -> list[ModelFile]:
    files = []
    if (run / "model.keras").is_file():
        files.append(ModelFile("keras", run / "model.keras", (run / "model.keras").stat().st_size))
    # Hidden ones are being written by a conversion at work.
    converted = [_converted(path) for path in sorted(run.glob("*/*.tflite")) if not path.name.startswith(".")]
    files += sorted(converted, key=lambda file: list(FILES).index(file.scheme))

    evaluation_path, benchmark_path = run / "evaluation.json", run / "benchmark.json"
    by_name = {file.path.name: file for file in files}
    for entry in _json(evaluation_path) or []:
        file = by_name.get(need(entry, "model", evaluation_path))
        if file:
            file.top1, file.top5, file.images = (
                need(entry, key, evaluation_path) for key in ("top1", "top5", "images")
            )
    for entry in need(benchmark, "results", benchmark_path) if benchmark is not None else []:
        file = by_name.get(need(entry, "file", benchmark_path))
        # A file converted anew since has not been measured.
        if file and need(entry, "sha256", benchmark_path) == hashlib.sha256(file.path.read_bytes()).hexdigest():
            for key in ("median_ms", "p5_ms", "p95_ms", "peak_memory_mb", "ratio"):
                need(entry, key, benchmark_path)
            file.timing = entry
    return files


def _converted(path: Path) -> ModelFile:
    sidecar = artefacts.sidecar(path)
    record = _json(sidecar)
    if record is None:
        raise commands.BadInput(f"{path} has no {sidecar.name} beside it; convert it again: python tflite/convert.py")
    scheme = commands.choose(f"scheme in {sidecar}", need(record, "scheme", sidecar), FILES)
    return ModelFile(
        scheme=scheme,
        path=path,
        size=path.stat().st_size,
        agreement=need(record, "agreement.top1", sidecar),
        cosine=need(record, "agreement.cosine", sidecar),
        max_difference=need(record, "agreement.max_difference", sidecar),
        input=_types(record, "graph.inputs", sidecar),
        output=_types(record, "graph.outputs", sidecar),
        partitions=len(need(record, "graph.partitions", sidecar)),
        outside=need(record, "graph.outside", sidecar),
        float_layers=need(record, "mixed.layers", sidecar) if scheme == MIXED.name else [],
    )


def _types(record: dict, key: str, sidecar: Path) -> str:
    return ", ".join(need(tensor, "dtype", sidecar) for tensor in need(record, key, sidecar))
