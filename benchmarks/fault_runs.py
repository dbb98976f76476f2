"""Runs commands that end early: in forks that kill themselves or are killed, on small disks, from a slow server."""

import contextlib
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Audit events of changes of the file system.
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.symlink"}


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


def run(
    main: Callable[[list[str]], int],
    words: list[str],
    folder: Path,
    change: int | None = None,
    when: Callable[[int], bool] | None = None,
) -> Ending:
    """Runs a command in a fork of this process, which has imported everything.

    Args:
        main: The command.
        words: Its arguments.
        folder: Where changes of the file system count.
        change: The change before which it kills itself.
        when: It is killed when this is true of its process number.
    """
    with tempfile.TemporaryDirectory() as notes:  # not on a disk that is full
        log, counter = Path(notes, "log.txt"), Path(notes, "changes.txt")
        counter.write_text("0")
        child = os.fork()
        if child == 0:
            try:
                _child(main, words, folder, change, log, counter)
            finally:
                os._exit(70)
        while when is not None and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if when(child):
                os.kill(child, signal.SIGKILL)
                break
            time.sleep(0.005)
        _, status, usage = os.wait4(child, 0)
        spent, changes = usage.ru_utime + usage.ru_stime, int(counter.read_text())
        return Ending(os.waitstatus_to_exitcode(status), spent, changes, log.read_text(errors="replace"))


def _child(
    main: Callable[[list[str]], int], words: list[str], folder: Path, change: int | None, log: Path, counter: Path
) -> None:
    count, inside = 0, str(folder)

    def is_inside(path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(inside)

    def watch(event: str, details: tuple) -> None:
        nonlocal count
        if event not in WRITES or not any(map(is_inside, details[:2])):
            return
        if event == "open" and not (details[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
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
        code = main(words)
        counter.write_text(str(count))
    except SystemExit as exit_:
        code = exit_.code
    finally:
        if sys.exc_info()[0] is not None and code == 70:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def processor_time(process: int) -> float:
    """Seconds of processor time of a process so far, from Linux's /proc."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def disk(parent: Path, size: int) -> Iterator[Path]:
    """A mounted tmpfs of `size` bytes."""
    mount = Path(tempfile.mkdtemp(dir=parent))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", mount], check=True, capture_output=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def serve(content: bytes) -> str:
    """Starts a stand-in for the hub that has `content` under every name; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", hashlib.sha256(content).hexdigest())
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            return range(start, len(content), 1 << 14)

        def do_GET(self):
            for start in self.do_HEAD():
                self.wfile.write(content[start : start + (1 << 14)])
                time.sleep(0.001)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # whoever is killed breaks the connection
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
