"""Runs a module of this package in a process of its own: native code may crash, or be measured from its start."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import ghostnet_tf
from ghostnet_tf import commands

PACKAGE_ROOT = Path(ghostnet_tf.__file__).resolve().parents[1]


def run_module(
    name: str, words: Iterable, environment: Mapping[str, str] | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m ghostnet_tf.NAME WORDS…` with its two streams captured.

    Args:
        name: Of a module, such as `tflite.cold_start`.
        words: Its arguments, of any type.
        environment: Variables on top of this process's.
        timeout: Seconds.

    Raises:
        subprocess.TimeoutExpired: If it takes longer.
    """
    search = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", f"ghostnet_tf.{name}", *map(str, words)],
        env=os.environ | {"PYTHONPATH": search} | dict(environment or {}),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout,
    )


def in_own_process(name: str, words: Iterable, what: str):
    """What a module prints as JSON.

    Args:
        name, words: As of `run_module`.
        what: What it does, for the error: `running model.tflite`.

    Raises:
        CommandError: If the process fails or crashes.
    """
    child = run_module(name, words)
    if child.returncode:
        raise commands.CommandError(f"{what} ended with {ending(child)} and said: {last_line(child) or 'nothing'}")
    return json.loads(child.stdout)


def ending(child: subprocess.CompletedProcess[str]) -> str:
    """How a process failed: `code 1` or `signal SIGSEGV`."""
    code = child.returncode
    return f"code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"


def last_line(child: subprocess.CompletedProcess[str]) -> str:
    """Of its log."""
    return "".join(child.stderr.strip().splitlines()[-1:])
