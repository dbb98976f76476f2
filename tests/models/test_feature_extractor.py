"""Maps at several resolutions: which they are, and that heads train on them."""

import keras
import numpy as np
import pytest

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


def test_heads_on_two_maps_train_save_and_flatten(tmp_path):
    keras.utils.set_random_seed(0)
    maps = feature_extractor(GhostNet(0.1, include_top=False, input_shape=(96, 96, 3)), levels=(16, 32))
    pooled = [keras.layers.GlobalAveragePooling2D()(x) for x in maps.outputs]
    model = keras.Model(maps.input, keras.layers.Dense(2, name="head")(keras.layers.Concatenate()(pooled)))
    images = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=True)  # one step: tracing would take longer
    before = model.get_layer("blocks_0").get_weights()[0]
    model.fit(images, np.array([0, 1, 0, 1]), verbose=0)
    assert np.any(model.get_layer("blocks_0").get_weights()[0] != before)

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
