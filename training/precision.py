"""Mixed precision: computing in 16 bits while the weights stay in 32."""

import contextlib
from collections.abc import Iterator

import keras

from ghostnet_tf.commands import log

# NVIDIA's compute capability from which a GPU is faster in a precision.
GPU_SINCE = {"float16": (7, 0), "bfloat16": (8, 0)}


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
    """Says so when this machine does not compute faster in a precision.

    No processor does with TensorFlow 2.21, not even one with bfloat16 instructions: a step of GhostNet at 32 px takes
    twice as long as in float32, most of it in the input gradients of strided depthwise convolutions and in batch
    normalization of channels that are no multiple of 16.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        log(f"mixed precision: without a GPU, training in {name} takes longer than in float32")
        return
    found = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    if found is not None and found < GPU_SINCE[name]:
        log(f"mixed precision: this machine has no {name} arithmetic, so it saves memory but no time")
