"""`gpu` and `convert --check-gpu` where they need no driver; what needs one is in devices/."""

import json
import os
import re
import subprocess
import unittest.mock

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite import convert, gpu, pipeline, sources
from ghostnet_tf.tflite.flatbuffer import with_logits

IMAGES = np.zeros((1, 32, 32, 3), np.uint8)


@pytest.fixture
def without_driver(monkeypatch):
    """A Linux machine without a GPU, nothing installed, nothing set."""
    for name in gpu.DRIVER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpu, "_has_gpu", lambda: False)
    monkeypatch.setattr(gpu, "FOLDERS", ())


@pytest.fixture
def some_driver(without_driver, monkeypatch, tmp_path):
    """A description of a driver, which nothing reads in these tests."""
    (tmp_path / gpu.SWIFTSHADER).touch()
    monkeypatch.setattr(gpu, "FOLDERS", (tmp_path / "absent", tmp_path))
    return tmp_path


def check(**changes) -> gpu.GpuCheck:
    good = {"device": "A", "images": 4, "fully_accelerated": True, "max_difference": 1e-5, "tolerance": 1e-4}
    return gpu.GpuCheck(**good | changes)


def test_no_driver(without_driver):
    with pytest.raises(commands.MissingResource, match=r"no GPU.* `make test-gpu`"):
        gpu.driver()


@pytest.mark.parametrize("name", gpu.DRIVER_VARIABLES)
def test_a_driver_that_the_user_names(some_driver, monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, str(some_driver / gpu.SWIFTSHADER))
    assert gpu.driver() == {}
    monkeypatch.setenv(name, f"{some_driver / gpu.SWIFTSHADER}{os.pathsep}{tmp_path / 'gone.json'}")
    with pytest.raises(commands.MissingResource, match=rf"{name} names .*gone\.json, which does not exist"):
        gpu.driver()


