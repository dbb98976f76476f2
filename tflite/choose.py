"""Proposes the width and the image size of a GhostNet that keeps within a time on this machine, by measuring here."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse  # noqa: E402
from collections.abc import Callable, Collection  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from ghostnet_tf import commands  # noqa: E402
from ghostnet_tf.networks import NETWORKS  # noqa: E402
from ghostnet_tf.tflite.schemes import SCHEMES  # noqa: E402

if TYPE_CHECKING:
    from ghostnet_tf.tflite.scaling import Fit

EXAMPLES = """\
  python tflite/choose.py --max-ms 5 --threads 1
  python tflite/choose.py --max-ms 5 --scheme int8 --clock cpu      # int8 on a busy machine"""

BASE = NETWORKS["ghostnet"].size  # pixels a side that the published accuracies are for
WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.3, 1.6, 2.0)
SIZES = range(96, 513, 32)
# (size / 224) / width of the published networks, which are 0.5 to 1.3 wide at 224 pixels.
PROPORTIONS = (1 / 1.3, 1 / 0.5)
# What is measured, by width: each is converted once, and its file takes images of other sizes too.
POINTS = {0.25: (96, 160, 224), 1.0: (96, 192, 288), 2.0: (352, 512)}
SMALLEST = (0.25, 96)
SLACK = 1.1  # of the time: what the fit expects to take that much longer is measured too
WARMUP_RUNS = 3


@dataclass(frozen=True)
class Candidate:
    """A network that could be proposed.

    Attributes:
        width: Of the network.
        size: Pixels a side of its images.
        multiply_adds: For one image.
        expected_ms: By the fit.
    """

    width: float
    size: int
    multiply_adds: int
    expected_ms: float


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="choose", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--max-ms", type=commands.positive_float, required=True, help="most time for one image")
    arguments.add_argument(
        "--threads", "--num-threads", type=commands.positive_int, default=1, help="CPU threads of the interpreter"
    )
    arguments.add_argument("--scheme", choices=SCHEMES, default="fp32", help="of the file")
    arguments.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor time, steadier on a busy machine"
    )
    arguments.add_argument("--num-runs", type=commands.positive_int, default=20, help="timed runs of each network")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write everything to FILE")
    return arguments


def proportionate(width: float, size: int) -> bool:
    """Whether size and width are as much out of proportion as in a published network, at most."""
    least, greatest = PROPORTIONS
    return least - 1e-9 <= size / BASE / width <= greatest + 1e-9


def candidates(
    expected: "Fit",
    max_ms: float,
    excluded: Collection[tuple[float, int]],
    multiply_adds: Callable[[float, int], int],
) -> list[Candidate]:
    """Of each width the largest proportionate size within `SLACK` of the time, most multiply-adds first.

    Args:
        expected: Milliseconds by width and size.
        max_ms: The time.
        excluded: (width, size) that were measured and took longer.
        multiply_adds: By width and size.
    """
    found = []
    for width in WIDTHS:
        fitting = [
            (size, expected(width, size))
            for size in SIZES
            if proportionate(width, size) and (width, size) not in excluded and expected(width, size) <= SLACK * max_ms
        ]
        if fitting:
            size, milliseconds = fitting[-1]
            found.append(Candidate(width, size, multiply_adds(width, size), milliseconds))
    return sorted(found, key=lambda row: row.multiply_adds, reverse=True)


def measured_points(args: argparse.Namespace) -> dict[tuple[float, int], float]:
    """Median milliseconds of `POINTS`, interleaved: of files that run at any size, so a few percent above others."""
    import numpy as np

    from ghostnet_tf.tflite import scaling

    keys, models = [], []
    for width, sizes in commands.progress(POINTS.items(), "converting", len(POINTS)):
        content = scaling.converted(width, sizes[0], args.scheme, any_size=True)
        for size in sizes:
            keys.append((width, size))
            models.append(_loaded(content, args, (1, size, size, 3)))
    return dict(zip(keys, map(float, np.median(_times(models, args), axis=1)), strict=True))


def _loaded(content: bytes, args: argparse.Namespace, input_shape: tuple[int, int, int, int] | None = None):
    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.runtime import TFLiteModel

    with quiet():  # the runtime tells of its delegate
        return TFLiteModel(content, args.threads, input_shape)


def _times(models: list, args: argparse.Namespace):
    from ghostnet_tf.tflite import timing

    for model in models:
        timing.fill_inputs(model, seed=0)
    clock = timing.clock(args.clock, args.threads)
    return timing.measure(models, num_runs=args.num_runs, warmup_runs=WARMUP_RUNS, read_clock=clock)


def measured_file(width: float, size: int, args: argparse.Namespace) -> dict[str, float]:
    """Median and 95th percentile in milliseconds of a file converted for this width and size, and its bytes."""
    from ghostnet_tf.tflite import scaling, summary

    content = scaling.converted(width, size, args.scheme)
    found = summary.summarize(_times([_loaded(content, args)], args)[0])
    return {"median_ms": found["median_ms"], "p95_ms": found["p95_ms"], "bytes": len(content)}


