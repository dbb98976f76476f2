"""Our batch normalization is Keras's in everything but speed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ghostnet_tf.layers import BatchNormalization


def step(layer, images, training=True):
    """Outputs, gradients by input, scale and shift, and moving statistics after one call."""
    weights = tf.constant(np.random.default_rng(2).normal(size=images.shape), tf.float32)
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
    gradients = tape.gradient(loss, [images, *(weight.value for weight in layer.trainable_weights)])
    return [np.asarray(x, np.float32) for x in (outputs, *gradients, layer.moving_mean, layer.moving_variance)]


def pair(shape, policy="float32", **options):
    layers = [cls(dtype=policy, **options) for cls in (BatchNormalization, keras.layers.BatchNormalization)]
    rng = np.random.default_rng(0)
    for layer in layers:
        layer.build(shape)
    for ours, theirs in zip(layers[0].weights, layers[1].weights, strict=True):
        ours.assign(rng.uniform(0.5, 1.5, ours.shape))
        theirs.assign(ours)
    return layers


# 12 and 24 channels on maps that fold to whole vectors of the processor, see `_fold`.
@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (6, 1, 1, 3), (8, 3), (4, 2, 6, 12), (4, 3, 2, 24)])
def test_equals_keras(shape):
    ours, theirs = pair(shape, epsilon=1e-5, momentum=0.9)
    images = np.random.default_rng(1).normal(0.5, 2, shape).astype("float32")
    for training in (True, True, False):  # the second step starts from moved statistics
        for one, other in zip(step(ours, images, training), step(theirs, images, training), strict=True):
            # 1e-5 of the largest value: float32 sums in another order.
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * max(1, np.abs(other).max()))


def test_equals_keras_in_mixed_precision():
    ours, theirs = pair((4, 5, 6, 3), policy="mixed_float16")
    images = np.random.default_rng(1).normal(0.5, 2, (4, 5, 6, 3)).astype("float16")
    for one, other in zip(step(ours, images), step(theirs, images), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=4e-3 * max(1, np.abs(other).max()))  # 2 ** -8: float16


def test_frozen_layers_use_and_keep_their_statistics():
    ours, theirs = pair((4, 5, 6, 3))
    ours.trainable = theirs.trainable = False
    images = np.random.default_rng(1).normal(0.5, 2, (4, 5, 6, 3)).astype("float32")
    before = ours.moving_mean.numpy()
    np.testing.assert_allclose(ours(images, training=True), theirs(images, training=True), atol=1e-6)
    np.testing.assert_array_equal(ours.moving_mean.numpy(), before)
