"""Ghost modules against the convolution that each takes the place of: multiply-adds, weights and milliseconds.

For each ratio s and window d: r_s and r_c by the paper's formula (section 3.1), counted on a real `GhostModule`, and
the speed-up measured on the `.tflite` files of both, all files in one interleaved race.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import tempfile  # noqa: E402
from dataclasses import dataclass  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/cheap_operations.py --csv results/cheap_operations.csv --picture docs/cheap_operations.svg
  python benchmarks/cheap_operations.py --channels 120 --size 28 --ratios 2 3 --clock wall"""

BOUNDS = ("speedup_low", "speedup_high")  # of the 95 % interval
PROFILED = 30  # runs of each module's operations
CONVOLUTIONS = ("Convolution", "Fully Connected")  # how XNNPACK's names of convolutions begin
COLUMNS = ("date", "channels", "size", "kernel_size", "s", "d", "formula", "macs_ratio", "weights_ratio")
COLUMNS += ("macs", "weights", "median_ms", "plain_ms", "speedup", "speedup_low", "speedup_high")
COLUMNS += ("primary_ms", "cheap_ms", "rest_ms", "cheap_operator", "partitions", "clock", "num_threads", "rounds")
COLUMNS += ("seed", "load", "cpu", "ai_edge_litert", "command")


@dataclass(frozen=True)
class Module:
    """A ghost module with as many output channels as input channels.

    Attributes:
        kernel_size: k of the paper, of the primary convolution.
        ratio: s of the paper; 1 is the ordinary convolution.
        window: d of the paper; of no account where `ratio` is 1.
    """

    kernel_size: int
    ratio: int = 1
    window: int = 1


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="cheap_operations", description=__doc__, examples=EXAMPLES)
    number = {"type": commands.positive_int}
    arguments.add_argument("--channels", **number, default=60, help="in and out, a multiple of every ratio")
    arguments.add_argument("--size", **number, default=56, help="pixels a side of the maps")
    arguments.add_argument("--kernel-sizes", **number, nargs="+", default=[1, 3], metavar="K", help="k, odd")
    arguments.add_argument("--ratios", **number, nargs="+", default=[2, 3, 4, 5], metavar="S", help="s, from 2")
    arguments.add_argument("--windows", **number, nargs="+", default=[1, 3, 5, 7], metavar="D", help="d, odd")
    arguments.add_argument("--rounds", **number, default=100, help="runs of each file")
    arguments.add_argument(
        "--clock", choices=("wall", "cpu"), default="cpu", help="of the one thread; cpu is steadier on a busy machine"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of weights, inputs, order and bootstrap")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each module to FILE")
    arguments.add_argument("--picture", type=Path, metavar="FILE", help="draw all to FILE, .svg or .png")
    return arguments


def check_arguments(args) -> None:
    """Raises `BadInput` for arguments that cannot be used, before anything is measured."""
    for name in ("kernel_sizes", "windows"):
        even = [size for size in getattr(args, name) if size % 2 == 0]
        if even:
            raise commands.BadInput(f"expected odd sizes for {commands.flag(name)}. Received: {even[0]}")
    for ratio in args.ratios:
        if ratio < 2 or args.channels % ratio:
            raise commands.BadInput(
                f"expected --ratios from 2 that divide --channels {args.channels}, as the formula takes them. "
                f"Received: {ratio}"
            )
    if args.picture and (args.picture.suffix not in (".svg", ".png") or args.picture.is_dir()):
        raise commands.BadInput(f"expected a file ending in .svg or .png for --picture. Received: {args.picture}")
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)


def built(module: Module, channels: int, size: int):
    """The module as a Keras model on maps of `size` x `size` pixels."""
    import keras

    from ghostnet_tf.layers import GhostModule

    maps = keras.Input((size, size, channels), name="maps")
    layer = GhostModule(channels, module.kernel_size, ratio=module.ratio, dw_size=module.window, name="ghost")
    return keras.Model(maps, layer(maps), name="module")


