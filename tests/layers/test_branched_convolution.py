"""Branches train as many and fold into one."""

import math

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.layers import BranchedConvBN, GhostModule


def randomized(layer, shape):
    """`layer`, built, with numbers of a trained network in all its variables."""
    layer.build((None, *shape))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(
            rng.uniform(0.5, 1.5, weight.shape)
            if weight.name in ("gamma", "moving_variance")
            else rng.normal(size=weight.shape)
        )
    return layer


@pytest.mark.parametrize(
    ("arguments", "branches", "parameters"),
    [
        # Parallel convolutions, each with scale and shift; 1x1 beside a wider window; identity where shapes agree.
        ({"filters": 6}, 3, 3 * (4 * 6 + 12)),
        ({"filters": 4}, 4, 3 * (4 * 4 + 8) + 8),
        ({"filters": 4, "kernel_size": 3}, 5, 3 * (9 * 4 * 4 + 8) + (4 * 4 + 8) + 8),
        ({"filters": None, "kernel_size": 3}, 5, 3 * (9 * 4 + 8) + (4 + 8) + 8),
        ({"filters": None, "kernel_size": 3, "depth_multiplier": 2}, 4, 3 * (9 * 8 + 16) + (8 + 16)),
        ({"filters": None, "kernel_size": 5, "strides": 2, "activation": None}, 4, 3 * (25 * 4 + 8) + (4 + 8)),
    ],
)
def test_folding_keeps_the_outputs(arguments, branches, parameters):
    layer = randomized(BranchedConvBN(**arguments, dtype="float64"), (8, 9, 4))
    assert len(layer.convolutions) + (layer.identity is not None) == branches
    assert sum(math.prod(weight.shape) for weight in layer.trainable_weights) == parameters

    folded = BranchedConvBN(**arguments, branches=0, dtype="float64")
    folded.build((None, 8, 9, 4))
    kernel, bias = layer.fold()
    assert [weight.shape for weight in folded.weights] == [kernel.shape, bias.shape]
    for weight, value in zip(folded.weights, (kernel, bias), strict=True):
        weight.assign(value)
    images = np.random.default_rng(1).normal(size=(2, 8, 9, 4))
    # Variables are float32, whose rounding of the folded kernel is all that differs.
    np.testing.assert_allclose(folded(images), layer(images), rtol=0, atol=1e-5)


def test_config_round_trip():
    layer = BranchedConvBN(None, 3, 2, None, depth_multiplier=2, branches=2, name="this")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, BranchedConvBN) and again.get_config() == layer.get_config()


def test_modules_refuse_what_branches_cannot_do():
    for arguments in ({"use_bias": True}, {"cheap_operation": "haar"}, {"dw_size": (3, 5)}):
        with pytest.raises(ValueError, match="Expected branches without biases"):
            GhostModule(8, branches=3, **arguments)
    with pytest.raises(ValueError, match="Expected `strides` of 1 with attention"):
        GhostModule(8, strides=2, attention=True)


def test_reparameterize_leaves_the_model_and_refuses_what_has_no_branches(monkeypatch):
    monkeypatch.setattr(ghostnet_tf.models.ghostnet, "ROWS", ghostnet_tf.models.ghostnet.ROWS[:4])
    keras.utils.set_random_seed(0)
    model = ghostnet_tf.GhostNetV3(0.25, input_shape=(48, 48, 3), classes=5, classifier_activation=None)
    images = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    model(images, training=True)  # moves the statistics
    before, expected = model.get_weights(), np.asarray(model(images))
    folded = ghostnet_tf.reparameterize(model)
    # Float32 sums of branches against one sum.
    np.testing.assert_allclose(folded(images), expected, atol=1e-4 * expected.std())
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert folded.count_params() < model.count_params()
    with pytest.raises(ValueError, match="Expected a model with `BranchedConvBN` layers"):
        ghostnet_tf.reparameterize(folded)
