"""Trains a model on images: `python training/train.py --data digits`."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import dataclasses  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402

from ghostnet_tf import commands, networks, results  # noqa: E402
from ghostnet_tf.commands import BadInput, log  # noqa: E402
from ghostnet_tf.quiet import start_tensorflow  # noqa: E402
from ghostnet_tf.training.config import RunConfig, check_output, load_run, read_config  # noqa: E402

EXAMPLES = """\
  python training/train.py --data digits --width 0.5 --epochs 10
  python training/train.py --data cifar10 --config training/recipes/cifar_fast.toml
  python training/train.py --data my_photos/ --weights imagenet --epochs 20 --output runs/photos
  python training/train.py --resume runs/photos

data: `digits` (scikit-learn's scans), a TensorFlow Datasets name, or a folder: one subfolder of photos a class, either
directly (a fifth of each class is held out) or below train/ and val/ (and test/)."""

# Flag -> argparse type of every setting that a flag can change; defaults and meaning are RunConfig's.
FLAGS = {
    "data": (str, "data set name or folder"),
    "data_dir": (str, "where TensorFlow Datasets keeps prepared data"),
    "model": (str, f"one of {', '.join(networks.NETWORKS)}"),
    **{name: (option.kind, networks.option_help(name)) for name, option in networks.OPTIONS.items()},
    "dropout_rate": (float, "before the classifier (default: the model's)"),
    "weights": (str, "starting weights: imagenet or a file"),
    "size": (commands.positive_int, "pixels a side (default: 32 for small images, 224 for photos)"),
    "augment": (str, "none, shift, crop-flip or photo (default: what suits the data)"),
    "epochs": (commands.positive_int, "passes over the training images"),
    "batch_size": (commands.positive_int, "images a step"),
    "learning_rate": (commands.positive_float, "peak (default: 0.2 at batch size 128, a tenth of it with --weights)"),
    "warmup_epochs": (float, "epochs of linear warm-up before the cosine decay"),
    "momentum": (float, "of SGD with Nesterov's correction"),
    "weight_decay": (float, "on kernels, not on normalization and biases"),
    "label_smoothing": (float, "share of the target spread over all classes"),
    "seed": (int, "of initialization, order, augmentation and split"),
}

# Of a row of --csv, in order; `minutes` are those of all epochs, their evaluation included.
COLUMNS = (
    "date",
    "data",
    "model",
    "width",
    "size",
    "epochs",
    "batch_size",
    "seed",
)
COLUMNS += ("minutes", "top1", "top5", "images", "processor", "cores", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    for name, (kind, meaning) in FLAGS.items():
        default = getattr(RunConfig, name)
        shown = "" if default is None else f" (default: {default})"
        flag = f"--{name.replace('_', '-')}"
        arguments.add_argument(flag, type=kind, default=None, metavar=name.upper(), help=meaning + shown)
    arguments.add_argument("--config", type=Path, help="settings from a TOML file; flags win over it")
    arguments.add_argument("--output", type=Path, help="run folder (default: runs/DATA_MODEL_WIDTH)")
    arguments.add_argument("--overwrite", action="store_true", help="replace an earlier run in the run folder")
    arguments.add_argument("--resume", type=Path, metavar="RUN", help="continue an interrupted run")
    arguments.add_argument("--csv", type=Path, help="append a row about the finished run to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, trains, evaluates, and prints where everything is."""
    arguments = parser().parse_args(argv)
    given = {name: value for name in FLAGS if (value := getattr(arguments, name)) is not None}
    if arguments.resume:
        config, folder = _resumed(arguments.resume, given)
    else:
        config = RunConfig(**((read_config(arguments.config) if arguments.config else {}) | given))
        check(config)
        folder = arguments.output or Path("runs") / default_name(config)
        check_output(folder, config.data, arguments.overwrite)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)

    start_tensorflow()
    from ghostnet_tf.training.fit import train

    try:
        result = train(config, folder, resume=bool(arguments.resume))
    except KeyboardInterrupt:
        log(f"stopped; continue with: python training/train.py --resume {folder}")
        raise
    if arguments.csv:
        results.append_rows(arguments.csv, COLUMNS, [_row(folder, config, result)])
    print(f"test top-1 {result['top1']:.4f} on {result['images']} images")
    print(f"saved as {folder}")
    print(f"next: python training/evaluate.py --model {folder}")
    print(f"      python tflite/convert.py --int8 --model {folder}")
    return commands.OK


def _row(folder: Path, config: RunConfig, result: dict) -> dict:
    """The row of --csv; a resumed run counts as begun, and its time is that of the epochs that led to the result."""
    from ghostnet_tf.training.callbacks import read_metrics

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


def check(config: RunConfig) -> None:
    """Refuses settings outside their range.

    Raises:
        BadInput: With the flag, what was expected and what was received.
    """
    networks.settings(config.model, config.options)
    if config.augment is not None:
        commands.choose("augmentation", config.augment, ("none", "shift", "crop-flip", "photo"))
    if config.size is not None and config.size < 32:
        raise BadInput(f"expected --size of at least 32 pixels. Received: {config.size}")
    for name, low, high in (
        ("dropout_rate", 0, 1),
        ("momentum", 0, 1),
        ("label_smoothing", 0, 1),
        ("weight_decay", 0, float("inf")),
        ("warmup_epochs", 0, config.epochs),
    ):
        value = getattr(config, name)
        if not low <= value < high:
            flag = name.replace("_", "-")
            raise BadInput(f"expected --{flag} from {low} to below {high}. Received: {value}")


def _resumed(folder: Path, given: dict) -> tuple[RunConfig, Path]:
    config = load_run(folder)
    differences = config.differences(dataclasses.replace(config, **given))
    if differences:
        raise BadInput(f"a resumed run keeps its settings; start a new one to change {', '.join(differences)}")
    return config, folder


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
