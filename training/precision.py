"""Mixed precision: computing in 16 bits while the weights stay in 32."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras

from ghostnet_tf.commands import log

# NVIDIA's compute capability from which a GPU is faster in a precision; bits of the processor that make it so.
GPU_SINCE = {"float16": (7, 0), "bfloat16": (8, 0)}
CPU_FLAGS = {"float16": {"avx512_fp16", "amx_fp16"}, "bfloat16": {"avx512_bf16", "amx_bf16"}}


@contextlib.contextmanager
def mixed_precision(name: str | None) -> Iterator[None]:
    """Layers made inside compute in `"float16"` or `"bfloat16"`, with variables in float32; `None` changes nothing."""
    if name is None:
        yield
        return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(f"mixed_{name}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def log_precision(name: str) -> None:
    """Says so when this machine does not compute faster in a precision."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        found = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        fast = found is None or found >= GPU_SINCE[name]
    else:
        information = Path("/proc/cpuinfo")
        text = information.read_text(encoding="utf-8") if information.is_file() else ""
        fast = bool(CPU_FLAGS[name] & set(text.split()))
    if not fast:
        log(f"mixed precision: this machine has no {name} arithmetic, so it saves memory but no time")
