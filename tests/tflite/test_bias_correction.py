"""Biases that make up for rounded weights: the change of a mean against the convolution itself, and what files gain."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.schema_py_generated import Padding

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import bias_correction
from ghostnet_tf.tflite.flatbuffer import unpack, with_logits
from ghostnet_tf.tflite.schemes import full_integer


def options(padding: str, stride: int, dilation: int) -> SimpleNamespace:
    return SimpleNamespace(
        padding=getattr(Padding, padding),
        strideH=stride,
        strideW=stride,
        dilationHFactor=dilation,
        dilationWFactor=dilation,
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "dilation", "window"), [(1, 1, 3), (2, 1, 3), (2, 1, 5), (1, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("groups", [1, 2])
def test_mean_of_a_convolution(padding, stride, dilation, window, groups):
    rng = np.random.default_rng(0)
    mean, kernel = rng.normal(size=(9, 8, 4)), rng.normal(size=(6, window, window, 4 // groups))
    outputs = tf.nn.conv2d(mean[None], kernel.transpose(1, 2, 3, 0), stride, padding, dilations=dilation).numpy()
    found = bias_correction._mean_change("CONV_2D", kernel, mean, outputs.shape, options(padding, stride, dilation))
    np.testing.assert_allclose(found, outputs.mean(axis=(0, 1, 2)), rtol=1e-9)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "multiplier"), [(1, 1), (2, 1), (1, 3)])
def test_mean_of_a_depthwise_convolution(padding, stride, multiplier):
    rng = np.random.default_rng(0)
    mean, kernel = rng.normal(size=(7, 7, 4)), rng.normal(size=(3, 3, 4, multiplier))
    outputs = tf.nn.depthwise_conv2d(mean[None], kernel, (1, stride, stride, 1), padding).numpy()
    stored = kernel.reshape(1, 3, 3, 4 * multiplier)
    given = options(padding, stride, 1)
    found = bias_correction._mean_change("DEPTHWISE_CONV_2D", stored, mean, outputs.shape, given)
    np.testing.assert_allclose(found, outputs.mean(axis=(0, 1, 2)), rtol=1e-9)


def test_mean_of_a_matrix_product():
    rng = np.random.default_rng(0)
    mean, weights = rng.normal(size=(1, 1, 5)), rng.normal(size=(3, 5))
    found = bias_correction._mean_change("FULLY_CONNECTED", weights, mean, np.array([1, 3]), None)
    np.testing.assert_allclose(found, weights @ mean.ravel())


def test_only_biases_change_and_logits_drift_less(small_files, small_to_quantize, small_images):
    images = small_images.calibration
    rounded = full_integer(small_to_quantize, images, "uint8", "float32", bias_correction=False)
    files = [rounded, small_files["int8"]]
    plain, corrected = map(unpack, files)
    changed = set()
    for one, other in zip(plain.buffers, corrected.buffers, strict=True):
        if not np.array_equal(one.data, other.data):
            changed.add(id(one))
    kinds = {t.type for t in plain.subgraphs[0].tensors if id(plain.buffers[t.buffer]) in changed}
    assert kinds == {2}  # int32

    expected = TFLiteModel(with_logits(small_files["fp32"])).predict(images)
    drifts = [np.abs((TFLiteModel(with_logits(file)).predict(images) - expected).mean(axis=0)) for file in files]
    assert drifts[1].mean() < drifts[0].mean()
