"""The fake-quantized twin: equal to Keras 3 before it rounds, and what went wrong with quantization-aware training.

The traps a to f were found with tensorflow-model-optimization 0.8.1 as it comes; each has a test that fails with it.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import ghostnet_tf
from ghostnet_tf import layers
from ghostnet_tf.commands import BadInput
from ghostnet_tf.models import GhostNet, GhostNetV2, _build, ghost_resnet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite.flatbuffer import op_name, unpack, with_logits
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.qat import with_learned_ranges
from ghostnet_tf.tflite.quantize import quantized
from ghostnet_tf.tflite.schemes import GRAPH, QAT, SCHEMES, form, rearranged_to_quantize
from ghostnet_tf.tflite.tensorflow_converter import ConversionError, converted
from ghostnet_tf.training.qat_quantizers import LEGACY, classes
from ghostnet_tf.training.qat_twin import Twin, fake_quantized, loaded

ROOT = Path(ghostnet_tf.__file__).resolve().parents[1]
SIZE = 32


def small(activation: str | None) -> keras.Model:
    """One of everything: strides, squeeze-and-excitation, a shortcut, a head without normalization."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = _build.normalization(3)(image)
    x = layers.ConvBN(8, 3, strides=2, name="stem")(x)
    x = layers.GhostBottleneck(24, 12, strides=2, se_ratio=0.25, name="block")(x)
    x = layers.GhostBottleneck(24, 12, name="last")(x)
    return keras.Model(image, _build.head(x, 16, 5, activation, dropout_rate=0.0), name="small")


def snr(expected: np.ndarray, found: np.ndarray) -> float:
    """Decibels."""
    return 10 * np.log10(np.sum(expected**2) / np.sum((expected - found) ** 2))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return calibrate.synthetic((SIZE, SIZE, 3), 64, 0).calibration


@pytest.fixture(scope="module")
def logits(randomized, images) -> keras.Model:
    """`small` without softmax, with weights that are far from their initial values."""
    keras.utils.set_random_seed(0)
    model = randomized(small(None))
    calibrate.settle(model, images)
    return model


@pytest.fixture(scope="module")
def twin(logits, images) -> Twin:
    twin = fake_quantized(logits)
    twin.calibrate(np.split(images.astype(np.float32), 8))
    return twin


@pytest.fixture(scope="module")
def float_file(logits) -> bytes:
    """As TensorFlow's converter has it."""
    model = small("softmax")
    model.set_weights(logits.get_weights())
    return converted(model, SCHEMES["fp32"])


def as_trained(float_file: bytes, twin: Twin, graph: str = GRAPH) -> bytes:
    """What `qat.converted` makes of it."""
    ranged = with_learned_ranges(float_file, twin.read_ranges())
    return quantized(rearranged_to_quantize(ranged, form(graph, QAT.name)), "uint8", "float32")


@pytest.fixture(scope="module")
def int8_file(float_file, twin) -> bytes:
    return as_trained(float_file, twin)


@pytest.mark.parametrize(
    ("builder", "size"),
    [(lambda **k: GhostNet(0.25, **k), 32), (lambda **k: GhostNetV2(0.1, **k), 60)],
    ids=["GhostNet", "GhostNetV2"],
)
def test_the_twin_computes_what_keras_3_computes(builder, size, randomized, shorten, monkeypatch):
    """60 pixels: maps of 60, 30 and 15, so that attention meets odd sizes. 1e-5 of the largest is float rounding."""
    shorten(monkeypatch)
    keras.utils.set_random_seed(0)
    model = builder(input_shape=(size, size, 3), classes=5, classifier_activation=None, dropout_rate=0.0)
    images = calibrate.synthetic((size, size, 3), 4, 0).calibration
    calibrate.settle(randomized(model), images)
    images = images.astype(np.float32)
    expected = model(images, training=False).numpy()
    found = fake_quantized(model, quantized=False).model(images, training=False).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_trap_a_the_hard_sigmoid_is_that_of_keras_3():
    image = keras.Input((1, 1, 3))
    outputs = keras.layers.Activation("hard_sigmoid")(keras.layers.Conv2D(3, 1, use_bias=False, name="conv")(image))
    model = keras.Model(image, outputs)
    model.get_layer("conv").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    x = np.linspace(-5, 5, 300, dtype=np.float32).reshape(100, 1, 1, 3)
    expected = np.clip(x + 3, 0, 6) / 6
    found = fake_quantized(model, quantized=False).model(x, training=False).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert (
        np.abs(classes().tf_keras.activations.hard_sigmoid(tf.constant(x)).numpy() - expected).max() > 0.06
    )  # the trap


