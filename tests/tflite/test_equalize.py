"""Equalized channels: the same network to float rounding, of evener ranges."""

import keras
import numpy as np
import pytest

from ghostnet_tf.models import GhostNetV2
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite.equalize import equalized
from ghostnet_tf.tflite.flatbuffer import with_logits
from ghostnet_tf.tflite.quantize import calibrated
from ghostnet_tf.tflite.schemes import convert


@pytest.fixture(scope="module")
def second(randomized, small_images):
    """GhostNetV2, whose attention reads what its primary convolution reads."""
    keras.utils.set_random_seed(0)
    model = randomized(GhostNetV2(0.1, input_shape=(32, 32, 3), classes=5))
    calibrate.settle(model, small_images.calibration)
    return convert(model, "fp32")


@pytest.mark.parametrize("network", ["GhostNet", "GhostNetV2"])
def test_the_network_stays_the_same(network, small_files, small_images, request):
    content = small_files["fp32"] if network == "GhostNet" else request.getfixturevalue("second")
    before = calibrated(content, small_images.calibration, count=False)
    changed = equalized(content, before)
    expected, found = (TFLiteModel(with_logits(file)).predict(small_images.held_out) for file in (content, changed))
    # Other factors round otherwise: a few float steps a layer, over 16 blocks.
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())

    after = calibrated(changed, small_images.calibration, count=False)
    spreads = []
    for index, seen in before.activations.items():
        both = [np.maximum(-each.lows, each.highs) for each in (seen, after.activations[index])]
        if np.allclose(*both, rtol=1e-3) or min(both[0].min(), both[1].min()) <= 0:
            continue
        spreads.append([ranges.max() / np.median(ranges) for ranges in both])
    assert len(spreads) > 20  # activations that were changed
    assert np.median([new / old for old, new in spreads]) < 0.9
