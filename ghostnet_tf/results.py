"""Tables of results: one row a measurement, with the command that made it."""

import csv
import io
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ghostnet_tf.commands import BadInput, write_text


def command_line(script: str, argv: list[str] | None) -> str:
    """The command that is running, for a results row: `python SCRIPT …`."""
    return shlex.join(["python", script, *(sys.argv[1:] if argv is None else argv)])


def now() -> str:
    """When a row was measured, in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_results_file(path: Path, columns: Iterable[str]) -> None:
    """Lets rows of `columns` be appended to the file at `path` only if they belong there.

    Raises:
        BadInput: If `path` is a folder or a table with other columns.
    """
    if path.is_dir():
        raise BadInput(f"expected a file for --csv. Received: {path}, a folder")
    if path.is_file() and path.stat().st_size:
        with path.open(newline="", encoding="utf-8") as file:
            found = next(csv.reader(file), [])
        if found != list(columns):
            raise BadInput(
                f"{path} has other columns than these results; give another --csv. Expected: {','.join(columns)}. "
                f"Received: {','.join(found)}"
            )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table of results."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append_rows(path: Path, columns: Iterable[str], rows: Iterable[dict]) -> None:
    """Adds `rows` to the table at `path`, which is made if need be; whole or not at all. Other keys are left out."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns), extrasaction="ignore", lineterminator="\n")
    if path.is_file() and path.stat().st_size:
        before = path.read_text(encoding="utf-8")
        text.write(before if before.endswith("\n") else before + "\n")
    else:
        writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
