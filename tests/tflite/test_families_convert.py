"""Every family as fp32 and int8 files: equal to Keras, one piece for XNNPACK, integers throughout, and they run."""

from typing import NamedTuple

import keras
import numpy as np
import pytest

from ghostnet_tf.commands import OK
from ghostnet_tf.layers import GhostModule
from ghostnet_tf.layers.g_ghost_stage import GATHERED
from ghostnet_tf.models import BUILDERS, GhostNet, feature_extractor, ghostnet, reparameterize
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite import convert as command
from ghostnet_tf.tflite.graph import Graph, read_graph
from ghostnet_tf.tflite.quantize import quantized, with_ranges
from ghostnet_tf.tflite.schemes import GRAPH, SCHEMES, convert, form, rearranged
from ghostnet_tf.tflite.tensorflow_converter import converted

CLASSES = 10
FAMILIES = {
    # At 56 pixels the attention meets maps of 14, 7 and 4 pixels, at 60 pixels of 15, 8 and 4: bringing back to an odd
    # number is another operation.
    "GhostNetV2": ("ghostnetv2", {"width": 0.1}, 60),
    "GhostNetV3": ("ghostnetv3", {"width": 0.1}, 56),
    "GhostNet of the paper": ("ghostnet", {"width": 0.1, "dialect": "paper"}, 32),
    "ghost modules of every kind": ("modules", {}, 32),
    "Ghost-VGG-16": ("ghost_vgg16", {}, 32),
    "Ghost-ResNet-56": ("ghost_resnet56", {}, 32),
    "Ghost-ResNet-50": ("ghost_resnet50", {"ratio": 4}, 64),
    "RegNetX": ("regnetx", {"variant": "002"}, 32),
    "G-Ghost-RegNetX": ("g_ghost_regnetx", {"variant": "002"}, 32),
    # The means of five blocks are mixed, more than one concatenation takes.
    "G-GhostNet": ("g_ghostnet", {"width": 0.25, "stages": ((60, 2, 2), (120, 6, 2), (240, 2, 2), (480, 2, 2))}, 32),
}
# Correlation of the int8 file's logits with Keras's. Of random networks: what differs between images is a small part of
# their maps, and integers round it. Measured: 0.967 for Ghost-VGG-16, 0.988 to 0.99995 for the others. What differs
# between images alone: 0.93 for GhostNetV3 and 0.96 for GhostNetV2, as for GhostNetV3 if its branches are scaled so
# that their sum spreads no wider than one of them. A module that computes something else leaves 0.95 of those side by
# side.
LEAST = 0.95
MODULES = [{"ratio": s, "dw_size": d} for s in (2, 3, 4, 5) for d in (1, 3, 5, 7)]
MODULES += [{"dw_size": (3, 5)}, {"ratio": 3, "dw_size": (3, 5, 7)}]
MODULES += [{"ratio": s, "cheap_operation": kind} for kind in ("affine", "haar") for s in (2, 5)]


def modules(input_shape, **_) -> keras.Model:
    """The means of all kinds of ghost modules side by side; few values of s divide their channels."""
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    means = [
        keras.layers.GlobalAveragePooling2D()(GhostModule(22, **options, name=f"module_{index}")(x))
        for index, options in enumerate(MODULES)
    ]
    while len(means) > 1:
        means = [keras.layers.Concatenate()(means[:GATHERED]), *means[GATHERED:]]
    return keras.Model(image, means[0])


class Files(NamedTuple):
    """Both files of a family and what Keras gives for the images: logits."""

    images: np.ndarray
    expected: np.ndarray
    fp32: bytes
    int8: bytes
    graphs: dict[str, Graph]
    least: float


