"""Counts the instructions of one inference on ARM, by kernel: exact, equal in every run, without an ARM processor.

qemu runs LiteRT's aarch64 wheel as a Cortex-A76, with a plugin that counts (`arm_blocks.c`), and the symbols of the
wheel's libraries name the kernels. What runs outside LiteRT, such as the C library's memcpy, counts apart. Instructions
are no latency: they know no caches and no waiting, and copies weigh little among them; so the bytes that concatenations
and additions read and write stand beside them. Files are those of `peers.py`, and any others.

Sets itself up in .cache, on Debian: qemu, an ARM root with Python, LiteRT's wheel. Needs gcc and nm.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import bisect  # noqa: E402
import functools  # noqa: E402
import hashlib  # noqa: E402
import math  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
from collections import Counter  # noqa: E402
from dataclasses import dataclass  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/arm_instructions.py --peers ../shared/peers --csv results/arm_instructions.csv
  python benchmarks/arm_instructions.py exports/model_int8.tflite --only --kernels 20"""

DEVICES = ROOT / "tests/tflite/devices"  # sets the emulated processor up, for the tests on it
INFERENCE = ROOT / "benchmarks/arm_inference.py"
PLUGIN = ROOT / "benchmarks/arm_blocks.c"
LITERT = "/ai_edge_litert/"  # part of the paths of its libraries
OUTSIDE = "outside LiteRT"
ALL = "all"  # the row of a file's total inside LiteRT
PROCESSOR = "Cortex-A76 (qemu)"
COPIES = ("CONCATENATION", "GATHER", "PACK", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "STRIDED_SLICE", "TILE")
COPIES += ("TRANSPOSE",)
SHARE = 0.005  # of the instructions: kernels below it have no row
COLUMNS = ("date", "contest", "contestant", "file", "bytes", "sha256", "kernel", "instructions", "share", "ratio")
COLUMNS += ("reference", "copied_bytes", "added_bytes", "processor", "ai_edge_litert", "command")


@dataclass(frozen=True)
class Library:
    """A mapped file of the emulated process.

    Attributes:
        path: Of the file.
        start, end: Its addresses, `end` excluded; address 0 of its symbols is `start`.
    """

    path: str
    start: int
    end: int


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="arm_instructions", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("files", nargs="*", type=Path, metavar="FILE", help="more .tflite files")
    arguments.add_argument("--peers", type=Path, metavar="DIR", help="folder of other routes' files, see peers.py")
    arguments.add_argument(
        "--ours", type=Path, default=Path("exports/peers"), metavar="DIR", help="of ours; made where they are missing"
    )
    arguments.add_argument("--only", action="store_true", help="count the FILEs only")
    arguments.add_argument("--kernels", type=commands.positive_int, default=8, help="lines of each file's profile")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each kernel of each file to FILE")
    return arguments


def emulator(folder: Path) -> list[str]:
    """The words before a Python script that run it on the emulated processor and count into `folder/blocks.txt`.

    Raises:
        MissingResource: If the emulation cannot be set up here.
    """
    sys.path.insert(0, str(DEVICES))
    import debian
    import emulated_arm

    for tool in ("gcc", "nm"):
        if shutil.which(tool) is None:
            raise commands.MissingResource(f"{tool} is missing: apt install gcc")
    arm, plugins = debian.CACHE / "arm", debian.CACHE / "qemu-user"

    def make(where: Path) -> None:  # the static build that the tests use has no plugins
        debian.unpack(["qemu-user"], where, debian.here(), dependencies=True)

    for where, maker in ((arm, emulated_arm.make), (plugins, make)):
        if debian.set_up(where, maker):
            raise commands.MissingResource("no emulated ARM processor: the lines above say what is missing")
    compiled = folder / "arm_blocks.so"
    words = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(compiled), str(PLUGIN)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise commands.MissingResource(f"gcc cannot compile {PLUGIN.name} here: {done.stderr.strip()}")
    # With the libraries that came with it, whatever this system's are.
    loader = next(iter(plugins.glob("lib/*-linux-gnu/ld-linux-*.so.*")))
    libraries = ":".join(str(path) for path in plugins.glob("**/lib/*-linux-gnu"))
    qemu = [str(loader), "--library-path", libraries, str(plugins / "usr/bin/qemu-aarch64")]
    return [*qemu, "-plugin", f"{compiled},out={folder / 'blocks.txt'}", *emulated_arm.command(arm)[1:]]


