"""Times `.tflite` files against each other on this machine."""

import argparse
import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
if not __package__:  # run as a script: import from the checkout, not from this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python tflite/benchmark.py fp32.tflite int8.tflite
  python tflite/benchmark.py fp32.tflite int8.tflite --clock cpu --json benchmark.json   # on a busy machine
  python tflite/benchmark.py model.tflite model.tflite          # how far two equal files differ: the noise
  python tflite/benchmark.py int8.tflite --profile --picture profile.svg         # which operations take the time
  python tflite/benchmark.py int8.tflite --adb --benchmark-model android_aarch64_benchmark_model  # on a phone too
  python tflite/benchmark.py --graph=model.tflite --num_threads=2 --num_runs=200"""

# Of a row of --csv, in order; the keys are also those of an entry of "results" in --json, or of its head.
COLUMNS = {
    "date": "of the measurement, UTC",
    "file": "name of the .tflite file",
    "bytes": "its size",
    "sha256": "its checksum",
    "init_ms": "reading the file, allocating, preparing XNNPACK, in a process of its own",
    "first_ms": "first inference there",
    "warmup_ms": "mean of the warm-up runs there, the first included",
    "median_ms": "of the interleaved runs; only `invoke` is timed",
    "p5_ms": "5th percentile",
    "p95_ms": "95th percentile",
    "mean_ms": "mean",
    "std_ms": "standard deviation",
    "min_ms": "least",
    "max_ms": "greatest",
    "peak_memory_mb": "growth of a process's peak resident memory by this file alone, 10^6 bytes",
    "partitions": "pieces of the graph that XNNPACK runs: 1 is best, 0 is none",
    "ratio": "median over the rounds of time / time of the command's first file",
    "ratio_low": "lower end of its 95 % bootstrap interval",
    "ratio_high": "upper end",
    "clock": "wall, or cpu (of the thread; of all threads with more than one)",
    "num_threads": "of the interpreter",
    "num_runs": "interleaved rounds",
    "warmup_runs": "before them",
    "seed": "of inputs, order and bootstrap",
    "cpu": "name of the processor; of a phone its own, and what ran the file",
    "ai_edge_litert": "version of the runtime; empty for a phone, as is all that benchmark_model does not tell",
    "python": "version",
    "command": "that made the row",
}


def parser() -> commands.ArgumentParser:
    width = max(map(len, COLUMNS))
    columns = "\n".join(f"  {name:<{width}}  {meaning}" for name, meaning in COLUMNS.items())
    parser = commands.ArgumentParser(
        prog="benchmark",
        description=__doc__
        + "\n\nEach round runs every file once, in a new random order. Flags and the last lines are "
        "those of\nTensorFlow Lite's benchmark_model.",
        examples=f"{EXAMPLES}\n\ncolumns of --csv:\n{columns}",
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help=".tflite files; the first is the reference")
    parser.add_argument("--graph", action="append", type=Path, default=[], metavar="FILE", help="one more FILE")
    parser.add_argument("--num-threads", type=commands.positive_int, default=1, help="CPU threads of the interpreter")
    parser.add_argument("--num-runs", type=commands.positive_int, default=50, help="timed runs of each file")
    parser.add_argument("--warmup-runs", type=commands.positive_int, default=5, help="runs before them")
    parser.add_argument(
        "--clock",
        default="wall",
        metavar="wall|cpu",
        help="wall: what a user waits. cpu: the thread's processor time, steadier on a busy machine; "
        "with more than one thread the sum over all, which is not latency",
    )
    parser.add_argument("--seed", type=int, default=0, help="of inputs, order and bootstrap")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="also time every operation of each file, XNNPACK's own: by kind, by layer and the slowest",
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the profile to FILE, .svg or .png")
    parser.add_argument(
        "--adb", action="store_true", help="also time the files on an attached Android device: CPU, GPU, NNAPI"
    )
    parser.add_argument(
        "--benchmark-model", type=Path, metavar="FILE", help="TensorFlow Lite's benchmark_model for that device"
    )
    parser.add_argument("--device", metavar="SERIAL", help="which, of several; `adb devices` lists them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to FILE")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each file to FILE")
    return parser


def benchmark(
    files: list[Path],
    *,
    num_threads: int = 1,
    num_runs: int = 50,
    warmup_runs: int = 5,
    clock: str = "wall",
    seed: int = 0,
) -> dict[str, object]:
    """Measures `files` against each other.

    Returns:
        What was asked, `machine` (see `machine.machine`), and `results`: for each file the columns of `COLUMNS`
        from `file` to `ratio_high`. The first file is the reference of the ratios.

    Raises:
        BadInput: If a file cannot be run, before any is measured.
    """
    import hashlib

    from ghostnet_tf.litert import untrusted
    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import cold_start, machine, summary, timing

    read_clock = timing.clock(clock, num_threads)
    for path in dict.fromkeys(files):
        untrusted.trial(path, num_threads)
    models = [open_model(path, num_threads) for path in files]
    for model in models:
        timing.fill_inputs(model, seed)
    asked = {"num_threads": num_threads, "warmup_runs": warmup_runs, "seed": seed}
    starts = [
        cold_start.cold_start(path, clock=clock, **asked)
        for path in commands.progress(files, "cold starts", len(files))
    ]
    times = timing.measure(models, num_runs=num_runs, warmup_runs=warmup_runs, read_clock=read_clock, seed=seed)
    rows = []
    for path, model, start, runs in zip(files, models, starts, times, strict=True):
        content = path.read_bytes()
        measured = {
            "file": path.name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "partitions": timing.partitions(model),
        } | start
        measured |= summary.summarize(runs) | summary.ratio(runs, times[0], seed)
        rows.append({name: rounded(measured[name]) for name in COLUMNS if name in measured})
    return {
        "date": results.now(),
        "clock": clock,
        "num_runs": num_runs,
        **asked,
        "machine": machine.machine(),
        "results": rows,
    }


def rounded(value: object) -> object:
    """A measured number without digits that mean nothing: to a tenth of a microsecond, a ten-thousandth."""
    return round(value, 4) if isinstance(value, float) else value


def table(report: dict) -> str:
    """The results for a person."""
    heading = ["file", "MB", "init", "first", "warm-up", "median", "p5", "p95", "mean", "std", "peak MB", "parts"]
    lines = [[*heading, "ratio [95 %]"]]
    for row in report["results"]:
        times = [row[f"{name}_ms"] for name in ("init", "first", "warmup", "median", "p5", "p95", "mean", "std")]
        peak = row["peak_memory_mb"]
        interval = "" if row["ratio_low"] is None else f" [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        lines.append(
            [
                row["file"],
                f"{row['bytes'] / 1e6:.2f}",
                *(f"{value:.3f}" for value in times),
                "unknown" if peak is None else f"{peak:.1f}",
                str(row["partitions"]),
                f"{row['ratio']:.2f}{interval}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(w.rjust(n) for w, n in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    )


def footer(report: dict) -> str:
    """How to read the table."""
    machine, threads = report["machine"], report["num_threads"]
    clock = {"wall": "wall clock", "cpu": "processor time of the thread"}[report["clock"]]
    if report["clock"] == "cpu" and threads > 1:
        clock = "processor time summed over all threads (not latency)"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"ms, {clock}; {report['num_runs']} rounds in random order (seed {report['seed']}), threads: {threads}, "
        "XNNPACK on (parts: pieces of the graph it runs, 1 is best)",
        "init, first, warm-up, peak MB: each file in a process of its own; "
        f"ratio: median over the rounds, to {report['results'][0]['file']}",
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']}; {machine['system']}; "
        f"Python {machine['python']}, {versions}; {report['date']}",
    ]
    if machine["architecture"].lower() in ("x86_64", "amd64", "i386", "i686"):
        lines.append(
            "int8 on x86 is not int8 on a phone: ARM has other int8 instructions, so both times and ratios differ there"
        )
    return "\n".join(lines)


def timing_line(row: dict) -> str:
    """The line that benchmark_model prints for a file."""
    return (
        f"Inference timings in us: Init: {row['init_ms'] * 1000:.0f}, "
        f"First inference: {row['first_ms'] * 1000:.0f}, "
        f"Warmup (avg): {row['warmup_ms'] * 1000:.6g}, Inference (avg): {row['mean_ms'] * 1000:.6g}"
    )


def result_rows(report: dict) -> list[dict]:
    """The rows of --csv."""
    shared = report | {
        "cpu": report["machine"]["cpu"],
        "python": report["machine"]["python"],
        "ai_edge_litert": report["machine"]["versions"]["ai-edge-litert"],
    }
    phone = [{"date": report["date"], "command": report["command"]} | row for row in report.get("device_results", [])]
    return [shared | row for row in report["results"]] + phone


def check_arguments(args: argparse.Namespace) -> None:
    """Raises `BadInput` for arguments that cannot be used, before anything is measured."""
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    if args.json and args.json.is_dir():
        raise commands.BadInput(f"expected a file for --json. Received: {args.json}, a folder")
    if (args.benchmark_model or args.device) and not args.adb:
        raise commands.BadInput("--benchmark-model and --device are of an Android device: expected --adb with them")
    if args.picture and not args.profile:
        raise commands.BadInput("--picture draws the profile: expected --profile with it")
    if args.picture and (args.picture.suffix not in (".svg", ".png") or args.picture.is_dir()):
        raise commands.BadInput(f"expected a file ending in .svg or .png for --picture. Received: {args.picture}")


def profiled(args: argparse.Namespace, files: list[Path]) -> list[dict]:
    """The profile of each file, and the picture of all if one is wanted."""
    from ghostnet_tf.tflite import charts, op_profile

    asked = {name: getattr(args, name) for name in ("num_threads", "num_runs", "warmup_runs", "seed")}
    found = [op_profile.profile(path, **asked) for path in commands.progress(files, "profiles", len(files))]
    if args.picture:
        charts.profiles(args.picture, found, f"Lower quartiles of {args.num_runs} runs, threads: {args.num_threads}")
    return found


def on_device(args: argparse.Namespace, files: list[Path]) -> dict[str, object]:
    """Name of the attached device, rows of its runs, and why others gave none."""
    from ghostnet_tf.runtime import check_file
    from ghostnet_tf.tflite import device

    for path in files:
        check_file(path)
    adb, found = device.find(args.device, args.benchmark_model)
    report = {"device": found.name, "device_results": [], "device_notes": []}
    for path in commands.progress(files, found.name, len(files)):
        rows, notes = device.measure(adb, found, path, num_runs=args.num_runs, warmup_runs=args.warmup_runs)
        report["device_results"] += [{name: rounded(value) for name, value in row.items()} for row in rows]
        report["device_notes"] += notes
    return report


def command(argv: list[str] | None = None) -> int:
    arguments = parser()
    args = arguments.parse_args(argv)
    files = [*args.files, *args.graph]
    if not files:
        arguments.error("no .tflite file given")
    check_arguments(args)
    asked = {name: getattr(args, name) for name in ("num_threads", "num_runs", "warmup_runs", "clock", "seed")}
    phone = on_device(args, files) if args.adb else {}  # first: what is missing there is told at once
    report = benchmark(files, **asked) | phone
    report["command"] = results.command_line("tflite/benchmark.py", argv)
    if args.profile:
        report["profiles"] = profiled(args, files)
    if args.json:
        commands.write_json(args.json, report)
    if args.csv:
        results.append_rows(args.csv, COLUMNS, result_rows(report))
    print(f"{table(report)}\n\n{footer(report)}\n")
    if args.adb:
        from ghostnet_tf.tflite import device

        print("\n".join([device.table(report["device_results"]), *report["device_notes"]]), end="\n\n")
    if args.profile:
        from ghostnet_tf.tflite import op_profile

        print("".join(f"{op_profile.table(row)}\n\n" for row in report["profiles"]), end="")
    for row in report["results"]:
        print(f"{row['file']}\n{timing_line(row)}")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
