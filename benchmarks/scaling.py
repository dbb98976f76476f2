"""Measures how latency and peak memory of GhostNet grow with width and image size, fits and draws both.

A grid of widths and sizes, fewer in int8, races in one interleaved run, untrained: weights do not change the time. Each
width is converted once, and its file resized to the other sizes, which computes what a file of that size would. What
counts is the ratio to width 1.0 at 224 pixels of the same scheme, or to the first where that is not in the grid.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import hashlib  # noqa: E402
import tempfile  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/scaling.py --csv results/scaling.csv --picture docs/scaling.svg
  python benchmarks/scaling.py --widths 0.5 1 --sizes 96 224 --int8-widths --rounds 10     # float files only"""

WIDTHS, SIZES = (0.25, 0.5, 1.0, 1.5, 2.0), (96, 160, 224, 320, 512)
INT8_WIDTHS, INT8_SIZES = (0.5, 1.0, 2.0), (96, 224, 320)
REFERENCE = (1.0, 224)
FITTED = {"ratio": "time", "peak_memory_mb": "peak memory"}
COLUMNS = ("date", "width", "size", "scheme", "multiply_adds", "bytes", "sha256", "partitions", "median_ms", "ratio")
COLUMNS += ("ratio_low", "ratio_high", "fitted_ratio", "peak_memory_mb", "fitted_peak_memory_mb", "reference_width")
COLUMNS += ("reference_size", "clock", "num_threads", "rounds", "seed", "load", "cpu", "ai_edge_litert", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="scaling", description=__doc__, examples=EXAMPLES)
    for flag, kind, default, meaning in (
        ("--widths", commands.positive_float, WIDTHS, "of the float files"),
        ("--sizes", commands.positive_int, SIZES, "of the float files, pixels a side"),
        ("--int8-widths", commands.positive_float, INT8_WIDTHS, "of the int8 files; nothing for none"),
        ("--int8-sizes", commands.positive_int, INT8_SIZES, "of the int8 files"),
    ):
        arguments.add_argument(flag, type=kind, nargs="*", default=list(default), metavar="N", help=meaning)
    arguments.add_argument("--num-threads", type=commands.positive_int, default=1, help="CPU threads of each")
    arguments.add_argument("--clock", choices=("wall", "cpu"), default="cpu", help="cpu: steadier on a busy machine")
    arguments.add_argument("--rounds", type=commands.positive_int, default=30, help="runs of each file")
    arguments.add_argument("--seed", type=int, default=0, help="of inputs, order and bootstrap")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each file to FILE")
    arguments.add_argument("--picture", type=Path, metavar="FILE", help="draw it to FILE, .svg or .png")
    return arguments


def grid(args) -> list[tuple[str, float, int]]:
    """Scheme, width and size of every file."""
    floats = [("fp32", width, size) for width in args.widths for size in args.sizes]
    return floats + [("int8", width, size) for width in args.int8_widths for size in args.int8_sizes]


def convert(wanted: list[tuple[str, float, int]], folder: Path) -> dict[tuple[str, float, int], Path]:
    """The file of each wanted scheme, width and size: one for all sizes of a scheme and width."""
    from ghostnet_tf.tflite import scaling

    files = {}
    for scheme, width in commands.progress(dict.fromkeys(key[:2] for key in wanted), "converting"):
        sizes = [size for *other, size in wanted if other == [scheme, width]]
        path = folder / f"ghostnet_{round(100 * width):03d}_untrained_{scheme}.tflite"
        path.write_bytes(scaling.converted(width, min(sizes), scheme, any_size=True))
        files |= {(scheme, width, size): path for size in sizes}
    return files


