"""The Ghost module for every s and d: shapes, truncation, what it computes, counts as written arithmetic, gradients."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostnet_tf.analysis import complexity
from ghostnet_tf.layers import GhostBottleneck, GhostModule, SqueezeExcite, make_divisible

CHANNELS, FILTERS = 6, 10


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dw_size", [1, 3, 5, 7])
@pytest.mark.parametrize("use_bias", [False, True])
def test_counts(ratio, dw_size, use_bias):
    image = keras.Input((8, 8, CHANNELS))
    layer = GhostModule(FILTERS, kernel_size=3, ratio=ratio, dw_size=dw_size, use_bias=use_bias)
    counted = complexity(keras.Model(image, layer(image)))
    intrinsic = math.ceil(FILTERS / ratio)
    ghosts = 0 if ratio == 1 else intrinsic * (ratio - 1)  # before the surplus is dropped
    weights = 3 * 3 * CHANNELS * intrinsic + dw_size * dw_size * ghosts
    biases = intrinsic + ghosts if use_bias else 0
    assert counted.params == weights + 2 * (intrinsic + ghosts) + biases
    assert counted.macs == 8 * 8 * weights


@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_intrinsic_maps_come_first_then_their_ghosts_up_to_the_filters(ratio):
    layer = GhostModule(FILTERS, ratio=ratio, dw_size=1, activation=None)
    layer.build((None, 4, 4, CHANNELS))
    rng = np.random.default_rng(0)
    layer.primary.conv.kernel.assign(rng.normal(size=layer.primary.conv.kernel.shape))
    layer.cheap.conv.kernel.assign(rng.normal(size=layer.cheap.conv.kernel.shape))
    images = rng.normal(size=(2, 4, 4, CHANNELS)).astype("float32")
    scale = 1 / np.sqrt(1 + 1e-5)  # fresh normalization
    intrinsic = images @ layer.primary.conv.kernel.numpy()[0, 0] * scale
    # All ghosts of the first intrinsic map, then all of the second.
    ghosts = (intrinsic[..., None] * layer.cheap.conv.kernel.numpy()[0, 0] * scale).reshape(2, 4, 4, -1)
    expected = np.concatenate([intrinsic, ghosts], axis=-1)[..., :FILTERS]
    np.testing.assert_allclose(layer(images), expected, atol=1e-5)


def test_every_s_and_d_trains():
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, CHANNELS))
    for ratio in (2, 3, 4, 5):
        for dw_size in (1, 3, 5, 7):
            x = GhostModule(FILTERS, ratio=ratio, dw_size=dw_size, activation=None)(x)
    model = keras.Model(image, x)
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(2, 8, 8, CHANNELS)), rng.normal(size=(2, 8, 8, FILTERS))
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(model(images.astype("float32"), training=True) - targets))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    # With d=1 normalization undoes the scale of a ghost: its gradient is near zero, of the others' it is not.
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert np.all(np.isfinite(gradient)) and np.any(gradient), weight.path


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    filters=st.integers(1, 12),
    ratio=st.integers(1, 5),
    dw_size=st.sampled_from([1, 3, 5]),
    kernel_size=st.sampled_from([1, 3]),
    strides=st.sampled_from([1, 2]),
)
def test_output_shape(size, filters, ratio, dw_size, kernel_size, strides):
    layer = GhostModule(filters, kernel_size, ratio, dw_size, strides)
    images = np.zeros((2, *size, 3), "float32")
    expected = (2, math.ceil(size[0] / strides), math.ceil(size[1] / strides), filters)
    assert layer.compute_output_shape(images.shape) == layer(images).shape == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "Expected `filters` and `ratio` of at least 1. Received: filters=0, ratio=2"),
        ({"filters": 4, "ratio": 0}, "Expected `filters` and `ratio` of at least 1. Received: filters=4, ratio=0"),
        ({"filters": 4, "dw_size": 2}, "odd"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GhostModule(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        GhostModule(12, 3, ratio=3, dw_size=5, strides=2, use_bias=True, activation="gelu", name="module"),
        SqueezeExcite(0.5, divisor=8, name="gate"),
        GhostBottleneck(24, 16, kernel_size=5, strides=2, se_ratio=0.25, ratio=3, dw_size=5, name="bottleneck"),
    ],
    ids=lambda layer: layer.name,
)
def test_config_round_trip(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    layer.build((None, 8, 8, 6))
    again.build((None, 8, 8, 6))
    assert [weight.path for weight in again.weights] == [weight.path for weight in layer.weights]
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in layer.weights]


@pytest.mark.parametrize(("strides", "channels", "projected"), [(1, 8, False), (1, 6, True), (2, 8, True)])
def test_the_shortcut_is_the_identity_where_shapes_agree(strides, channels, projected):
    layer = GhostBottleneck(12, 8, strides=strides)
    layer.build((None, 8, 8, channels))
    assert (layer.shortcut_pw is not None) is projected
    images = np.random.default_rng(0).normal(size=(1, 8, 8, channels)).astype("float32")
    for weight in layer.ghost2.weights:
        if weight.name == "gamma":
            weight.assign(np.zeros(weight.shape))  # silences the main branch
    outputs = np.asarray(layer(images))
    assert outputs.shape == (1, 8 // strides, 8 // strides, 8)
    assert np.array_equal(outputs, images) is not projected


def test_squeeze_excite():
    layer = SqueezeExcite()
    images = np.random.default_rng(0).normal(size=(2, 3, 3, 24)).astype("float32")
    layer.build(images.shape)
    squeezed = 8  # 24 / 4 = 6 rounds to 8: a multiple of 4, not below 0.9 x 6
    parameters = sum(math.prod(weight.shape) for weight in layer.weights)
    assert parameters == 24 * squeezed + squeezed + squeezed * 24 + 24
    reduce, expand = layer.reduce.kernel.numpy()[0, 0], layer.expand.kernel.numpy()[0, 0]
    gate = np.clip(np.maximum(images.mean((1, 2)) @ reduce, 0) @ expand / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(layer(images), images * gate[:, None, None], atol=1e-6)


def test_make_divisible_never_loses_more_than_a_tenth():
    assert [make_divisible(value) for value in (1, 6, 18, 30, 45, 120)] == [4, 8, 20, 32, 44, 120]
    assert [make_divisible(value, 8) for value in (11, 12, 33, 37)] == [16, 16, 32, 40]
