"""Ends training and conversion at random points, by kill -9 or a full disk, and looks at what is left.

A network of one Ghost module learns scikit-learn's digits and is converted to int8, over and over. Half of the kills
hit before a random change of the file system, half at a random share of the processor time of an undisturbed run. After
each: is all that was there before still there, is each file whole, and does the next run go on to the same end?
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import contextlib  # noqa: E402
import csv  # noqa: E402
import hashlib  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

if TYPE_CHECKING:
    import keras

EXAMPLES = """\
  python benchmarks/faults.py --points 10
  python benchmarks/faults.py --points 50 --full-disks 6 --csv results/faults.csv

Full disks are small tmpfs mounts, which only root may make; without that right they are left out, and the end says so.
The table appears row by row."""

COLUMNS = ("date", "job", "fault", "at", "ended", "earlier_files", "left", "temporaries", "next_run", "command")
EPOCHS = 2
TRAIN = ["--data=digits", "--size=32", "--batch-size=256", "--warmup-epochs=1", f"--epochs={EPOCHS}"]
CONVERT = ["--int8", "--overwrite", "--calibration-images=8", "--verification-images=8"]
DISK = 64 << 20  # bytes of a tmpfs that everything fits on
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}  # audit events


@dataclass(frozen=True)
class Ending:
    """How a command ended: its code, negative for a signal; seconds of processor time; changes of files; its output."""

    code: int
    cpu: float
    changes: int
    log: str

    @property
    def word(self) -> str:
        traceback = ", traceback" if "Traceback (most recent call last)" in self.log else ""
        return (f"exit {self.code}" if self.code >= 0 else signal.Signals(-self.code).name) + traceback


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--points", type=commands.positive_int, default=50, help="kills, alternately of both jobs")
    arguments.add_argument("--full-disks", type=int, default=6, help="disks of random sizes that are too small")
    arguments.add_argument("--seed", type=int, default=0, help="of the points")
    arguments.add_argument("--csv", type=Path, help="append a row for each fault to a table of results")
    return arguments


def network(*, input_shape: tuple, classes: int, classifier_activation: str | None, **_) -> "keras.Model":
    """A Ghost module and a classifier, which is all that faults need and quick to compile."""
    import keras

    from ghostnet_tf.layers import GhostModule

    inputs = keras.Input(input_shape)
    x = keras.layers.AveragePooling2D(2)(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(GhostModule(16, 3)(x))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=classifier_activation)(x))


def run(job: str, words: list[str], folder: Path, change: int | None = None, cpu: float | None = None) -> Ending:
    """Runs a command in a fork of this process, which has imported everything.

    Args:
        job: `"train"` or `"convert"`.
        words: Its arguments.
        folder: Where changes of the file system count.
        change: The change before which it kills itself.
        cpu: Seconds of processor time after which it is killed.
    """
    log, counter = folder.parent / "log.txt", folder.parent / "changes.txt"
    counter.write_text("0")
    child = os.fork()
    if child == 0:
        _child(job, words, folder, change, log, counter)
    while cpu is not None and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") >= cpu:
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.005)
    _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    return Ending(os.waitstatus_to_exitcode(status), spent, int(counter.read_text()), log.read_text(errors="replace"))


def _child(job: str, words: list[str], folder: Path, change: int | None, log: Path, counter: Path) -> None:
    from ghostnet_tf.tflite import convert
    from ghostnet_tf.training import train

    count, inside = 0, str(folder)

    def watch(event: str, details: tuple) -> None:
        nonlocal count
        if event not in WRITES or not isinstance(details[0], (str, os.PathLike)):
            return
        reads = event == "open" and not (details[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if reads or not os.fspath(details[0]).startswith(inside):
            return
        count += 1
        if count == change:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 70
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.addaudithook(watch)
        code = {"train": train, "convert": convert}[job].main(words)
        counter.write_text(str(count))
    except SystemExit as exit_:
        code = exit_.code
    finally:
        if sys.exc_info()[0] is not None and code == 70:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def checksums(folder: Path) -> dict[str, str]:
    """Of all files below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def temporaries(folder: Path) -> int:
    """Hidden files and folders, which carry the name of what they were to become."""
    return sum(path.name.startswith(".") for path in folder.rglob(".*"))


