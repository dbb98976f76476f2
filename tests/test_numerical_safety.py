"""No NaN where it could come from, and the same numbers again where they are promised."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.layers import GGhostStage, GhostModule, ResidualBottleneck
from ghostnet_tf.models import ghostnet
from ghostnet_tf.tflite.schemes import convert
from ghostnet_tf.training import fit
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.precision import mixed_precision

SIZE = 32


@pytest.fixture
def shallow(monkeypatch):
    """`shallow(**options)` builds a GhostNet of two rows, one of them with strides and squeeze-and-excitation."""
    monkeypatch.setattr(ghostnet, "ROWS", (ghostnet.ROWS[0], ghostnet.ROWS[3]))
    keras.utils.set_random_seed(0)
    return lambda **options: ghostnet_tf.GhostNet(0.25, input_shape=(SIZE, SIZE, 3), classes=4, **options)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_16_bits_train_without_nan(precision, shallow, monkeypatch):
    """50 steps; images and learning rate as in the recipes, the loss scale of float16 as Keras sets it."""
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[1:])  # the row with strides and squeeze-and-excitation
    with mixed_precision(precision):
        model = shallow(classifier_activation=None)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert (type(model.optimizer).__name__ == "LossScaleOptimizer") == (precision == "float16")
    labels = np.arange(4)
    images = np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32") * 0.3
    images += labels[:, None, None, None] * 40.0
    losses = [model.train_on_batch(images, labels) for _ in range(50)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)


def test_the_mix_of_g_ghost_takes_a_batch_of_one():
    """Its normalizations see one value a channel: variance 0, so that what they give is their shift."""
    import tensorflow as tf

    stage = GGhostStage(8, 3, ResidualBottleneck)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype("float32")
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(stage(image, training=True)))
    gradients = tape.gradient(loss, [weight.value for weight in stage.trainable_weights])
    assert np.isfinite(loss.numpy()) and all(np.isfinite(gradient.numpy()).all() for gradient in gradients)
    assert all(np.isfinite(weight.numpy()).all() for weight in stage.weights)


def test_constant_images(shallow):
    """Black, grey and white ones, also where normalizations see channels that hardly vary."""
    model = shallow()
    images = np.repeat(np.float32([0, 127.5, 255]), 3 * SIZE**2).reshape(3, SIZE, SIZE, 3)
    for batch in (images, *np.split(images, 3)):
        model(batch, training=True)
        assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
        np.testing.assert_allclose(model(batch).numpy().sum(-1), 1, rtol=1e-5)


def test_extreme_logits(shallow):
    """The greatest numbers of float32 in the classifier's bias: probabilities, no NaN; and so in the loss."""
    model = shallow()
    bias = np.array([3e38, -3e38, 0, 1e30], "float32")
    model.get_layer("classifier").bias.assign(bias)
    probabilities = model(np.zeros((1, SIZE, SIZE, 3), "float32")).numpy()
    np.testing.assert_array_equal(probabilities, [[1, 0, 0, 0]])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    assert np.isfinite(loss(np.eye(4, dtype="float32")[:1], bias[None] / 1e30).numpy())


def test_the_same_seed_gives_the_same_weights(tmp_path, monkeypatch):
    """An epoch of digits with everything random in it: order, augmentation, dropout, initial values."""

    def network(*, input_shape, classes, classifier_activation, dropout_rate, **_):
        inputs = keras.Input(input_shape)
        x = keras.layers.Conv2D(8, 3, strides=4)(keras.layers.Rescaling(1 / 255)(inputs))
        x = keras.layers.Dropout(dropout_rate)(keras.layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, keras.layers.Dense(classes, activation=classifier_activation)(x))

    monkeypatch.setitem(fit.BUILDERS, "ghostnet", network)
    found = []
    for seed, name in ((1, "one"), (1, "same")):
        config = RunConfig(data="digits", epochs=1, warmup_epochs=0.5, batch_size=256, seed=seed)
        fit.train(config, tmp_path / name)
        found.append(keras.models.load_model(tmp_path / name / "model.keras").get_weights())
    for one, same in zip(found[0], found[1], strict=True):
        np.testing.assert_array_equal(one, same)


CONVERSION = """
import hashlib, sys
import keras, numpy as np
import ghostnet_tf
from ghostnet_tf.tflite.schemes import convert
model = keras.models.load_model(sys.argv[1])
images = np.load(sys.argv[2])
print(hashlib.sha256(convert(model, "int8", representative_dataset=images)).hexdigest())
"""


def test_conversion_gives_the_same_bytes_on_one_and_two_threads(tmp_path):
    """Once here, with as many threads as there are, and in a process with one or two, whichever differs."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(GhostModule(8, 3)(inputs))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    keras.Model(inputs, keras.layers.Dense(4)(x)).save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    threads = "2" if os.environ.get("TF_NUM_INTRAOP_THREADS") == "1" or os.cpu_count() == 1 else "1"
    root = str(Path(ghostnet_tf.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CONVERSION, tmp_path / "model.keras", tmp_path / "images.npy"],
        env=os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    # Read again, since a layer's name that Keras chose counts the layers made before in the process.
    content = convert(keras.models.load_model(tmp_path / "model.keras"), "int8", representative_dataset=images)
    assert hashlib.sha256(content).hexdigest() == done.stdout.strip()
