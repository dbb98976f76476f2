"""Ends commands at random points, by kill -9 or a full disk, and looks at what is left.

A network of one Ghost module learns scikit-learn's digits, is converted to int8 and reported on; weights are fetched.
Half of the kills hit before a random change of the file system, half at a random share of the processor time of an
undisturbed run, or of a download's bytes. After each: is all that was there before still there, is each file whole, and
does the next run go on to the same end?
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import importlib  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import tempfile  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Iterator  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/faults.py --points 10
  python benchmarks/faults.py --jobs report download --points 20 --full-disks 4
  python benchmarks/faults.py --points 50 --full-disks 6 --csv results/faults.csv

With --csv, faults that are in the table already count: a run that was cut off goes on. Full disks are small tmpfs
mounts, which only root may make; without that right they are left out, and the end says so."""

COLUMNS = ("date", "job", "fault", "at", "ended", "earlier_files", "left", "temporaries", "next_run", "command")
JOBS = ("train", "convert", "report", "download")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS[:2], help="what to disturb, in turn")
    arguments.add_argument("--points", type=int, default=50, help="kills, of all jobs together")
    arguments.add_argument("--full-disks", type=int, default=6, help="disks of random sizes that are too small")
    arguments.add_argument("--seed", type=int, default=0, help="of the points")
    arguments.add_argument("--csv", type=Path, help="table of results, to which a row is added for each fault")
    return arguments


def faults(arguments, root: Path) -> Iterator[dict]:
    """Rows, one a fault, of those that the table lacks."""
    from benchmarks import fault_jobs, fault_trials

    there = Counter()
    if arguments.csv and arguments.csv.is_file():
        there.update((row["job"], row["fault"]) for row in results.read_rows(arguments.csv))
    wanted = Counter(
        (arguments.jobs[number % len(arguments.jobs)], fault)
        for fault, count in ((fault_trials.KILL, arguments.points), (fault_trials.FULL, arguments.full_disks))
        for number in range(count)
    )
    missing = [
        (job, fault, number) for (job, fault), count in wanted.items() for number in range(there[job, fault], count)
    ]
    if not missing:
        return
    sound = root / "sound"
    sound.mkdir()
    jobs = {job.name: (job, whole) for job, whole in fault_jobs.undisturbed(sound, arguments.jobs)}
    for name, fault, number in sorted(missing, key=lambda one: one[2]):  # the jobs in turn
        job, whole = jobs[name]
        choice = random.Random(f"{arguments.seed} {name} {fault} {number}")
        if fault == fault_trials.KILL:
            yield fault_trials.kill(job, whole, number, root, choice)
        else:
            yield fault_trials.full_disk(job, root, choice)


def command(argv: list[str] | None = None) -> int:
    """Parses, disturbs, prints and keeps the rows."""
    arguments = parser().parse_args(argv)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)
    may_mount = hasattr(os, "geteuid") and os.geteuid() == 0
    if not may_mount:
        commands.log("no full disks: only root may mount a tmpfs")
        arguments.full_disks = 0
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    # Imported once, for forks that need not: TensorFlow starts its threads with the first operation, which is theirs.
    for module in ("matplotlib.pyplot", "sklearn.datasets", "sklearn.metrics", "sklearn.model_selection"):
        importlib.import_module(module)
    from benchmarks import fault_jobs
    from ghostnet_tf.tflite import convert, pipeline, report_content  # noqa: F401
    from ghostnet_tf.training import fit, train  # noqa: F401
    from ghostnet_tf.weights import download  # noqa: F401

    fit.BUILDERS["ghostnet"] = fault_jobs.network
    shared = {"command": results.command_line("benchmarks/faults.py", argv)}
    done = bad = 0
    with tempfile.TemporaryDirectory() as root:
        for row in faults(arguments, Path(root)):
            row |= shared | {"date": results.now()}
            done += 1
            bad += any(word in str(value) for value in row.values() for word in ("FAILED", "CHANGED", "BROKEN"))
            bad += "traceback" in row["ended"]
            print(", ".join(f"{key} {row[key]}" for key in COLUMNS[1:-1]), flush=True)
            if arguments.csv:
                results.append_rows(arguments.csv, COLUMNS, [row])
    print(f"{bad} of {done} faults did harm")
    return commands.FAILED if bad else commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