@pytest.fixture(scope="module", params=FAMILIES)
def files(request, randomized, shorten) -> Files:
    name, options, size = FAMILIES[request.param]
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        if name != "g_ghost_regnetx":  # which has the most blocks to mix
            shorten(patch)
        model = {**BUILDERS, "modules": modules}[name](
            input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None, dropout_rate=0, **options
        )
    # Shifts mostly above 0, so that few units are at rest: with shifts around 0 the maps of deep random networks hardly
    # differ between images, and float32 itself ends a thousandth of the logits' deviation away from float64 (measured
    # on Ghost-ResNet-50).
    randomized(model, shift=0.5)
    images = calibrate.synthetic((size, size, 3), 32, 16)
    calibrate.settle(model, np.concatenate([images.calibration, images.held_out]))
    expected = np.asarray(model(images.held_out.astype("float32"), training=False))
    # As the command does, once for both; agreement is with the training form.
    content = converted(reparameterize(model) if name == "ghostnetv3" else model, SCHEMES["fp32"])
    fp32, to_quantize = (rearranged(content, form(GRAPH, scheme)) for scheme in ("fp32", "int8"))
    int8 = quantized(with_ranges(to_quantize, images.calibration), "uint8", "float32")
    keras.utils.clear_session()
    graphs = {"fp32": read_graph(fp32), "int8": read_graph(int8)}
    return Files(images.held_out, expected, fp32, int8, graphs, 0.999 if name == "modules" else LEAST)


def test_the_float_file_equals_keras(files):
    found = TFLiteModel(files.fp32).predict(files.images)
    np.testing.assert_allclose(found, files.expected, rtol=0, atol=1e-4 * files.expected.std())


def test_the_int8_file_follows(files):
    found = TFLiteModel(files.int8).predict(files.images)
    assert found.shape == files.expected.shape
    assert np.corrcoef(found.ravel(), files.expected.ravel())[0, 1] > files.least


def test_xnnpack_takes_it_in_one_piece(files):
    assert files.graphs["fp32"].outside == {}
    assert len(files.graphs["fp32"].partitions) == 1
    int8 = files.graphs["int8"]
    assert int8.outside == {"QUANTIZE": 1}  # of the input, from uint8
    assert int8.partitions == (sum(int8.ops.values()) - 1,)


def test_int8_has_no_float_operation(files):
    int8 = files.graphs["int8"]
    assert int8.float_ops == ()
    assert (int8.inputs[0].dtype, int8.inputs[0].scale, int8.outputs[0].dtype) == ("uint8", 1.0, "float32")
    assert int8.ops["DEQUANTIZE"] == 1  # of the output


def test_the_softmax_alone_parts_an_int8_file(little_softmax):
    """XNNPACK takes no int8 softmax: the cast of its output to float is a piece of its own, which integers do without.

    A float softmax would be one, but a float operation: the file would be no int8 one.
    """
    outside = {"QUANTIZE": 1, "SOFTMAX": 1}
    for output_type, pieces, left in (
        ("float32", 2, outside),
        ("int8", 1, outside),
        ("uint8", 1, {**outside, "QUANTIZE": 2}),
    ):
        graph = read_graph(quantized(little_softmax, "uint8", output_type))
        assert (len(graph.partitions), graph.outside) == (pieces, left)
        assert graph.float_ops == ()


@pytest.fixture(scope="module")
def little_softmax() -> bytes:
    """A float file with ranges that ends in a softmax."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    return with_ranges(convert(model, "fp32"), calibrate.synthetic((8, 8, 3), 8, 0).calibration)


def test_feature_maps_convert_with_the_command(randomized, tmp_path, monkeypatch):
    # One bottleneck a resolution, all five halvings.
    monkeypatch.setattr(ghostnet, "ROWS", tuple(ghostnet.ROWS[index] for index in (0, 1, 3, 5, 11)))
    keras.utils.set_random_seed(0)
    maps = feature_extractor(randomized(GhostNet(0.1, include_top=False, input_shape=(96, 96, 3)), shift=0.5))
    calibrate.settle(maps, calibrate.synthetic((96, 96, 3), 16, 0).calibration)
    maps.save(tmp_path / "maps.keras")
    few = ["--calibration", "digits", "--calibration-images", "100", "--verification-images", "8"]
    arguments = ["--model", str(tmp_path / "maps.keras"), "--fp32", "--int8", *few, "--output", str(tmp_path)]
    assert command.main(arguments) == OK

    images = calibrate.data_set("digits", 96, 0, 4).held_out
    expected = maps(images.astype("float32"), training=False)
    found = TFLiteModel(tmp_path / "maps_96_fp32.tflite").predict(images)
    assert [values.shape for values in found] == [values.shape for values in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.std(theirs))
    for scheme in ("fp32", "int8"):
        graph = read_graph(tmp_path / f"maps_96_{scheme}.tflite")
        assert len(graph.partitions) == 1
        assert [row.name for row in graph.outputs] == [f"output_{level}" for level in range(4)]
        assert (graph.float_ops == ()) == (scheme == "int8")
