"""The official TensorFlow code's names for our variables: those in its `ghostnet_checkpoint`, written by tensorpack."""

import re

import numpy as np

from ghostnet_tf.models.ghostnet import ROWS

SCOPE = "MobileNetV2"

# Numbered layers: 0 the stem, then the bottlenecks, then the last two convolutions.
_LAYERS = {
    "stem": "Conv2d_0",
    "final": f"Conv2d_{len(ROWS) + 1}",
    "head": f"Conv2d_{len(ROWS) + 2}",
    "classifier": "Logits/Conv2d_1c_1x1",
}
# Normalization is called "bn", but "output" after a depthwise convolution that has no ReLU.
_IN_BLOCK = {
    "ghost1_primary": ("up_pointwise/conv1", "W", "bn"),
    "ghost1_cheap": ("up_pointwise/dw1", "DW", "bn"),
    "dw": ("depthwise", "W", "output"),
    "se_reduce": ("se/fc1", "W", None),
    "se_expand": ("se/fc2", "W", None),
    "ghost2_primary": ("down_pointwise/conv1", "W", "bn"),
    "ghost2_cheap": ("down_pointwise/dw1", "DW", "output"),
    "shortcut_dw": ("shortcut_dw", "W", "output"),
    "shortcut_pw": ("shortcut_1x1", "W", "bn"),
}
_NORMALIZATION = {"gamma": "gamma", "beta": "beta", "moving_mean": "mean/EMA", "moving_variance": "variance/EMA"}


def tf_name(variable: str) -> str:
    """The official TensorFlow name of a variable called "layer/variable", e.g. `blocks_3_se_reduce/bias`.

    Raises:
        ValueError: If the official network has no such layer.
    """
    layer, kind = variable.split("/")
    layer = re.sub("_(conv|bn)$", "", layer)
    block = re.fullmatch(r"blocks_(\d+)_(.+)", layer)
    if block and int(block[1]) < len(ROWS) and block[2] in _IN_BLOCK:
        name, kernel, normalization = _IN_BLOCK[block[2]]
        name = f"{SCOPE}/Conv2d_{int(block[1]) + 1}_{name}"
    elif layer in _LAYERS:
        name, kernel, normalization = f"{SCOPE}/{_LAYERS[layer]}", "W", "bn"
    else:
        raise ValueError(f"Expected a variable that the official TensorFlow code has. Received: variable={variable!r}")
    if kind in _NORMALIZATION:
        return f"{name}/{normalization}/{_NORMALIZATION[kind]}"
    return f"{name}/{kernel if kind == 'kernel' else 'b'}"


def from_tf(value: np.ndarray, variable: str) -> np.ndarray:
    """`value` as the variable "layer/variable" has it: the official network reads BGR, and classifies by a 1x1 window.

    Everything else is in Keras's layout already.
    """
    if variable == "stem_conv/kernel":
        return value[:, :, ::-1]
    return value.reshape(value.shape[2:]) if variable == "classifier/kernel" else value
