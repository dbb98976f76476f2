"""Files on LiteRT's GPU accelerator, with whatever Vulkan driver there is: `make test-gpu` fetches SwiftShader."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ghostnet_tf import commands
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import convert as convert_command
from ghostnet_tf.tflite import gpu
from ghostnet_tf.tflite.flatbuffer import with_logits
from ghostnet_tf.tflite.hybrid import with_float_weights
from ghostnet_tf.tflite.schemes import SCHEMES, convert


def without_driver() -> str:
    """Why nothing here can run; empty where it can."""
    try:
        gpu.driver()
    except commands.MissingResource as reason:
        return str(reason)
    return ""


pytestmark = pytest.mark.skipif(bool(without_driver()), reason=without_driver())  # before fixtures convert anything

# Floats: adding up in another order. The others: see `GpuCheck.tolerance`.
LIMITS = {"fp32": 1e-4, "fp16": 1e-4}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_small_files(small_files, small_images, scheme):
    found = gpu.check_on_gpu(small_files[scheme], small_images.held_out[:4])
    assert found.fully_accelerated
    assert found.max_difference <= LIMITS.get(scheme, found.tolerance), found


def test_logits_of_int8(small_files, small_images):
    """They show more than probabilities: the softmax of an untrained network is flat."""
    logits = with_logits(small_files["int8"])
    found = gpu.check_on_gpu(logits, small_images.held_out[:4])
    assert found.passed, found
    (step,) = gpu.output_steps(logits)
    assert round(found.max_difference / step) <= 8  # measured: 3 and 8 on two processors; fp32's lie up to 10 away


@pytest.mark.parametrize("scheme", SCHEMES)
def test_full_size(full_files, full_images, scheme):
    found = gpu.check_on_gpu(full_files[scheme], full_images.held_out)
    print(scheme, found)
    assert found.fully_accelerated
    assert found.max_difference <= LIMITS.get(scheme, found.tolerance), found


@pytest.mark.parametrize("scheme", ["hybrid", "dynamic"])
def test_hybrid_operations_are_computed_in_floats(small_files, small_images, scheme):
    """So that it differs from the CPU, which rounds activations too, but not from its weights in a float file."""
    images = small_images.held_out[:4]
    content = small_files[scheme]
    floats = TFLiteModel(with_float_weights(content)).predict(images)
    (found,) = gpu.run_on_gpu(content, images).outputs
    np.testing.assert_allclose(found, floats, atol=1e-5)
    assert np.abs(TFLiteModel(content).predict(images) - floats).max() > 1e-4


class WholeNumbers(keras.layers.Layer):
    """Has no counterpart on GPUs."""

    def call(self, inputs):
        return tf.cast(tf.cast(inputs, tf.int64) * 3, tf.float32)


def test_what_a_gpu_cannot_do_is_named():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), WholeNumbers()])
    with pytest.raises(commands.CommandError, match=r"does not run the file(?s:.*)CAST: Tensor type\(INT64\)"):
        gpu.run_on_gpu(convert(model, "fp32"), np.zeros((1, 8, 8, 3), np.float32))


def test_several_outputs_come_in_the_models_order():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(4, 3)(image)
    model = keras.Model(image, [features, keras.layers.GlobalAveragePooling2D()(features)])
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
    found = gpu.run_on_gpu(convert(model, "fp32"), images).outputs
    for expected, output in zip(model.predict(images, verbose=0), found, strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_a_driver_that_is_none(small_files, small_images, monkeypatch, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"file_format_version": "1.0.0", "ICD": {"library_path": "./gone.so", "api_version": "1.0.5"}}')
    monkeypatch.setenv("VK_DRIVER_FILES", str(broken))
    with pytest.raises(commands.MissingResource, match="cannot use the Vulkan driver"):
        gpu.run_on_gpu(small_files["fp32"], small_images.held_out[:1])


def test_convert_checks_and_records(tmp_path, capsys):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()])
    model.save(tmp_path / "little.keras")
    arguments = ["--model", str(tmp_path / "little.keras"), "--fp32", "--check-gpu", "--output", str(tmp_path / "out")]
    assert convert_command.main(arguments) == commands.OK
    (record,) = (tmp_path / "out").glob("*.json")
    found = json.loads(record.read_text())["gpu"]
    assert found["fully_accelerated"]
    assert found["images"] == 4
    assert found["max_difference"] <= found["tolerance"]
    assert ": all operations; " in capsys.readouterr().out

    assert convert_command.main(["--selftest", str(record.with_suffix(".tflite")), "--check-gpu"]) == commands.OK
    assert "GPU: ok, " in capsys.readouterr().out
