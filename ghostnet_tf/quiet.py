"""Keeps the chatter of native libraries off the terminal, and their last words when something fails."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """While active, everything written to stderr (by native code too) goes to a file.

    Yields:
        A function that gives what was written so far.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def written() -> str:
            sys.stderr.flush()
            return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

        try:
            yield written
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras and uses them once, without the dozen lines that this writes to the terminal."""
    with quiet():
        import keras

        keras.ops.zeros(())
