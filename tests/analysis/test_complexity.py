"""Counts against arithmetic, against the published networks, and against real variables."""

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.analysis import complexity, compression_ratio, speedup_ratio


def count(layer, shape=(8, 8, 12)):
    image = keras.Input(shape)
    return complexity(keras.Model(image, layer(image)))


@pytest.mark.parametrize(
    ("width", "params", "macs"),
    [(0.5, 2_587_292, 42_328_152), (1.0, 5_182_508, 141_150_512), (1.3, 7_358_820, 227_003_256)],
)
def test_ghostnet_is_the_published_network(width, params, macs):
    counted = complexity(ghostnet_tf.GhostNet(width))
    assert (counted.params, counted.macs) == (params, macs)
    assert sum(counted.macs_by_kind.values()) == counted.macs
    assert counted.macs_by_kind["dense"] == 1280 * 1000
    # Moving mean and variance are as many as the scales and shifts of batch normalization.
    assert counted.total_params - counted.params == counted.params - counted.params_without_bn


@pytest.mark.parametrize(
    ("layer", "kind", "macs", "activations"),
    [
        (keras.layers.Conv2D(20, (3, 5), padding="same"), "conv", 8 * 8 * 3 * 5 * 12 * 20, 8 * 8 * 20),
        (keras.layers.Conv2D(20, 3, strides=2), "conv", 3 * 3 * 3 * 3 * 12 * 20, 3 * 3 * 20),
        (keras.layers.Conv2D(24, 3, groups=4, padding="same"), "conv", 8 * 8 * 3 * 3 * 3 * 24, 8 * 8 * 24),
        (keras.layers.Conv2D(24, 3, groups=12, padding="same"), "depthwise", 8 * 8 * 3 * 3 * 24, 8 * 8 * 24),
        (keras.layers.DepthwiseConv2D(5, depth_multiplier=2), "depthwise", 4 * 4 * 5 * 5 * 12 * 2, 4 * 4 * 24),
        (keras.layers.Conv2DTranspose(6, 2, strides=2), "conv", 8 * 8 * 2 * 2 * 12 * 6, 16 * 16 * 6),
        (keras.layers.SeparableConv2D(6, 3), "conv", 6 * 6 * 12 * (9 + 6), 6 * 6 * 6),
        (keras.layers.Dense(7), "dense", 8 * 8 * 12 * 7, 0),
        (keras.layers.BatchNormalization(), "norm", 0, 0),
        (keras.layers.ReLU(), "other", 0, 0),
    ],
)
def test_a_layer_counts_as_its_arithmetic(layer, kind, macs, activations):
    (row,) = count(layer).rows
    assert (row.kind, row.macs, row.activations) == (kind, macs, activations)
    assert row.params == sum(np.prod(weight.shape, dtype=int) for weight in layer.trainable_weights)


def test_nested_and_shared_layers_count_each_call_and_each_weight_once():
    conv = keras.layers.Conv2D(12, 1, use_bias=False)
    inner = keras.Sequential([keras.Input((None, None, 12)), conv, ghostnet_tf.GhostModule(12, name="ghost")])
    image = keras.Input((8, 8, 12))
    counted = complexity(keras.Model(image, inner(conv(image))))
    ghost = 8 * 8 * (12 * 6 + 9 * 6)
    assert counted.macs == 2 * 8 * 8 * 12 * 12 + ghost
    assert counted.params_without_bn == 12 * 12 + 12 * 6 + 9 * 6
    assert "ghost_cheap_conv" in counted.table()
    assert counted.table().splitlines()[-1].split() == ["total", "294", "26,496", "2,304"]


def test_a_flattened_sequential_model_computes_the_same():
    inner = keras.Sequential([keras.Input((8, 8, 12)), ghostnet_tf.GhostModule(12), keras.layers.ReLU()])
    outer = keras.Sequential([keras.Input((8, 8, 12)), inner, keras.layers.Dense(3)])
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 12)).astype("float32")
    flat = ghostnet_tf.flatten(outer)
    assert not any(isinstance(layer, (keras.Model, ghostnet_tf.GhostModule)) for layer in flat.layers)
    np.testing.assert_allclose(flat(images), outer(images), rtol=1e-5, atol=1e-6)


def test_frozen_weights_are_not_trainable_parameters():
    counted = count(keras.layers.Conv2D(4, 1, trainable=False))
    assert (counted.params, counted.total_params) == (0, 12 * 4 + 4)


def test_an_open_size_needs_an_input_shape():
    open_model = ghostnet_tf.GhostNet(0.25, include_top=False, input_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"Received: input of shape \(None, None, None, 3\)"):
        complexity(open_model)
    fixed = ghostnet_tf.GhostNet(0.25, include_top=False, input_shape=(96, 128, 3))
    assert complexity(open_model, (96, 128, 3)).rows == complexity(fixed).rows


def test_unknown_layers_with_matrices_are_refused():
    with pytest.raises(ValueError, match="EinsumDense 'strange'"):
        count(keras.layers.EinsumDense("bhwc,cd->bhwd", (8, 8, 5), name="strange"))
    image = keras.Input((8, 8, 12))
    two = keras.Model([image, keras.Input((3,))], keras.layers.Dense(2)(image))
    with pytest.raises(ValueError, match="2 inputs"):
        complexity(two, (8, 8, 12))


def test_keras_applications_count_as_published():
    # MobileNetV2 (CVPR 2018): 300 M multiply-adds; trainable parameters as Keras counts them.
    counted = complexity(keras.applications.MobileNetV2(weights=None))
    assert (counted.params, counted.total_params) == (3_504_872, 3_538_984)
    assert counted.macs == 300_774_272


@pytest.mark.parametrize(("c", "s", "k", "d"), [(12, 2, 1, 3), (12, 3, 3, 5), (8, 4, 1, 1), (6, 5, 3, 7)])
def test_ratios_of_the_paper_are_those_of_real_modules(c, s, k, d):
    filters = 4 * s
    plain = count(ghostnet_tf.GhostModule(filters, k, ratio=1), (8, 8, c))
    ghost = count(ghostnet_tf.GhostModule(filters, k, ratio=s, dw_size=d), (8, 8, c))
    assert speedup_ratio(c, s, k, d) == pytest.approx(plain.macs / ghost.macs, rel=1e-12)
    assert compression_ratio(c, s, k, d) == pytest.approx(plain.params_without_bn / ghost.params_without_bn, rel=1e-12)


def test_ratios_refuse_nonsense():
    with pytest.raises(ValueError, match="Received: s=0"):
        speedup_ratio(c=8, s=0, k=1, d=3)
