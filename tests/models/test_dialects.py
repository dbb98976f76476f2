"""The dialects of GhostNet: what the official TensorFlow code counts, rounds and squeezes."""

import math
import re

import keras
import pytest

import ghostnet_tf
from ghostnet_tf.layers import make_divisible
from ghostnet_tf.models.ghostnet import tf_rounding


@pytest.fixture
def no_values():
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()


# Sums by hand over the rows of the paper. The paper prints 42 M for width 0.5, 141 M for 1.0, 164 M for 1.1 (of its
# detector), 198 M for 1.2 and 226 M for 1.3, cut off; 1.5 and 1.7 are not in it.
@pytest.mark.parametrize(
    ("width", "params", "macs"),
    [
        (0.5, 2_588_232, 42_327_816),
        (1.0, 5_183_016, 141_149_744),
        (1.1, 5_858_409, 164_483_640),
        (1.2, 6_588_202, 197_955_840),
        (1.3, 7_352_622, 226_995_784),
        (1.5, 9_067_912, 297_745_784),
        (1.7, 10_990_557, 376_948_416),
    ],
)
def test_counts_of_the_tensorflow_code(width, params, macs, count):
    counted = count(ghostnet_tf.GhostNet, width, dialect="tf")
    assert (counted.params, counted.macs) == (params, macs)


def test_width_1_counts_the_same_in_both_earlier_dialects(count):
    counted = count(ghostnet_tf.GhostNet, dialect="paper")
    assert (counted.params, counted.macs) == (5_183_016, 141_149_744)
    # Of the released code's they differ in two squeezed channels of the blocks with 72 and with 120 channels, read and
    # written once each, at one pixel.
    assert 141_150_512 - counted.macs == 2 * 2 * (72 + 120)
    for number in (counted.params, counted.macs):
        assert f"{number:,}" in ghostnet_tf.GhostNet.__doc__


# At 1.1 the roundings differ: the released code's gives 167 M instead of the 164 M that the paper prints.
@pytest.mark.parametrize(
    ("options", "params", "macs"),
    [
        ({}, 5_855_650, 166_986_864),
        ({"rounding": "tf"}, 5_853_902, 164_480_416),
        ({"dialect": "paper"}, 5_860_157, 166_990_088),
        ({"dialect": "paper", "rounding": "tf"}, 5_858_409, 164_483_640),
    ],
)
def test_counts_at_width_1_1(options, params, macs, count):
    counted = count(ghostnet_tf.GhostNet, 1.1, **options)
    assert (counted.params, counted.macs) == (params, macs)


def test_width_1_has_the_variables_of_the_official_checkpoint(no_values):
    model = ghostnet_tf.GhostNet(dialect="tf")
    sizes, squeezed = dict.fromkeys(("W", "DW", "gamma", "beta", "b"), 0), []
    for variable in model.trainable_weights:
        layer, kind = variable.path.split("/")[-2:]
        name = {"kernel": "DW" if layer.endswith("_cheap_conv") else "W", "bias": "b"}.get(kind, kind)
        sizes[name] += math.prod(variable.shape)
        if layer.endswith("_se_reduce") and kind == "bias":
            squeezed.append(variable.shape[0])
    # The sums over the index of the official `ghostnet_checkpoint`, which has 435 variables.
    assert sizes == {"W": 5_115_272, "DW": 37_296, "gamma": 12_264, "beta": 12_264, "b": 5_920}
    assert sum(sizes.values()) == 5_183_016
    assert len(model.weights) == 435
    assert squeezed == [18, 30, 120, 168, 168, 240, 240]


def test_squeezed_channels_of_the_released_code(no_values):
    model = ghostnet_tf.GhostNet()
    squeezed = [weight.shape[0] for weight in model.weights if re.search("_se_reduce/bias$", weight.path)]
    assert squeezed == [20, 32, 120, 168, 168, 240, 240]


@pytest.mark.parametrize(
    ("value", "released", "tensorflow"),
    [
        (8.0, 8, 8),
        (4.0, 4, 8),  # at least 8
        (10.0, 12, 8),  # halves to the even multiple
        (14.0, 16, 16),
        (202.4, 204, 200),
        (530.5, 532, 528),  # a half after cutting off
        (5.0, 8, 8),  # 4 would be below 0.9 of 5
    ],
)
def test_roundings(value, released, tensorflow):
    assert (make_divisible(value), tf_rounding(value)) == (released, tensorflow)


def test_names():
    small = {"width": 0.1, "input_shape": (32, 32, 3), "include_top": False}
    assert ghostnet_tf.GhostNet(**small).name == "ghostnet_010"
    assert ghostnet_tf.GhostNet(**small, dialect="paper").name == "ghostnet_010_paper"
