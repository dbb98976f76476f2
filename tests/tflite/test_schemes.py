"""`convert`: the numbers of each scheme, the types of int8, what is refused."""

import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import quantize
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.quantize import with_ranges
from ghostnet_tf.tflite.schemes import GRAPH, SCHEMES, convert, form, full_integer, rearranged_at_last, to_quantize
from ghostnet_tf.tflite.tensorflow_converter import ConversionError
from ghostnet_tf.tflite.verify import agreement, reference


@pytest.fixture(scope="module")
def little():
    """A network that converts in a second: one convolution, mean, two classes."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def little_images():
    return np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)


def test_fp32_is_the_keras_model(small_model, small_files, small_images):
    images = small_images.held_out
    expected = small_model.predict(images.astype(np.float32), verbose=0)
    # Folding normalization into convolutions and XNNPACK's order of additions round differently: a few 1e-7.
    np.testing.assert_allclose(TFLiteModel(small_files["fp32"]).predict(images), expected, atol=1e-5)


# Measured: 118, 56, 37 and 20 dB. Rounding weights to 11 (fp16) or 8 bits (dynamic) and activations to 8 bits (int8),
# added up over 16 blocks with random weights, which amplify errors. Each limit lies 5 dB lower; fp32 differs by CPU.
@pytest.mark.parametrize(
    ("scheme", "least"), [("fp32", 100), ("fp16", 51), ("hybrid", 38), ("dynamic", 32), ("int8", 15)]
)
def test_logits_keep_their_signal(small_model, small_files, small_images, scheme, least):
    result = agreement(small_files[scheme], reference(small_model, small_images.held_out, False), scheme)
    assert result.snr_db > least
    assert result.cosine > SCHEMES[scheme].cosine


def test_files_are_as_large_as_their_weights(small_model, small_files):
    weights = small_model.count_params()
    for name, row in SCHEMES.items():
        # What is not weights: the graph with its names, about 120 kB, and the scales of int8.
        assert 0 < len(small_files[name]) - row.bytes_per_weight * weights < 400_000, name
    assert len(small_files["int8"]) < 0.5 * len(small_files["fp32"])


def test_every_operation_is_built_in_and_the_batch_is_one(small_files):
    for content in small_files.values():
        model = unpack(content)
        assert not [code.customCode for code in model.operatorCodes if code.customCode]
        assert [list(model.subgraphs[0].tensors[i].shape) for i in model.subgraphs[0].inputs] == [[1, 32, 32, 3]]
        # An open batch shows as SHAPE, PACK and RESHAPE around the classifier.
        assert not {"SHAPE", "PACK", "STRIDED_SLICE"} & {op_name(model, o) for o in model.subgraphs[0].operators}


@pytest.mark.parametrize("input_type", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("output_type", ["uint8", "int8", "float32"])
def test_int8_takes_and_gives_every_type(little, little_images, input_type, output_type):
    file = TFLiteModel(
        convert(little, "int8", representative_dataset=little_images, input_type=input_type, output_type=output_type)
    )
    assert (np.dtype(file.input["dtype"]).name, np.dtype(file.output["dtype"]).name) == (input_type, output_type)
    scales = {"uint8": (1.0, 0), "int8": (1.0, -128), "float32": (0.0, 0)}  # bytes go in as they are
    assert file.input["quantization"] == scales[input_type]
    expected = little.predict(little_images.astype(np.float32), verbose=0)
    # Probabilities in steps of 1/256; two classes of a network this small stay within four of them.
    np.testing.assert_allclose(file.predict(little_images), expected, atol=4 / 256)


def test_dark_images_leave_the_input_its_whole_range(little):
    dark = np.zeros((3, 8, 8, 3), np.uint8)
    dark[:, 0, 0] = 40
    file = TFLiteModel(convert(little, "int8", representative_dataset=dark))
    assert file.input["quantization"] == (1.0, 0)


def test_activations_that_never_fire_have_a_scale():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu", use_bias=False)])
    model.layers[0].set_weights([-np.ones((3, 3, 3, 4))])
    images = np.full((2, 8, 8, 3), 9, np.uint8)
    np.testing.assert_array_equal(TFLiteModel(convert(model, "int8", representative_dataset=images)).predict(images), 0)


def test_float_images_give_the_input_their_range(little, little_images):
    images = (little_images / 127.5 - 1).astype(np.float32)
    scale, zero_point = TFLiteModel(convert(little, "int8", representative_dataset=images)).input["quantization"]
    assert scale == pytest.approx((images.max() - images.min()) / 255, rel=0.01)
    assert zero_point == pytest.approx(127.5, abs=1)


def test_ranges_are_those_of_the_activations(small_model, small_floats, small_images):
    """TensorFlow's calibrator fails this: it reads what operations in place have written over."""
    graph = unpack(with_ranges(small_floats("plain", "fp32"), small_images.calibration)).subgraphs[0]
    ranges = {
        tensor.name.decode(): (tensor.quantization.min[0], tensor.quantization.max[0])
        for tensor in graph.tensors
        if tensor.quantization is not None and tensor.quantization.min is not None
    }
    (normalized,) = [ranges[name] for name in ranges if name.endswith("normalization_1/add")]
    pixels = (small_images.calibration / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalized, (pixels.min(), pixels.max()), rtol=1e-5)

    tensors = [small_model.get_layer(name).output for name in ("stem", "blocks_7", "final")]
    maps = keras.Model(small_model.input, tensors).predict(small_images.calibration.astype(np.float32), verbose=0)
    found = np.array(list(ranges.values()))
    for values in maps:
        nearest = np.abs(found - (values.min(), values.max())).max(axis=1).min()
        assert nearest < 1e-4 * np.ptp(values)


