"""LiteRT's own profiler, through the C API in its wheel: `python -m ghostnet_tf.tflite.litert_profiler`.

The Python API of ai-edge-litert has none. A wrong call here ends the process, so that it has one of its own.
"""

import ctypes
import json
import sys
import time
from ctypes import Structure, byref, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np

from ghostnet_tf import commands
from ghostnet_tf.tflite import timing

CPU = 1  # kLiteRtHwAcceleratorCpu
WRITE = 1  # kLiteRtTensorBufferLockModeWrite
# Of an event: an operation of the interpreter, one inside a delegate.
OPERATOR, IN_DELEGATE = 2, 8
INVOKE = "Invoke"
# Seconds of work before a run, at random: on a busy machine the time slice would else end at the same operation.
LONGEST_WAIT = 0.01
TYPES = {1: np.float32, 3: np.uint8, 7: np.int16, 9: np.int8, 10: np.float16}  # as LiteRtElementType numbers them


class Type(Structure):
    """LiteRtRankedTensorType."""

    _fields_ = (
        ("element", c_int),
        ("rank", c_uint32),  # 7 bits, and one for strides, which these tensors do not have
        ("dimensions", c_int32 * 8),
        ("strides", c_uint32 * 8),
    )


class Event(Structure):
    """ProfiledEventData of litert_profiler_event.h, LiteRT 2.3."""

    _fields_ = (
        ("tag", c_char_p),
        ("kind", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_size_t * 6),
        ("index", c_uint64),
        ("subgraph", c_uint64),
        ("source", c_int),
    )


def library() -> Path:
    """LiteRT's library with its C API.

    Raises:
        MissingResource: If the installed ai-edge-litert has none.
    """
    import ai_edge_litert

    folder = Path(ai_edge_litert.__file__).parent
    for name in ("libLiteRt.so", "libLiteRt.dylib", "libLiteRt.dll"):
        if (folder / name).is_file():
            return folder / name
    raise commands.MissingResource(
        f"the profile needs LiteRT's C API, and there is no libLiteRt in {folder}: "
        "install ai-edge-litert from its wheel for Linux (pip install 'ai-edge-litert>=2.3,<3')"
    )


