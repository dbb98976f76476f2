"""Races G-GhostNet, the form of the IJCV 2022 paper for GPUs, with the RegNetX that it is made from and with GhostNet.

Through Keras (compiled by `tf.function`) and through LiteRT (fp32, XNNPACK), at several batch sizes, in one interleaved
run; what counts is the ratio to RegNetX of the same route and batch. GhostNet is what that paper calls C-GhostNet.
Untrained: weights do not change the time. A `.tflite` file has a batch of 1; where LiteRT cannot resize it to a larger
one, that is left out and said. With `--device gpu`, Keras only.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import argparse  # noqa: E402
import functools  # noqa: E402
import os  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

if TYPE_CHECKING:
    import keras

EXAMPLES = """\
  python benchmarks/g_ghost.py --csv results/g_ghost.csv
  python benchmarks/g_ghost.py --variant 080 --batches 1 8 --clock wall --num-threads 2
  python benchmarks/g_ghost.py --device gpu --batches 1 8 32 128"""

ROUTES = {"cpu": ("keras", "litert"), "gpu": ("keras",)}
COLUMNS = ("date", "network", "route", "device", "batch", "params", "multiply_adds", "activations", "median_ms")
COLUMNS += ("images_per_second", "ratio", "ratio_low", "ratio_high", "reference", "partitions", "size", "clock")
COLUMNS += ("num_threads", "rounds", "seed", "load", "cpu", "versions", "command")


@dataclass(frozen=True)
class Contestant:
    """A network at one batch size.

    Attributes:
        network: Its name.
        route: Of `ROUTES`.
        batch: Images at once.
        run: Computes them.
        partitions: Pieces of the graph that XNNPACK runs; `None` for Keras.
    """

    network: str
    route: str
    batch: int
    run: Callable[[], object]
    partitions: int | None = None


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="g_ghost", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--variant", default="040", help="of RegNetX and G-Ghost-RegNetX, by multiply-adds")
    arguments.add_argument("--size", type=commands.positive_int, default=224, help="pixels a side")
    arguments.add_argument("--batches", type=commands.positive_int, nargs="+", default=[1, 8, 32], metavar="N")
    arguments.add_argument("--device", choices=ROUTES, default="cpu", help="gpu: TensorFlow's first")
    arguments.add_argument("--num-threads", type=commands.positive_int, default=1, help="CPU threads")
    arguments.add_argument(
        "--clock", choices=("wall", "cpu"), help="by default wall for the GPU, else cpu: processor time of all threads"
    )
    arguments.add_argument("--rounds", type=commands.positive_int, default=7, help="runs of each")
    arguments.add_argument("--seed", type=int, default=0, help="of inputs, order and bootstrap")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each to FILE")
    return arguments


def networks(variant: str, size: int) -> dict[str, "keras.Model"]:
    """The networks of the race by name, the reference first."""
    from ghostnet_tf.models import GGhostRegNetX, GhostNet, RegNetX

    shape = (size, size, 3)
    return {
        f"RegNetX-{variant}": RegNetX(variant, input_shape=shape),
        f"G-Ghost-RegNetX-{variant}": GGhostRegNetX(variant, input_shape=shape),
        "C-GhostNet 1.0": GhostNet(input_shape=shape),
    }


def contestants(models: dict[str, "keras.Model"], args: argparse.Namespace) -> list[Contestant]:
    """Every network by every route at every batch size, ready to run."""
    import numpy as np
    import tensorflow as tf

    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.runtime import TFLiteModel
    from ghostnet_tf.tflite import timing
    from ghostnet_tf.tflite.schemes import convert

    found = []
    for name, model in commands.progress(models.items(), "building", len(models)):
        # Files of other graphs do not take several images at a time.
        content = convert(model, "fp32", graph="plain") if "litert" in ROUTES[args.device] else None
        compiled = tf.function(functools.partial(model, training=False))
        for batch in args.batches:
            rng = np.random.default_rng(args.seed)
            shape = (batch, *model.inputs[0].shape[1:])
            with tf.device(f"{args.device}:0"):
                images = tf.constant(rng.uniform(0, 255, shape).astype(np.float32))
            found.append(Contestant(name, "keras", batch, lambda run=compiled, x=images: run(x).numpy()))
            if content is not None:
                try:
                    with quiet():  # the runtime tells of its delegate
                        loaded = TFLiteModel(content, args.num_threads, shape)
                except RuntimeError as error:
                    reason = str(error).strip().splitlines()[-1]
                    commands.log(f"{name} in LiteRT at batch {batch} is left out, its file has batch 1: {reason}")
                    continue
                timing.fill_inputs(loaded, args.seed)
                found.append(Contestant(name, "litert", batch, loaded.interpreter.invoke, timing.partitions(loaded)))
    return found


def race(found: list[Contestant], args: argparse.Namespace) -> list[dict]:
    """A row for each contestant, by route, batch and network."""
    import numpy as np

    from ghostnet_tf.tflite import summary, timing

    read_clock = timing.clock(args.clock, 2)  # with 2, that of all threads: TensorFlow has some of its own
    for one in found:
        one.run()  # traces
    times = np.empty((len(found), args.rounds))
    for number, order in enumerate(commands.progress(timing.orders(len(found), args.rounds, args.seed), "rounds")):
        for index in order:
            times[index, number] = timing.timed(found[index].run, read_clock)
    first = found[0].network
    places = {(one.network, one.route, one.batch): index for index, one in enumerate(found)}
    rows = []
    for index, one in enumerate(found):
        reference = places.get((first, one.route, one.batch))
        median = float(np.median(times[index]))
        ratio = {} if reference is None else summary.ratio(times[index], times[reference], args.seed)
        rows.append(
            {
                "network": one.network,
                "route": one.route,
                "batch": one.batch,
                "partitions": one.partitions,
                "median_ms": round(median, 3),
                "images_per_second": round(1000 * one.batch / median, 2),
                **{name: value and round(value, 4) for name, value in ratio.items()},
                "reference": None if reference is None else first,
            }
        )
    order = list(dict.fromkeys(one.network for one in found))
    return sorted(rows, key=lambda row: (row["route"], row["batch"], order.index(row["network"])))


def table(rows: list[dict]) -> str:
    """The rows in Markdown, for a person and for docs/benchmarks.md."""
    lines = ["| route, batch | network | G multiply-adds | M activations | images/s | ratio of time [95 %] |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        bounds = f" [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if row.get("ratio_low") else ""
        ratio = f"{row['ratio']:.2f}{bounds}" if "ratio" in row else ""
        lines.append(
            f"| {row['route']}, {row['batch']} | {row['network']} | {row['multiply_adds'] / 1e9:.3f} "
            f"| {row['activations'] / 1e6:.2f} | {row['images_per_second']:.1f} | {ratio} |"
        )
    return "\n".join(lines)


def start(args: argparse.Namespace) -> None:
    """TensorFlow with as many threads as asked for.

    Raises:
        MissingResource: Without the GPU that was asked for.
    """
    for kind in ("INTRAOP", "INTEROP"):
        os.environ[f"TF_NUM_{kind}_THREADS"] = str(args.num_threads)
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    import tensorflow as tf

    if args.device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise commands.MissingResource(
            "TensorFlow finds no GPU here: run on a machine that has one (pip install 'tensorflow[and-cuda]' brings "
            "what NVIDIA's need), or without --device gpu"
        )


def command(argv: list[str] | None = None) -> int:
    """Parses, builds, converts, races, prints the table."""
    args = parser().parse_args(argv)
    if args.device == "gpu" and args.clock == "cpu":
        raise commands.BadInput("the processor's time says nothing of the GPU: expected --clock wall with --device gpu")
    args.clock = args.clock or ("wall" if args.device == "gpu" else "cpu")
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    start(args)
    import keras
    import tensorflow as tf

    from ghostnet_tf.analysis import complexity
    from ghostnet_tf.models.g_ghost_regnet import VARIANTS
    from ghostnet_tf.tflite import machine

    commands.choose("variant", args.variant, VARIANTS)
    models = networks(args.variant, args.size)
    counted = {name: complexity(model) for name, model in models.items()}
    found = contestants(models, args)
    rows, where = machine.measured(lambda: race(found, args))
    shared = where | {
        **{name: getattr(args, name) for name in ("device", "size", "clock", "num_threads", "rounds", "seed")},
        "versions": f"keras {keras.__version__} tensorflow {tf.__version__} ai-edge-litert {where['ai_edge_litert']}",
        "command": results.command_line("benchmarks/g_ghost.py", argv),
    }
    for row in rows:
        counts = counted[row["network"]]
        row |= {"params": counts.params, "multiply_adds": counts.macs, "activations": counts.activations}
    if args.csv:
        results.append_rows(args.csv, COLUMNS, [row | shared for row in rows])
    print(
        f"{args.device}, {args.clock} clock, threads: {args.num_threads}, {args.rounds} rounds, load {shared['load']}\n"
    )
    print(table(rows))
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