def race(modules: list[Module], args, folder: Path) -> list[dict]:
    """Counts and measures `modules`, whose plain convolutions come first, each in a row."""
    import keras
    import numpy as np

    from ghostnet_tf.analysis import complexity, speedup_ratio
    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import op_profile, summary, timing
    from ghostnet_tf.tflite.schemes import convert

    counts, paths = [], []
    for number, module in enumerate(commands.progress(modules, "converting", len(modules))):
        keras.utils.set_random_seed(args.seed)
        model = built(module, args.channels, args.size)
        counts.append(complexity(model))
        paths.append(folder / f"{number}.tflite")
        paths[-1].write_bytes(convert(model, "fp32", graph="plain"))  # the module, and nothing around it
    files = [open_model(path) for path in paths]
    for file in files:
        timing.fill_inputs(file, args.seed)
    read_clock = timing.clock(args.clock, 1)
    times = timing.measure(files, num_runs=args.rounds, read_clock=read_clock, seed=args.seed)

    plain = {module.kernel_size: index for index, module in enumerate(modules) if module.ratio == 1}
    rows = []
    for index, module in enumerate(commands.progress(modules, "profiling", len(modules))):
        if module.ratio == 1:
            continue
        reference = plain[module.kernel_size]
        profile = op_profile.profile(paths[index], num_runs=PROFILED, seed=args.seed)
        faster = summary.ratio(times[reference], times[index], args.seed)
        rows.append(
            {
                "kernel_size": module.kernel_size,
                "s": module.ratio,
                "d": module.window,
                "formula": speedup_ratio(args.channels, module.ratio, module.kernel_size, module.window),
                "macs_ratio": counts[reference].macs / counts[index].macs,
                "weights_ratio": counts[reference].params_without_bn / counts[index].params_without_bn,
                "macs": counts[index].macs,
                "weights": counts[index].params_without_bn,
                "median_ms": float(np.median(times[index])),
                "plain_ms": float(np.median(times[reference])),
                "speedup": faster["ratio"],
                "speedup_low": faster["ratio_low"],
                "speedup_high": faster["ratio_high"],
                **parts(profile["operators"]),
                "partitions": timing.partitions(files[index]),
            }
        )
    return rows


def parts(operators: list[dict]) -> dict[str, object]:
    """Milliseconds of a module's primary convolution, of its cheap operation, and of all else, from its profile.

    Raises:
        CommandError: If XNNPACK runs other operations than two convolutions in their order, and copies.
    """
    found = [row for row in operators if row["operator"].startswith(CONVOLUTIONS)]
    if len(found) != 2:
        names = ", ".join(row["operator"] for row in operators)
        raise commands.CommandError(f"expected two convolutions in a ghost module's profile. Received: {names}")
    primary, cheap = found
    rest = sum(row["ms"] for row in operators) - primary["ms"] - cheap["ms"]
    return {
        "primary_ms": primary["ms"],
        "cheap_ms": cheap["ms"],
        "rest_ms": round(rest, 4),
        "cheap_operator": cheap["operator"],
    }


def table(rows: list[dict]) -> str:
    """The rows in Markdown, for a person and for docs/cheap_operations.md."""
    lines = [
        "| k | s | d | formula | multiply-adds | weights | measured [95 %] | ms | plain | primary | cheap | rest |"
    ]
    lines.append("|" + " --: |" * 12)
    for row in rows:
        bounds = f" [{row['speedup_low']:.2f}, {row['speedup_high']:.2f}]" if row["speedup_low"] else ""
        ratios = " | ".join(f"{row[name]:.2f}" for name in ("formula", "macs_ratio", "weights_ratio"))
        times = ("median_ms", "plain_ms", "primary_ms", "cheap_ms", "rest_ms")
        milliseconds = " | ".join(f"{row[name]:.3f}" for name in times)
        head = f"| {row['kernel_size']} | {row['s']} | {row['d']} "
        lines.append(f"{head}| {ratios} | {row['speedup']:.2f}{bounds} | {milliseconds} |")
    return "\n".join(lines)