class Profiler:
    """A `.tflite` file in LiteRT's CompiledModel, XNNPACK on the CPU, each of its operations timed.

    Args:
        path: Of the file.
        num_threads: Of XNNPACK.
        seed: Of the random values in the inputs.

    Raises:
        CommandError: If LiteRT refuses a call.
    """

    def __init__(self, path: Path, num_threads: int, seed: int):
        self._lite = ctypes.CDLL(str(library()))
        self._kept = []  # what the library points to
        environment = self._made("CreateEnvironment", 0, None)
        model = self._made("CreateModelFromFile", environment, str(path).encode())
        options = self._made("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        self._option(options, "runtime_options_string", "enable_profiling = true")
        self._option(options, "xnnpack", f"num_threads = {num_threads}")
        self._model = self._made("CreateCompiledModel", environment, model, options)
        self._profiler = self._made("CompiledModelGetProfiler", self._model)
        signature = self._made("GetModelSignature", model, c_size_t(0))
        self._inputs = self._buffers("Input", environment, signature)
        self._outputs = self._buffers("Output", environment, signature)
        self._fill(np.random.default_rng(seed))

    def run(self) -> list[Event]:
        """What happened in one inference, in order."""
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        given = (c_size_t(len(self._inputs)), self._inputs, c_size_t(len(self._outputs)), self._outputs)
        self._call("RunCompiledModel", self._model, c_size_t(0), *given)
        self._call("StopProfiler", self._profiler)
        number = c_int()
        self._call("GetNumProfilerEvents", self._profiler, byref(number))
        events = (Event * number.value)()
        self._call("GetProfilerEvents", self._profiler, number, events)
        return list(events)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._lite, f"LiteRt{name}")(*arguments)
        if status:
            raise commands.CommandError(f"LiteRt{name} gave status {status}")

    def _made(self, name: str, *arguments: object) -> c_void_p:
        """What a function gives in its last argument."""
        made = c_void_p()
        self._call(name, *arguments, byref(made))
        if not made:
            raise commands.CommandError(f"LiteRt{name} gave nothing")
        return made

    def _option(self, options: c_void_p, identifier: str, text: str) -> None:
        nothing = ctypes.CFUNCTYPE(None, c_void_p)(lambda payload: None)  # the text is ours to free
        payload = ctypes.create_string_buffer(f"{text}\n".encode())
        self._kept += [nothing, payload]
        made = self._made("CreateOpaqueOptions", identifier.encode(), payload, nothing)
        self._call("AddOpaqueOptions", options, made)

    def _buffers(self, side: str, environment: c_void_p, signature: c_void_p) -> ctypes.Array:
        number = c_size_t()
        self._call(f"GetNumSignature{side}s", signature, byref(number))
        buffers = (c_void_p * number.value)()
        for index in range(number.value):
            place = (self._model, c_size_t(0), c_size_t(index))
            needs = self._made(f"GetCompiledModel{side}BufferRequirements", *place)
            kind = self._type(self._made(f"GetSignature{side}TensorByIndex", signature, c_size_t(index)))
            make = "CreateManagedTensorBufferFromRequirements"
            buffers[index] = self._made(make, environment, byref(kind), needs).value
        return buffers

    def _type(self, tensor: c_void_p) -> Type:
        kind = Type()
        self._call("GetRankedTensorType", tensor, byref(kind))
        if kind.dimensions[0] == -1:
            kind.dimensions[0] = 1
        return kind

    def _fill(self, rng: np.random.Generator) -> None:
        for index, buffer in enumerate(map(c_void_p, self._inputs)):
            kind = Type()
            self._call("GetTensorBufferTensorType", buffer, byref(kind))
            if kind.element not in TYPES:
                raise commands.CommandError(f"input {index} is of LiteRT's type {kind.element}, expected {[*TYPES]}")
            shape = kind.dimensions[: kind.rank & 127]
            values = timing.random_values(shape, np.dtype(TYPES[kind.element]), rng, str(index))
            memory = c_void_p()
            self._call("LockTensorBuffer", buffer, byref(memory), WRITE)
            ctypes.memmove(memory, values.ctypes.data, values.nbytes)
            self._call("UnlockTensorBuffer", buffer)


def main(argv: list[str]) -> int:
    """Prints one line of JSON.

    `operators`: name, index and whether it is XNNPACK's, in the order in which they run. `us`: microseconds of each,
    `(runs, operators)`. `invoke_us`: of the whole inference, `(runs,)`.
    """
    path, num_threads, num_runs, warmup_runs, seed = argv
    profiler = Profiler(Path(path), int(num_threads), int(seed))
    operators, times, whole = None, [], []
    waits = np.random.default_rng(int(seed)).uniform(0, LONGEST_WAIT, int(warmup_runs) + int(num_runs))
    for number, wait in enumerate(waits):
        until = time.perf_counter() + wait
        while time.perf_counter() < until:
            pass
        events = profiler.run()
        ran = [event for event in events if event.kind in (OPERATOR, IN_DELEGATE)]
        rows = [[event.tag.decode(), event.index, event.kind == IN_DELEGATE] for event in ran]
        if not rows or rows != (operators or rows):
            raise commands.CommandError("the runs do not agree on the operations; is this ai-edge-litert 2.3 or later?")
        operators = rows
        if number >= int(warmup_runs):
            times.append([event.elapsed_us for event in ran])
            whole.append(next(event.elapsed_us for event in events if event.kind == 1 and event.tag == INVOKE.encode()))
    print(json.dumps({"operators": operators, "us": times, "invoke_us": whole}))
    return commands.OK


if __name__ == "__main__":
    raise SystemExit(commands.run(main, sys.argv[1:]))
