"""GhostNet as a Keras model: arguments, input sizes, saving, precision."""

import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.layers import Composite
from ghostnet_tf.models import ghostnet

SMALL = {"width": 0.25, "input_shape": (32, 32, 3)}


@pytest.fixture
def few_rows(monkeypatch):
    """A network of four rows, among them every kind of row: what is tested does not depend on their number."""
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:4])


def images(shape=(32, 32, 3), count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("channels", "pooling", "shape"), [(1, None, (2, 6, 8, 20)), (3, "avg", (2, 20)), (4, "max", (2, 20))]
)
def test_without_top(few_rows, channels, pooling, shape):
    # Four rows have two of the five halvings besides the stem's; 20 = make_divisible(72 / 4).
    model = ghostnet_tf.GhostNet(0.25, input_shape=(None, None, channels), include_top=False, pooling=pooling)
    assert model.output_shape == (None, *([None] * (len(shape) - 2)), 20)
    assert model(images((48, 64, channels))).shape == shape


def test_top(few_rows):
    model = ghostnet_tf.GhostNet(**SMALL, classes=7)
    assert (model.name, model.output_shape) == ("ghostnet_025", (None, 7))
    np.testing.assert_allclose(np.asarray(model(images())).sum(1), 1, rtol=1e-6)
    logits = ghostnet_tf.GhostNet(**SMALL, classes=7, classifier_activation=None, dropout_rate=0, name="mine")
    assert (logits.name, logits.get_layer("head_dropout").rate) == ("mine", 0)
    logits.set_weights(model.get_weights())
    np.testing.assert_allclose(keras.ops.softmax(logits(images())), model(images()), atol=1e-6)


def test_input_tensor(few_rows):
    image = keras.Input((40, 40, 3))
    model = ghostnet_tf.GhostNet(0.25, input_tensor=keras.layers.CenterCrop(32, 32)(image), classes=3)
    assert (model.input_shape, model.output_shape) == ((None, 40, 40, 3), (None, 3))
    assert model(images((40, 40, 3))).shape == (2, 3)


def test_preprocessing_is_the_imagenet_normalization(few_rows):
    keras.utils.set_random_seed(0)
    inside = ghostnet_tf.GhostNet(**SMALL)
    outside = ghostnet_tf.GhostNet(**SMALL, include_preprocessing=False)
    outside.set_weights(inside.get_weights())
    normalized = (images() / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(inside(images()), outside(normalized.astype("float32")), atol=1e-4)


@pytest.mark.parametrize(("side", "maps"), [(32, 4), (47, 6), (48, 3), (95, 6), (96, 3), (97, 4), (224, 7), (225, 8)])
def test_small_images_keep_their_first_resolutions(side, maps):
    assert maps == side_of_last_maps(side)


def side_of_last_maps(side: int) -> int:
    """Through all five halvings of the network that is built for this size."""
    from ghostnet_tf.models._build import downsampling_strides

    strides = downsampling_strides((None, side, side, 3))
    for _ in range(1 + sum(row[-1] == 2 for row in ghostnet.ROWS)):
        side = -(-side // next(strides))
    return side


def test_last_maps_of_a_real_network():
    model = ghostnet_tf.GhostNet(0.25, input_shape=(33, 40, 3), include_top=False)
    assert model.output_shape == (None, 5, 5, 240)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "Expected `width` above 0. Received: width=0"),
        ({"input_shape": (31, 32, 3)}, "Expected height and width of at least 32 pixels. Received: input_shape=(31,"),
        (
            {"input_shape": (32, 3)},
            "Expected `input_shape` as (height, width, channels). Received: input_shape=(32, 3)",
        ),
        ({"input_shape": (None, 32, 3)}, "Expected fixed height and width with `include_top=True`."),
        ({"input_shape": (32, 32, 1)}, "Expected 3 channels with `include_top=True`."),
        ({"input_shape": (32, 32, 2), "include_top": False}, "Expected 1, 3 or 4 channels."),
        ({"input_tensor": np.zeros((1, 32, 32, 3))}, "Expected `input_tensor` to be a Keras tensor."),
        ({"classes": 0}, "Expected `classes` of at least 1. Received: classes=0"),
        ({"dropout_rate": 1}, "Expected `dropout_rate` from 0 to below 1. Received: dropout_rate=1"),
        ({"classifier_activation": "relu"}, "Received: classifier_activation='relu'"),
        ({"include_top": False, "pooling": "mean"}, "Received: pooling='mean'"),
        ({"weights": "imagnet"}, "Received: weights='imagnet'"),
        ({"dialect": "caffe"}, "Expected `dialect` to be one of 'release', 'paper', 'tf'. Received: dialect='caffe'"),
        ({"rounding": "up"}, "Expected `rounding` to be one of 'release', 'tf', None. Received: rounding='up'"),
    ],
)
def test_impossible_arguments(few_rows, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ghostnet_tf.GhostNet(**{"width": 0.25, "input_shape": (64, 64, 3), **arguments})


LOAD = """
import json, sys
import keras, ghostnet_tf
import numpy as np
model = keras.models.load_model(sys.argv[1])
print(json.dumps(np.asarray(model(np.load(sys.argv[2]))).tolist()))
"""


def test_saved_networks_load_where_the_package_is_imported(few_rows, tmp_path):
    keras.utils.set_random_seed(0)
    model = ghostnet_tf.GhostNet(**SMALL, ratio=3, dw_size=5, classes=5)
    for weight in model.weights:  # so that every variable matters
        weight.assign(weight + np.random.default_rng(weight.shape[-1]).uniform(0.01, 0.1, weight.shape))
    expected = np.asarray(model(images()))

    model.save_weights(tmp_path / "saved.weights.h5")
    again = ghostnet_tf.GhostNet(**SMALL, ratio=3, dw_size=5, classes=5)
    again.load_weights(tmp_path / "saved.weights.h5")
    np.testing.assert_array_equal(again(images()), expected)

    model.save(tmp_path / "saved.keras")
    np.save(tmp_path / "images.npy", images())
    command = [sys.executable, "-c", LOAD, tmp_path / "saved.keras", tmp_path / "images.npy"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-5)


def test_mixed_precision(few_rows):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = ghostnet_tf.GhostNet(**SMALL)
    finally:
        keras.config.set_dtype_policy(before)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.get_layer("final").compute_dtype == "float16"
    outputs = model(images())
    assert outputs.dtype == "float32" and np.isfinite(outputs).all()


def test_flattened_networks_have_standard_layers_and_equal_outputs(few_rows):
    model = ghostnet_tf.GhostNet(**SMALL)
    flat = ghostnet_tf.flatten(model)
    assert not any(isinstance(layer, Composite) for layer in flat.layers)
    names = [layer.name for layer in flat.layers]
    assert len(set(names)) == len(names)
    assert {id(weight) for weight in flat.weights} == {id(weight) for weight in model.weights}
    np.testing.assert_array_equal(flat(images()), model(images()))
