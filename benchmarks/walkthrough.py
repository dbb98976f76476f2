"""Walks a first-time reader's path in a fresh clone with an environment of its own, and times each step.

Install, demo, own photos, the file for Android: the commands of docs/quickstart.md and docs/android.md. The clone is of
what is committed here; pip has its cache, and no published weights are used.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import os  # noqa: E402
import shlex  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/walkthrough.py --photos photos/ --csv results/walkthrough.csv
  python benchmarks/walkthrough.py --photos photos/ --epochs 1 --size 64 --keep clone/"""

COLUMNS = (
    "date",
    "step",
    "typed",
    "seconds",
    "photos",
    "classes",
    "size",
    "epochs",
    "commit",
    "load",
    "cpu",
    "command",
)
PHOTO = "PHOTO"  # stands for the first photo of the folder
FILE = "FILE"  # stands for the int8 file


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="walkthrough", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--photos", type=Path, required=True, metavar="DIR", help="photos, a folder a class")
    arguments.add_argument("--epochs", type=commands.positive_int, default=3, help="of training on the photos")
    arguments.add_argument("--size", type=commands.positive_int, default=96, help="pixels a side there")
    arguments.add_argument("--width", type=commands.positive_float, default=0.5, help="of the network there")
    arguments.add_argument("--keep", type=Path, metavar="DIR", help="keep the clone in DIR, a new folder")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each step to FILE")
    return arguments


def steps(photos: Path, size: int, width: float, epochs: int) -> list[tuple[str, str]]:
    """Name and command of each step, typed in the clone."""
    python, run = ".venv/bin/python", "runs/photos"
    train = f"--size {size} --width {width:g} --epochs {epochs}"
    return [
        ("install", "make .venv/installed"),
        ("demo", "make demo"),
        ("train", f"{python} training/train.py --data {shlex.quote(str(photos))} {train} --output {run}"),
        ("evaluate", f"{python} training/evaluate.py --model {run}"),
        ("explain", f"{python} tflite/explain.py --model {run} --image {PHOTO} --output explain.html"),
        ("convert", f"{python} tflite/convert.py --model {run} --int8 --fp16"),
        ("report", f"{python} tflite/report.py --run {run}"),
        ("layers", f"{python} tflite/layers.py {FILE}"),
        ("benchmark", f"{python} tflite/benchmark.py {FILE}"),
        ("selftest", f"{python} tflite/convert.py --selftest {FILE}"),
        ("labels for Android", f"unzip -p {FILE} labels.txt"),
    ]


def walk(clone: Path, photos: Path, typed: list[tuple[str, str]]) -> list[dict]:
    """Clones this repository to `clone` and types the steps there, each with its seconds.

    Raises:
        CommandError: At the first step that fails, with its last words.
    """
    photo = sorted(path for path in photos.glob("*/*") if path.is_file())[0]
    rows = []
    for step, line in [("clone", f"git clone --quiet {shlex.quote(str(ROOT))} {shlex.quote(str(clone))}"), *typed]:
        commands.log(f"{step}: {line}")
        file = next(iter(clone.glob("runs/photos/exports/*_int8.tflite")), Path(FILE))
        file = file.relative_to(clone) if file.is_absolute() else file
        words = [{PHOTO: str(photo), FILE: str(file)}.get(word, word) for word in shlex.split(line)]
        start = time.monotonic()
        done = subprocess.run(
            words, cwd=ROOT if step == "clone" else clone, capture_output=True, text=True, errors="replace", check=False
        )
        seconds = time.monotonic() - start
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise commands.CommandError(f"{step} failed with exit code {done.returncode}: {said}")
        rows.append({"step": step, "typed": line, "seconds": round(seconds, 1)})
    return rows


def public(line: str, photos: Path, clone: Path) -> str:
    """A command without this machine's paths."""
    for path, name in ((photos, "photos/"), (clone, "ghostnet-tf"), (ROOT, "ghostnet-tf.git")):
        line = line.replace(shlex.quote(str(path)), name)
    return line.replace(".venv/bin/python", "python")


def table(rows: list[dict]) -> str:
    """The rows in Markdown, for docs/quickstart.md."""
    lines = ["| step | typed | time |", "| --- | --- | ---: |"]
    lines += [f"| {row['step']} | `{row['typed']}` | {row['seconds']:,.0f} s |" for row in rows]
    total = sum(row["seconds"] for row in rows)
    return "\n".join([*lines, f"| all | | {total // 60:.0f} min {total % 60:.0f} s |"])


def command(argv: list[str] | None = None) -> int:
    """Parses, walks, prints the table."""
    args = parser().parse_args(argv)
    photos = args.photos.resolve()
    classes = sorted(folder for folder in photos.glob("*/") if folder.is_dir()) if photos.is_dir() else []
    if len(classes) < 2 or not any(path.is_file() for folder in classes for path in folder.iterdir()):
        raise commands.BadInput(
            f"expected --photos as a folder with a folder of photos a class. Received: {args.photos}"
        )
    if args.keep and args.keep.exists():
        raise commands.BadInput(f"{args.keep} exists; give a new folder with --keep")
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    from ghostnet_tf.tflite import machine

    with tempfile.TemporaryDirectory(prefix="ghostnet-tf-") as folder:
        clone = args.keep.resolve() if args.keep else Path(folder) / "ghostnet-tf"
        to_do = steps(photos, args.size, args.width, args.epochs)
        rows, where = machine.measured(lambda: walk(clone, photos, to_do))
        typed = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(typed, cwd=clone, capture_output=True, text=True, check=True).stdout.strip()
    rows = [row | {"typed": public(row["typed"], photos, clone)} for row in rows]
    shared = where | {
        "photos": sum(len(list(folder.iterdir())) for folder in classes),
        "classes": len(classes),
        "size": args.size,
        "epochs": args.epochs,
        "commit": commit,
        "command": results.command_line("benchmarks/walkthrough.py", argv)
        .replace(str(args.photos), "photos")
        .replace(str(args.keep), "clone"),
    }
    if args.csv:
        results.append_rows(args.csv, COLUMNS, [row | shared for row in rows])
    print(f"{table(rows)}\n\nload {shared['load']}, {os.cpu_count()} cores, {shared['cpu']}")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