def test_trap_b_the_gate_is_two_operations_in_integers(twin, float_file, int8_file):
    graph = read_graph(int8_file)
    assert graph.float_ops == ()
    ranges = twin.read_ranges()
    assert 0 <= ranges["block_se_gate"][0] < ranges["block_se_gate"][1] <= 1
    assert 1 < ranges.pop("block_se_gate/relu6")[1] <= 6
    ranges.pop("block_se_gate")
    with pytest.raises(ConversionError, match=r"2 tensors have no range .*block_se_gate_1/Relu6"):
        with_learned_ranges(float_file, ranges)


def test_trap_c_a_concatenation_has_one_range(twin, float_file, int8_file, images):
    model = unpack(int8_file)
    tensors = model.subgraphs[0].tensors
    concatenations = [o for o in model.subgraphs[0].operators if op_name(model, o) == "CONCATENATION"]
    assert len(concatenations) == 4
    for operator in concatenations:
        used = [tensors[index].quantization for index in (*operator.inputs, *operator.outputs)]
        assert len({(float(one.scale[0]), int(one.zeroPoint[0])) for one in used}) == 1
    expected = read_graph(quantized_after(float_file, images))
    found = read_graph(int8_file)
    assert (found.ops, found.partitions, found.outside) == (expected.ops, expected.partitions, expected.outside)
    assert found.ops["QUANTIZE"] == 1  # of the input
    joined = [layer.name for layer in twin.model.layers if layer.name.endswith("_joined")]
    assert len(joined) == 4  # what the cheap operations read is rounded in the range of the concatenation


def quantized_after(float_file: bytes, images: np.ndarray) -> bytes:
    """Post-training quantization of the same file."""
    from ghostnet_tf.tflite.quantize import with_ranges

    return quantized(with_ranges(rearranged_to_quantize(float_file, form(GRAPH, QAT.name)), images), "uint8", "float32")


def test_trap_d_depthwise_weights_are_quantized_by_channel():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="dw")(image))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype(np.float32)
    kernel *= np.array([1, 10, 100, 1e-1, 1e-2, 1e-3], np.float32).reshape(3, 2)
    model.get_layer("dw").set_weights([kernel, np.zeros(6, np.float32)])
    found = rounded_weights(fake_quantized(model))["dw"]
    steps = np.abs(kernel).max((0, 1)) / 127
    np.testing.assert_array_less(np.abs(found - kernel) / steps, 0.501)
    np.testing.assert_allclose(found / steps, np.round(found / steps), rtol=0, atol=1e-3)


def rounded_weights(twin: Twin) -> dict[str, np.ndarray]:
    """What the layers of a twin multiply with, by name."""
    twin.model(np.zeros((1, *twin.model.input_shape[1:]), np.float32), training=False)
    wrapped = [layer.layer for layer in twin.model.layers if isinstance(getattr(layer, "layer", None), tf.Module)]
    kernels = {layer.name: getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None)) for layer in wrapped}
    return {name: kernel.numpy() for name, kernel in kernels.items() if kernel is not None}


def test_trap_e_ranges_come_from_the_images(twin, logits, images, float_file):
    """tfmot's begin as -6 to 6 and hardly move in a short training."""
    expected = logits.predict(images, verbose=0)
    found = snr(expected, twin.model(images.astype(np.float32), training=False).numpy())
    after = TFLiteModel(with_logits(quantized_after(float_file, images))).predict(images)
    assert found > snr(expected, after) - 3  # rounding as post-training quantization with the same images does
    ranges = twin.read_ranges()
    twin.set_ranges({key: [-6.0, 6.0] for key in twin.ranges})
    assert found > snr(expected, twin.model(images.astype(np.float32), training=False).numpy()) + 3
    twin.set_ranges(ranges)
    for layer, variables in twin.pairs:  # statistics of normalization too
        for one, other in zip(layer.get_weights(), variables, strict=True):
            np.testing.assert_array_equal(one, other.numpy())


def test_ranges_follow_the_training(twin, logits, images):
    """A training step keeps 99 % of a range and takes the rest of the batch."""
    ranges, dark = twin.read_ranges(), images.astype(np.float32) / 2
    for layer in twin.normalizations:
        layer.trainable = False
    twin.model(dark, training=True)
    moved = twin.read_ranges()
    twin.set_ranges(ranges)
    normalized = logits.get_layer("normalization")(dark).numpy()
    for end, extreme in enumerate((normalized.min(), normalized.max())):
        before, after = (found["normalization"][end] for found in (ranges, moved))
        assert after == pytest.approx(0.99 * before + 0.01 * extreme, rel=1e-5)


def test_trap_f_weights_are_rounded_before_a_relu_without_normalization(twin, logits):
    kernels = rounded_weights(twin)
    flat = {layer.name: layer for layer in ghostnet_tf.flatten(logits).layers}
    weighted = [name for name, layer in flat.items() if hasattr(layer, "kernel")]
    assert {"head_conv", "block_se_reduce", "block_dw_conv", "classifier"} < set(weighted)
    assert kernels.keys() == set(weighted)
    for name in weighted:
        depthwise = isinstance(flat[name], keras.layers.DepthwiseConv2D)  # (h, w, channels, 1)
        kernel = kernels[name].reshape(-1, kernels[name].shape[-2 if depthwise else -1])
        steps = np.abs(kernel).max(0) / 127
        np.testing.assert_allclose(kernel / steps, np.round(kernel / steps), rtol=0, atol=1e-3)
    assert {"head_act", "block_se_act"} < twin.ranges.keys()
    assert not {"head_conv", "block_se_reduce"} & twin.ranges.keys()  # no tensors of the file


