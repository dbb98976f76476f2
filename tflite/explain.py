"""Writes one self-contained page about a photo inside a network: feature maps that are alike, ghosts, stages."""

import sys
from datetime import date
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ghostnet_tf import commands  # noqa: E402
from ghostnet_tf.tflite.model_flags import add_model_arguments  # noqa: E402

EXAMPLES = """\
  python tflite/explain.py --model runs/photos --image photo.jpg
  python tflite/explain.py --image photo.jpg --layer blocks_2 --module blocks_4_ghost1 --output page.html
  python tflite/explain.py --model my.keras --image photo.jpg --stage blocks_11 --pairs 5
  python tflite/explain.py --model runs/photos --image photo.jpg --table2"""

COLUMNS = (
    *("date", "model", "trained_on", "image", "layer", "first", "second", "similarity"),
    *("size", "solved", "trained", "energy", "steps", "command"),
)
TRAINING_STEPS = 2000  # of the kernels of --table2: some seconds, within 3 % of least squares on trained networks


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(prog="explain", description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "--image", type=Path, required=True, metavar="PHOTO", help="the photo that the network looks at"
    )
    parser.add_argument("--output", type=Path, default=Path("explain.html"), metavar="FILE", help="the page")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing page")

    what = parser.add_argument_group("the network; it takes RGB values from 0 to 255")
    add_model_arguments(what)
    what.add_argument("--seed", type=int, default=0, help="of untrained weights")

    where = parser.add_argument_group("where to look; a wrong name is answered with the nearest one")
    where.add_argument("--layer", metavar="NAME", help="whose maps to draw; by default the end of the first stage")
    where.add_argument("--module", metavar="NAME", help="a ghost module; by default the first")
    where.add_argument(
        "--stage", metavar="NAME", help="any block of the stage to compare the ends of; by default the longest"
    )
    where.add_argument("--maps", type=commands.positive_int, default=64, help="how many to draw at most")
    where.add_argument("--pairs", type=int, choices=range(1, 7), default=3, help="similar pairs to mark")
    where.add_argument(
        "--table2",
        action="store_true",
        help="the paper's table 2: what the best depthwise kernel on each pair's first map leaves of the second",
    )
    where.add_argument("--csv", type=Path, metavar="FILE", help="append the rows of --table2 to FILE")
    return parser


def command(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.output.is_dir():
        raise commands.BadInput(f"expected a file for --output. Received: {args.output}, a folder")
    if args.output.exists() and not args.overwrite:
        raise commands.BadInput(f"{args.output} exists; give another --output, or --overwrite to replace it")
    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.results import append_rows, check_results_file, command_line
    from ghostnet_tf.training.images import UnreadableImage, evaluation_image, read_image

    if args.csv is not None:
        if not args.table2:
            raise commands.BadInput(f"expected --table2 with --csv, which takes its rows. Received: --csv {args.csv}")
        check_results_file(args.csv, COLUMNS)
    try:
        photo = read_image(args.image)
    except UnreadableImage as error:
        raise commands.BadInput(f"expected a photo for --image. Received: {args.image} ({error})") from error
    with quiet():  # TensorFlow's import writes to the terminal
        from ghostnet_tf.analysis.feature_maps import Inside
        from ghostnet_tf.tflite import explain_content, pages, sources

        source = sources.find(args)
    commands.log(source.headline)
    if source.size[0] != source.size[1]:
        raise commands.BadInput(f"expected a network for square images. Received: {source.size}")
    inside = Inside(source.load())
    found = explain_content.content(
        inside,
        evaluation_image(photo, source.size[0]),
        layer=args.layer,
        module=args.module,
        stage=args.stage,
        most=args.maps,
        pairs=args.pairs,
        steps=TRAINING_STEPS if args.table2 else 0,
    )
    found |= {"headline": source.headline, "command": command_line("tflite/explain.py", argv)}
    commands.write_text(args.output, pages.render("explain.html", found), args.overwrite)
    if args.table2:
        print(explain_content.table2_text(found["table2"]))
    if args.csv is not None:
        about = {"date": date.today().isoformat(), "model": source.network, "trained_on": source.trained_on}
        about |= {"image": args.image.name, "layer": found["layer"]["name"], "command": found["command"]}
        about["steps"] = TRAINING_STEPS
        rows = [about | entry["pair"]._asdict() | row._asdict() for entry in found["table2"] for row in entry["rows"]]
        append_rows(args.csv, COLUMNS, rows)
    print(args.output)
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