def proposal(args: argparse.Namespace) -> dict[str, object]:
    """Measures, fits, and goes through the candidates until a measured file keeps within the time.

    Returns:
        `points`, `fit` and its `errors`, `candidates` at the end, `tried` (files that took longer), and the proposal:
        `width`, `size`, `multiply_adds`, `expected_ms`, `median_ms`, `p95_ms`, `bytes`.

    Raises:
        BadInput: If not even the smallest network does.
    """
    from ghostnet_tf.tflite import scaling

    points = measured_points(args)
    smallest, tried = points[SMALLEST], {}
    while smallest <= args.max_ms:
        known = points | tried
        expected = scaling.fit(*zip(*known, strict=True), list(known.values()))
        found = candidates(expected, args.max_ms, tried, scaling.multiply_adds)
        if not found and SMALLEST not in tried:  # measured to keep within the time, whatever the fit says
            found = [Candidate(*SMALLEST, scaling.multiply_adds(*SMALLEST), smallest)]
        if not found:
            break
        best = found[0]
        commands.log(f"measuring width {best.width:g}, size {best.size}")
        file = measured_file(best.width, best.size, args)
        if file["median_ms"] <= args.max_ms:
            return {
                "points": _rows(points),
                "fit": str(expected),
                "errors": list(expected.errors),
                "candidates": [asdict(row) for row in found],
                "tried": _rows(tried),
                **asdict(best),
                **file,
            }
        tried[best.width, best.size] = file["median_ms"]
    least = max(smallest, tried.get(SMALLEST, 0))
    width, size = SMALLEST
    raise commands.BadInput(
        f"no GhostNet keeps within --max-ms {args.max_ms:g} here: the smallest one considered, width {width:g} at "
        f"{size} pixels, takes {least:.3g} ms ({args.scheme}, {args.clock} clock, threads: {args.threads}). "
        f"Expected: --max-ms above that. Received: --max-ms {args.max_ms:g}"
    )


def _rows(points: dict[tuple[float, int], float]) -> list[dict[str, float]]:
    return [{"width": width, "size": size, "median_ms": value} for (width, size), value in points.items()]


def basis() -> str:
    """What the order of the candidates rests on."""
    from ghostnet_tf.analysis.zoo import ROWS

    rows = [row for row in ROWS if row.builder == "GhostNet" and row.top1]
    published = "; ".join(f"{row.arguments['width']:g}: {row.macs} M, {row.top1} %" for row in rows)
    least, greatest = PROPORTIONS
    return (
        "Order: by multiply-adds, since no accuracy is predicted here. Published top-1 on ImageNet rises with them, "
        f"at {BASE} pixels\n({published}); for other sizes none is published,\nso sizes and widths are taken only "
        f"in proportions like those: (size / {BASE}) / width from {least:.2f} to {greatest:g}.\nTrain what you choose, "
        "and compare."
    )


def text(found: dict, args: argparse.Namespace) -> str:
    """The proposal for a person."""
    lines = [f"measured here ({args.scheme}, {args.clock} clock, threads: {args.threads}, {args.num_runs} runs):"]
    lines += [
        f"  width {row['width']:<4g} size {row['size']:<3}  {row['median_ms']:8.2f} ms" for row in found["points"]
    ]
    worst = max(map(abs, found["errors"]))
    lines += [f"fitted: ms = {found['fit']}, a = (size / {BASE})²; off by {worst:.0%} at most", ""]
    lines += [f"candidates for {args.max_ms:g} ms:"]
    lines += [
        f"  width {row['width']:<4g} size {row['size']:<3}  {row['multiply_adds'] / 1e6:7.1f} M multiply-adds  "
        f"{row['expected_ms']:7.2f} ms expected"
        for row in found["candidates"]
    ]
    lines += [
        f"  width {row['width']:<4g} size {row['size']:<3}  left out: its file took {row['median_ms']:.2f} ms"
        for row in found["tried"]
    ]
    lines += [basis(), ""]
    width, size = found["width"], found["size"]
    lines += [
        f"proposal: width {width:g}, size {size}: {found['median_ms']:.2f} ms measured (95th percentile "
        f"{found['p95_ms']:.2f}), {found['multiply_adds'] / 1e6:.1f} M multiply-adds, {found['bytes'] / 1e6:.1f} MB"
    ]
    if (width, size) == (WIDTHS[-1], SIZES[-1]):
        lines += ["it is the largest network considered; the time allows more"]
    lines += [
        "next:",
        f"  python training/train.py --data YOUR_PHOTOS/ --width {width:g} --size {size} --output runs/photos",
        f"  python tflite/convert.py --model runs/photos --{args.scheme}",
        f"  python tflite/convert.py --weights none --width {width:g} --size {size} --{args.scheme}   # untrained",
    ]
    return "\n".join(lines)


def command(argv: list[str] | None = None) -> int:
    """Parses, measures, proposes."""
    args = parser().parse_args(argv)
    if args.json and args.json.is_dir():
        raise commands.BadInput(f"expected a file for --json. Received: {args.json}, a folder")
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    from ghostnet_tf.tflite import machine

    found = proposal(args)
    if args.json:
        asked = {name: getattr(args, name) for name in ("max_ms", "threads", "scheme", "clock", "num_runs")}
        commands.write_json(args.json, {"asked": asked, "machine": machine.machine(), **found})
    print(text(found, args))
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