def test_the_file_computes_what_the_twin_computes(twin, int8_file, images):
    """Apart from biases, which the file has in integers: a step here and there, which spreads from layer to layer."""
    expected = twin.model(images.astype(np.float32), training=False).numpy()
    found = TFLiteModel(with_logits(int8_file)).predict(images)
    assert snr(expected, found) > 30


def test_ranges_and_weights_make_the_same_twin(twin, logits, images):
    again = loaded(logits, twin.read_ranges())
    expected, found = (each.model(images[:8].astype(np.float32), training=False).numpy() for each in (twin, again))
    np.testing.assert_array_equal(expected, found)
    with pytest.raises(BadInput, match="Received: others for stem_act"):
        loaded(logits, {key: value for key, value in twin.read_ranges().items() if key != "stem_act"})


def test_the_parts_of_other_networks(randomized, images):
    """Padded shortcuts, sums with an activation, attention, a stride that concatenations come behind, pooling by
    maximum, normalization of a dense layer."""

    def build(activation: str | None) -> keras.Model:
        image = keras.Input((SIZE, SIZE, 3), name="image")
        x = layers.ConvBN(8, 3, strides=2, name="stem")(_build.normalization(3)(image))
        x = ghost_resnet._basic_block(x, 16, strides=2, ratio=2, dw_size=3, name="residual")
        x = layers.GhostModule(12, attention=True, name="attended")(x)
        x = layers.GhostBottleneck(16, 12, strides=2, name="halved")(x)
        x = keras.layers.MaxPooling2D(name="pool")(layers.GhostModule(10, 3, ratio=4, name="module")(x))
        x = keras.layers.Dense(12, name="dense")(keras.layers.GlobalAveragePooling2D(name="mean")(x))
        x = keras.layers.ReLU(name="dense_act")(layers.BatchNormalization(name="dense_bn")(x))
        return keras.Model(image, _build.classifier(x, 5, activation, 0.0))

    keras.utils.set_random_seed(1)
    logits, model = randomized(build(None)), build("softmax")
    calibrate.settle(logits, images)
    model.set_weights(logits.get_weights())
    twin = fake_quantized(logits)
    twin.calibrate(np.split(images.astype(np.float32), 4))
    float_file = converted(model, SCHEMES["fp32"])
    content = as_trained(float_file, twin)
    graph = read_graph(content)
    assert (graph.float_ops, graph.ops["QUANTIZE"]) == ((), 1)
    assert graph.outside.keys() == {"QUANTIZE", "SOFTMAX"}
    expected = twin.model(images.astype(np.float32), training=False).numpy()
    found = TFLiteModel(with_logits(content)).predict(images)
    assert snr(expected, found) > 25

    # Halves keep the range of their concatenation where it comes later: the same integers.
    plain = as_trained(float_file, twin, "plain")
    assert graph.ops["DEPTHWISE_CONV_2D"] == read_graph(plain).ops["DEPTHWISE_CONV_2D"] + 1
    np.testing.assert_array_equal(TFLiteModel(with_logits(plain)).predict(images), found)


@pytest.mark.parametrize(
    ("layer", "received"),
    [
        (keras.layers.LayerNormalization(name="strange"), "strange, LayerNormalization"),
        (keras.layers.BatchNormalization(name="lonely"), "lonely, BatchNormalization that follows no convolution"),
        (keras.layers.ReLU(6.0, name="six"), "six, ReLU with a bound or a slope"),
        (keras.layers.Conv2D(4, 1, activation="tanh", name="bent"), "bent, Conv2D with an activation of its own"),
        (keras.layers.Rescaling(2.0, name="inner"), "inner, Rescaling inside the network"),
    ],
)
def test_an_unknown_layer_is_named(layer, received):
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(layer(keras.layers.ZeroPadding2D()(image)))
    with pytest.raises(BadInput, match=received):
        fake_quantized(keras.Model(image, x))


def test_nothing_else_imports_tf_keras():
    code = "import sys, os, ghostnet_tf, ghostnet_tf.training.train, ghostnet_tf.training.fit\n"
    code += "import ghostnet_tf.tflite.pipeline\n"
    code += "print([name in sys.modules for name in ('tf_keras', 'tensorflow_model_optimization')])\n"
    code += f"print({LEGACY!r} in os.environ)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["[False, False]", "False"]


def test_the_environment_stays_as_it_was():
    classes()
    assert LEGACY not in os.environ
    assert tf.keras.__version__.startswith("3.")
