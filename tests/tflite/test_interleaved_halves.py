"""Upper and lower half of the largest maps as channels of one: every value as before, fewer steps of the kernels."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import schemes
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.interleaved_halves import first_stage, with_interleaved_halves
from ghostnet_tf.tflite.rewrite import with_late_concatenations
from ghostnet_tf.tflite.schemes import convert, form, rearranged
from ghostnet_tf.tflite.stacked_halves import with_stacked_halves
from ghostnet_tf.tflite.tensorflow_converter import converted

HEIGHT, WIDTH = 160, 6
IMAGES = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)


def ghost(x, filters: int, window: int = 3, **options):
    primary = layers.Conv2D(filters // 2, 1, bias_initializer="normal", **options)(x)
    cheap = layers.DepthwiseConv2D(window, padding="same", bias_initializer="normal", **options)(primary)
    return layers.Concatenate()([primary, cheap])


def network(
    blocks: int = 1, window: int = 3, strided: int = 3, padding: str = "pad", middle=None, filters: int = 16, **shape
) -> keras.Model:
    """A stem, bottlenecks of ghost modules of `filters`, and half of one that halves the map, with its shortcut."""
    keras.utils.set_random_seed(0)
    image = keras.Input((shape.get("height", HEIGHT), WIDTH, 3), name="image")
    x = layers.Rescaling(1 / 58, -2.0)(image)
    x = layers.Conv2D(filters, 3, 2, "same", bias_initializer="normal", activation="relu")(x)
    for _ in range(blocks):
        x = layers.Add()([ghost(ghost(x, filters, window, activation="relu"), filters, window), x])
    if middle is not None:
        x = middle(x)
    y = ghost(x, 3 * filters, activation="relu")
    x, y = (halved(each, strided, padding) for each in (x, y))
    x = layers.Add()([layers.Conv2D(24, 1)(x), ghost(y, 24)])
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def halved(x, window: int, padding: str):
    """A depthwise convolution with a stride of 2: in Keras's padding, or with PyTorch's border before it."""
    if padding == "pad":
        x = layers.ZeroPadding2D(window // 2)(x)
    return layers.DepthwiseConv2D(window, 2, "valid" if padding == "pad" else "same", bias_initializer="normal")(x)


def before(stacked: bool = True, **options) -> bytes:
    content = with_late_concatenations(convert(network(**options), "fp32", graph="plain"))
    return with_stacked_halves(content) if stacked else content


def depthwise(content: bytes) -> list[tuple[int, ...]]:
    """Shapes of what the depthwise convolutions give."""
    model = unpack(content)
    graph = model.subgraphs[0]
    found = [operator for operator in graph.operators if op_name(model, operator) == "DEPTHWISE_CONV_2D"]
    return [tuple(map(int, graph.tensors[operator.outputs[0]].shape))[1:] for operator in found]


def assert_the_same(content: bytes, changed: bytes) -> None:
    """Sums of the same products in the same order, with zeros between them: equal to the last bit or nearly so."""
    assert changed != content
    images = IMAGES.astype(np.float32)
    expected = TFLiteModel(content).predict(images)
    np.testing.assert_allclose(TFLiteModel(changed).predict(images), expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("stacked", [True, False])
def test_the_first_stage_is_of_twice_the_channels_and_half_the_height(stacked):
    content = before(stacked)
    changed = with_interleaved_halves(content)
    # Three windows reach one row each into the other half, and half of what the last one reaches is left of it.
    normalization = [(160, 6, 3)]
    assert depthwise(content) == normalization + [(80, 3, 8)] * 2 + [(80, 3, 24)] + [(40, 2, 24)] * 2 + [
        (40, 2, 12)
    ] + [(40, 2, 16)]
    assert depthwise(changed) == normalization + [(44, 3, 16)] * 2 + [(44, 3, 48)] + [(22, 2, 48)] * 2 + [
        (40, 2, 12)
    ] + [(22, 2, 32)]
    assert_the_same(content, changed)
    assert len(read_graph(changed).partitions) == 1 and not read_graph(changed).outside


@settings(max_examples=12, deadline=None)
@given(
    blocks=st.integers(0, 2),
    window=st.sampled_from([1, 3]),
    strided=st.sampled_from([3, 5]),
    padding=st.sampled_from(["pad", "same"]),
    filters=st.sampled_from([4, 8, 16, 24]),
)
def test_any_chain_of_windows_stays_the_same(blocks, window, strided, padding, filters):
    content = before(blocks=blocks, window=window, strided=strided, padding=padding, filters=filters)
    stage = first_stage(unpack(content))
    reached = 2 * blocks * (window // 2) + 1 + strided // 2
    assert (stage.rows, set(stage.ends.values())) == (40 + reached + reached % 2, {2})
    changed = with_interleaved_halves(content)
    if changed != content:
        assert_the_same(content, changed)
    if 2 * stage.rows > 88:
        assert changed == content  # too many rows twice
    elif blocks and filters < 24:
        assert changed != content  # 2, 4 and 8 channels leave the most of 16 idle


@pytest.mark.parametrize(
    "options",
    [
        {"middle": layers.MaxPooling2D(3, 1, padding="same")},
        {"middle": lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])},
        {"middle": layers.Conv2D(16, 3, padding="same")},
        {"middle": layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)},
        {"height": 158},
        {"height": 60},
    ],
)
def test_what_has_no_halves_stays_as_it_is(options):
    content = before(**options)
    assert with_interleaved_halves(content) == content


def test_an_output_inside_of_the_stage_keeps_it():
    model = network()
    inside = next(layer for layer in model.layers if isinstance(layer, layers.Add)).output
    content = convert(keras.Model(model.input, [model.output, inside]), "fp32", graph="plain")
    assert first_stage(unpack(content)) is None and with_interleaved_halves(content) == content


@pytest.mark.parametrize("scheme", ["fp32", "hybrid", "fp16", "dynamic", "int8"])
@pytest.mark.parametrize("graph", ["arm", "late", "plain"])
def test_files_that_have_it(scheme, graph):
    images = list(IMAGES) if scheme == "int8" else None
    content = convert(network(), scheme, graph=graph, representative_dataset=images)
    halves = (44, 3, 16) in depthwise(content)
    assert halves == (graph != "plain" and (scheme == "int8" or (graph == "late" and scheme in ("fp32", "hybrid"))))


def test_int8_files_have_the_bits_of_whole_maps(monkeypatch):
    model, options = network(), {"representative_dataset": list(IMAGES)}
    one = convert(model, "int8", **options)
    monkeypatch.setattr(schemes, "rearranged_at_last", lambda content, wanted: content)
    other = convert(model, "int8", **options)
    assert (44, 3, 48) in set(depthwise(one)) - set(depthwise(other))
    np.testing.assert_array_equal(TFLiteModel(one).predict(IMAGES), TFLiteModel(other).predict(IMAGES))
    assert len(read_graph(one).float_ops) == len(read_graph(other).float_ops)


def test_an_int8_file_has_the_operations_of_a_float_one_of_its_form():
    """What `layers` compares it with."""
    model = network()
    int8 = read_graph(convert(model, "int8", representative_dataset=list(IMAGES)))
    floats = read_graph(rearranged(converted(model, schemes.SCHEMES["fp32"]), form("arm", "int8")))
    casts = {"QUANTIZE", "DEQUANTIZE"}
    assert {kind: n for kind, n in int8.ops.items() if kind not in casts} == dict(floats.ops)
