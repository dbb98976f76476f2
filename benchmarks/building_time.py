"""Races building of our networks against keras.applications' MobileNetV3Large.

All in one process, one build each a round, in a new order each time, after a round to warm up; what counts are the
ratios within rounds. Times are those of the processor, which a busy machine does not stretch.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import time  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.networks import NETWORKS  # noqa: E402

EXAMPLES = """\
  python benchmarks/building_time.py
  python benchmarks/building_time.py ghostnet --rounds 15 --csv results/building.csv"""

REFERENCE = "keras.applications MobileNetV3Large"
COLUMNS = ("date", "network", "rounds", "median_ms", "ratio", "ratio_low", "ratio_high", "cpu", "versions", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__.splitlines()[0], examples=EXAMPLES)
    arguments.add_argument("networks", nargs="*", default=["ghostnet"], metavar="NETWORK", help=", ".join(NETWORKS))
    arguments.add_argument("--rounds", type=commands.positive_int, default=9, help="rounds")
    arguments.add_argument("--csv", type=Path, help="append a row for each network to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, races, prints the table."""
    arguments = parser().parse_args(argv)
    for name in arguments.networks:
        commands.choose("network", name, NETWORKS)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)
    rows = race(arguments.networks, arguments.rounds)
    for row in rows:
        bounds = f" [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if row["ratio_low"] else ""
        print(f"{row['network']:36} {row['median_ms']:8.1f} ms   {row['ratio']:.2f} times the reference{bounds}")
    if arguments.csv:
        shared = {"date": results.now()}
        shared["command"] = results.command_line("benchmarks/building_time.py", argv)
        results.append_rows(arguments.csv, COLUMNS, [row | shared for row in rows])
    return commands.OK


def race(networks: list[str], rounds: int) -> list[dict]:
    """A row for the reference and for each network, built with its defaults and random weights."""
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from ghostnet_tf.models import BUILDERS
    from ghostnet_tf.tflite import summary, timing
    from ghostnet_tf.training.metrics import processor

    builders = {REFERENCE: lambda: keras.applications.MobileNetV3Large(weights=None)}
    builders |= {name: BUILDERS[name] for name in networks}
    names, times = list(builders), np.empty((len(builders), rounds + 1))
    orders = timing.orders(len(builders), rounds + 1, seed=0)
    for number, order in enumerate(commands.progress(orders, "rounds", rounds + 1)):
        for index in order:
            times[index, number] = timing.timed(builders[names[index]], time.process_time_ns)
            keras.utils.clear_session()
    shared = {
        "rounds": rounds,
        "cpu": processor(),
        "versions": f"keras {keras.__version__} tensorflow {tf.__version__}",
    }
    rows = []
    for name, series in zip(names, times[:, 1:], strict=True):
        ratio = {key: value and round(value, 3) for key, value in summary.ratio(series, times[0, 1:]).items()}
        rows.append({"network": name, "median_ms": round(float(np.median(series)), 1), **ratio, **shared})
    return rows


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
