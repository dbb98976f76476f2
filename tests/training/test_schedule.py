import dataclasses

import keras
import numpy as np
import pytest

from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.schedule import learning_rate, optimizer


def test_warm_up_is_linear_and_the_decay_a_cosine():
    rate = learning_rate(RunConfig(learning_rate=0.4, epochs=5, warmup_epochs=1.0), steps_per_epoch=10)
    steps = np.arange(51)
    expected = np.where(steps < 10, 0.4 * steps / 10, 0.2 * (1 + np.cos(np.pi * (steps - 10) / 40)))
    np.testing.assert_allclose([float(rate(step)) for step in steps], expected, atol=1e-6)


def test_without_warm_up_it_starts_at_the_peak():
    rate = learning_rate(RunConfig(learning_rate=0.4, epochs=2, warmup_epochs=0), steps_per_epoch=10)
    assert float(rate(0)) == pytest.approx(0.4)
    assert float(rate(20)) == pytest.approx(0.0)


@pytest.mark.parametrize("warmup", [0, 0.5])
def test_the_rate_falls_to_a_tenth_after_each_of_the_epochs_given(warmup):
    config = RunConfig(learning_rate=0.1, epochs=8, warmup_epochs=warmup, decay_epochs=[4, 6.5])
    rate = learning_rate(config, steps_per_epoch=10)
    steps = np.arange(80)
    expected = np.where(steps < 40, 0.1, np.where(steps < 65, 0.01, 0.001)) * np.minimum(1, steps / 5 if warmup else 1)
    np.testing.assert_allclose([float(rate(step)) for step in steps], expected, rtol=1e-6)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    assert float(again(64)) == pytest.approx(0.01)


def test_weights_decay_as_an_l2_gradient_would_make_them():
    """After many steps without any other gradient, kernels shrink as in PyTorch's SGD; the rest stays."""
    config = RunConfig(learning_rate=0.1, epochs=1000, warmup_epochs=0, weight_decay=1e-2)
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    layer.set_weights([np.ones((1, 1)), np.ones(1)])
    sgd = optimizer(config, learning_rate(config, steps_per_epoch=1000))
    sgd.build(layer.trainable_variables)
    weight, velocity = 1.0, 0.0
    for _ in range(200):
        sgd.apply([np.zeros((1, 1)), np.zeros(1)])
        gradient = config.weight_decay * weight  # torch.optim.SGD(momentum=0.9, nesterov=True, weight_decay=1e-2)
        velocity = 0.9 * velocity + gradient
        weight -= 0.1 * (gradient + 0.9 * velocity)
    kernel, bias = (float(np.squeeze(value)) for value in layer.get_weights())
    assert bias == 1.0
    # The two differ in the first steps, while the momentum builds up: 10 steps of 200.
    assert np.log(kernel) == pytest.approx(np.log(weight), rel=0.06)


def test_an_average_moves_once_an_update_however_many_batches_make_it():
    config = RunConfig(learning_rate=0.1, epochs=1, warmup_epochs=0, weight_decay=0, momentum=0.0)
    config = dataclasses.replace(config, ema=0.9, gradient_accumulation_steps=2)
    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    layer.set_weights([np.ones((1, 1))])
    sgd = optimizer(config, learning_rate(config, steps_per_epoch=10**9))  # constant
    sgd.build(layer.trainable_variables)
    updated = []
    for batch in range(9):  # two a gradient, and one of the next
        sgd.apply([np.full((1, 1), 1.0 + batch % 2)])
        if batch % 2:
            updated.append(float(layer.kernel.numpy().item()))
    np.testing.assert_allclose(updated, 1 - 0.15 * np.arange(1, 5), rtol=1e-6)
    average = updated[0]
    for weight in updated[1:]:
        average = 0.9 * average + 0.1 * weight
    sgd.finalize_variable_values(layer.trainable_variables)
    assert layer.kernel.numpy().item() == pytest.approx(average, rel=1e-6)
