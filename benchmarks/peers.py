"""Races our `.tflite` files with those of other routes to the same networks, in one interleaved run.

Ours are made by `tflite/convert.py`, untrained (weights do not change the time), and so is Keras's MobileNetV2 to
compare with. The others' are ready files, `ROUTE_NETWORK_100_…_SCHEME.tflite` in a folder, as `make_peers.py`
makes them. Each of ours runs twice under two names: how far the two differ is the noise. Beside them run, in fp32, our
files for x86 (`--graph late`) and those of `--hybrid`, fp32 but for int8 weights in head and squeeze-and-excitation; in
int8, ours of int8 in and out as the others' are, where ours else take the bytes of a photo and give floats.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import functools  # noqa: E402
import hashlib  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
from dataclasses import dataclass  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/make_peers.py && python benchmarks/peers.py --peers exports/routes --csv results/peers.csv
  python benchmarks/peers.py --peers ../shared/peers --clock cpu --num-threads 1 --rounds 300   # on a busy machine"""


@dataclass(frozen=True)
class Ours:
    """A file that the converter makes of each network.

    Attributes:
        name: In the race.
        contest: The scheme of the files that it races with.
        scheme: Of the file.
        kind: What else is asked for, a key of `FLAGS`, and the folder.
    """

    name: str
    contest: str
    scheme: str
    kind: str = "."


NETWORKS = ("ghostnet", "ghostnetv2")
SCHEMES = ("fp32", "int8")
RIVALS = ("mobilenetv2",)  # other networks, by our converter
OTHERS = (*RIVALS, "mobilenetv3large", "mobilenetv3small", "efficientnetb0")  # in the contest of the first of NETWORKS
AGAIN = " again"
DEFAULT = tuple(Ours("ours", scheme, scheme) for scheme in SCHEMES)
OURS = (
    *DEFAULT,
    Ours("ours, late", "fp32", "fp32", "late"),
    Ours("ours, hybrid", "fp32", "hybrid"),
    Ours("ours, hybrid late", "fp32", "hybrid", "late"),
    Ours("ours, int8 in and out", "int8", "int8", "integers"),
)
FLAGS = {".": [], "late": ["--graph", "late"], "integers": ["--input-type", "int8", "--output-type", "int8"]}
CALIBRATION = ["--calibration-images", "16", "--verification-images", "2"]  # ranges do not change the time either
COLUMNS = ("date", "contest", "contestant", "bytes", "sha256", "partitions", "median_ms", "p5_ms", "p95_ms", "ratio")
COLUMNS += ("ratio_low", "ratio_high", "reference", "clock", "num_threads", "rounds", "seed", "load", "cpu")
COLUMNS += ("ai_edge_litert", "command")


@dataclass(frozen=True)
class Contestant:
    """A file in the race.

    Attributes:
        name: Who made it.
        network: What it computes.
        scheme: How.
        path: The file.
    """

    name: str
    network: str
    scheme: str
    path: Path

    @property
    def is_peer(self) -> bool:
        """Whether another route made it."""
        return not self.name.startswith("ours") and self.network in NETWORKS


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="peers", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--peers", type=Path, required=True, metavar="DIR", help="folder of the others' files")
    arguments.add_argument(
        "--ours", type=Path, default=Path("exports/peers"), metavar="DIR", help="of ours; made where they are missing"
    )
    arguments.add_argument("--num-threads", type=commands.positive_int, nargs="+", default=[1, 2], help="one run each")
    arguments.add_argument("--clock", nargs="+", choices=("wall", "cpu"), default=["wall", "cpu"], help="one run each")
    arguments.add_argument("--rounds", type=commands.positive_int, default=100, help="runs of each file")
    arguments.add_argument("--seed", type=int, default=0, help="of inputs, order and bootstrap")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each file to FILE")
    return arguments


def peers(folder: Path) -> list[Contestant]:
    """The others' files.

    Raises:
        MissingResource: If there are none.
    """
    pattern = rf"([a-z0-9]+)_({'|'.join((*NETWORKS, *OTHERS))})_100_(?:.*_)?({'|'.join(SCHEMES)})\.tflite"
    found = [(re.fullmatch(pattern, path.name), path) for path in sorted(folder.glob("*.tflite"))]
    contestants = [
        Contestant(match[1] if match[2] in NETWORKS else f"{match[1]} {match[2]}", match[2], match[3], path)
        for match, path in found
        if match
    ]
    if not contestants:
        raise commands.MissingResource(
            f"no files named ROUTE_NETWORK_100_…_SCHEME.tflite in {folder}, such as timm_ghostnet_100_fp32.tflite: "
            "give the folder of the other routes' files with --peers; benchmarks/make_peers.py makes them"
        )
    return contestants


