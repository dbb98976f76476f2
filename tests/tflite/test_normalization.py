"""The normalization of the image as one operation: exact, in every scheme, and only where it is one."""

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.models import ghostnet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.normalization import normalized_by_convolution
from ghostnet_tf.tflite.schemes import SCHEMES, convert
from ghostnet_tf.tflite.tensorflow_converter import converted

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def tiny(layer: keras.layers.Layer, channels: int = 3) -> keras.Model:
    """A layer, then a convolution with padding (into one without, the converter folds the layer), on images of 8 px."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, channels), name="image")
    return keras.Model(image, keras.layers.Conv2D(4, 3, padding="same")(layer(image)))


def kinds(content: bytes) -> list[str]:
    model = unpack(content)
    return [op_name(model, operator) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize("channels", [1, 3])
def test_gives_what_the_two_operations_gave(channels):
    scale, offset = ([0.5, 2.0, 1 / 58], [-1.0, 3.0, -2.1]) if channels == 3 else (1 / 127.5, -1.0)
    plain = converted(tiny(keras.layers.Rescaling(scale, offset), channels), SCHEMES["fp32"])
    content = normalized_by_convolution(plain)
    assert kinds(plain) == ["MUL", "ADD", "CONV_2D"]
    assert kinds(content) == ["DEPTHWISE_CONV_2D", "CONV_2D"]
    images = IMAGES[..., :channels]
    expected = TFLiteModel(plain).predict(images)
    # one rounding less than a product and a sum; values of up to some hundred
    np.testing.assert_allclose(TFLiteModel(content).predict(images), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_it(scheme):
    model = tiny(keras.layers.Rescaling([0.02] * 3, [-2.0] * 3))
    content = convert(model, scheme, representative_dataset=IMAGES if scheme == "int8" else None, graph="plain")
    found = [kind for kind in kinds(content) if kind not in ("QUANTIZE", "DEQUANTIZE")]
    assert found == ["DEPTHWISE_CONV_2D", "CONV_2D"]
    expected = model.predict(IMAGES, verbose=0)
    # int8: steps of 1/255 of the range in each of three tensors
    tolerance = 0.03 * np.abs(expected).max() if scheme in ("int8", "dynamic") else 5e-3
    np.testing.assert_allclose(TFLiteModel(content).predict(IMAGES), expected, atol=tolerance)


def test_other_beginnings_stay():
    def doubled(image):
        return keras.ops.concatenate([image * 0.5 + 1.0, image], axis=-1)  # the image is read twice

    for layer in (keras.layers.Rescaling(0.5), keras.layers.Lambda(doubled, output_shape=(8, 8, 6))):
        plain = converted(tiny(layer), SCHEMES["fp32"])
        assert normalized_by_convolution(plain) == plain


def test_a_ghostnet_begins_with_it(monkeypatch):
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:1])
    model = ghostnet_tf.GhostNet(width=0.1, input_shape=(32, 32, 3), classes=3)
    assert kinds(convert(model, "fp32", graph="plain"))[:2] == ["DEPTHWISE_CONV_2D", "CONV_2D"]
