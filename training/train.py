"""Trains a model on images: `python training/train.py --data digits`."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse  # noqa: E402
import dataclasses  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.commands import BadInput, log  # noqa: E402
from ghostnet_tf.quiet import quiet, start_tensorflow  # noqa: E402
from ghostnet_tf.training.config import RunConfig  # noqa: E402
from ghostnet_tf.training.flags import FLAGS, add_flags, check  # noqa: E402
from ghostnet_tf.training.history import read_metrics  # noqa: E402
from ghostnet_tf.training.qat_settings import FILE, qat_settings  # noqa: E402
from ghostnet_tf.training.runs import check_output, load_run, read_config, recorded_split  # noqa: E402
from ghostnet_tf.training.workers import Worker, own_folder, this_worker  # noqa: E402

EXAMPLES = """\
  python training/train.py --data digits --width 0.5 --epochs 10
  python training/train.py --data cifar10 --config training/recipes/cifar_fast.toml
  python training/train.py --data my_photos/ --weights imagenet --epochs 20 --output runs/photos
  python training/train.py --resume runs/photos
  python training/train.py --qat --model runs/photos --epochs 3 --output runs/photos_int8
  python training/train.py --data fashion_mnist --data-dir /usr/share/datasets/fashion-mnist
  python training/train.py --data imagenet2012 --data-dir data/ --config training/recipes/paper_imagenet.toml

data: `digits` (scikit-learn's scans), a TensorFlow Datasets name, or a folder: one subfolder of photos a class, either
directly (a fifth of each class is held out) or below train/ and val/ (and test/). ImageNet comes as a folder, or as
`imagenet2012` with the two archives from image-net.org in DATA_DIR/downloads/manual.

--strategy multiworker: start the same command on each machine, with a TF_CONFIG that differs in the index alone:
  '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
Worker 0 writes the run folder; all must see it (and the data) under the same path to continue with --resume. One that
stops stops all. Gradients cannot be clipped with a --strategy, nor steps run together, nor float16 be used."""

# Of a row of --csv, in order; `minutes` are those of all epochs, their evaluation included.
COLUMNS = ("date", "data", "model", "width", "size", "epochs", "batch_size", "seed")
COLUMNS += ("minutes", "top1", "top5", "images", "processor", "cores", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    add_flags(arguments)
    arguments.add_argument("--config", type=Path, help="settings from a TOML file; flags win over it")
    arguments.add_argument("--output", type=Path, help="run folder (default: runs/DATA_MODEL_WIDTH)")
    arguments.add_argument("--overwrite", action="store_true", help="replace an earlier run in the run folder")
    arguments.add_argument("--resume", type=Path, metavar="RUN", help="continue an interrupted run")
    arguments.add_argument(
        "--qat",
        action="store_true",
        help="quantization-aware training: train the finished run --model RUN further, rounded as its int8 file",
    )
    for flag, what in (
        ("--preview", "draw one augmented batch and stop"),
        ("--find-lr", "draw the loss under a rising learning rate, suggest one and stop"),
    ):
        meaning = f"{what} (default: a picture beside the run folder)"
        arguments.add_argument(flag, type=Path, nargs="?", const=Path(), metavar="PNG", help=meaning)
    arguments.add_argument("--csv", type=Path, help="append a row about the finished run to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, trains, evaluates, and prints where everything is."""
    arguments = parser().parse_args(argv)
    given = {name: value for name in FLAGS if (value := getattr(arguments, name)) is not None}
    start = None
    if arguments.resume:
        config, folder = _resumed(arguments.resume, given)
    else:
        given = (read_config(arguments.config) if arguments.config else {}) | given
        if arguments.qat:
            start, config = qat_settings(given)
        else:
            config = RunConfig(**given)
        check(config)
        folder = arguments.output or Path("runs") / (default_name(config) + "_qat" * arguments.qat)
    _check_qat(arguments, start, folder)
    if arguments.preview is not None or arguments.find_lr is not None:
        start_tensorflow()
        _look(config, folder, arguments)
        return commands.OK
    worker = this_worker(config)
    if worker.chief and not arguments.resume:
        check_output(folder, config.data, arguments.overwrite)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)

    try:
        result = _train(config, folder, bool(arguments.resume), worker, start)
    except KeyboardInterrupt:
        if start is None:
            log(f"stopped; continue with: python training/train.py --resume {folder}")
        raise
    if not worker.chief:
        return commands.OK
    if arguments.csv:
        results.append_rows(arguments.csv, COLUMNS, [_row(folder, config, result)])
    print(f"test top-1 {result['top1']:.4f} on {result['images']} images")
    print(f"saved as {folder}")
    print(f"next: python training/evaluate.py --model {folder}")
    print(f"      python tflite/convert.py --int8 --model {folder}")
    return commands.OK


