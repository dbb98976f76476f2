"""G-Ghost-RegNetX equals the official code, given the same numbers, through the real loader."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.weights.g_ghost_names import g_ghost_torch_name

NAME = "g_ghost_regnetx_032"
GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_g_ghost_regnetx_032(golden, golden_checkpoint, golden_logits, float64):
    model = ghostnet_tf.GGhostRegNetX(
        "032", include_preprocessing=False, classifier_activation=None, weights=golden_checkpoint(NAME)
    )
    expected = golden_logits(NAME)
    logits = np.asarray(model(golden.image().transpose(0, 2, 3, 1), training=False))
    # Of the logits' deviation; in float64 the reference's float32 rounding is all that is left.
    assert np.abs(logits - expected).max() / expected.std() <= 1e-4


# Of the four released checkpoints: blocks and channels of the stages, channels a group, and the second and third
# stage's complicated channels, whose blocks have three quarters of the channels a group.
RELEASED = {
    "032": ((2, 6, 15, 2), (96, 192, 432, 1008), 48, (72, 216)),
    "040": ((2, 5, 14, 2), (80, 240, 560, 1360), 40, (120, 270)),
    "080": ((2, 5, 15, 1), (80, 240, 720, 1920), 120, (90, 360)),
    "160": ((2, 6, 13, 1), (256, 512, 896, 2048), 128, (192, 384)),
}


def official(depths, widths, group, complicated) -> dict[str, list[int]]:
    """Names and shapes of the official code's state_dict, written down once more, without counters."""
    shapes = {}

    def conv(name, norm, out, inputs, size=1):
        shapes[f"{name}.weight"] = [out, inputs, size, size]
        for kind in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{kind}"] = [out]

    def block(name, inputs, out, group, shortcut=False):
        conv(f"{name}.conv1", f"{name}.bn1", out, inputs)
        conv(f"{name}.conv2", f"{name}.bn2", out, min(out, group), 3)
        conv(f"{name}.conv3", f"{name}.bn3", out, out)
        if shortcut:
            conv(f"{name}.downsample.0", f"{name}.downsample.1", out, inputs)

    conv("conv1", "bn1", 32, 3, 3)
    inputs = 32
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        layer = f"layer{stage + 1}"
        if stage in (1, 2):
            thin, ghosts = complicated[stage - 1], width - complicated[stage - 1]
            block(f"{layer}.base", inputs, width, group, shortcut=True)
            for index in range(depth - 2):
                block(f"{layer}.layers.{index}", thin, thin, group * 3 // 4)
            conv(f"{layer}.merge.1", f"{layer}.merge.2", ghosts, width + thin * (depth - 2))
            conv(f"{layer}.merge.4", f"{layer}.merge.5", ghosts, ghosts)
            conv(f"{layer}.cheap.0", f"{layer}.cheap.1", ghosts, ghosts)
            block(f"{layer}.end", width, width, group)
        else:
            for index in range(depth):
                block(f"{layer}.{index}", width if index else inputs, width, group, shortcut=not index)
        inputs = width
    return shapes | {"fc.weight": [1000, inputs], "fc.bias": [1000]}


def test_the_official_names_and_shapes_are_those_of_the_code():
    stored = json.loads((GOLDEN / f"{NAME}.json").read_text())
    assert official(*RELEASED["032"]) == {key: shape for key, shape in stored.items() if "num_batches" not in key}


@pytest.mark.parametrize("variant", RELEASED)
def test_every_tensor_of_a_released_checkpoint_is_taken_once(variant):
    ours = {}
    with keras.StatelessScope(initialize_variables=False):  # names and shapes need no values
        for weight in ghostnet_tf.GGhostRegNetX(variant).weights:
            *window, inputs, out = weight.shape if len(weight.shape) > 1 else (None, *weight.shape)
            name = g_ghost_torch_name("/".join(weight.path.split("/")[-2:]))
            assert name not in ours
            ours[name] = [out, *([] if inputs is None else [inputs]), *window]
    keras.utils.clear_session()
    assert ours == official(*RELEASED[variant])


@pytest.mark.parametrize("variable", ["stage_1_extra_conv/kernel", "blocks_1_dw_conv/kernel", "stage_1_0_se/kernel"])
def test_other_variables_have_no_name(variable):
    with pytest.raises(ValueError, match=f"Received: variable='{variable}'"):
        g_ghost_torch_name(variable)
