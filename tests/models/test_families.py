"""What every network keeps: saving, configuration, mixed precision, open sizes, gradients, flattening."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import ghostnet_tf
from ghostnet_tf.training.precision import mixed_precision

SIZES = {"GhostVGG16": 32, "GhostResNet56": 32}
FAMILIES = {
    "GhostNet": ("GhostNet", {"width": 0.25}),
    "GhostNet, deeper, of other modules": ("GhostNet", {"width": 0.1, "depth": 1.2, "dw_size": (3, 5)}),
    "GhostNet, as the paper's TensorFlow code": ("GhostNet", {"width": 0.1, "dialect": "tf"}),
    "GhostNetV2": ("GhostNetV2", {"width": 0.1}),
    "GhostNetV3": ("GhostNetV3", {"width": 0.1}),
    "Ghost-VGG-16": ("GhostVGG16", {}),
    "Ghost-ResNet-56": ("GhostResNet56", {}),
    "Ghost-ResNet-50": ("GhostResNet50", {"ratio": 4}),
    "RegNetX": ("RegNetX", {"variant": "002"}),
    "G-Ghost-RegNetX": ("GGhostRegNetX", {"variant": "002"}),
    "G-GhostNet": ("GGhostNet", {"width": 0.25, "stages": ((60, 2, 2), (120, 3, 2), (240, 2, 2), (480, 2, 2))}),
}
# Of the median weight's gradient. Measured: rounding, up to 2e-7 of it; from 1e-5 on where normalization takes a weight
# away but for its epsilon (scales before a strided depthwise convolution).
LEAST_GRADIENT = 2e-6
# What the next normalization takes away, so that the gradient is 0 but for rounding.
UNDONE = re.compile(
    r"_(ghost2|shortcut|dw)_\w+/beta$"  # shifts without an activation: a 1x1 convolution comes next
    r"|_dfc_(pw|row)_bn/gamma$"  # scales of a channel: a depthwise convolution comes next
    r"|_(cheap|dw)_point_conv/kernel$"  # one weight a channel: normalized at once
    r"|^head_dense/bias$"
)
each_family = pytest.mark.parametrize(("builder", "options"), FAMILIES.values(), ids=list(FAMILIES))


def build(builder, options, **more):
    size = SIZES.get(builder, 64)
    return getattr(ghostnet_tf, builder)(**{"input_shape": (size, size, 3), **options, **more})


@pytest.fixture(autouse=True)
def few_blocks(request, monkeypatch, shorten):
    """Each kind of block, since the others of a kind are built alike; the first network is whole where it trains."""
    if request.node.name != "test_trains_saves_and_flattens[GhostNet]":
        shorten(monkeypatch)


@pytest.fixture
def no_values():
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()


@pytest.fixture
def float16():
    with mixed_precision("float16"):
        yield


@each_family
def test_trains_saves_and_flattens(builder, options, tmp_path):
    keras.utils.set_random_seed(0)
    model = build(builder, options, classes=4)
    for weight in model.trainable_weights:
        if weight.path.endswith("_se_reduce/bias"):
            weight.assign(keras.ops.ones(weight.shape))  # from 0, all few units may be at rest for all images
    images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:])).astype("float32")
    with tf.GradientTape() as tape:
        probabilities = model(images, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy()(np.array([0, 3, 1, 2]), probabilities)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    largest = {}
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), weight.path
        largest[weight.path] = np.abs(gradient).max()
    least = LEAST_GRADIENT * np.median(list(largest.values()))
    assert not [path for path, value in largest.items() if value < least and not UNDONE.search(path)]

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(model(images, training=False))
    np.testing.assert_allclose(expected.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(loaded(images, training=False), expected)

    flat = ghostnet_tf.flatten(model)
    assert not any(isinstance(layer, ghostnet_tf.layers.Composite) for layer in flat.layers)
    # The same layers in the same order; only how TensorFlow fuses them may differ.
    np.testing.assert_allclose(flat(images, training=False), expected, rtol=1e-4, atol=1e-6)


@each_family
def test_rebuilds_from_its_configuration(builder, options, no_values):
    model = build(builder, options, classes=4)
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [(w.path, w.shape) for w in again.weights] == [(w.path, w.shape) for w in model.weights]
    names = ["/".join(weight.path.split("/")[-2:]) for weight in model.weights]
    assert len(set(names)) == len(names)  # what weight files go by


@each_family
def test_mixed_precision_keeps_weights_and_probabilities_in_float32(builder, options, no_values, float16):
    model = build(builder, options)
    assert model.output.dtype == "float32"
    assert model.get_layer("classifier").compute_dtype == "float16"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    flat = ghostnet_tf.flatten(model)
    convolutions = [layer for layer in flat.layers if "Conv2D" in type(layer).__name__]
    assert {layer.compute_dtype for layer in convolutions} == {"float16"}


@each_family
def test_open_sizes_and_other_inputs_without_top(builder, options, no_values):
    model = build(builder, options, include_top=False, input_shape=(None, None, 3))
    assert model.output_shape[:3] == (None, None, None)
    pooled = build(builder, options, include_top=False, input_shape=(None, None, 1), pooling="avg")
    assert pooled.output_shape == (None, model.output_shape[-1])


@each_family
def test_open_sizes_compute_what_fixed_ones_do(builder, options):
    """Above 96 pixels, where both have the same strides; odd sizes, which padding and attention treat apart."""
    keras.utils.set_random_seed(0)
    anywhere = build(builder, options, include_top=False, input_shape=(None, None, 3))
    fixed = build(builder, options, include_top=False, input_shape=(99, 110, 3))
    fixed.set_weights(anywhere.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 99, 110, 3)).astype("float32")
    expected, found = np.asarray(fixed(image)), np.asarray(anywhere(image))
    assert found.shape[1:] == fixed.output_shape[1:]
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.std())
