"""Opens a page in the browser, for this machine only, where one drops a photo and sees what .tflite files answer."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse  # noqa: E402

from ghostnet_tf import commands  # noqa: E402

EXAMPLES = """\
  python tflite/serve.py runs/photos/exports/*_int8.tflite             the fp32 file beside it is shown too
  python tflite/serve.py int8.tflite fp16.tflite fp32.tflite           any files with the same classes
  python tflite/serve.py model.tflite --port 8000 --no-browser         then: curl --data-binary @photo.jpg \\
                                                                       http://127.0.0.1:8000/answers"""


def parser() -> commands.ArgumentParser:
    parser = commands.ArgumentParser(prog="serve", description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=".tflite classifiers; beside a single one its fp32 file is shown, if it lies there",
    )
    parser.add_argument("--port", type=_port, default=0, help="of 127.0.0.1; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open nothing")
    parser.add_argument("--num-threads", type=commands.positive_int, default=1, help="CPU threads of each interpreter")
    return parser


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 16:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, received {text}")
    return value


def command(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    from ghostnet_tf.runtime import check_file

    for path in args.files:
        check_file(path)
    files, note = shown(list(dict.fromkeys(args.files)))
    from ghostnet_tf.tflite.answers import Comparison
    from ghostnet_tf.tflite.local_page import Server

    comparison = Comparison(files, args.num_threads)
    if note:
        print(note)
    with Server(args.port, comparison) as server:
        print(server.address, flush=True)
        commands.log("Ctrl-C ends it")
        if not args.no_browser:
            import webbrowser

            webbrowser.open(server.address)
        server.serve_forever()
    return commands.OK


def shown(files: list[Path]) -> tuple[list[Path], str | None]:
    """The files to compare, and what to say about the choice: a single file gets the fp32 one of its export."""
    from ghostnet_tf.tflite.artefacts import in_scheme

    if len(files) > 1:
        return files, None
    beside = in_scheme(files[0], "fp32")
    if beside is None or beside == files[0]:
        return files, None
    if not beside.is_file():
        return files, f"{files[0].name} alone: there is no {beside.name} beside it"
    return [*files, beside], f"{files[0].name}, and {beside.name} beside it"


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
