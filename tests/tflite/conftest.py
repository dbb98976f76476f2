"""One small GhostNet in all schemes, converted once."""

import keras
import numpy as np
import pytest

from ghostnet_tf import GhostNet
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite.schemes import SCHEMES, convert

SIZE, CLASSES = 32, 5


def _randomized(model: keras.Model, seed: int = 0, shift: float = 0.0) -> keras.Model:
    """`model` with every bias, scale and shift at random, so that folding shows; shifts are `shift` on average."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        kind = weight.path.rsplit("/", 1)[-1]
        if kind in ("beta", "bias"):
            weight.assign(rng.normal(shift, 0.3, weight.shape))
        elif kind == "gamma":
            weight.assign(rng.uniform(0.6, 1.4, weight.shape))
    return model


@pytest.fixture(scope="session")
def randomized():
    """`randomized(model, seed, shift)` changes a model's biases, scales and shifts and returns it."""
    return _randomized


@pytest.fixture(scope="session")
def small_images() -> calibrate.ImageSet:
    return calibrate.synthetic((SIZE, SIZE, 3), 24, 16)


@pytest.fixture(scope="session")
def small_model(small_images) -> keras.Model:
    """GhostNet 0.25 for 32 pixels and 5 classes, as far from its initial values as a trained one."""
    keras.utils.set_random_seed(0)
    model = _randomized(GhostNet(0.25, input_shape=(SIZE, SIZE, 3), classes=CLASSES))
    calibrate.settle(model, small_images.calibration)
    return model


@pytest.fixture(scope="session")
def small_files(small_model, small_images) -> dict[str, bytes]:
    """Scheme -> the `.tflite` file of `small_model`."""
    return {
        name: convert(small_model, name, representative_dataset=small_images.calibration if row.needs_images else None)
        for name, row in SCHEMES.items()
    }
