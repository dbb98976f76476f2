"""A stranger's `.tflite` file gets the normalization that its metadata state: linear classifiers built here."""

import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.commands import OK, BadInput
from ghostnet_tf.litert import metadata_schema
from ghostnet_tf.litert.metadata import BUFFER
from ghostnet_tf.tflite.flatbuffer import add_buffer, pack
from ghostnet_tf.training import evaluate
from ghostnet_tf.training.data import load_data
from ghostnet_tf.training.predict import load_predictor

SIZE, CHANNELS = 32, 3
# Of ImageNet, which differ by channel; half of the range, as MobileNet has it; what makes an 8-bit input the pixels.
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
HALF = [127.5], [127.5]
BYTES = [128.0], [128.0]


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", size=SIZE)


@pytest.fixture(scope="module")
def centres(digits) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `(classes, size, size, channels)` and bias of the nearest centre, for pixels from 0 to 255."""
    pixels = digits.train.images() / 255.0
    means = np.stack([pixels[digits.train.labels == label].mean(0) for label in range(10)])
    return 0.02 * means / 255, -0.01 * (means**2).sum((1, 2, 3))


def classifier(centres, mean=(0.0,), std=(1.0,), steps: tuple[float, int] | None = None) -> schema.ModelT:
    """The nearest centre for an input of normalized pixels; with `steps` an 8-bit one of that scale and zero point."""
    kernel, bias = centres
    types, operators = schema.TensorType, []
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [], [graph]
    graph.tensors, graph.operators = [], operators

    def tensor(name: bytes, shape: tuple[int, ...], data: np.ndarray | None = None) -> int:
        made = schema.TensorT(name=name, shape=np.array(shape, np.int32), type=types.FLOAT32, buffer=0)
        if data is not None:
            made.buffer = add_buffer(model, data.astype(np.float32))
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], output: int) -> schema.OperatorT:
        model.operatorCodes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=1))
        made = schema.OperatorT(opcodeIndex=len(model.operatorCodes) - 1)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        operators.append(made)
        return made

    first = image = tensor(b"image", (1, SIZE, SIZE, CHANNELS))
    if steps is not None:
        image = tensor(b"real", (1, SIZE, SIZE, CHANNELS))
        graph.tensors[first].type = types.UINT8
        graph.tensors[first].quantization = schema.QuantizationParametersT(
            scale=np.array(steps[:1], np.float32), zeroPoint=np.array(steps[1:], np.int64)
        )
        operator(schema.BuiltinOperator.DEQUANTIZE, [first], image)
    weights = tensor(b"kernel", (10, kernel[0].size), (kernel * std).reshape(10, -1))
    offset = tensor(b"bias", (10,), bias + (kernel * mean).sum((1, 2, 3)))
    scores = tensor(b"scores", (1, 10))
    dense = operator(schema.BuiltinOperator.FULLY_CONNECTED, [image, weights, offset], scores)
    dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    dense.builtinOptions = schema.FullyConnectedOptionsT()
    graph.inputs, graph.outputs = np.array([first], np.int32), np.array([scores], np.int32)
    return model


def stating(model: schema.ModelT, mean: list[float], std: list[float]) -> schema.ModelT:
    """With metadata that hold nothing but a normalization."""
    unit = {"options": {"NormalizationOptions": {"mean": mean, "std": std}}}
    packed = metadata_schema.pack({"subgraph_metadata": [{"input_tensor_metadata": [{"process_units": [unit]}]}]})
    model.metadata = [schema.MetadataT(BUFFER, add_buffer(model, np.frombuffer(packed, np.uint8)))]
    return model


def written(model: schema.ModelT, path: Path) -> Path:
    path.write_bytes(pack(model))
    return path


@pytest.mark.parametrize(
    ("normalization", "steps", "said"),
    [
        (HALF, None, "(pixel - 127.5) / 127.5"),
        (IMAGENET, None, "(pixel - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]"),
        (([0.0], [1.0]), None, "RGB from 0 to 255"),
        (BYTES, (1 / 128, 128), "(pixel - 128) / 128"),
    ],
)
def test_what_is_stated_is_applied(centres, digits, tmp_path, normalization, steps, said):
    plain = load_predictor(written(classifier(centres), tmp_path / "plain.tflite"))
    assert plain.takes == "it takes RGB from 0 to 255, which is assumed: it has no metadata that say so"
    model = stating(classifier(centres, *normalization, steps), *normalization)
    found = load_predictor(written(model, tmp_path / "stated.tflite"))
    assert found.takes == f"it takes {said}, as its metadata say"
    images = digits.test.images(20)
    # Scores of 1 or so, as sums of 3072 products in float32.
    np.testing.assert_allclose(found.predict(images), plain.predict(images), atol=1e-4)


def test_an_8_bit_input_that_cannot_hold_the_pixels_is_refused(centres, tmp_path):
    path = written(classifier(centres, *BYTES, (1 / 128, 128)), tmp_path / "silent.tflite")
    with pytest.raises(BadInput, match=r"holds RGB from 0 to 255.*silent\.tflite, whose input holds -1 to 0\.992188"):
        load_predictor(path)
    assert load_predictor(written(classifier(centres, steps=(0.9, 0)), tmp_path / "nearly.tflite")).classes == 10


@pytest.mark.parametrize(
    ("mean", "std"), [([0.0], [0.0]), ([float("nan")], [1.0]), ([0.0, 1.0], [1.0]), ([0.0], [1.0] * 3000 + [2.0])]
)
def test_what_nothing_can_be_normalized_with_is_refused(centres, tmp_path, mean, std):
    path = written(stating(classifier(centres), mean, std), tmp_path / "bad.tflite")
    with pytest.raises(BadInput, match=r"bad\.tflite has metadata that cannot be used: Expected finite means") as found:
        load_predictor(path)
    assert len(str(found.value)) < 400 and "\n" not in str(found.value)


def test_evaluate_measures_with_it_and_says_so(centres, tmp_path, capsys):
    files = [
        written(stating(classifier(centres, *IMAGENET), *IMAGENET), tmp_path / "stated.tflite"),
        written(classifier(centres), tmp_path / "plain.tflite"),
    ]
    words = ["--model", *map(str, files), "--data=digits", "--json", str(tmp_path / "found.json")]
    assert evaluate.main(words) == OK
    stated, plain = json.loads((tmp_path / "found.json").read_text())
    assert stated["top1"] == plain["top1"] > 0.8
    said = [line for line in capsys.readouterr().err.splitlines() if "test images" in line]
    assert [line.partition("; it takes ")[2] for line in said] == [
        "(pixel - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375], as its metadata say",
        "RGB from 0 to 255, which is assumed: it has no metadata that say so",
    ]
