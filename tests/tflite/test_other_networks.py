"""A Keras network that is not ours: it converts, and the report says what runs outside XNNPACK."""

import keras
import pytest

from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.pipeline import describe_graph
from ghostnet_tf.tflite.schemes import convert
from ghostnet_tf.tflite.verify import agreement, check_name, reference


@pytest.fixture(scope="module")
def mobilenet(randomized):
    """MobileNetV3-Small of Keras at the least width, settled, and its images."""
    keras.utils.set_random_seed(0)
    network = randomized(keras.applications.MobileNetV3Small((32, 32, 3), alpha=0.35, weights=None, classes=5))
    images = calibrate.synthetic((32, 32, 3), 16, 8)
    calibrate.settle(network, images.calibration)
    return network, images


def test_mobilenet_v3_converts_and_its_hard_swish_is_named(mobilenet):
    network, images = mobilenet
    content = convert(network, "int8", representative_dataset=images.calibration)
    graph = read_graph(content)
    check_name("int8", graph)
    # Measured 0.947: random weights, few channels and 19 roundings of HARD_SWISH.
    assert agreement(content, reference(network, images.held_out, False), "int8").cosine > 0.9
    assert graph.outside["HARD_SWISH"] == graph.ops["HARD_SWISH"] > 10  # XNNPACK has none in int8
    assert len(graph.partitions) > 10
    (line,) = [line for line in describe_graph(graph) if line.startswith("XNNPACK runs")]
    assert f"outside: {graph.ops['HARD_SWISH']} HARD_SWISH" in line
