"""Makes the weights that the package carries: a finished run's, as one file with its model card.

The file holds float32 tensors under this package's names, and the names of the classes; `weights="TAG"` of the
network's builder loads it. The card says how it was trained, what it reaches and where its limits are; it is made of
the run's own records. At most 2 MB may be carried.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import json  # noqa: E402
import math  # noqa: E402

from benchmarks.study_page import clear, variance  # noqa: E402
from ghostnet_tf import commands  # noqa: E402
from ghostnet_tf.commands import BadInput, write_text, written_whole  # noqa: E402
from ghostnet_tf.networks import NETWORKS  # noqa: E402
from ghostnet_tf.training.history import read_metrics  # noqa: E402

EXAMPLES = """\
  python benchmarks/carry.py --model runs/studies/cifar10_ghost_resnet56_20
  python benchmarks/carry.py --model RUN --note "its images went through JPEG once" --overwrite"""

LARGEST = 2_000_000  # bytes
CARD = """\
# {network}, trained on {data}

`ghostnet_tf.{builder}(weights="{data}")`: {parameters:,} parameters, float32, RGB images of {size}x{size} pixels from 0
to 255 in, probabilities of {classes} classes out ({labels}).

## Accuracy

{top1:.2f} % top-1 on the {images:,} test images of {data} ({top5:.2f} % top-5). That many images leave
{error:.2f} points open either way (twice the standard error); another seed was not tried.

## Training

```sh
{commands}
```

{epochs} epochs in {minutes:.0f} minutes ({processor}), from random weights, on the training images
alone{note}{taught}.
The last epoch was kept: the test images chose none. What they did choose is this end of training among those on
docs/training.md{teachers}.

## Limits

- It knows {classes} classes and no other: whatever it is shown gets one of them, often with high probability.
- It was trained on centred objects that fill images of {size} pixels. Photos of another kind, and other sizes, were not
  measured.
- It is here for tests, examples and as a start for training, not for decisions about people or safety.

## Licence

Apache-2.0, as the code. The data set comes with no licence of its own; its authors ask to cite it: {source}
"""
SOURCES = {"cifar10": 'A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.'}


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="carry", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--model", type=Path, required=True, metavar="RUN", help="a finished run")
    arguments.add_argument("--note", default="", help="about the training images, for the card")
    arguments.add_argument("--output", type=Path, metavar="DIR", help="by default ghostnet_tf/weights/")
    arguments.add_argument("--overwrite", action="store_true", help="replace the files of an earlier run")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, checks, writes both files."""
    args = parser().parse_args(argv)
    from ghostnet_tf.training.runs import load_run

    config = load_run(args.model)
    if config.options != NETWORKS[config.model].options:
        raise BadInput(f"expected a network with its default options. Received: {config.network}")
    if config.data not in SOURCES:
        raise BadInput(f"expected a run on {', '.join(SOURCES)}. Received: {config.data}")
    if not (args.model / "model.keras").is_file():
        raise BadInput(f"expected a finished run. Received: {args.model}, without model.keras")
    runs = lineage(args.model)
    own = lineage(args.model, taught=False)
    for run in runs:
        if load_run(run).keep == "best":
            raise BadInput(f"expected weights of the last epoch, which no held-out image chose. Received: {run}'s best")
    from ghostnet_tf.quiet import quiet, start_tensorflow

    start_tensorflow()
    with quiet():
        from safetensors.numpy import save

        from ghostnet_tf.layers.composite import variable_key
        from ghostnet_tf.weights.carried import FORMAT, Carried
        from ghostnet_tf.weights.keras_file import load_keras

    row = Carried(config.model, config.data)
    folder = args.output or row.path.parent
    file, card = folder / row.path.name, folder / row.card.name
    if not args.overwrite and (file.exists() or card.exists()):
        raise BadInput(f"{file} exists; --overwrite replaces it and its card")
    model = load_keras(args.model / "model.keras")
    labels = (args.model / "labels.txt").read_text(encoding="utf-8").strip()
    tensors = {variable_key(variable): variable.numpy() for variable in model.weights if variable.dtype == "float32"}
    content = save(tensors, metadata={"format": FORMAT, "network": config.network, "labels": labels})
    if len(content) > LARGEST:
        raise BadInput(f"expected at most {LARGEST:,} bytes of weights. Received: {len(content):,} of {config.network}")
    parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    text = CARD.format(**about(runs, own, config, labels.split("\n"), parameters, args.note))
    with written_whole(file) as temporary:
        temporary.write_bytes(content)
    write_text(card, text)
    print(f"saved as {file}, {len(content):,} bytes, and {card}")
    return commands.OK


def lineage(run: Path, taught: bool = True) -> list[Path]:
    """The runs that made a run's weights, each after those that it began with, itself last.

    Args:
        run: A run folder.
        taught: Whether those that made the weights of its teachers are among them.

    Raises:
        BadInput: If one began with weights, or learnt from a teacher, that no run made.
    """
    from ghostnet_tf.training.runs import load_run, run_folder

    config = load_run(run)
    found = []
    for file in [*(config.teachers if taught else []), *([config.weights] if config.weights else [])]:
        before = run_folder(file)
        if before is None:
            raise BadInput(f"expected weights that only runs have made. Received: {run}, which began with {file}")
        found += [each for each in lineage(before, taught) if each not in found]
    return [*found, run.resolve()]


def about(runs: list[Path], own: list[Path], config, labels: list[str], parameters: int, note: str) -> dict:
    """What the card says of the last of some runs, from their records; `own` are those that were not of teachers."""
    environments = [json.loads((run / "environment.json").read_text(encoding="utf-8")) for run in runs]
    evaluation = json.loads((runs[-1] / "evaluation.json").read_text(encoding="utf-8"))
    (result,) = (entry for entry in evaluation if entry["model"] == "model.keras")
    epochs = [row for run in own for row in read_metrics(run)]
    others = [row for run in runs if run not in own for row in read_metrics(run)]
    return {
        "network": config.network,
        "builder": NETWORKS[config.model].builder,
        "data": config.data,
        "size": config.size,
        "parameters": parameters,
        "classes": len(labels),
        "labels": ", ".join(labels),
        "top1": 100 * result["top1"],
        "top5": 100 * result["top5"],
        "images": result["images"],
        "error": clear(variance(result["top1"], result["images"])),
        "commands": "\n".join(environment["command"] for environment in environments),
        "epochs": len(epochs),
        "minutes": sum(float(row["seconds"]) for row in epochs) / 60,
        "processor": environments[-1]["processor"],
        "note": f" ({note})" if note else "",
        "taught": f", and from teachers that took {len(others)} epochs more" if others else "",
        "teachers": ", and its teachers" if others else "",
        "source": SOURCES[config.data],
    }


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
