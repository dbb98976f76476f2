"""Small data for the training tests: photos drawn here, in colours that a model can learn."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (30, 30, 200), "green": (30, 200, 30), "red": (200, 30, 30)}


def _draw_photos(folder: Path, per_class: int, size: tuple[int, int] = (60, 48), seed: int = 0) -> Path:
    """Writes `folder/COLOUR/N.jpg`: noisy pictures of one colour."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = np.clip(rng.normal(colour, 25, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


@pytest.fixture(scope="session")
def draw_photos():
    """`draw_photos(folder, per_class)` writes a folder of three classes and returns it."""
    return _draw_photos


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of three classes with ten photos each."""
    return _draw_photos(tmp_path / "photos", 10)


@pytest.fixture
def tiny_network(monkeypatch):
    """Puts one convolution, normalization, dropout and a classifier in the place of GhostNet.

    Leaves out the picture of each epoch and the pipeline's own rate, which would take longer than the training.

    Returns:
        The builder.
    """
    import keras

    from ghostnet_tf.training import callbacks, fit

    monkeypatch.setattr(callbacks, "draw_curves", lambda *_: None)
    monkeypatch.setattr(fit, "images_per_second", lambda *_: math.inf)

    def build(*, input_shape, classes, classifier_activation, dropout_rate=0.2, width=1.0, **_):
        inputs = keras.Input(input_shape)
        x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
        x = keras.layers.Conv2D(round(8 * width), 3, strides=4, use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.Dropout(dropout_rate)(keras.layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, keras.layers.Dense(classes, activation=classifier_activation)(x))

    monkeypatch.setitem(fit.BUILDERS, "ghostnet", build)
    return build


@pytest.fixture
def resumed_after(tmp_path, monkeypatch):
    """`resumed_after(config, epochs)` trains a run, and another that goes on from its state after that many epochs.

    Returns:
        Both folders.
    """
    from ghostnet_tf.training import callbacks, fit

    ends = callbacks.RunRecorder.on_epoch_end

    def train(config, epochs: int) -> tuple[Path, Path]:
        whole, killed = tmp_path / f"whole_{epochs}", tmp_path / f"killed_{epochs}"

        def copied(self, epoch, logs=None):
            ends(self, epoch, logs)
            if epoch + 1 == epochs and not killed.exists():
                shutil.copytree(whole, killed)

        monkeypatch.setattr(callbacks.RunRecorder, "on_epoch_end", copied)
        fit.train(config, whole)
        fit.train(config, killed, resume=True)
        return whole, killed

    return train
