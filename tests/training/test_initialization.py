import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.commands import BadInput
from ghostnet_tf.layers import GhostBottleneck, ResidualBottleneck
from ghostnet_tf.training import fit
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.initialization import zero_init_residual


@pytest.mark.parametrize(
    "layer",
    [
        GhostBottleneck(16, 8),
        GhostBottleneck(16, 8, attention=True),
        GhostBottleneck(16, 8, branches=2),
        ResidualBottleneck(8, expansion=2),
        ResidualBottleneck(8, expansion=2, ratio=2),
    ],
)
def test_a_block_begins_as_its_shortcut(layer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 8))
    model = keras.Model(inputs, layer(inputs))
    images = np.random.default_rng(0).uniform(0, 1, (2, 6, 6, 8)).astype("float32")  # ReLU leaves these as they are
    assert np.abs(model.predict(images, verbose=0) - images).max() > 0.01
    zero_init_residual(model)
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)


def test_a_run_begins_so():
    model = fit.build(RunConfig(width=0.25, size=32, zero_init_residual=True), 3)
    scales = {v.path: v.numpy() for v in model.trainable_variables if v.name == "gamma"}
    zero = {path for path, value in scales.items() if not value.any()}
    assert zero == {path for path in scales if "_ghost2_" in path}
    assert all((value == 1).all() for path, value in scales.items() if path not in zero)


def test_a_network_without_residual_blocks_is_refused():
    with pytest.raises(BadInput, match=r"residual blocks for --zero-init-residual. Received: ghost_vgg16"):
        zero_init_residual(ghostnet_tf.GhostVGG16(input_shape=(32, 32, 3)))
