"""Our networks equal the original PyTorch code, given the same numbers, through the real loader."""

import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.analysis import complexity

# Of the logits' standard deviation, in float64, as the references are; they are stored in float32. A wrong layout,
# name, padding or epsilon gives 1e-4 and more.
TOLERANCE = 1e-6


LOGITS = {"include_preprocessing": False, "classifier_activation": None}


def differences(model, golden, expected):
    """In units of the logits' deviation. `golden.image()` is in PyTorch's order of axes."""
    logits = model(golden.image().transpose(0, 2, 3, 1), training=False)
    return (np.asarray(logits) - expected) / expected.std()


@pytest.mark.parametrize(
    ("name", "builder", "width"),
    [
        ("ghostnet_050", "GhostNet", 0.5),
        ("ghostnet_100", "GhostNet", 1.0),
        ("ghostnet_130", "GhostNet", 1.3),
        ("ghostnetv2_100", "GhostNetV2", 1.0),
    ],
)
def test_equals_the_original(name, builder, width, golden, golden_checkpoint, golden_logits, float64):
    model = getattr(ghostnet_tf, builder)(width, weights=golden_checkpoint(name), **LOGITS)
    assert np.abs(differences(model, golden, golden_logits(name))).max() <= TOLERANCE


def test_ghostnet_v3_in_both_forms(golden, golden_checkpoint, golden_logits, float64):
    model = ghostnet_tf.GhostNetV3(weights=golden_checkpoint("ghostnetv3_100"), **LOGITS)
    for form, params, macs in (
        (model, 8_129_028, 404_128_320),
        (ghostnet_tf.reparameterize(model), 6_147_588, 167_048_288),
    ):
        assert (complexity(form).params, complexity(form).macs) == (params, macs)
        assert np.abs(differences(form, golden, golden_logits("ghostnetv3_100"))).max() <= TOLERANCE


def test_imagenet_from_the_hub_in_float32(golden, golden_checkpoint, golden_logits, hub):
    hub.serve(golden_checkpoint("ghostnet_100").read_bytes())
    model = ghostnet_tf.GhostNet(weights="imagenet", **LOGITS)
    # Float32 rounds to 1e-5 of the deviation (root mean square) here, mostly in squeeze-and-excitation.
    assert (differences(model, golden, golden_logits("ghostnet_100")) ** 2).mean() ** 0.5 <= 1e-4
