"""Networks of keras.applications: the same as Keras builds, and through the same commands as ours."""

import importlib
import json

import keras
import pytest

from ghostnet_tf.commands import OK
from ghostnet_tf.models import BUILDERS
from ghostnet_tf.tflite import benchmark, convert
from ghostnet_tf.training import train


@pytest.fixture
def few_blocks(monkeypatch):
    """EfficientNet of its first three rows; the other networks have no table to shorten."""
    module = importlib.import_module("keras.src.applications.efficientnet")
    monkeypatch.setattr(module, "DEFAULT_BLOCKS_ARGS", module.DEFAULT_BLOCKS_ARGS[:3])


@pytest.mark.parametrize(
    ("name", "options", "outside"),
    [
        ("mobilenetv2", ["--width", "0.1"], set()),
        ("mobilenetv3_small", ["--width", "0.1"], {"HARD_SWISH"}),  # XNNPACK takes none in int8
        ("efficientnet_b0", [], set()),
    ],
)
def test_from_images_to_milliseconds(name, options, outside, few_blocks, tmp_path, capsys):
    run = tmp_path / "run"
    settings = ["--size", "32", "--epochs", "1", "--warmup-epochs", "0.5", "--batch-size", "256"]
    assert train.main(["--data", "digits", "--model", name, *options, *settings, "--output", str(run)]) == OK
    assert keras.models.load_model(run / "model.keras").output_shape == (None, 10)

    few = ["--calibration-images", "100", "--verification-images", "20"]
    assert convert.main(["--model", str(run), "--fp32", "--int8", *few]) == OK
    records = [json.loads(file.read_text(encoding="utf-8")) for file in (run / "exports").glob("*.json")]
    records = {record["scheme"]: record for record in records}
    assert records["fp32"]["agreement"]["max_difference"] < 1e-4  # of probabilities
    assert len(records["fp32"]["graph"]["partitions"]) == 1
    assert records["int8"]["agreement"]["cosine"] > 0.95  # of logits, trained for an epoch
    assert records["int8"]["graph"]["float_ops"] == 0
    # Of the input from uint8, and XNNPACK takes no int8 softmax.
    assert set(records["int8"]["graph"]["outside"]) == {"QUANTIZE", "SOFTMAX"} | outside

    files = [str(file) for file in sorted((run / "exports").glob("*.tflite"))]
    capsys.readouterr()
    assert benchmark.main([*files, "--num-runs", "2", "--warmup-runs", "1"]) == OK
    printed = capsys.readouterr().out
    assert all(record["file"] in printed for record in records.values())


@pytest.mark.parametrize(
    ("name", "application", "options"),
    [
        ("mobilenetv2", "MobileNetV2", {"alpha": 0.35}),
        ("mobilenetv3_small", "MobileNetV3Small", {"alpha": 0.35}),
        ("mobilenetv3_large", "MobileNetV3Large", {"alpha": 0.35}),
        ("efficientnet_b0", "EfficientNetB0", {}),
    ],
)
def test_they_are_those_of_keras(name, application, options, few_blocks):
    """Names apart, the same variables and, with the same values, the same outputs for what Keras expects as input."""
    keras.utils.set_random_seed(0)
    shared = {"input_shape": (64, 64, 3), "classes": 7}
    ours = BUILDERS[name](*options.values(), **shared, dropout_rate=0)
    theirs = getattr(keras.applications, application)(**shared, weights=None, **options)
    theirs.set_weights(ours.get_weights())
    images = keras.random.uniform((2, 64, 64, 3), 0, 255, seed=1)
    expected = theirs(images / 127.5 - 1 if name == "mobilenetv2" else images)
    assert keras.ops.max(keras.ops.abs(ours(images) - expected)) < 1e-6
