"""Trains the shortest run of a table of results again, by its own command, and compares its accuracy.

Runs that began with another run's weights, or learnt from one, are left out: they need more than data. Exit code 1 if
the two accuracies are clearly apart: by more than twice the standard error that their test images leave.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import shlex  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402

from benchmarks.study_page import clear, variance  # noqa: E402
from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.commands import BadInput, CommandError, log  # noqa: E402

EXAMPLES = """\
  python benchmarks/reproduce.py --data-dir data/
  python benchmarks/reproduce.py --csv my_results.csv"""

NEEDED = ("--weights", "--teacher", "--qat")  # flags of runs that go on from others


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="reproduce", description=__doc__, examples=EXAMPLES)
    arguments.add_argument(
        "--csv", type=Path, default=Path("results/training.csv"), metavar="PATH", help="the table, of training/train.py"
    )
    arguments.add_argument("--data-dir", help="where TensorFlow Datasets keeps the data, if not where the row says")
    return arguments


def shortest(table: Path) -> dict[str, str]:
    """The row of the run that took the fewest minutes, of those that began with random weights.

    Raises:
        BadInput: If there is none.
    """
    if not table.is_file():
        raise BadInput(f"expected --csv as a table of training/train.py --csv. Received: {table}, which does not exist")
    rows = [row for row in results.read_rows(table) if not set(NEEDED) & set(shlex.split(row["command"]))]
    if not rows:
        raise BadInput(f"expected a run from random weights in --csv. Received: {table}, without one")
    return min(rows, key=lambda row: float(row["minutes"]))


def trained_again(row: dict[str, str], data_dir: str | None) -> dict[str, str]:
    """The row that a row's command makes now; the run itself is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        places = ["--output", f"{folder}/run", "--csv", f"{folder}/again.csv"]
        words = [*shlex.split(row["command"])[1:], *places, *(["--data-dir", data_dir] if data_dir else [])]
        log(shlex.join(["python", *words]))
        done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=sys.stderr, check=False)
        if done.returncode:
            raise CommandError(f"the training ended with exit code {done.returncode}")
        (again,) = results.read_rows(Path(folder, "again.csv"))
    return again


def command(argv: list[str] | None = None) -> int:
    """Parses, trains, compares."""
    args = parser().parse_args(argv)
    row = shortest(args.csv)
    again = trained_again(row, args.data_dir)
    for what, each in ((f"in {args.csv}", row), ("again", again)):
        print(f"{what}: top-1 {100 * float(each['top1']):.2f} % in {each['minutes']} minutes on {each['processor']}")
    apart = 100 * abs(float(again["top1"]) - float(row["top1"]))
    bound = clear(*(variance(float(each["top1"]), int(each["images"])) for each in (row, again)))
    print(f"{apart:.2f} points apart; {bound:.2f} would be clear")
    return commands.OK if apart <= bound else commands.FAILED


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
