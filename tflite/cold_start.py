"""What starting a `.tflite` file costs, measured in a process of its own: `python -m ghostnet_tf.tflite.cold_start`.

In one process, the first file would pay for setting up XNNPACK and each would find the memory of those before it.
"""

import json
import sys
from pathlib import Path

from ghostnet_tf import child


def cold_start(
    path: Path,
    *,
    num_threads: int = 1,
    warmup_runs: int = 5,
    clock: str = "wall",
    seed: int = 0,
    input_shape: tuple[int, int, int, int] | None = None,
) -> dict[str, float | None]:
    """Opens the file at `path` in a new process, for inputs of `input_shape`, and runs it `warmup_runs` times.

    Returns:
        Milliseconds: `init_ms` (reading the file, allocating, preparing the delegate), `first_ms` (the first
        inference) and `warmup_ms` (mean of all warm-up runs, the first included, as benchmark_model has it).
        `peak_memory_mb`: by how many MB (10^6 bytes) the peak resident memory of the process grew from before the
        file was opened; `None` where the system does not tell (it is read from Linux's `/proc`).

    Raises:
        CommandError: If the process fails.
    """
    words = [path, num_threads, warmup_runs, clock, seed, *(input_shape or ())]
    return child.in_own_process("tflite.cold_start", words, f"running {path}")


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes, `None` where there is no `/proc`.

    Not `getrusage`: on Linux its peak starts at that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _child(
    path: str, num_threads: str, warmup_runs: str, clock: str, seed: str, *input_shape: str
) -> dict[str, float | None]:
    import ai_edge_litert.interpreter  # noqa: F401 - importing it is not the file's cost

    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import timing

    read_clock = timing.clock(clock, int(num_threads))
    before = peak_memory()
    start = read_clock()
    model = open_model(Path(path), int(num_threads), tuple(map(int, input_shape)) or None)
    init = (read_clock() - start) / 1e6
    timing.fill_inputs(model, int(seed))
    runs = [timing.timed(model.interpreter.invoke, read_clock) for _ in range(int(warmup_runs))]
    return {
        "init_ms": init,
        "first_ms": runs[0],
        "warmup_ms": sum(runs) / len(runs),
        "peak_memory_mb": None if before is None else (peak_memory() - before) / 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])))
