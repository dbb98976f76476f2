"""PyTorch's tensor names and layouts for our variables.

The names are those of timm, with which the official `ghostnet_pytorch` and `ghostnetv2_pytorch` agree; see
`timm_name` for `ghostnetv3_pytorch`.
"""

import itertools
import re

import numpy as np

from ghostnet_tf.models.ghostnet import ROWS

# PyTorch numbers bottlenecks "stage.index", where consecutive rows of the same stride make a stage.
_BLOCKS = [
    f"blocks.{stage}.{index}"
    for stage, (_, rows) in enumerate(itertools.groupby(ROWS, key=lambda row: row[-1]))
    for index, _ in enumerate(rows)
]
_FINAL = f"blocks.{int(_BLOCKS[-1].split('.')[1]) + 1}.0"

_LAYERS = {
    "stem_conv": "conv_stem",
    "stem_bn": "bn1",
    "final_conv": f"{_FINAL}.conv",
    "final_bn": f"{_FINAL}.bn1",
    "head_conv": "conv_head",
    "head_bn": "bn_head",  # ours: no published PyTorch model has it
    "classifier": "classifier",
}
_IN_BLOCK = {
    "dw_conv": "conv_dw",
    "dw_bn": "bn_dw",
    "se_reduce": "se.conv_reduce",
    "se_expand": "se.conv_expand",
    "shortcut_dw_conv": "shortcut.0",
    "shortcut_dw_bn": "shortcut.1",
    "shortcut_pw_conv": "shortcut.2",
    "shortcut_pw_bn": "shortcut.3",
}
for _ghost in ("ghost1", "ghost2"):
    for _ours, _theirs in (("primary", "primary_conv"), ("cheap", "cheap_operation")):
        _IN_BLOCK |= {
            f"{_ghost}_{_ours}_conv": f"{_ghost}.{_theirs}.0",
            f"{_ghost}_{_ours}_bn": f"{_ghost}.{_theirs}.1",
        }
# GhostNetV2's attention, and GhostNetV3's branches in place of one convolution.
for _index, _role in enumerate(("pw", "row", "column")):
    _IN_BLOCK[f"ghost1_dfc_{_role}_conv"] = f"ghost1.short_conv.{2 * _index}"
    _IN_BLOCK[f"ghost1_dfc_{_role}_bn"] = f"ghost1.short_conv.{2 * _index + 1}"
for _role in ("ghost1_primary", "ghost1_cheap", "ghost2_primary", "ghost2_cheap", "dw"):
    _branches = {f"branch{index}": f"conv.{index}" for index in range(3)} | {"point": "scale"}
    for _ours, _theirs in _branches.items():
        _IN_BLOCK[f"{_role}_{_ours}_conv"] = f"{_role.replace('_', '.')}_rpr_{_theirs}.conv"
        _IN_BLOCK[f"{_role}_{_ours}_bn"] = f"{_role.replace('_', '.')}_rpr_{_theirs}.bn1"
    _IN_BLOCK[f"{_role}_identity"] = f"{_role.replace('_', '.')}_rpr_skip"
COUNTERS = ("num_batches_tracked", "total_ops", "total_params")  # PyTorch's, and those of a tool that counts
VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def timm_name(tensor: str) -> str | None:
    """timm's name of a tensor in an official checkpoint; `None` for counters, which are no weights.

    Normalization in the official GhostNetV3's branches is called `bn`; training on several devices adds `module.`.
    """
    if tensor.rsplit(".", 1)[-1] in COUNTERS:
        return None
    return re.sub(r"(_rpr_(?:conv\.\d+|scale))\.bn\.", r"\1.bn1.", tensor.removeprefix("module."))


def torch_name(variable: str) -> str:
    """PyTorch's name of a variable called "layer/variable", e.g. `blocks_3_se_reduce/bias`.

    Raises:
        ValueError: If the published models have no such layer.
    """
    layer, kind = variable.split("/")
    block = re.fullmatch(r"blocks_(\d+)_(.+)", layer)
    if block and int(block[1]) < len(_BLOCKS) and block[2] in _IN_BLOCK:
        return f"{_BLOCKS[int(block[1])]}.{_IN_BLOCK[block[2]]}.{VARIABLES[kind]}"
    if layer in _LAYERS:
        return f"{_LAYERS[layer]}.{VARIABLES[kind]}"
    raise ValueError(f"Expected a variable that the published PyTorch models have. Received: variable={variable!r}")


def from_torch(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`value` in Keras's layout, for a variable of `shape`.

    Dense `(out, in)` becomes `(in, out)`, a convolution `(out, in, height, width)` becomes `(height, width, in, out)`,
    and a depthwise one `(channels * multiplier, 1, height, width)`, whose outputs run channel by channel, becomes
    `(height, width, channels, multiplier)`. A value that does not fit comes back with a shape that shows it.
    """
    if value.ndim == 2:
        return value.T
    if value.ndim != 4:
        return value
    out, inputs, height, width = value.shape
    if inputs == 1 and len(shape) == 4 and out == shape[2] * shape[3]:
        return value.reshape(shape[2], shape[3], height, width).transpose(2, 3, 0, 1)
    return value.transpose(2, 3, 1, 0)
