"""Keeps the chatter of native libraries off the terminal, and their last words when something fails."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from ghostnet_tf.commands import log


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


def share_threads(towers: int, num_threads: int) -> None:
    """Lets TensorFlow run `towers` operations side by side, which share `num_threads` threads.

    Raises:
        RuntimeError: If TensorFlow was used before with others.
    """
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(towers)
    tf.config.threading.set_intra_op_parallelism_threads(max(1, num_threads // towers))


def start_tensorflow(towers: int = 1) -> None:
    """Imports TensorFlow and Keras and uses them once, without the dozen lines that this writes to the terminal.

    Args:
        towers: How many operations are to run side by side, sharing the processor's cores, which is said to be too
            late where TensorFlow was used before; by default TensorFlow's choice, all cores for each operation.
    """
    late = False
    with quiet():
        import keras

        if towers > 1:
            try:
                share_threads(towers, os.cpu_count() or 1)
            except RuntimeError:  # fixed by TensorFlow's first use
                late = True
        keras.ops.zeros(())
    if late:
        log("TensorFlow was in use before and keeps its threads: towers gain less than in a process of their own")