def metrics(run_folder: Path) -> list[dict]:
    """The table of a run without its times."""
    with (run_folder / "metrics.csv").open(newline="") as file:
        return [
            {key: row[key] for key in row if key not in ("seconds", "images_per_second")}
            for row in csv.DictReader(file)
        ]


class Train:
    """A run into a new folder, beside a finished one."""

    name = "train"

    def __init__(self, sound: Path):
        self.sound = self.writes = sound

    def prepare(self, work: Path) -> None:
        shutil.copytree(self.sound, work / "before")

    def words(self, work: Path) -> list[str]:
        return [*TRAIN, "--output", str(work / "run")]

    def again(self, work: Path) -> list[str]:
        """What a user gives next."""
        return ["--resume", str(work / "run")] if (work / "run").exists() else self.words(work)

    def left(self, work: Path) -> str:
        """What is there: the last epoch of a checkpoint, if each is as in the undisturbed run."""
        found = sorted((work / "run").glob("checkpoints/epoch_*"))
        if any(
            path.stat().st_size != (self.sound / "checkpoints" / path.name).stat().st_size
            for path in found
            if (self.sound / "checkpoints" / path.name).exists()
        ):
            return "BROKEN checkpoint"
        ended = " and model" if (work / "run" / "model.keras").exists() else ""
        return (f"epoch {int(found[-1].name[6:10])}" if found else "no checkpoint") + ended

    def same_end(self, work: Path) -> bool:
        return metrics(work / "run") == metrics(self.sound)


class Convert:
    """A conversion that replaces an earlier one of the same model."""

    name = "convert"
    file = "model_int8.tflite"

    def __init__(self, sound: Path, old: Path, new: Path):
        self.sound, self.old, self.new, self.writes = sound, old, new, new

    def prepare(self, work: Path) -> None:
        shutil.copytree(self.sound, work / "before")
        shutil.copytree(self.old, work / "exports")

    def words(self, work: Path) -> list[str]:
        return [*CONVERT, "--model", str(work / "before"), "--output", str(work / "exports" / self.file)]

    again = words

    def left(self, work: Path) -> str:
        path = work / "exports" / self.file
        content = path.read_bytes()
        states = {(folder / self.file).read_bytes(): name for folder, name in ((self.old, "old"), (self.new, "new"))}
        stated = json.loads(path.with_suffix(".json").read_text())["sha256"]
        if content not in states:
            return "BROKEN file"
        matches = stated == hashlib.sha256(content).hexdigest()
        return f"{states[content]} file" + ("" if matches else ", sidecar of the other: sha256 tells")

    def same_end(self, work: Path) -> bool:
        return self.left(work) == "new file"


@contextlib.contextmanager
def disk(parent: Path, size: int) -> Iterator[Path]:
    """A mounted tmpfs of `size` bytes."""
    mount = Path(tempfile.mkdtemp(dir=parent))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", mount], check=True, capture_output=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def trial(job: Train | Convert, work: Path, fault: Callable[[], Ending], relief: Callable[[], None]) -> dict:
    """One fault and the run after it."""
    before = checksums(work / "before")
    ending = fault()
    row = {
        "job": job.name,
        "ended": ending.word,
        "earlier_files": "intact" if checksums(work / "before") == before else "CHANGED",
        "left": job.left(work),
        "temporaries": temporaries(work),
    }
    relief()
    after = run(job.name, job.again(work), work)
    same = after.code == 0 and job.same_end(work)
    return row | {"next_run": "same end" if same else f"FAILED: {after.word}: {after.log.strip()[-300:]}"}


