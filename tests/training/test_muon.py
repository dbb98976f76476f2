import keras
import numpy as np
import pytest

from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.muon import Muon
from ghostnet_tf.training.schedule import learning_rate, optimizer

STEPS = 3


def trained(optimizer: keras.optimizers.Optimizer, name: str, value: np.ndarray) -> np.ndarray:
    """`value` after a few steps along the same random gradients."""
    rng = np.random.default_rng(1)
    variable = keras.Variable(value, name=name, dtype="float32")
    optimizer.build([variable])
    for _ in range(STEPS):
        optimizer.apply([keras.ops.reshape(rng.normal(size=value.size).astype("float32"), value.shape)])
    return variable.numpy()


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(12, 6)).astype("float32")


@pytest.mark.parametrize("shape", [(1, 1, 12, 6), (1, 1, 6, 12), (2, 2, 3, 6)])
def test_a_kernel_trains_as_the_matrix_that_it_is(shape, values):
    matrix = values.reshape(-1, shape[-1])
    expected = trained(keras.optimizers.Muon(0.01), "kernel", matrix)
    np.testing.assert_allclose(trained(Muon(0.01), "kernel", matrix.reshape(shape)), expected.reshape(shape), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape"), [("kernel", (3, 3, 8, 1)), ("gamma", (72,)), ("head_kernel", (1, 1, 12, 6))]
)
def test_adam_trains_the_rest(name, shape, values):
    value = values.reshape(shape)
    expected = trained(keras.optimizers.Adam(0.005), name, value)
    muon = Muon(0.01, adam_lr_ratio=0.5, weight_decay=None, adam_weight_decay=None, exclude_layers=["head"])
    np.testing.assert_allclose(trained(muon, name, value), expected, atol=1e-6)


def test_an_update_is_orthogonal_and_as_large_as_the_learning_rate_says(values):
    kernel = values.reshape(1, 1, 12, 6)
    muon = Muon(1.0, momentum=0.0, weight_decay=None)
    variable = keras.Variable(np.zeros_like(kernel), name="kernel")
    muon.build([variable])
    muon.apply([keras.ops.convert_to_tensor(kernel)])
    singular = np.linalg.svd(variable.numpy()[0, 0], compute_uv=False) / (0.2 * np.sqrt(12))
    assert (singular > 0.6).all() and (singular < 1.3).all()  # five Newton-Schulz steps end between these


def test_weights_decay_with_the_learning_rate_on_kernels_only():
    config = RunConfig(optimizer="muon", learning_rate=0.1, epochs=1, warmup_epochs=0, weight_decay=0.2)
    layer = keras.layers.Conv2D(4, 1)
    layer.build((None, 8, 8, 4))
    layer.set_weights([np.ones((1, 1, 4, 4)), np.ones(4)])
    muon = optimizer(config, learning_rate(config, steps_per_epoch=10**9))  # constant
    muon.build(layer.trainable_variables)
    muon.apply([keras.ops.zeros((1, 1, 4, 4)), keras.ops.zeros(4)])
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(kernel, 1 - 0.1 * 0.2, rtol=1e-6)
    np.testing.assert_allclose(bias, 1.0, rtol=1e-6)


def test_its_learning_rate_is_its_own():
    settings = {"size": 32, "flip": True, "photos": False}
    assert RunConfig(optimizer="muon").resolved(**settings).learning_rate == pytest.approx(0.02)
    assert RunConfig(optimizer="muon", weights="w.h5").resolved(**settings).learning_rate == pytest.approx(0.002)