@pytest.mark.parametrize("options", [{}, {"bias_correction": False}])
def test_int8_is_made_of_the_float_file(little, little_images, options):
    found = convert(little, "int8", representative_dataset=little_images, **options)
    content = to_quantize(little)
    made, by_default = (
        rearranged_at_last(full_integer(content, little_images, "uint8", "float32", **each), form(GRAPH, "int8"))
        for each in (options, {})
    )
    assert found == made
    assert options == {} or found != by_default


def test_a_generator_serves_as_images(little, little_images):
    once = convert(little, "int8", representative_dataset=(image for image in little_images))
    assert once == convert(little, "int8", representative_dataset=list(little_images))


def test_nothing_is_printed_or_left_behind(little, little_images, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for scheme in SCHEMES:
        convert(little, scheme, representative_dataset=little_images)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_gradients_of_their_own_are_left_behind():
    """Those of swish, which EfficientNet has, cannot be saved with weights made constant."""
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Activation("swish")(keras.layers.Conv2D(4, 3)(image)))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(TFLiteModel(convert(model, "fp32")).predict(images), model(images), atol=1e-5)


class Determinant(keras.layers.Layer):
    """Has no counterpart in LiteRT."""

    def call(self, inputs):
        return tf.linalg.det(inputs[:, :3, :3, 0])[:, None]


def test_an_unsupported_layer_is_named(capfd):
    model = keras.Sequential([keras.Input((8, 8, 3)), Determinant(name="volume")])
    with pytest.raises(ConversionError, match=r"no operation for MatrixDeterminant in .*volume") as caught:
        convert(model, "fp32")
    assert caught.value.log == ""  # the message says all of it
    assert capfd.readouterr() == ("", "")


def test_what_is_refused(little, little_images):
    open_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    images = {"representative_dataset": little_images}
    for model, scheme, options, message in (
        (little, "int8", {}, "Expected `representative_dataset` for int8"),
        (little, "int4", images, "Expected `scheme` to be one of fp32, fp16, hybrid, dynamic, int8"),
        (little, "fp32", {"input_type": "uint8"}, "Expected `input_type` of fp32 to be one of float32"),
        (little, "int8", {**images, "output_type": "int16"}, "Expected `output_type` of int8"),
        ("model.keras", "fp32", {}, "Expected `model` to be a keras.Model"),
        (open_size, "fp32", {}, "one input of known size"),
        (little, "int8", {"representative_dataset": []}, "at least one calibration image"),
        (little, "int8", {"representative_dataset": little_images[:, :4]}, r"shape \(8, 8, 3\). Received.*\(4, 8, 3\)"),
        (little, "int8", {"representative_dataset": np.full((1, 8, 8, 3), np.nan)}, "Expected finite activations"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(model, scheme, **options)


def test_int8_is_compact_and_computes_the_same(small_to_quantize, small_images, monkeypatch):
    """Fewer bytes beside the constants; every operation keeps the name of its layer."""
    words = (small_to_quantize, small_images.calibration, "uint8", "float32")
    compact = full_integer(*words, bias_correction=False)
    monkeypatch.setattr(quantize, "compact", lambda content: content)
    as_made = full_integer(*words, bias_correction=False)
    assert len(compact) < 0.94 * len(as_made)
    files = [unpack(content) for content in (as_made, compact)]
    names = [
        [file.subgraphs[0].tensors[operator.outputs[0]].name for operator in file.subgraphs[0].operators]
        for file in files
    ]
    assert names[0] == names[1]
    stored = [sum(len(buffer.data) for buffer in file.buffers if buffer.data is not None) for file in files]
    assert stored[0] == stored[1]
    outputs = [TFLiteModel(content).predict(small_images.calibration) for content in (as_made, compact)]
    np.testing.assert_array_equal(*outputs)
