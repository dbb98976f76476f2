"""Measures the accuracy of models: `python training/evaluate.py --model runs/digits_ghostnet_100`."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse  # noqa: E402
import functools  # noqa: E402
import hashlib  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.commands import BadInput, log  # noqa: E402
from ghostnet_tf.quiet import start_tensorflow  # noqa: E402
from ghostnet_tf.training.runs import load_run, load_run_data, run_folder  # noqa: E402

EXAMPLES = """\
  python training/evaluate.py --model runs/digits_ghostnet_100
  python training/evaluate.py --model runs/photos runs/photos/exports/*.tflite
  python training/evaluate.py --model mine.keras --data cifar10 --data-dir data/

A run, and a file inside a run's folder, is measured on the run's own test images unless --data says otherwise; the
result is kept in the run's evaluation.json. A .tflite file gets RGB from 0 to 255, or what its metadata state."""


# Of a row of --csv, in order.
COLUMNS = ("date", "model", "scheme", "data", "images", "top1", "top5", "bytes", "sha256", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--model", type=Path, required=True, nargs="+", help="run folders, .keras or .tflite files")
    arguments.add_argument("--data", help="data set name or folder (default: the run's)")
    arguments.add_argument("--data-dir", help="where TensorFlow Datasets keeps prepared data")
    arguments.add_argument("--num-threads", type=commands.positive_int, default=2, help="threads for a .tflite file")
    arguments.add_argument("--confusion", type=Path, metavar="DIR", help="folder of the confusion matrices")
    arguments.add_argument("--json", type=Path, help="write the results as JSON too")
    arguments.add_argument("--csv", type=Path, help="append a row for each model to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, predicts the test images, prints and draws the results."""
    arguments = parser().parse_args(argv)
    files = [_file(model) for model in arguments.model]
    for file in files:
        if arguments.data is None and run_folder(file) is None:
            raise BadInput(f"{file} lies in no run folder: say with --data what to measure it on")
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)
    start_tensorflow()
    rows = [_evaluate(file, arguments) for file in files]
    if arguments.json:
        commands.write_json(arguments.json, rows)
    if arguments.csv:
        shared = {"date": results.now()}
        shared["command"] = results.command_line("training/evaluate.py", argv)
        results.append_rows(arguments.csv, COLUMNS, [row | shared for row in rows])
    return commands.OK


def _file(model: Path) -> Path:
    """The file to load for an argument of --model."""
    if not model.exists():
        raise BadInput(f"{model} does not exist: expected a run folder, a .keras or a .tflite file")
    file = model / "model.keras" if model.is_dir() else model
    if not file.is_file():
        raise BadInput(f"{model} has no model.keras: the training did not finish, continue it with --resume")
    if file.suffix not in (".keras", ".tflite"):
        raise BadInput(f"expected a run folder, a .keras or a .tflite file. Received: {model}")
    return file


@functools.lru_cache(maxsize=1)
def _data(name: str | None, data_dir: str | None, run: Path | None, size: int):
    """The data to measure on, read once for all the models of a command that share them."""
    from ghostnet_tf.training.data import load_data

    return load_run_data(run) if name is None else load_data(name, data_dir=data_dir, size=size)


def _evaluate(file: Path, arguments: argparse.Namespace) -> dict:
    from ghostnet_tf.training import metrics
    from ghostnet_tf.training.confusion import draw_confusion
    from ghostnet_tf.training.predict import load_predictor

    if file.suffix == ".tflite":
        from ghostnet_tf.litert import untrusted

        untrusted.trial(file, arguments.num_threads)
    predictor = load_predictor(file, arguments.num_threads)
    run = run_folder(file)
    data = _data(arguments.data, arguments.data_dir, run if arguments.data is None else None, predictor.size)
    if predictor.size != data.test.size:
        raise BadInput(f"{file} takes images of {predictor.size} px, the run's data have {data.test.size}")
    if predictor.classes != len(data.labels):
        raise BadInput(f"{file} knows {predictor.classes} classes, the data have {len(data.labels)}")

    log(f"{file.name} on {len(data.test)} test images: {data.test.preparation()}; {predictor.takes}")
    scores = predictor.predict(data.test)
    result = metrics.accuracy(scores, data.test.labels)
    print(f"{file}\n{metrics.per_class(scores, data.test.labels, data.labels)}")
    print(f"Top-1 accuracy: {result['top1']:.4f}")
    print(f"Top-5 accuracy: {result['top5']:.4f}")
    picture = (arguments.confusion or run or file.parent) / f"confusion_{file.stem}.png"
    draw_confusion(scores.argmax(axis=1), data.test.labels, data.labels, picture)
    print(f"confusion matrix: {picture}\n", flush=True)
    if run is not None and arguments.data is None:
        metrics.record(run, file.name, predictor.scheme, result)
    content = file.read_bytes()
    return {
        "model": file.name if run is None else f"{run.name}/{file.name}",
        "scheme": predictor.scheme,
        "data": arguments.data or load_run(run).data,
        **{key: value if key == "images" else round(value, 5) for key, value in result.items()},
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
