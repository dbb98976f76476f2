"""Batches in parts and images below the network's size, as training takes them."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from ghostnet_tf.commands import BadInput
from ghostnet_tf.quiet import start_tensorflow
from ghostnet_tf.training import fit, history
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.towers import Towers

RATE = 0.1


def network(normalized: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization()(x) if normalized else keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)), name="network")


def towers_of(model, count):
    return Towers(model.input, model.output, towers=count, name=model.name)


def step(model, images, targets) -> list[np.ndarray]:
    """The weights after a step of gradient descent."""
    model.compile(keras.optimizers.SGD(RATE), "mse")
    model.train_on_batch(images, targets)
    return model.get_weights()


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 8, 8, 3)).astype("float32"), rng.normal(size=(6, 2)).astype("float32")


@pytest.mark.parametrize("images", [1, 3, 6])
def test_in_inference_they_change_nothing(batch, images):
    model = network(normalized=True)
    expected = model.predict(batch[0][:images], verbose=0)
    found = towers_of(model, 2).predict(batch[0][:images], verbose=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_without_normalization_a_step_is_the_same(batch):
    expected, found = step(network(False), *batch), step(towers_of(network(False), 3), *batch)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6)  # of sums in another order
    assert np.abs(found[0] - network(False).get_weights()[0]).max() > 1e-4


def test_each_part_is_normalized_by_itself(batch):
    """As if the parts were batches, of whose gradients the mean counts, and whose statistics come one after another."""
    images, targets = batch
    found = step(towers_of(network(True), 2), *batch)
    start = network(True).get_weights()
    halves = [step(network(True), images[part], targets[part]) for part in (slice(3), slice(3, 6))]
    model = network(True)
    moving = [index for index, weight in enumerate(model.weights) if "moving" in weight.path]
    assert len(moving) == 2
    for index, weight in enumerate(found):
        if index in moving:
            expected = halves[0][index] * 0.99 + (halves[1][index] - start[index] * 0.99)
        else:
            expected = (halves[0][index] + halves[1][index]) / 2
        np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-6)


def test_images_of_any_size():
    model = towers_of(network(True), 2)
    smaller = ops.ones((2, 5, 6, 3))
    assert model(smaller, training=True).shape == (2, 2)


def test_phases_of_a_run_and_of_a_resumed_one():
    config = RunConfig(size=64, epochs=9, progressive_sizes=[32, 48], progressive_epochs=[2, 5])
    assert config.phases() == [(32, 0, 2), (48, 2, 5), (64, 5, 9)]
    assert config.phases(2) == [(48, 2, 5), (64, 5, 9)]
    assert config.phases(6) == [(64, 6, 9)]
    assert RunConfig(size=64, epochs=9).phases(9) == []


def test_a_run_grows_its_images_and_can_be_resumed_on_the_way(tiny_network, resumed_after, monkeypatch):
    """Killed within the smaller size; both see 16 px for two epochs, then 32, and measure at 32."""
    sizes = []
    call = Towers.call

    def seen(self, inputs, training=None, mask=None):
        sizes.append((inputs.shape[1], bool(training)))
        return call(self, inputs, training=training, mask=mask)

    monkeypatch.setattr(Towers, "call", seen)
    config = RunConfig(batch_size=256, epochs=3, progressive_sizes=[16], progressive_epochs=[2], towers=2)
    whole, killed = resumed_after(config, 1)
    assert set(sizes) == {(16, True), (32, True), (32, False)}
    one, other = (keras.models.load_model(folder / "model.keras").get_weights() for folder in (whole, killed))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)  # threads add in any order
    assert [row["epoch"] for row in history.read_metrics(killed)] == ["1", "2", "3"]


def test_a_size_that_the_network_cannot_take(tmp_path):
    """Ghost-VGG-16 halves an image five times."""
    config = RunConfig(model="ghost_vgg16", epochs=3, progressive_sizes=[16], progressive_epochs=[1])
    with pytest.raises(BadInput, match="ghost_vgg16 does not take images of 16 px"):
        fit.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sizes_are_checked_once_the_data_set_is_known(tmp_path):
    config = RunConfig(epochs=3, progressive_sizes=[40], progressive_epochs=[1])
    with pytest.raises(BadInput, match="below --size 32"):
        fit.train(dataclasses.replace(config), tmp_path / "run")


def test_threads_come_too_late_once_tensorflow_is_in_use(capsys):
    ops.zeros(())
    start_tensorflow(7)
    assert "TensorFlow was in use before and keeps its threads" in capsys.readouterr().err


def test_tensorflow_gets_a_thread_for_each_part():
    """In a process of its own, since TensorFlow takes the numbers only before its first use."""
    script = (
        "from ghostnet_tf.quiet import start_tensorflow; start_tensorflow(2); import os, tensorflow as tf; "
        "threads = tf.config.threading; assert threads.get_inter_op_parallelism_threads() == 2; "
        "assert threads.get_intra_op_parallelism_threads() == max(1, os.cpu_count() // 2)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
