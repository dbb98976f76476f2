"""One fault of `benchmarks/faults.py`: the command that it hits, what is left, and the command after it."""

import contextlib
import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.fault_jobs import Job
from benchmarks.fault_runs import Ending, disk, run

KILL, FULL = "kill -9", "full disk"
DISK = 64 << 20  # bytes of a tmpfs that everything fits on


def checksums(folder: Path) -> dict[str, str]:
    """Of all files below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def temporaries(folder: Path) -> int:
    """Files and folders that carry the name of what they were to become: hidden ones, parts of downloads."""
    hidden = sum(path.name.startswith(".") and path.name != ".locks" for path in folder.rglob(".*"))
    return hidden + len(list(folder.rglob("*.incomplete")))


def trial(job: Job, work: Path, fault: Callable[[], Ending], relief: Callable[[], None]) -> dict[str, object]:
    """One fault and the run after it."""
    before = checksums(work / "before")
    ending = fault()
    now = checksums(work / "before")
    row = {
        "job": job.name,
        "ended": ending.word,
        "earlier_files": "intact" if before == {name: now.get(name) for name in before} else "CHANGED",
        "left": job.left(work),
        "temporaries": temporaries(work),
    }
    relief()
    after = run(job.main, job.again(work), work)
    same = after.code == 0 and job.same_end(work)
    return row | {"next_run": "same end" if same else f"FAILED: {after.word}: {after.log.strip()[-300:]}"}


def kill(job: Job, whole: Ending, number: int, root: Path, choice: random.Random) -> dict:
    """The row of a kill, by a change of the file system or otherwise in turn."""
    work = root / "kill" / "work"
    shutil.rmtree(work.parent, ignore_errors=True)
    work.mkdir(parents=True)
    job.prepare(work)
    if number % 2:
        when, at = job.point(choice, whole, work)
        point = {"when": when}
    else:
        point = {"change": choice.randint(1, whole.changes)}
        at = f"change {point['change']} of {whole.changes} of the file system"
    row = trial(job, work, lambda: run(job.main, job.words(work), work, **point), lambda: None)
    return row | {"fault": KILL, "at": at}


def full_disk(job: Job, root: Path, choice: random.Random) -> dict:
    """The row of a disk with less room than the command needs; the next run has it."""
    with disk(root, DISK) as mount:
        work = mount / "work"
        work.mkdir()
        job.prepare(work)
        files = [path for path in job.writes.rglob("*") if path.is_file() and not path.is_symlink()]
        free = choice.randrange(sum(path.stat().st_size for path in files))
        fill = mount / "fill"
        with contextlib.suppress(OSError), fill.open("wb") as file:  # until the disk is full
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(mount).free - free)
        row = trial(job, work, lambda: run(job.main, job.words(work), work), fill.unlink)
        return row | {"fault": FULL, "at": f"{free / 1e3:.0f} kB free"}
