"""Measures a model's accuracy: `python training/evaluate.py --model runs/digits_ghostnet_100`."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ghostnet_tf import commands  # noqa: E402
from ghostnet_tf.commands import BadInput, log  # noqa: E402
from ghostnet_tf.training.config import load_run, load_run_data, run_folder  # noqa: E402

EXAMPLES = """\
  python training/evaluate.py --model runs/digits_ghostnet_100
  python training/evaluate.py --model runs/photos/tflite/ghostnet_100_224_photos_int8.tflite
  python training/evaluate.py --model mine.keras --data cifar10 --data-dir data/

A run, and a file inside a run's folder, is measured on the run's own test images unless --data says otherwise; the
result is kept in the run's evaluation.json."""


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--model", type=Path, required=True, help="a run folder, a .keras or a .tflite file")
    arguments.add_argument("--data", help="data set name or folder (default: the run's)")
    arguments.add_argument("--data-dir", help="where TensorFlow Datasets keeps prepared data")
    arguments.add_argument("--num-threads", type=commands.positive_int, default=2, help="threads for a .tflite file")
    arguments.add_argument("--confusion", type=Path, help="where the confusion matrix is drawn (default: beside)")
    arguments.add_argument("--json", type=Path, help="write the result as JSON too")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, predicts the test images, prints and draws the result."""
    arguments = parser().parse_args(argv)
    if not arguments.model.exists():
        raise BadInput(
            f"expected a run folder, a .keras or a .tflite file. Received: {arguments.model}, which is missing"
        )
    file = arguments.model / "model.keras" if arguments.model.is_dir() else arguments.model
    if not file.is_file():
        raise BadInput(f"{arguments.model} has no model.keras: the training did not finish, continue it with --resume")
    if file.suffix not in (".keras", ".tflite"):
        raise BadInput(f"expected a run folder, a .keras or a .tflite file. Received: {arguments.model}")
    run = run_folder(file)
    if run is None and arguments.data is None:
        raise BadInput(f"{file} lies in no run folder: say with --data what to measure it on")

    from ghostnet_tf.training import metrics
    from ghostnet_tf.training.confusion import draw_confusion
    from ghostnet_tf.training.predict import load_predictor

    predictor = load_predictor(file, arguments.num_threads)
    if arguments.data is None:
        data = load_run_data(run)
        if predictor.size != load_run(run).size:
            raise BadInput(f"{file} takes images of {predictor.size} px, the run's data have {load_run(run).size}")
    else:
        from ghostnet_tf.training.data import load_data

        data = load_data(arguments.data, data_dir=arguments.data_dir, size=predictor.size)
    if predictor.classes != len(data.labels):
        raise BadInput(f"{file} knows {predictor.classes} classes, the data have {len(data.labels)}")

    log(f"{file.name} on {len(data.test)} test images: {data.test.preparation()}")
    scores = predictor.predict(data.test.images())
    result = metrics.accuracy(scores, data.test.labels)
    print(metrics.per_class(scores, data.test.labels, data.labels))
    print(f"Top-1 accuracy: {result['top1']:.4f}")
    print(f"Top-5 accuracy: {result['top5']:.4f}")
    picture = arguments.confusion or (run or file.parent) / f"confusion_{file.stem}.png"
    draw_confusion(scores.argmax(axis=1), data.test.labels, data.labels, picture)
    print(f"confusion matrix: {picture}")
    if run is not None and arguments.data is None:
        metrics.record(run, file.name, predictor.scheme, result)
    if arguments.json:
        commands.write_json(arguments.json, {"model": str(file), **result})
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