def run_once(words: list[str], folder: Path, path: Path) -> Counter[str]:
    """Instructions of one inference of a file by kernel; `OUTSIDE` has the rest.

    Raises:
        CommandError: If the emulated process fails.
    """
    for name in ("blocks.txt", "maps.txt"):
        (folder / name).unlink(missing_ok=True)
    command = [*words, str(INFERENCE), str(path), str(folder / "maps.txt")]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = "".join(done.stderr.strip().splitlines()[-1:]) or "nothing"
        raise commands.CommandError(f"{path.name} ended with {done.returncode} on the emulated processor: {said}")
    blocks, maps = ((folder / name).read_text(encoding="utf-8") for name in ("blocks.txt", "maps.txt"))
    return by_kernel(executed(blocks), libraries(maps))


def executed(blocks: str) -> Counter[int]:
    """Instructions by the address of their block, from what `arm_blocks.c` writes."""
    found = Counter()
    for line in blocks.splitlines():
        address, instructions, runs = line.split()
        found[int(address, 16)] += int(instructions) * int(runs)
    return found


def libraries(maps: str) -> list[Library]:
    """LiteRT's libraries, from lines of /proc/self/maps."""
    spans = {}
    for line in maps.splitlines():
        span, *_, path = line.split(maxsplit=5)
        if LITERT in path:
            spans.setdefault(path.strip(), []).extend(int(address, 16) for address in span.split("-"))
    return [Library(path, min(found), max(found)) for path, found in spans.items()]


@functools.cache
def symbols(library: str) -> tuple[list[int], list[str]]:
    """Addresses of a library's functions, ascending, and their names without arguments."""
    done = subprocess.run(["nm", "--demangle", library], capture_output=True, text=True, check=False)
    rows = []
    for line in done.stdout.splitlines():
        address, kind, name = line[:16].strip(), line[17:18], line[19:]
        if address and kind in "tTwWiu":
            rows.append((int(address, 16), name.partition("(")[0] or name))
    rows.sort()
    return [address for address, _ in rows], [name for _, name in rows]


def by_kernel(counts: Counter[int], mapped: list[Library]) -> Counter[str]:
    """Instructions by function; `OUTSIDE` are those in no library of `mapped`."""
    found = Counter()
    for address, instructions in counts.items():
        library = next((row for row in mapped if row.start <= address < row.end), None)
        if library is None:
            found[OUTSIDE] += instructions
            continue
        starts, names = symbols(library.path)
        place = bisect.bisect(starts, address - library.start) - 1
        found[names[place] if place >= 0 else f"{Path(library.path).name}, no symbol"] += instructions
    return found


def inside(counts: Counter[str]) -> int:
    """All instructions but those outside of LiteRT."""
    return sum(counts.values()) - counts[OUTSIDE]


def moved_bytes(content: bytes) -> dict[str, int]:
    """What the copying operations of a file read and write for one image, and its additions.

    Padding is not there: XNNPACK merges it into the convolution behind it. Some reshapes that are there copy nothing.
    """
    import numpy as np

    from ghostnet_tf.tflite.flatbuffer import TYPE_NAMES, is_constant, op_name, unpack

    model = unpack(content)
    graph = model.subgraphs[0]

    def size(index: int) -> int:
        tensor = graph.tensors[index]
        if is_constant(model, index):
            return 0
        return math.prod(map(int, tensor.shape)) * np.dtype(TYPE_NAMES[tensor.type]).itemsize

    found = Counter()
    for operator in graph.operators:
        name = op_name(model, operator)
        kind = "copied_bytes" if name in COPIES else "added_bytes" if name == "ADD" else None
        if kind is not None:
            found[kind] += sum(size(index) for index in (*operator.inputs, *operator.outputs) if index >= 0)
    return {kind: found[kind] for kind in ("copied_bytes", "added_bytes")}


