"""Networks of keras.applications: the same as Keras builds, and through the same commands as ours."""

import importlib
import json

import keras
import pytest

from ghostnet_tf.commands import OK
from ghostnet_tf.models import BUILDERS
from ghostnet_tf.tflite import benchmark, convert
from ghostnet_tf.training import train

# Blocks of MobileNetV2 and MobileNetV3-Small that are like the one before: of each kind, one that adds its input stays.
REPEATED = {"mobilenet_v2": {4, 5, 7, 8, 9, 11, 12, 14, 15}, "mobilenet_v3": {2, 5, 7, 9, 10}}


@pytest.fixture
def few_rows(monkeypatch):
    """EfficientNet of its first three rows."""
    module = importlib.import_module("keras.src.applications.efficientnet")
    monkeypatch.setattr(module, "DEFAULT_BLOCKS_ARGS", module.DEFAULT_BLOCKS_ARGS[:3])


@pytest.fixture
def few_blocks(few_rows, monkeypatch):
    """That, and the other networks, which have no table to shorten, without repeated blocks."""
    for name, repeated in REPEATED.items():
        module = importlib.import_module(f"keras.src.applications.{name}")

        def block(x, *options, whole=module._inverted_res_block, repeated=repeated, **named):
            number = named["block_id"] if named else options[-1]
            return x if number in repeated else whole(x, *options, **named)

        monkeypatch.setattr(module, "_inverted_res_block", block)


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
    assert set(records["int8"]["graph"]["outside"]) == {"SOFTMAX"} | outside  # XNNPACK takes none in int8

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
def test_they_are_those_of_keras(name, application, options, few_rows):
    """Names apart, the same variables and, with the same values, the same outputs for what Keras expects as input."""
    keras.utils.set_random_seed(0)
    shared = {"input_shape": (64, 64, 3), "classes": 7}
    ours = BUILDERS[name](*options.values(), **shared, dropout_rate=0)
    theirs = getattr(keras.applications, application)(**shared, weights=None, **options)
    theirs.set_weights(ours.get_weights())
    images = keras.random.uniform((2, 64, 64, 3), 0, 255, seed=1)
    expected = theirs(images / 127.5 - 1 if name == "mobilenetv2" else images)
    assert keras.ops.max(keras.ops.abs(ours(images) - expected)) < 1e-6
