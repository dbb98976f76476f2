"""The official `g_ghost_regnet.py`'s tensor names for the variables of `GGhostRegNetX`; layouts as in `torch_names`."""

import re

from ghostnet_tf.weights.torch_names import VARIABLES

_LAYERS = {
    "stem_conv": "conv1",
    "stem_bn": "bn1",
    "classifier": "fc",
    "head_conv": "head_conv",  # the loader asks for these; neither side has them
    "head_bn": "head_bn",
}
_IN_STAGE = {
    "cheap_conv": "cheap.0",
    "cheap_bn": "cheap.1",
    "mix_1_conv": "merge.1",
    "mix_1_bn": "merge.2",
    "mix_2_conv": "merge.4",
    "mix_2_bn": "merge.5",
}
_IN_BLOCK = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}
for _number in (1, 2, 3):
    _IN_BLOCK |= {f"conv{_number}_conv": f"conv{_number}", f"conv{_number}_bn": f"bn{_number}"}


def g_ghost_torch_name(variable: str) -> str:
    """The official code's name of a variable called "layer/variable", e.g. `stage_1_thin_0_conv1_bn/gamma`.

    Raises:
        ValueError: If the official networks have no such layer.
    """
    layer, kind = variable.split("/")
    if layer in _LAYERS:
        return f"{_LAYERS[layer]}.{VARIABLES[kind]}"
    stage = re.fullmatch(r"stage_(\d)_(.+)", layer)
    if stage:
        prefix = f"layer{int(stage[1]) + 1}"
        if stage[2] in _IN_STAGE:
            return f"{prefix}.{_IN_STAGE[stage[2]]}.{VARIABLES[kind]}"
        block = re.fullmatch(r"(base|end|\d+|thin_(\d+))_(.+)", stage[2])
        if block and block[3] in _IN_BLOCK:
            where = block[1] if block[2] is None else f"layers.{block[2]}"
            return f"{prefix}.{where}.{_IN_BLOCK[block[3]]}.{VARIABLES[kind]}"
    raise ValueError(f"Expected a variable that the official G-Ghost-RegNets have. Received: variable={variable!r}")
