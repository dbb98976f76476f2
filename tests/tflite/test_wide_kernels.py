"""1x1 convolutions that keep XNNPACK's wide kernel: the same bits, and no fully connected operator."""

import keras
import numpy as np
import pytest

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import op_profile
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.schemes import SCHEMES, convert
from ghostnet_tf.tflite.wide_kernels import takes_narrow_kernel, with_wide_kernels

IMAGES = np.random.default_rng(0).normal(0, 1, (3, 48, 40, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def file() -> bytes:
    """1x1 convolutions of 12, 16 and 4 channels, of 12 with a stride, and of 12 of one pixel."""
    keras.utils.set_random_seed(0)
    image = x = keras.Input((48, 40, 16), name="image")
    for filters, stride in ((12, 1), (16, 1), (4, 1), (12, 2)):
        x = keras.layers.Conv2D(filters, 1, stride, activation="relu", bias_initializer="normal")(x)
    x = keras.layers.Conv2D(12, 1)(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    return convert(keras.Model(image, x), "fp32", graph="late")


def kinds(content: bytes) -> list[str]:
    model = unpack(content)
    return [op_name(model, operator) for operator in model.subgraphs[0].operators]


def test_only_those_that_gain_are_changed_and_to_the_same_bits(file):
    changed = with_wide_kernels(file)
    assert kinds(file) == ["CONV_2D"] * 4 + ["MEAN", "CONV_2D"]
    assert kinds(changed) == ["RESHAPE", "CONV_2D", "RESHAPE", *kinds(file)[1:]]
    np.testing.assert_array_equal(TFLiteModel(changed).predict(IMAGES), TFLiteModel(file).predict(IMAGES))


def test_what_is_changed_stays_a_convolution_in_xnnpack(file, tmp_path):
    names = []
    for number, content in enumerate((file, with_wide_kernels(file))):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(content)
        ran = op_profile.profile(path, num_runs=3, warmup_runs=1)["operators"]
        assert all(row["delegated"] for row in ran)
        names.append(sum(row["operator"].startswith("Fully Connected") for row in ran))
    assert names == [4, 3]  # that with a stride is none anyway


def test_the_rule_is_xnnpacks():
    # Channels of GhostNet 1.0 on the left, with those that arm_instructions counts in f32_gemm_4x2.
    narrow = {12: True, 20: True, 36: True, 60: True, 92: True, 100: True, 4: True}
    wide = dict.fromkeys((8, 16, 24, 40, 80, 112, 15, 1000, 1001), False)
    assert {channels: takes_narrow_kernel(channels) for channels in narrow | wide} == narrow | wide


def test_only_files_of_float_maps_have_them():
    image = keras.Input((48, 40, 16), name="image")
    model = keras.Model(image, keras.layers.Conv2D(12, 1)(image))
    for scheme in SCHEMES:
        found = kinds(convert(model, scheme, representative_dataset=IMAGES))
        reshapes = ["RESHAPE"] * (scheme in ("fp32", "hybrid"))
        casts = ("QUANTIZE", "DEQUANTIZE")
        assert [kind for kind in found if kind not in casts] == [*reshapes, "CONV_2D", *reshapes]
