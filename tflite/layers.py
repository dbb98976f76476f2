"""Writes one page about a .tflite file: multiply-adds, parameters, bytes, time and int8's noise, layer by layer."""

import argparse
import os
import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ghostnet_tf import commands  # noqa: E402
from ghostnet_tf.networks import OPTIONS  # noqa: E402
from ghostnet_tf.tflite.model_flags import add_model_arguments  # noqa: E402

EXAMPLES = """\
  python tflite/layers.py runs/photos/exports/ghostnet_100_224_photos_int8.tflite
  python tflite/layers.py file_int8.tflite --model my.keras --images photos/ --output layers.html
  python tflite/layers.py file.tflite --model none        # bytes and time only"""

NO_MODEL = "none"


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(
        prog="layers",
        description=f"{__doc__}\n\nThe Keras model tells multiply-adds, parameters and what int8 does; without it they "
        "are left out.",
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a .tflite file")
    parser.add_argument("--output", type=Path, default=Path("layers.html"), metavar="FILE", help="the page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")

    time = parser.add_argument_group("time, as `benchmark --profile` measures it")
    time.add_argument("--num-threads", type=commands.positive_int, default=1, help="CPU threads")
    time.add_argument("--num-runs", type=commands.positive_int, default=50, help="runs; lower quartiles count")

    what = parser.add_argument_group("the Keras model that the file was made from")
    add_model_arguments(what, default=f"the run that the file lies in; {NO_MODEL} for no model")
    what.add_argument(
        "--images",
        metavar="DIR|NAME",
        help="to compare int8 with float on, photos or a data set; by default the run's held-out ones, else synthetic",
    )
    what.add_argument("--data-dir", help="where TensorFlow Datasets keeps its prepared data")
    what.add_argument("--seed", type=int, default=0, help="of inputs, choice of images, untrained weights")
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Raises `BadInput` for arguments that cannot be used, and finds the file's run if no model is given."""
    for name in ("output", "json"):
        path = getattr(args, name)
        if path is not None and path.is_dir():
            raise commands.BadInput(f"expected a file for --{name}. Received: {path}, a folder")
        if path is not None and path.exists() and not args.overwrite:
            raise commands.BadInput(f"{path} exists; give another --{name}, or --overwrite to replace it")
    if args.model is None:
        from ghostnet_tf.training.runs import run_folder

        run = run_folder(args.file)
        args.model = os.path.relpath(run) if run and (run / "model.keras").is_file() else NO_MODEL
    if args.model == NO_MODEL:
        given = [name for name in ("weights", *OPTIONS, "size", "classes", "images") if getattr(args, name) is not None]
        if given:
            raise commands.BadInput(
                f"expected --model with {commands.flag(given[0])}. Received: {commands.flag(given[0])} "
                f"{getattr(args, given[0])} and no model"
            )


def command(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from ghostnet_tf.runtime import check_file

    check_file(args.file)
    check_arguments(args)
    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.results import command_line

    with quiet():  # TensorFlow's import writes to the terminal
        from ghostnet_tf.litert import untrusted
        from ghostnet_tf.litert.flatbuffer import unpack
        from ghostnet_tf.tflite import layer_page, op_profile, pages
        from ghostnet_tf.tflite.layer_costs import as_dicts, layer_costs

    untrusted.trial(args.file, args.num_threads)
    content = args.file.read_bytes()
    file = unpack(content)
    model = None if args.model == NO_MODEL else layer_page.from_model(args, file)
    asked = {name: getattr(args, name) for name in ("num_threads", "num_runs", "seed")}
    profile = op_profile.profile(args.file, model=file, **asked)
    costs = layer_costs(file, len(content), profile, model and model.complexity, model and model.errors)
    page = layer_page.content(args.file, file, profile, costs, model)
    page["command"] = command_line("tflite/layers.py", argv)
    commands.write_text(args.output, pages.render("layers.html", page), args.overwrite)
    if args.json is not None:
        commands.write_json(args.json, {"file": args.file.name, "layers": as_dicts(costs)}, args.overwrite)
    print("\n".join([*page["findings"], str(args.output)]))
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