def contestants(args) -> list:
    """What is counted: `peers.Contestant`s, the FILEs as networks of their own."""
    from benchmarks import peers
    from ghostnet_tf.runtime import check_file

    found = [peers.Contestant(path.stem, path.stem, "", path) for path in args.files]
    if not args.only:
        found += [*(peers.peers(args.peers) if args.peers else []), *peers.ours(args.ours)]
    if not found:
        raise commands.BadInput("expected at least one FILE with --only. Received: none")
    for one in found:
        check_file(one.path)
    return [one for one in found if not one.name.endswith(peers.AGAIN)]  # twice would be the same number


def rows_of(one, counts: Counter[str]) -> list[dict]:
    """The rows of a file: its total first, then its kernels and what is outside, most first."""
    content = one.path.read_bytes()
    total = inside(counts)
    shared = {
        "contest": f"{one.network} {one.scheme}".strip(),
        "contestant": one.name,
        "file": one.path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    rows = [shared | {"kernel": ALL, "instructions": total, "share": 1.0} | moved_bytes(content)]
    for kernel, instructions in counts.most_common():
        if kernel == OUTSIDE or instructions >= SHARE * total:
            rows.append(
                shared | {"kernel": kernel, "instructions": instructions, "share": round(instructions / total, 4)}
            )
    return rows


def add_ratios(counted: list[tuple]) -> None:
    """To each total: its ratio to the other route's file of the same contest that needs fewest instructions."""
    from benchmarks import peers

    for one, rows in counted:
        network = peers.NETWORKS[0] if one.network in peers.OTHERS else one.network
        same = [
            (other, found[0]["instructions"])
            for other, found in counted
            if other.is_peer and (other.network, other.scheme) == (network, one.scheme)
        ]
        if same:
            reference, least = min(same, key=lambda pair: pair[1])
            rows[0] |= {"ratio": round(rows[0]["instructions"] / least, 4), "reference": reference.path.name}


def table(counted: list[tuple]) -> str:
    """The totals in Markdown, for a person and for docs/benchmarks.md."""
    lines = ["| network | file | M instructions | ratio to the best peer | copied MB | added MB |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for one, (total, *_) in counted:
        ratio = f"{total['ratio']:.3f}" if "ratio" in total else ""
        lines.append(
            f"| {total['contest']} | {one.name} | {total['instructions'] / 1e6:.2f} | {ratio} "
            f"| {total['copied_bytes'] / 1e6:.2f} | {total['added_bytes'] / 1e6:.2f} |"
        )
    return "\n".join(lines)


def profile(rows: list[dict], kernels: int) -> str:
    """The kernels of a file for a person."""
    lines = [f"{rows[0]['file']}: {rows[0]['instructions'] / 1e6:.2f} M"]
    lines += [
        f"  {row['share']:6.1%} {row['instructions'] / 1e6:8.2f} M  {row['kernel'][:90]}"
        for row in rows[1 : kernels + 1]
    ]
    return "\n".join(lines)


def command(argv: list[str] | None = None) -> int:
    """Parses, sets up, counts, prints."""
    args = parser().parse_args(argv)
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    import importlib.metadata

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = emulator(folder)
        found = contestants(args)
        counted = [
            (one, rows_of(one, run_once(words, folder, one.path)))
            for one in commands.progress(found, "counting", len(found))
        ]
    add_ratios(counted)
    shared = {
        "date": results.now(),
        "processor": PROCESSOR,
        "ai_edge_litert": importlib.metadata.version("ai-edge-litert"),
        "command": results.command_line("benchmarks/arm_instructions.py", argv),
    }
    if args.csv:
        results.append_rows(args.csv, COLUMNS, [row | shared for _, rows in counted for row in rows])
    print(table(counted))
    for _, rows in counted:
        print(f"\n{profile(rows, args.kernels)}")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
