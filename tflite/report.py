"""Writes one self-contained page about a run: curves, files, accuracy, latency, predictions."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ghostnet_tf import commands  # noqa: E402

EXAMPLES = """\
  python tflite/report.py --run runs/demo
  python tflite/report.py --run runs/demo --output demo.html"""

TESTED_IMAGES = 200


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(
        prog="report",
        description=f"{__doc__}\n\nWhat has not been measured is shown as such, with the command that measures it.",
        examples=EXAMPLES,
    )
    parser.add_argument("--run", type=Path, required=True, help="run folder, made by training/train.py")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (default: report.html in the run folder)")
    return parser


def build_report(run_dir: Path, output: Path) -> Path:
    """Writes the page about the run folder `run_dir` to `output`, whole or not at all.

    The page stands alone: no file beside it, no network. A part that the folder lacks is named in it, with the
    command that makes it.

    Returns:
        `output`.

    Raises:
        BadInput: If `run_dir` is no run folder or a file in it is damaged; names the file.
    """
    from ghostnet_tf.tflite import pages
    from ghostnet_tf.tflite.report_content import content
    from ghostnet_tf.tflite.run_folder import read_run

    page = pages.render("report.html", content(read_run(run_dir), TESTED_IMAGES))
    commands.write_text(output, page)
    return output


def command(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    output = args.output or args.run / "report.html"
    if output.is_dir():
        raise commands.BadInput(f"expected a file for --output. Received: {output}, a folder")
    print(build_report(args.run, output))
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
