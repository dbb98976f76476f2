"""Times starting: `import ghostnet_tf` against `import keras` alone, and `--help` of every command.

Each start is a new process, all in turn and in a new order each round. Imports are compared in the processor time of
the process, which a busy machine does not stretch; of `--help` the wall clock is given too, since a user waits for it.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import os  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/startup.py
  python benchmarks/startup.py --rounds 15 --csv results/startup.csv"""

REFERENCE = "import keras"
COLUMNS = ("date", "start", "rounds", "cpu_ms", "wall_ms", "ratio", "ratio_low", "ratio_high", "load", "cpu")
COLUMNS += ("versions", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="startup", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--rounds", type=commands.positive_int, default=5, help="starts of each")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each to FILE")
    return arguments


def starts() -> dict[str, list[str]]:
    """Command lines by name; the first is the reference."""
    script = Path(sys.executable).with_name("ghostnet-tf")
    if not script.is_file():
        raise commands.MissingResource(f"no {script}: install the package with `pip install --editable .`")
    imports = {name: [sys.executable, "-c", name] for name in (REFERENCE, "import ghostnet_tf")}
    return imports | {f"ghostnet-tf {name} --help": [str(script), name, "--help"] for name in commands.COMMANDS}


def one_start(words: list[str]) -> tuple[float, float]:
    """Processor time (user and system) and wall-clock time of a process, ms."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    waited, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return 1000 * spent, 1000 * waited


def command(argv: list[str] | None = None) -> int:
    """Parses, measures, prints the table."""
    args = parser().parse_args(argv)
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    import numpy as np

    from ghostnet_tf.tflite import machine, summary, timing

    names = starts()
    for words in names.values():
        one_start(words)  # the first reads the files from the disk and may write the byte code
    spent = np.empty((2, len(names), args.rounds))
    orders = timing.orders(len(names), args.rounds, seed=0)
    for number, order in enumerate(commands.progress(orders, "rounds", args.rounds)):
        for index in order:
            spent[:, index, number] = one_start(list(names.values())[index])
    here = machine.machine()
    shared = {
        "date": results.now(),
        "rounds": args.rounds,
        "load": here["load"],
        "cpu": here["cpu"],
        "versions": " ".join(f"{name} {version}" for name, version in here["versions"].items()),
        "command": results.command_line("benchmarks/startup.py", argv),
    }
    rows = []
    for name, cpu, wall in zip(names, *spent, strict=True):
        ratio = {key: value and round(value, 4) for key, value in summary.ratio(cpu, spent[0, 0]).items()}
        medians = {"cpu_ms": round(float(np.median(cpu)), 1), "wall_ms": round(float(np.median(wall)), 1)}
        rows.append({"start": name} | medians | ratio | shared)
        bounds = f" [{ratio['ratio_low']:.3f}, {ratio['ratio_high']:.3f}]" if ratio["ratio_low"] else ""
        print(f"{name:28} {medians['cpu_ms']:8.1f} ms of processor, {medians['wall_ms']:8.1f} ms waited, ", end="")
        print(f"{ratio['ratio']:.3f}{bounds} of `{REFERENCE}`")
    if args.csv:
        results.append_rows(args.csv, COLUMNS, rows)
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