def ours(folder: Path) -> list[Contestant]:
    """Our files and the rivals', converted if they are not in `folder`."""
    contestants = []
    for network in (*NETWORKS, *RIVALS):
        rows = OURS if network in NETWORKS else DEFAULT
        for one in rows:
            path = _made(folder, network, one, [other.scheme for other in rows if other.kind == one.kind])
            names = [one.name if network in NETWORKS else network]
            if network in NETWORKS and one in DEFAULT:
                names.append(one.name + AGAIN)
            contestants += [Contestant(name, network, one.contest, path) for name in names]
    return contestants


def _made(folder: Path, network: str, one: Ours, schemes: list[str]) -> Path:
    """The file, made together with those of `schemes` if it is missing."""
    folder = folder / one.kind
    if (found := _file(folder, network, one.scheme)) is None:
        words = [sys.executable, str(ROOT / "tflite/convert.py"), "--model", network, "--weights", "none"]
        words += [*(f"--{scheme}" for scheme in schemes), *FLAGS[one.kind], *CALIBRATION]
        commands.log(f"converting {network}")
        done = subprocess.run([*words, "--output", str(folder), "--overwrite"], capture_output=True, text=True)
        if done.returncode:
            raise commands.CommandError(f"converting {network} failed: {done.stderr.strip().splitlines()[-1]}")
        found = _file(folder, network, one.scheme)
    return found


def _file(folder: Path, network: str, scheme: str) -> Path | None:
    """The converter's file, whose name begins with the model's."""
    pattern = rf"{network}(_\d+)?_224_untrained_{scheme}\.tflite"
    found = (path for path in folder.glob("*.tflite") if re.fullmatch(pattern, path.name.lower()))
    return next(found, None)


def race(contestants: list[Contestant], num_threads: int, clock: str, rounds: int, seed: int) -> list[dict]:
    """A row a contestant; `ratio` is to the fastest peer of the same contest, by median."""
    import numpy as np

    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import summary, timing

    models = [open_model(one.path, num_threads) for one in contestants]
    for model in models:
        timing.fill_inputs(model, seed)
    read_clock = timing.clock(clock, num_threads)
    times = timing.measure(models, num_runs=rounds, warmup_runs=3, read_clock=read_clock, seed=seed)
    rows = []
    for network in NETWORKS:
        for scheme in SCHEMES:
            networks = (network, *OTHERS) if network == NETWORKS[0] else (network,)
            inside = [i for i, one in enumerate(contestants) if one.scheme == scheme and one.network in networks]
            rivals = [index for index in inside if contestants[index].is_peer]
            if not rivals:
                commands.log(f"{network} {scheme} is left out: no file of another route")
                continue
            reference = min(rivals, key=lambda index: np.median(times[index]))
            for index in inside:
                one, content = contestants[index], contestants[index].path.read_bytes()
                measured = summary.summarize(times[index]) | summary.ratio(times[index], times[reference], seed)
                rows.append(
                    {
                        "contest": f"{network} {scheme}",
                        "contestant": one.name,
                        "bytes": len(content),
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "partitions": timing.partitions(models[index]),
                        "reference": contestants[reference].path.name,
                        "clock": clock,
                        "num_threads": num_threads,
                        **{name: value and round(value, 4) for name, value in measured.items()},
                    }
                )
    return rows


def table(rows: list[dict]) -> str:
    """The rows of one run in Markdown, for a person and for docs/benchmarks.md."""
    lines = ["| network | file | MB | partitions | median ms | ratio to the fastest peer [95 %] |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        bounds = f" [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if row["ratio_low"] else ""
        lines.append(
            f"| {row['contest']} | {row['contestant']} | {row['bytes'] / 1e6:.1f} | {row['partitions']} "
            f"| {row['median_ms']:.2f} | {row['ratio']:.2f}{bounds} |"
        )
    return "\n".join(lines)


def command(argv: list[str] | None = None) -> int:
    """Parses, converts what is missing, races, prints the tables."""
    args = parser().parse_args(argv)
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    contestants = peers(args.peers) + ours(args.ours)
    from ghostnet_tf.tflite import machine

    for num_threads in args.num_threads:
        for clock in args.clock:
            asked = (num_threads, clock, args.rounds, args.seed)
            rows, where = machine.measured(functools.partial(race, contestants, *asked))
            shared = where | {
                "rounds": args.rounds,
                "seed": args.seed,
                "command": results.command_line("benchmarks/peers.py", argv),
            }
            if args.csv:  # after each run: one that is broken off keeps what was measured
                results.append_rows(args.csv, COLUMNS, [row | shared for row in rows])
            heading = f"{clock} clock, threads: {num_threads}, {args.rounds} rounds, load {shared['load']}"
            print(f"{heading}\n\n{table(rows)}\n", flush=True)
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
