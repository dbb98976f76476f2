"""Our networks equal the original PyTorch code, given the same numbers, through the real loader."""

import keras
import numpy as np
import pytest

import ghostnet_tf

# Of the logits' standard deviation. In float64 only the reference's own float32 rounding is left: at most 5e-5. Our
# float32 adds as much (in the gates of squeeze-and-excitation, hence the root mean square: 3e-5). A wrong layout,
# name, padding or epsilon gives 1e-3 to 1.
TOLERANCE = 1e-4


@pytest.fixture
def float64():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def differences(model, golden, expected):
    """In units of the logits' deviation. `golden.image()` is in PyTorch's order of axes."""
    logits = model(golden.image().transpose(0, 2, 3, 1), training=False)
    return (np.asarray(logits) - expected) / expected.std()


@pytest.mark.parametrize(("name", "width"), [("ghostnet_050", 0.5), ("ghostnet_100", 1.0), ("ghostnet_130", 1.3)])
def test_ghostnet(name, width, golden, golden_checkpoint, golden_logits, float64):
    weights = golden_checkpoint(name)
    model = ghostnet_tf.GhostNet(width, include_preprocessing=False, classifier_activation=None, weights=weights)
    assert np.abs(differences(model, golden, golden_logits(name))).max() <= TOLERANCE


def test_imagenet_from_the_hub_in_float32(golden, golden_checkpoint, golden_logits, hub):
    hub.serve(golden_checkpoint("ghostnet_100").read_bytes())
    model = ghostnet_tf.GhostNet(include_preprocessing=False, classifier_activation=None, weights="imagenet")
    assert (differences(model, golden, golden_logits("ghostnet_100")) ** 2).mean() ** 0.5 <= TOLERANCE
