"""Runs a .tflite file once between two calls of `os.getppid`, for `arm_blocks.c`: FILE MAPPED_FILES.TXT

Alone on purpose: the emulated processor has numpy and LiteRT only. The second file gets a line of /proc/self/maps for
each mapped library.
"""

import os
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

if __name__ == "__main__":
    interpreter = Interpreter(sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for row in interpreter.get_input_details():
        low, high = (0, 255) if row["dtype"] in (np.float32, np.uint8) else (-128, 127)
        interpreter.set_tensor(row["index"], rng.uniform(low, high, row["shape"]).astype(row["dtype"]))
    interpreter.invoke()  # the first run sets caches up
    os.getppid()
    interpreter.invoke()
    os.getppid()
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines(keepends=True)
    Path(sys.argv[2]).write_text("".join(line for line in mapped if ".so" in line), encoding="utf-8")