def draw(path: Path, rows: list[dict], title: str) -> None:
    """A small chart for each k and s: how many times less by formula and count, how many times faster measured."""
    from ghostnet_tf.tflite import charts

    kernels, ratios = (sorted({row[name] for row in rows}) for name in ("kernel_size", "s"))
    with charts.picture(path, (2 + 2.1 * len(ratios), 1.2 + 2.1 * len(kernels))) as figure:
        figure.suptitle(title, fontsize=10)
        grid = figure.subplots(len(kernels), len(ratios), squeeze=False, sharex=True, sharey=True)
        for kernel, line in zip(kernels, grid, strict=True):
            for ratio, axes in zip(ratios, line, strict=True):
                shown = sorted(
                    (row for row in rows if (row["kernel_size"], row["s"]) == (kernel, ratio)), key=lambda row: row["d"]
                )
                _draw_one(axes, shown)
                axes.set_title(f"k = {kernel}, s = {ratio}", fontsize=9)
        grid[0, 0].set_ylim(bottom=0)
        for axes in grid[-1]:
            axes.set_xlabel("d")
        for axes in grid[:, 0]:
            axes.set_ylabel("times less, times faster")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)


def _draw_one(axes, rows: list[dict]) -> None:
    windows = [row["d"] for row in rows]
    axes.axhline(1, color="#888888", linewidth=0.8, linestyle=":")
    axes.plot(windows, [row["formula"] for row in rows], color="#2f81d6", label="r_s = r_c, formula")
    marks = {"marker": "o", "markerfacecolor": "none", "color": "#2f81d6", "markersize": 7, "label": "multiply-adds"}
    axes.plot(windows, [row["macs_ratio"] for row in rows], linestyle="none", **marks)
    axes.plot(windows, [row["weights_ratio"] for row in rows], "+", color="#1c4f82", markersize=6, label="weights")
    measured = [row["speedup"] for row in rows]
    bounds = [[abs(row["speedup"] - (row[name] or row["speedup"])) for row in rows] for name in BOUNDS]
    axes.errorbar(windows, measured, bounds, color="#d9730d", marker="s", markersize=4, label="time, measured")
    axes.set_xticks(windows)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def command(argv: list[str] | None = None) -> int:
    """Parses, converts, races, prints the table."""
    args = parser().parse_args(argv)
    check_arguments(args)
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    from ghostnet_tf.tflite import litert_profiler, machine

    litert_profiler.library()  # what is missing is told before the race
    modules = [Module(kernel) for kernel in args.kernel_sizes]
    modules += [Module(k, s, d) for k in args.kernel_sizes for s in args.ratios for d in args.windows]
    with tempfile.TemporaryDirectory(prefix="ghostnet-tf-") as folder:
        rows, where = machine.measured(lambda: race(modules, args, Path(folder)))
    shared = where | {
        **{name: getattr(args, name) for name in ("channels", "size", "clock", "rounds", "seed")},
        "num_threads": 1,
        "command": results.command_line("benchmarks/cheap_operations.py", argv),
    }
    if args.csv:
        rounded = [{name: round(x, 4) if isinstance(x, float) else x for name, x in row.items()} for row in rows]
        results.append_rows(args.csv, COLUMNS, [row | shared for row in rounded])
    if args.picture:
        maps = f"{args.channels} to {args.channels} channels, {args.size} x {args.size} pixels"
        draw(args.picture, rows, f"A ghost module against its convolution: {maps}, fp32, one thread")
    print(table(rows))
    print(f"\n{args.clock} clock, one thread, {args.rounds} rounds, load {shared['load']}, {shared['cpu']}")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