def test_a_gpu_comes_before_swiftshader(some_driver, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    found = {"VK_DRIVER_FILES": str(some_driver / gpu.SWIFTSHADER), "LD_LIBRARY_PATH": f"{some_driver}:/mine"}
    assert gpu.driver() == found
    monkeypatch.setattr(gpu, "_has_gpu", lambda: True)
    assert gpu.driver() == {}


def test_what_passes():
    assert check().passed
    assert check(max_difference=1e-4).passed
    assert not check(max_difference=1.01e-4).passed
    assert not check(max_difference=np.inf).passed
    assert not check(fully_accelerated=False).passed


def test_steps_of_outputs(small_files):
    assert gpu.output_steps(small_files["fp32"]) == [0]
    assert gpu.output_steps(small_files["fp16"]) == [0]
    assert gpu.output_steps(small_files["int8"]) == [1 / 256]  # of the softmax, before it is dequantized
    (step,) = gpu.output_steps(with_logits(small_files["int8"]))
    assert 1e-4 < step < 1


LOG = """\
INFO: [environment.cc:36] Creating LiteRT environment with options
I0000 00:00:1795341645.397540   26311 environment.cc:532] Selected adapter: Some, arch=any
└ Could not load shared library vendor.so
ERROR: Following operations are not supported by GPU delegate:
CAST: Tensor type(INT64) is not supported.
Traceback (most recent call last):
  File "somewhere.py", line 1
RuntimeError: ERROR: [litert_compiled_model.h:1961]
"""


@pytest.mark.parametrize(
    ("log", "code", "kind", "message"),
    [
        (LOG, 1, commands.CommandError, r"It said:\n  ERROR: Following.*\n  CAST: .*supported\.\n  RuntimeError: .*$"),
        ("INFO: fine\n", -11, commands.CommandError, "It said:\n  nothing; it ended with code -11$"),
        (
            "ERROR: Failed to initialize WebGPU environment: No adapters found\n",
            1,
            commands.MissingResource,
            "cannot use the Vulkan driver.*No adapters found",
        ),
    ],
)
def test_what_a_failure_says(some_driver, small_files, monkeypatch, log, code, kind, message):
    def failed(*_):
        return subprocess.CompletedProcess([], code, "", log)

    monkeypatch.setattr(gpu, "run_module", failed)
    with pytest.raises(kind, match=f"(?s){message}"):
        gpu.run_on_gpu(small_files["fp32"], IMAGES)


def test_a_driver_that_hangs(some_driver, small_files, monkeypatch):
    def hung(*_):
        raise subprocess.TimeoutExpired("python", gpu.TIMEOUT)

    monkeypatch.setattr(gpu, "run_module", hung)
    with pytest.raises(commands.CommandError, match="did not answer for 600 seconds"):
        gpu.check_on_gpu(small_files["fp32"], IMAGES)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    model = keras.Sequential(
        [keras.Input((8, 8, 3), name="image"), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    path = tmp_path_factory.mktemp("model") / "little.keras"
    model.save(path)
    return path


def run(model_file, folder) -> int:
    return convert.main(["--model", str(model_file), "--fp32", "--check-gpu", "--output", str(folder)])


def test_convert_without_a_driver_stops_at_once(without_driver, model_file, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sources, "find", lambda *_: pytest.fail("looked for the model first"))
    assert run(model_file, tmp_path / "out") == commands.MISSING
    assert "make test-gpu" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_convert_records_the_check(some_driver, model_file, monkeypatch, capsys, tmp_path):
    seen = []

    def passed(content, images):
        seen.append(images.shape)
        return check(device="Adreno")

    monkeypatch.setattr(pipeline, "check_on_gpu", passed)
    assert run(model_file, tmp_path) == commands.OK
    assert "GPU accelerator on Adreno: all operations; outputs for 4 images differ" in capsys.readouterr().out
    (record,) = tmp_path.glob("*_fp32.json")
    assert json.loads(record.read_text())["gpu"] == check(device="Adreno").as_dict()
    assert seen == [(4, 8, 8, 3)]


@pytest.mark.parametrize(
    ("result", "code", "message"),
    [
        (
            check(max_difference=0.5),
            commands.FAILED,
            "saved: GPU accelerator on A: all .* most 0.5, 0.0001",
        ),
        (check(fully_accelerated=False), commands.FAILED, "fp32 was not saved: .*: not all operations"),
        (commands.CommandError("It said: CAST"), commands.FAILED, "fp32 was not saved: It said: CAST"),
        (commands.MissingResource("no adapters"), commands.MISSING, "fp32 was not saved: no adapters"),
    ],
)
def test_convert_saves_nothing_that_fails(
    some_driver, model_file, monkeypatch, capsys, tmp_path, result, code, message
):
    def found(*_):
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(pipeline, "check_on_gpu", found)
    folder = tmp_path / "out"
    assert run(model_file, folder) == code
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(message, said)
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize(
    ("result", "code", "message"),
    [
        (check(device="Mali"), commands.OK, r"GPU: ok, Mali: all operations"),
        (check(max_difference=0.5), commands.FAILED, r"GPU: FAILED, A: all operations; .* most 0\.5"),
        (commands.CommandError("It said: CAST"), commands.FAILED, r"GPU: FAILED, It said: CAST"),
        (commands.MissingResource("no adapters"), commands.MISSING, r"error: no adapters"),
    ],
)
def test_selftest_checks_a_file_that_there_is(
    some_driver, model_file, monkeypatch, capsys, tmp_path, result, code, message
):
    file = tmp_path / "mine.tflite"
    assert convert.main(["--model", str(model_file), "--fp32", "--output", str(file)]) == commands.OK
    found = unittest.mock.Mock(side_effect=[result])  # raises it if it is an error
    monkeypatch.setattr(gpu, "check_on_gpu", found)
    capsys.readouterr()
    assert convert.main(["--selftest", str(file), "--check-gpu"]) == code
    assert re.search(message, "".join(capsys.readouterr()))
    content, images = found.call_args.args
    assert content == file.read_bytes()
    assert images.shape == (4, 8, 8, 3)
