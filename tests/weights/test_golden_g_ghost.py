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


def test_every_official_name_is_taken_once():
    theirs = [key for key in json.loads((GOLDEN / f"{NAME}.json").read_text()) if "num_batches" not in key]
    with keras.StatelessScope(initialize_variables=False):  # names need no values
        model = ghostnet_tf.GGhostRegNetX("032")
        ours = [g_ghost_torch_name("/".join(weight.path.split("/")[-2:])) for weight in model.weights]
    assert sorted(ours) == sorted(theirs)
    keras.utils.clear_session()


@pytest.mark.parametrize("variable", ["stage_1_extra_conv/kernel", "blocks_1_dw_conv/kernel", "stage_1_0_se/kernel"])
def test_other_variables_have_no_name(variable):
    with pytest.raises(ValueError, match=f"Received: variable='{variable}'"):
        g_ghost_torch_name(variable)
