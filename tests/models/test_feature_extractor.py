"""Maps at several resolutions: which they are, and that heads train on them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ghostnet_tf import GGhostNet, GGhostRegNetX, GhostNet, GhostResNet50, GhostVGG16, feature_extractor, flatten


@pytest.fixture
def no_values():
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()


def test_the_authors_detection_taps(no_values):
    maps = feature_extractor(GhostNet(), levels=(2, 4, 8, 16, 32))
    assert [shape[1:] for shape in maps.output_shape] == [
        (112, 112, 16),
        (56, 56, 24),
        (28, 28, 40),
        (14, 14, 112),
        (7, 7, 160),
    ]


@pytest.mark.parametrize(
    ("builder", "channels"),
    [(GhostResNet50, [256, 512, 1024, 2048]), (GGhostRegNetX, [96, 192, 432, 1008]), (GGhostNet, [60, 120, 240, 480])],
)
def test_other_networks(builder, channels, no_values):
    maps = feature_extractor(builder(include_top=False, input_shape=(None, None, 3)))
    assert [shape[-1] for shape in maps.output_shape] == channels


def squares(level: int, images: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with one bright square of `level` pixels in a cell of the map at `level`, and those cells."""
    rng = np.random.default_rng(level)
    cells = np.zeros((images, 96 // level, 96 // level, 1), "float32")
    pixels = rng.uniform(0, 80, (images, 96, 96, 3)).astype("float32")
    for image, (row, column) in enumerate(rng.integers(0, 96 // level, (images, 2))):
        cells[image, row, column] = 1
        pixels[image, row * level : (row + 1) * level, column * level : (column + 1) * level] += 150
    return pixels, cells


def test_a_detection_head_on_two_scales_trains(shorten, monkeypatch):
    """Small squares are to be found on the map at 1/16, great ones on that at 1/32."""
    shorten(monkeypatch)
    keras.utils.set_random_seed(0)
    maps = feature_extractor(GhostNet(0.1, include_top=False, input_shape=(96, 96, 3)), levels=(16, 32))
    scores = [keras.layers.Conv2D(1, 3, padding="same", name=f"score_{i}")(x) for i, x in enumerate(maps.outputs)]
    model = keras.Model(maps.input, scores)
    (small, at_16), (great, at_32) = squares(16), squares(32)
    images = np.concatenate([small, great])
    targets = [np.concatenate([at_16, 0 * at_16]), np.concatenate([0 * at_32, at_32])]
    criterion, optimizer = keras.losses.BinaryCrossentropy(from_logits=True), keras.optimizers.Adam(0.01)
    variables = model.trainable_variables
    losses = []
    for _ in range(8):
        with tf.GradientTape() as tape:
            found = model(images, training=True)
            loss = sum(criterion(target, score) for target, score in zip(targets, found, strict=True))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        if not losses:
            for variable, gradient in zip(variables, gradients, strict=True):
                assert gradient is not None and np.isfinite(gradient).all(), variable.path
                assert np.any(gradient), f"nothing reaches {variable.path}"
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0], losses


def test_maps_save_and_flatten(tmp_path, shorten, monkeypatch):
    shorten(monkeypatch)
    maps = feature_extractor(GhostNet(0.1, include_top=False, input_shape=(96, 96, 3)), levels=(16, 32))
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    maps.save(tmp_path / "maps.keras")
    expected = maps(images)
    for outputs in (keras.models.load_model(tmp_path / "maps.keras")(images), flatten(maps)(images)):
        for ours, theirs in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_levels_that_are_not_there(no_values):
    with pytest.raises(ValueError, match=r"ghostnet_025 \(2, 4, 8, 16, 32\)\. Received: levels=\(4, 64\)"):
        feature_extractor(GhostNet(0.25), levels=(4, 64))
    with pytest.raises(ValueError, match="none: it has no bottlenecks"):
        feature_extractor(GhostVGG16())
