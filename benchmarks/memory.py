"""Watches the memory of a process that builds or converts the same tiny network hundreds of times.

Each job has a process of its own, in which nothing is done for the memory's sake but what the job's name says: no
collecting of garbage, no clearing of Keras's session. Growth is that of the second half of the rounds; what the first
rounds take is TensorFlow getting ready.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import multiprocessing  # noqa: E402
import os  # noqa: E402
from collections.abc import Callable  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/memory.py
  python benchmarks/memory.py --rounds 1000 --csv results/memory.csv"""

STATM = Path("/proc/self/statm")
COLUMNS = ("date", "job", "round", "resident_mb", "growth_kb", "versions", "command")
SIZE = 32


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="memory", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--rounds", type=commands.positive_int, default=200, help="rounds of each job")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for every ten rounds to FILE")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, watches, prints the table."""
    args = parser().parse_args(argv)
    if args.rounds < 20:
        raise commands.BadInput(f"expected at least 20 --rounds to see a slope in. Received: {args.rounds}")
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    if not STATM.is_file():
        raise commands.MissingResource(f"no {STATM}: the memory of a process is read from Linux's /proc")
    from ghostnet_tf.tflite import machine

    rows = []
    for job in JOBS:
        # Not forked: the processes would share what TensorFlow has taken so far.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            taken = process.submit(watch, job, args.rounds).result()
        slope = growth(taken)
        print(
            f"{job:26} {taken[9] / 1e6:7.0f} MB after 10, {taken[-1] / 1e6:7.0f} MB after {args.rounds} rounds: ",
            end="",
        )
        print(f"{slope / 1e3:+.1f} kB a round", flush=True)
        rows += [
            {
                "job": job,
                "round": done,
                "resident_mb": round(taken[done - 1] / 1e6, 1),
                "growth_kb": round(slope / 1e3, 1),
            }
            for done in range(10, args.rounds + 1, 10)
        ]
    if args.csv:
        shared = {"date": results.now()}
        versions = machine.machine()["versions"]
        shared["versions"] = " ".join(f"{name} {version}" for name, version in versions.items())
        shared["command"] = results.command_line("benchmarks/memory.py", argv)
        results.append_rows(args.csv, COLUMNS, [row | shared for row in rows])
    return commands.OK


def watch(job: str, rounds: int) -> list[int]:
    """Resident memory of this process after each round of a job, bytes."""
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    one_round, taken = JOBS[job](), []
    for _ in range(rounds):
        one_round()
        taken.append(resident())
    return taken


def resident() -> int:
    """Memory of this process that is in use, bytes."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(taken: list[int]) -> float:
    """Bytes a round over the second half: the median slope between two of its rounds, since megabytes come and go."""
    from scipy import stats

    return float(stats.theilslopes(taken[len(taken) // 2 :]).slope)


def network():
    """A ghost module and a classifier."""
    import keras

    from ghostnet_tf.layers import GhostModule

    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(GhostModule(8, 3)(image))
    return keras.Model(image, keras.layers.Dense(4, activation="softmax")(x))


def _converting() -> Callable[[], object]:
    import numpy as np

    from ghostnet_tf.tflite.schemes import convert

    model, images = network(), np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    return lambda: convert(model, "int8", representative_dataset=images)


def _building(clear: bool) -> Callable[[], object]:
    import keras

    def one_round() -> None:
        network()
        if clear:
            keras.utils.clear_session()

    return one_round


JOBS = {
    "convert to int8": _converting,  # by way of fp32
    "build": lambda: _building(clear=False),
    "build, then clear_session": lambda: _building(clear=True),
}


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
