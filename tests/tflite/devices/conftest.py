"""Networks of full size, only where the make target asks for them."""

import os

import keras
import numpy as np
import pytest

from ghostnet_tf import GhostNet
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite.schemes import SCHEMES, convert


@pytest.fixture(scope="session")
def full_images() -> calibrate.ImageSet:
    return calibrate.synthetic((224, 224, 3), 8, 2)


@pytest.fixture(scope="session")
def full_files(randomized, full_images) -> dict[str, bytes]:
    """Scheme -> the file of GhostNet 1.0 at 224 px."""
    if not os.environ.get("FULL_SIZE"):
        pytest.skip("converts GhostNet 1.0 at 224 px: set FULL_SIZE=1, as make test-gpu and make test-arm do")
    keras.utils.set_random_seed(0)
    model = randomized(GhostNet())
    calibrate.settle(model, full_images.calibration)
    return {name: convert(model, name, **_with_images(row, full_images)) for name, row in SCHEMES.items()}


def _with_images(row, images: calibrate.ImageSet) -> dict[str, np.ndarray]:
    return {"representative_dataset": images.calibration} if row.needs_images else {}
