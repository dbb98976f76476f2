"""Limits for files from strangers: what one may claim, and what reading a damaged one may end with."""

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

EXPANSION = 10  # times that a file may grow in memory; trained weights hardly compress
ROOM = 1 << 24  # bytes that any file may claim, since headers weigh more than values in the smallest
# What parsers (zipfile, h5py, Keras, flatbuffers) end with on damaged content, where our own code is not involved.
DAMAGE = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, NotImplementedError, OSError)
DAMAGE = (*DAMAGE, RuntimeError, SyntaxError, TypeError, ValueError, zipfile.BadZipFile)


def check_size(claimed: int, size: int) -> None:
    """Raises `ValueError` if a file of `size` bytes claims more of memory than ten times that and 16 MB."""
    if claimed > EXPANSION * size + ROOM:
        raise ValueError(f"it claims {claimed / 1e6:,.0f} MB and has {size / 1e6:,.1f}")


def sha256_of(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: BaseException) -> str:
    """The reason of an error in at most 300 characters."""
    return printable(str(error).strip().partition("\n")[0][:300]) or type(error).__name__


def printable(text: str) -> str:
    """`text` in one line that a terminal only shows: line breaks and control characters as Python writes them."""
    return text if text.isprintable() else repr(text)[1:-1]


@contextlib.contextmanager
def zip_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip archive at `path`, which holds no more than it may claim.

    Raises:
        ValueError: If it claims more, see `check_size`.
        zipfile.BadZipFile: If it is no zip archive.
    """
    with zipfile.ZipFile(path) as archive:
        check_size(sum(member.file_size for member in archive.infolist()), path.stat().st_size)
        yield archive