def sound_state(root: Path) -> tuple[list[Train | Convert], dict[str, Ending]]:
    """The undisturbed runs that everything is compared with."""
    folder = root / "sound"
    folder.mkdir()
    jobs, endings = [], {}

    def undisturbed(job: str, words: list[str]) -> Ending:
        ending = run(job, words, folder)
        if ending.code:
            raise commands.CommandError(f"the undisturbed {job} ended with {ending.word}: {ending.log[-500:]}")
        return ending

    jobs.append(Train(folder / "run"))
    endings["train"] = undisturbed("train", [*TRAIN, "--output", str(folder / "run")])
    for name, extra in (("old", ["--input-type=float32"]), ("new", [])):
        target = folder / name / Convert.file
        endings["convert"] = undisturbed(
            "convert", [*CONVERT, *extra, "--model", str(folder / "run"), "--output", str(target)]
        )
    jobs.append(Convert(folder / "run", folder / "old", folder / "new"))
    return jobs, endings


def faults(arguments, root: Path) -> Iterator[dict]:
    """Rows, one a fault."""
    choice = random.Random(arguments.seed)
    jobs, endings = sound_state(root)
    for number in range(arguments.points):
        job = jobs[number % 2]
        whole = endings[job.name]
        work = root / "kill" / "work"
        shutil.rmtree(work.parent, ignore_errors=True)
        work.mkdir(parents=True)
        job.prepare(work)
        if number // 2 % 2:
            point = {"cpu": choice.uniform(0, whole.cpu)}
            at = f"{point['cpu']:.2f} of {whole.cpu:.2f} s of processor time"
        else:
            point = {"change": choice.randint(1, whole.changes)}
            at = f"change {point['change']} of {whole.changes} of the file system"
        row = trial(job, work, lambda: run(job.name, job.words(work), work, **point), lambda: None)  # noqa: B023
        yield row | {"fault": "kill -9", "at": at}
    for number in range(arguments.full_disks):
        job = jobs[number % 2]
        with disk(root, DISK) as mount:
            work = mount / "work"
            work.mkdir()
            job.prepare(work)
            free = choice.randrange(sum(path.stat().st_size for path in job.writes.rglob("*") if path.is_file()))
            fill = mount / "fill"
            with contextlib.suppress(OSError), fill.open("wb") as file:  # until the disk is full
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(mount).free - free)
            row = trial(job, work, lambda: run(job.name, job.words(work), work), fill.unlink)  # noqa: B023
            yield row | {"fault": "full disk", "at": f"{free / 1e3:.0f} kB free"}


def command(argv: list[str] | None = None) -> int:
    """Parses, disturbs, prints and keeps the rows."""
    arguments = parser().parse_args(argv)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)
    may_mount = hasattr(os, "geteuid") and os.geteuid() == 0
    if not may_mount:
        commands.log("no full disks: only root may mount a tmpfs")
        arguments.full_disks = 0
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    # Imported once, for forks that need not: TensorFlow starts its threads with the first operation, which is theirs.
    for module in ("matplotlib.pyplot", "sklearn.datasets", "sklearn.metrics", "sklearn.model_selection"):
        importlib.import_module(module)
    from ghostnet_tf.tflite import convert, pipeline  # noqa: F401
    from ghostnet_tf.training import fit, train  # noqa: F401

    fit.BUILDERS["ghostnet"] = network
    shared = {"command": results.command_line("benchmarks/faults.py", argv)}
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        for row in faults(arguments, Path(root)):
            row |= shared | {"date": datetime.now(UTC).isoformat(timespec="seconds")}
            bad += "FAILED" in row["next_run"] or "CHANGED" in row["earlier_files"] or "BROKEN" in row["left"]
            print(", ".join(f"{key} {row[key]}" for key in COLUMNS[1:-1]), flush=True)
            if arguments.csv:
                results.append_rows(arguments.csv, COLUMNS, [row])
    print(f"{bad} of {arguments.points + arguments.full_disks} faults did harm")
    return commands.FAILED if bad else commands.OK


def main(argv: list[str] | None = None) -> int:
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
