"""Timing `.tflite` files on an attached Android device, with adb and TensorFlow Lite's benchmark_model."""

import hashlib
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ghostnet_tf import commands

FOLDER = "/data/local/tmp/ghostnet-tf"
TOOL = f"{FOLDER}/benchmark_model"
DOWNLOAD = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest/"
    "android_aarch64_benchmark_model"
)
TIMEOUT = 300  # seconds for one command; benchmark_model itself stops after 150
# What is run: name, CPU threads, flags. The name of a delegate is benchmark_model's own.
RUNS = (
    ("CPU", 1, ("--num_threads=1", "--use_xnnpack=true")),
    ("CPU", 4, ("--num_threads=4", "--use_xnnpack=true")),
    ("GPU", 1, ("--num_threads=1", "--use_gpu=true")),
    ("NNAPI", 1, ("--num_threads=1", "--use_nnapi=true")),
)
NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"


@dataclass(frozen=True)
class Device:
    """An attached device.

    Attributes:
        serial: As adb has it.
        name: Maker, model, chip and version of Android, as far as the device tells.
    """

    serial: str
    name: str


class Adb:
    """The adb program, talking to one device.

    Args:
        serial: Of the device; needed where there are several.

    Raises:
        MissingResource: If there is no adb, or no device that it may use.
        BadInput: If there are several and none is chosen.
    """

    def __init__(self, serial: str | None = None):
        self._program = shutil.which("adb")
        if self._program is None:
            raise commands.MissingResource(
                "no adb: install Android's platform-tools (Debian: apt install adb), allow USB debugging in the "
                "phone's developer options and attach it"
            )
        self.serial = _chosen(_attached(self._run("devices")), serial)

    def shell(self, command: str, check: bool = True) -> str:
        """What a command prints on the device, both streams."""
        return self._run("-s", self.serial, "shell", f"{command} 2>&1", check=check)

    def push(self, source: Path, target: str) -> None:
        """Copies a file to the device."""
        self._run("-s", self.serial, "push", str(source), target)

    def _run(self, *words: str, check: bool = True) -> str:
        try:
            done = subprocess.run(
                [self._program, *words], capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired as error:
            raise commands.CommandError(f"adb {words[-1]} did not end within {TIMEOUT} seconds") from error
        if check and done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise commands.CommandError(f"adb {shlex.join(words)} ended with code {done.returncode} and said: {said}")
        return done.stdout


def _attached(listing: str) -> dict[str, str]:
    """State by serial number, from `adb devices`."""
    lines = listing.partition("List of devices attached")[2].splitlines()
    rows = (line.split() for line in lines)
    return {row[0]: row[1] for row in rows if len(row) >= 2}


def _chosen(attached: dict[str, str], serial: str | None) -> str:
    way_out = "attach a phone with USB debugging allowed in its developer options, see `adb devices`"
    listed = ", ".join(f"{name} ({state})" for name, state in attached.items())
    if serial is not None and attached.get(serial) != "device":
        raise commands.MissingResource(f"no device {serial} that adb may use; {way_out}. Attached: {listed or 'none'}")
    ready = [name for name, state in attached.items() if state == "device"]
    if not ready:
        raise commands.MissingResource(f"no device that adb may use; {way_out}. Attached: {listed or 'none'}")
    if serial is None and len(ready) > 1:
        raise commands.BadInput(f"several devices are attached, choose one with --device. Attached: {listed}")
    return serial or ready[0]


def find(serial: str | None = None, tool: Path | None = None) -> tuple[Adb, Device]:
    """The device, ready to run: with `tool`, a benchmark_model for it, or the one that is there from before.

    Raises:
        MissingResource: If there is no adb, no device or no benchmark_model.
        BadInput: If several devices are attached, or `tool` is no file.
    """
    if tool is not None and not tool.is_file():
        raise commands.BadInput(f"expected a file for --benchmark-model. Received: {tool}")
    adb = Adb(serial)
    adb.shell(f"mkdir -p {FOLDER}")
    if tool is not None:
        adb.push(tool, TOOL)
        adb.shell(f"chmod 755 {TOOL}")
    elif adb.shell(f"ls {TOOL}", check=False).strip() != TOOL:
        raise commands.MissingResource(
            f"no benchmark_model on {adb.serial}: give one with --benchmark-model, built from TensorFlow Lite or "
            f"downloaded from {DOWNLOAD}"
        )
    asked = ("ro.product.manufacturer", "ro.product.model", "ro.soc.model", "ro.build.version.release")
    maker, model, chip, version = (adb.shell(f"getprop {name}").strip() for name in asked)
    parts = [f"{maker} {model}".strip(), chip, version and f"Android {version}"]
    return adb, Device(adb.serial, ", ".join(filter(None, parts)) or adb.serial)


def measure(adb: Adb, device: Device, path: Path, *, num_runs: int, warmup_runs: int) -> tuple[list[dict], list[str]]:
    """Runs the file on the device's CPU with 1 and 4 threads, its GPU and NNAPI.

    Returns:
        A row for each run, in the columns of `benchmark.COLUMNS` that benchmark_model tells, and a line for each that
        gave none, with the reason. GPU and NNAPI give a row only where benchmark_model says that they ran the graph:
        without a word it runs on the CPU what they refuse.
    """
    rows, notes = [], []
    content = path.read_bytes()
    shared = {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    shared |= {"clock": "wall", "num_runs": num_runs, "warmup_runs": warmup_runs}
    graph = f"{FOLDER}/model.tflite"
    adb.push(path, graph)
    try:
        for name, num_threads, flags in RUNS:
            words = [TOOL, f"--graph={graph}", f"--num_runs={num_runs}", f"--warmup_runs={warmup_runs}", *flags]
            output = adb.shell(shlex.join(words), check=False)
            reason = refusal(output, name)
            if reason:
                notes.append(f"{path.name} on {device.name}, {name}: {reason}")
            else:
                ran = {"num_threads": num_threads, "cpu": f"{device.name}: {name}"}
                rows.append(shared | ran | parse(output))
    finally:
        adb.shell(f"rm -f {graph}", check=False)
    return rows, notes


def refusal(output: str, name: str) -> str | None:
    """Why what benchmark_model printed is no measurement of `name`; `None` if it is one."""
    if not re.search(r"Inference timings in us:", output):
        errors = re.findall(r"^(?:ERROR|error)[: ].*|^.*(?:not found|Permission denied|Aborted|fault).*$", output, re.M)
        said = errors or output.strip().splitlines()[-1:] or ["nothing"]
        return f"benchmark_model gave no timings and said: {said[0].strip()}"
    if name == "CPU" or re.search(
        rf"Explicitly applied {name} delegate, and the model graph will be (completely|partially) executed", output
    ):
        return None
    if re.search(rf"Though {name} delegate is explicitly applied", output):
        return "it took no part of the graph, what ran is the CPU"
    return "benchmark_model does not say that it took the graph"


def parse(output: str) -> dict[str, float | int | None]:
    """Milliseconds, MB and partitions from what benchmark_model printed; what it does not tell is `None`.

    Newer ones put `INFO: ` before each line and tell percentiles. `partitions` are those of the delegate.
    """
    line = re.search(
        rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, Warmup \(avg\): {NUMBER}, "
        rf"Inference \(avg\): {NUMBER}",
        output,
    )
    if line is None:
        raise commands.CommandError("benchmark_model printed its timings in a form that is not known here")
    init, first, warmup, mean = (float(value) / 1000 for value in line.groups())
    counted = re.findall(r"^(?:INFO: )?count=\d+ .*$", output, re.MULTILINE)
    # The last is of the timed runs; a single run has `curr` alone.
    told = dict(re.findall(rf"(\w+)={NUMBER}", counted[-1])) if counted else {}
    peak = re.search(rf"(?:Memory footprint delta|Peak memory footprint).*overall={NUMBER}", output)
    pieces = re.findall(r"Replacing \d+ out of \d+ node\(s\) with delegate .*?yielding (\d+) partitions", output)
    told = {name: float(value) / 1000 for name, value in told.items()}
    return {
        "init_ms": init,
        "first_ms": first,
        "warmup_ms": warmup,
        **{f"{name}_ms": told.get(name) for name in ("median", "p5", "p95")},
        "mean_ms": mean,
        **{f"{name}_ms": told.get(name) for name in ("std", "min", "max")},
        "peak_memory_mb": float(peak[1]) * 2**20 / 1e6 if peak else None,
        "partitions": int(pieces[-1]) if pieces else None,
    }


def table(rows: list[dict]) -> str:
    """The rows for a person."""
    lines = []
    for row in rows:
        spread = f", median {row['median_ms']:.3f}" if row["median_ms"] is not None else ""
        lines.append(
            f"{row['file']} on {row['cpu']}, threads: {row['num_threads']}: {row['mean_ms']:.3f} ms{spread}; "
            f"init {row['init_ms']:.1f}, first {row['first_ms']:.1f}"
        )
    return "\n".join(lines)
