"""Changes to a float file that leave the network the same to float rounding: equalized channels, no concatenation."""

import re
from collections import Counter

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.models import GhostNetV2, ghostnet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite import convert as command
from ghostnet_tf.tflite.equalize import equalized
from ghostnet_tf.tflite.flatbuffer import op_name, unpack, with_logits
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.quantize import calibrated
from ghostnet_tf.tflite.rewrite import without_concatenations
from ghostnet_tf.tflite.schemes import convert, full_integer
from ghostnet_tf.tflite.verify import agreement, check_name, reference


@pytest.fixture(scope="module")
def second(randomized, small_images):
    """The first blocks of GhostNetV2, whose attention reads what its primary convolution reads."""
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:5])
        model = randomized(GhostNetV2(0.1, input_shape=(32, 32, 3), classes=5))
    calibrate.settle(model, small_images.calibration)
    return convert(model, "fp32", graph="plain")


@pytest.fixture(scope="module")
def plain(small_floats):
    return small_floats("plain", "fp32")


@pytest.fixture(params=["GhostNet", "GhostNetV2"])
def content(request, small_to_quantize):
    return small_to_quantize if request.param == "GhostNet" else request.getfixturevalue("second")


def assert_same(before: bytes, after: bytes, images: np.ndarray) -> None:
    expected, found = (TFLiteModel(with_logits(file)).predict(images) for file in (before, after))
    # Other factors, or another order of additions, round otherwise: a few float steps a layer.
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_equalized_channels_are_evener(content, small_images):
    before = calibrated(content, small_images.calibration, count=False)
    changed = equalized(content, before)
    assert_same(content, changed, small_images.held_out)

    after = calibrated(changed, small_images.calibration, count=False)
    spreads = []
    for index, seen in before.activations.items():
        both = [np.maximum(-each.lows, each.highs) for each in (seen, after.activations[index])]
        if np.allclose(*both, rtol=1e-3) or min(both[0].min(), both[1].min()) <= 0:
            continue
        spreads.append([ranges.max() / np.median(ranges) for ranges in both])
    assert len(spreads) > 8  # activations that were changed
    assert np.median([new / old for old, new in spreads]) < 0.9


def kinds(content: bytes) -> Counter:
    model = unpack(content)
    return Counter(op_name(model, operator) for operator in model.subgraphs[0].operators)


def test_no_concatenation_inside_bottlenecks(plain, small_images):
    changed = without_concatenations(plain)
    assert_same(plain, changed, small_images.held_out)
    before, after = kinds(plain), kinds(changed)
    assert (before["CONCATENATION"], after["CONCATENATION"]) == (32, 16)  # those that end a block stay
    # The second module's convolution in two with a sum, in 7 blocks that of SE as well, whose gate comes in two.
    assert after["CONV_2D"] - before["CONV_2D"] == 16 + 2 * 7
    assert after["ADD"] - before["ADD"] == 16 + 7
    assert after["DEPTHWISE_CONV_2D"] - before["DEPTHWISE_CONV_2D"] == 3
    assert abs(len(changed) - len(plain)) < 0.05 * len(plain)  # no weights are left over


def test_what_reads_a_whole_map_keeps_it(second, small_images):
    """The attention of GhostNetV2 is multiplied by the concatenation of its first modules."""
    changed = without_concatenations(second)
    assert_same(second, changed, small_images.held_out)
    assert 0 < kinds(second)["CONCATENATION"] - kinds(changed)["CONCATENATION"] <= 5


def test_halves_have_scales_of_their_own_in_int8(small_model, plain, small_images):
    content = full_integer(without_concatenations(plain), small_images.calibration, "uint8", "float32")
    graph = read_graph(content)
    check_name("int8", graph)
    assert len(graph.partitions) == 2  # the second is the cast after the softmax
    # Measured 20 dB, as without the rewrite; the margin is that of the other int8 files.
    assert agreement(content, reference(small_model, small_images.held_out, False), "int8").snr_db > 15
    model = unpack(content)
    ghosts = [
        tensor
        for tensor in model.subgraphs[0].tensors
        if re.search(r"blocks_0_ghost1_(primary|cheap)_1/Relu\d*$", tensor.name.decode()) and 32 in tensor.shape[1:]
    ]
    assert len({float(tensor.quantization.scale[0]) for tensor in ghosts}) == len(ghosts) == 2


def test_graph_is_for_fp32_and_int8(small_model, capsys):
    with pytest.raises(ValueError, match=r"`graph` of fp16 to be one of arm, late, plain\. Received: 'optimized'"):
        convert(small_model, "fp16", graph="optimized")
    with pytest.raises(ValueError, match=r"one of arm, late, plain, optimized\. Received: 'best'"):
        convert(small_model, "fp32", graph="best")
    argv = ["--weights", "none", "--fp32", "--dynamic", "--graph", "optimized"]
    assert command.main(argv) == commands.BAD_INPUT
    assert "--graph optimized is for fp32 and int8. Received: fp32, dynamic" in capsys.readouterr().err