def race(files: dict[tuple[str, float, int], Path], args) -> list[dict]:
    """A row for each file and size: time, its ratio to the scheme's reference, and memory in a process of its own."""
    import numpy as np

    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import cold_start, scaling, summary, timing

    shapes = {key: (1, key[2], key[2], 3) for key in files}
    models = [open_model(path, args.num_threads, shapes[key]) for key, path in files.items()]
    for model in models:
        timing.fill_inputs(model, args.seed)
    read_clock = timing.clock(args.clock, args.num_threads)
    measured = timing.measure(models, num_runs=args.rounds, warmup_runs=2, read_clock=read_clock, seed=args.seed)
    times = dict(zip(files, measured, strict=True))
    asked = {"num_threads": args.num_threads, "warmup_runs": 1, "seed": args.seed}
    rows = []
    for (key, path), model in zip(commands.progress(files.items(), "memory", len(files)), models, strict=True):
        scheme, width, size = key
        first = next(other for other in times if other[0] == scheme)
        reference = (scheme, *REFERENCE) if (scheme, *REFERENCE) in times else first
        content = path.read_bytes()
        ratio = summary.ratio(times[key], times[reference], args.seed)
        rows.append(
            {
                "width": width,
                "size": size,
                "scheme": scheme,
                "multiply_adds": scaling.multiply_adds(width, size),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "partitions": timing.partitions(model),
                "median_ms": round(float(np.median(times[key])), 4),
                **{name: value and round(value, 4) for name, value in ratio.items()},
                "peak_memory_mb": cold_start.cold_start(path, **asked, input_shape=shapes[key])["peak_memory_mb"],
                "reference_width": reference[1],
                "reference_size": reference[2],
            }
        )
    return rows


def fitted(rows: list[dict]) -> dict[tuple[str, str], object]:
    """The fit of each of `FITTED` by scheme; its value for each row is added to the row. Too few rows give none."""
    from ghostnet_tf.tflite import scaling

    fits = {}
    for scheme in dict.fromkeys(row["scheme"] for row in rows):
        same = [row for row in rows if row["scheme"] == scheme]
        for name in FITTED:
            if len(same) < len(scaling.TERMS) or any(row[name] is None for row in same):
                commands.log(f"{name} of {scheme} is not fitted: {len(same)} files, or not measured on this system")
                continue
            columns = ([row[key] for row in same] for key in ("width", "size", name))
            fits[scheme, name] = scaling.fit(*columns)
            for row in same:
                row[f"fitted_{name}"] = round(fits[scheme, name](row["width"], row["size"]), 4)
    return fits


def table(rows: list[dict]) -> str:
    """The rows in Markdown, for a person and for docs/benchmarks.md."""
    lines = ["| file | M multiply-adds | MB | median ms | ratio [95 %] | fitted | peak memory MB | fitted |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        bounds = f" [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if row["ratio_low"] else ""
        cells = (
            f"{row['scheme']} {row['width']:g} at {row['size']}",
            f"{row['multiply_adds'] / 1e6:.1f}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['median_ms']:.2f}",
            f"{row['ratio']:.2f}{bounds}",
            _cell(row, "fitted_ratio", 2),
            _cell(row, "peak_memory_mb", 0),
            _cell(row, "fitted_peak_memory_mb", 0),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: dict, name: str, digits: int) -> str:
    """A number that may not be known."""
    return "" if row.get(name) is None else f"{row[name]:.{digits}f}"


def command(argv: list[str] | None = None) -> int:
    """Parses, converts, races, fits, prints, draws."""
    args = parser().parse_args(argv)
    wanted = grid(args)
    if not wanted:
        raise commands.BadInput("expected at least one width and one size. Received: an empty grid")
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    if args.picture and (args.picture.suffix not in (".svg", ".png") or args.picture.is_dir()):
        raise commands.BadInput(f"expected a file ending in .svg or .png for --picture. Received: {args.picture}")
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    from ghostnet_tf.tflite import charts, machine

    with tempfile.TemporaryDirectory() as folder:
        files = convert(wanted, Path(folder))
        rows, where = machine.measured(lambda: race(files, args))
    shared = where | {
        **{name: getattr(args, name) for name in ("clock", "num_threads", "rounds", "seed")},
        "command": results.command_line("benchmarks/scaling.py", argv),
    }
    fits = fitted(rows)
    if args.csv:
        results.append_rows(args.csv, COLUMNS, [row | shared for row in rows])
    print(f"{args.clock} clock, threads: {args.num_threads}, {args.rounds} rounds, load {shared['load']}\n")
    print(f"{table(rows)}\n")
    for (scheme, name), fit in fits.items():
        print(f"{scheme}: {FITTED[name]} = {fit}; off by {fit.typical:.0%} (median), {fit.worst:.0%} at most")
    if args.picture:
        charts.scaling(args.picture, rows, fits)
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
