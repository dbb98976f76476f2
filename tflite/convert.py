"""Converts a model to .tflite files, each verified against the Keras model before it is moved into place."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ghostnet_tf import commands  # noqa: E402
from ghostnet_tf.tflite.model_flags import add_model_arguments  # noqa: E402
from ghostnet_tf.tflite.schemes import (  # noqa: E402
    CALIBRATION_METHOD,
    CALIBRATION_METHODS,
    GRAPH,
    GRAPHS,
    IO_TYPES,
    MIXED,
    REWRITTEN,
    SCHEMES,
)

EXAMPLES = """\
  python tflite/convert.py --int8                                       GhostNet 1.0, ImageNet weights if at hand
  python tflite/convert.py --model runs/flowers --fp16 --int8           a trained run, calibrated with its own data
  python tflite/convert.py --model my.keras --int8 --calibration photos/
  python tflite/convert.py --weights none --width 0.5 --size 160 --int8 --output phone/
  python tflite/convert.py --model runs/flowers --int8 --auto-mixed 0.2      at most 0.2 points of accuracy lost
  python tflite/convert.py --model mobilenetv2 --fp32 --int8            a network to compare with, untrained
  python tflite/convert.py --selftest app/flowers_int8.tflite           is it still the file that was verified?"""


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(prog="convert", description=__doc__, examples=EXAMPLES)
    what = parser.add_argument_group("what to convert; models take RGB values from 0 to 255")
    add_model_arguments(what)

    how = parser.add_argument_group("schemes, one or more")
    for row in SCHEMES.values():
        how.add_argument(f"--{row.name}", action="store_true", help=row.summary)
    how.add_argument("--input-type", choices=IO_TYPES, help="of the int8 file, by default uint8: camera bytes go in")
    how.add_argument("--output-type", choices=IO_TYPES, help="of the int8 file, by default float32")
    graphs = "; ".join(": ".join(row) for row in GRAPHS.items())
    how.add_argument("--graph", choices=GRAPHS, default=GRAPH, help=graphs)

    in_float = how.add_mutually_exclusive_group()
    in_float.add_argument(
        "--keep-float",
        nargs="+",
        metavar="LAYER",
        help="leave these layers of the int8 file in float, by the names of --per-layer-report; a block's name means "
        "all of it",
    )
    in_float.add_argument(
        "--auto-mixed",
        type=commands.positive_float,
        metavar="POINTS",
        help="leave the worst layers of the int8 file in float, a few at a time, until it loses at most so many points "
        "of top-1 accuracy on the run's labelled held-out images; fail if it cannot",
    )

    images = parser.add_argument_group("images to calibrate int8 and to verify with")
    images.add_argument(
        "--calibration",
        metavar="DIR|NAME",
        help="a folder of photos or a data set; by default the run's training data, imagenette for ImageNet weights, "
        "synthetic images for untrained weights",
    )
    images.add_argument("--data-dir", help="where TensorFlow Datasets keeps its prepared data")
    images.add_argument("--calibration-images", type=commands.positive_int, default=200, help="how many")
    images.add_argument(
        "--calibration-method",
        choices=CALIBRATION_METHODS,
        help="range of an activation in int8; "
        + "; ".join(f"{name}: {what}" for name, what in CALIBRATION_METHODS.items()).replace("%", "%%")
        + f"; by default {CALIBRATION_METHOD}",
    )
    images.add_argument("--verification-images", type=commands.positive_int, default=100, help="how many, held out")
    images.add_argument("--seed", type=int, default=0, help="of the choice, of synthetic images, of untrained weights")
    images.add_argument(
        "--min-agreement",
        type=commands.positive_float,
        metavar="SHARE",
        help="fail below it: top-1 agreement with the Keras model (cosine of logits for untrained weights or "
        "synthetic images), 1 for equal; without it, a warning below what the scheme promises",
    )
    images.add_argument(
        "--check-gpu",
        action="store_true",
        help="run each file on LiteRT's GPU accelerator too: on this machine's GPU, else with SwiftShader; fail unless "
        "all of it runs there and agrees with the CPU",
    )

    to = parser.add_argument_group("where to")
    to.add_argument(
        "--output", type=Path, metavar="DIR|FILE", help="by default exports/, for a run the folder exports/ in it"
    )
    to.add_argument("--license", help="of the model, for its metadata; by default that of published weights")
    to.add_argument("--overwrite", action="store_true", help="replace existing files")
    to.add_argument("--json", type=Path, metavar="FILE", help="write what was made to FILE")
    to.add_argument(
        "--per-layer-report",
        type=Path,
        metavar="FILE",
        help="write which layers int8 costs most to FILE (CSV), with a picture beside it (.png)",
    )

    later = parser.add_argument_group("later")
    later.add_argument(
        "--selftest",
        type=Path,
        metavar="FILE.tflite",
        help="convert nothing: check a file against the .json beside it, and against --model if that is given",
    )
    return parser


def command(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    schemes = [name for name in SCHEMES if getattr(args, name)]
    if args.check_gpu:
        from ghostnet_tf.tflite import gpu

        gpu.driver()
    if args.selftest is not None:
        from ghostnet_tf.tflite import selftest

        return selftest.run(args, schemes)
    if not schemes:
        raise commands.BadInput(f"expected at least one of {', '.join(f'--{name}' for name in SCHEMES)}")
    if "int8" not in schemes and (args.input_type or args.output_type):
        raise commands.BadInput(f"--input-type and --output-type belong to --int8. Received: {', '.join(schemes)}")
    for name in ("calibration_method", "per_layer_report", "keep_float", "auto_mixed"):
        if "int8" not in schemes and getattr(args, name) is not None:
            raise commands.BadInput(f"{commands.flag(name)} belongs to --int8. Received: {', '.join(schemes)}")
    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.tflite import artefacts, qat, sources

    source = sources.find(args)
    schemes = qat.schemes_of(source.run, schemes, args)
    rewritten = REWRITTEN.get(args.graph, schemes)
    if not set(schemes) <= set(rewritten):
        raise commands.BadInput(
            f"--graph {args.graph} is for {' and '.join(rewritten)}. Received: {', '.join(schemes)}"
        )
    if args.auto_mixed is not None and source.run is None:
        raise commands.BadInput(
            f"--auto-mixed measures accuracy on a run's labelled images; give --model RUN. Received: {source.headline}"
        )
    if args.keep_float or args.auto_mixed is not None:
        schemes = [MIXED.name if scheme == "int8" else scheme for scheme in schemes]
    print(source.headline, flush=True)
    stem = artefacts.stem(source.network, source.size, source.trained_on)
    paths = artefacts.paths(args.output, source.folder, stem, schemes)
    if not args.overwrite:
        artefacts.check_free(paths.values(), args.json, args.per_layer_report)
    with quiet():  # TensorFlow's import writes to the terminal
        from ghostnet_tf.tflite import pipeline
    pipeline.run(args, source, paths)
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