def _train(config: RunConfig, folder: Path, resume: bool, worker: Worker, start: Path | None) -> dict:
    """Starts the devices and trains; a worker that is not the chief does so in a folder of its own."""
    if start is not None:
        start_tensorflow()
        from ghostnet_tf.training.qat import train_quantized

        return train_quantized(start, config, folder)
    if config.strategy is None:
        start_tensorflow(config.towers)
        from ghostnet_tf.training.fit import train

        return train(config, folder, resume)
    with quiet():
        from ghostnet_tf.training.fit import train
        from ghostnet_tf.training.strategy import lost_workers, start

    strategy = start(config, worker)
    with own_folder(folder, worker, resume) as own, lost_workers(worker, folder):
        return train(config, own, resume, strategy)


def _check_qat(arguments: argparse.Namespace, start: Path | None, folder: Path) -> None:
    """Refuses what quantization-aware training cannot do."""
    if arguments.qat and (arguments.resume or arguments.preview is not None or arguments.find_lr is not None):
        raise BadInput("--qat does not go with --resume, --preview or --find-lr")
    if start is not None and start.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"expected another --output than {start}, which --qat starts from. Received: {folder}")
    if arguments.resume and (folder / FILE).is_file():
        raise BadInput(f"{folder} is of --qat, which does not resume: start it again with --qat --overwrite")


def _look(config: RunConfig, folder: Path, arguments: argparse.Namespace) -> None:
    """Draws what --preview and --find-lr ask for; trains no run."""
    from ghostnet_tf.training.fit import prepare

    data, config = prepare(config, recorded_split(folder) if arguments.resume else None)
    if arguments.preview is not None:
        from ghostnet_tf.training.preview import draw_preview

        picture = Path(f"{folder}_preview.png") if arguments.preview == Path() else arguments.preview
        draw_preview(config, data, picture)
        print(f"saved as {picture}")
    if arguments.find_lr is not None:
        from ghostnet_tf.training.find_lr import draw_rates, find_learning_rate, suggested

        picture = Path(f"{folder}_find_lr.png") if arguments.find_lr == Path() else arguments.find_lr
        rates, losses = find_learning_rate(config, data)
        draw_rates(rates, losses, picture)
        print(f"saved as {picture}")
        print(f"suggested: --learning-rate {suggested(rates, losses):g}")


def _row(folder: Path, config: RunConfig, result: dict) -> dict:
    """The row of --csv; a resumed run counts as begun, and its time is that of the epochs that led to the result."""
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    minutes = sum(float(row["seconds"]) for row in read_metrics(folder)) / 60
    return {
        **dataclasses.asdict(config),
        "date": environment["started"],
        "minutes": round(minutes, 1),
        **{key: value if key == "images" else round(value, 5) for key, value in result.items()},
        "processor": environment["processor"],
        "cores": os.cpu_count(),
        "command": environment["command"],
    }


def default_name(config: RunConfig) -> str:
    """The name of a run's folder."""
    return f"{Path(config.data).name.split(':')[0]}_{config.network}"


def _resumed(folder: Path, given: dict) -> tuple[RunConfig, Path]:
    config = load_run(folder)
    check(config)
    differences = config.differences(dataclasses.replace(config, **given))
    if differences:
        raise BadInput(f"a resumed run keeps its settings; start a new one to change {', '.join(differences)}")
    return config, folder


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
