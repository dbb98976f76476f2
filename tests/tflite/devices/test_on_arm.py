"""Files on an emulated ARM processor against this machine: `make test-arm` sets it up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import pack, unpack
from ghostnet_tf.tflite.schemes import convert

FOLDER = Path(__file__).parent
RUN_FILES = FOLDER / "run_files.py"
ARM = FOLDER.parents[2] / ".cache" / "arm"
FLAG = b"reduced_precision_support"


def run_files(words: list[str], folder: Path, files: dict[str, bytes], images: np.ndarray) -> dict[str, np.ndarray]:
    """Raw outputs of each file by its key, computed by the Python that `words` start."""
    np.save(folder / "images.npy", images)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    done = subprocess.run(
        [*words, str(RUN_FILES), "results.npz", "images.npy", *files],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def on_arm(tmp_path_factory):
    """`run_files` on a Cortex-A76, a processor of 2018 that computes in 16 bits and multiplies int8 four at a time."""
    if not ARM.is_dir():
        pytest.skip("no emulated ARM processor: make test-arm sets it up, on Debian")
    words = subprocess.run(
        [sys.executable, str(FOLDER / "emulated_arm.py"), "--command"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return lambda files, images: run_files(words, tmp_path_factory.mktemp("arm"), files, images)


def here(files, images, tmp_path_factory) -> dict[str, np.ndarray]:
    return run_files([sys.executable], tmp_path_factory.mktemp("here"), files, images)


@pytest.fixture(scope="module")
def files(small_model, small_files, small_images) -> dict[str, bytes]:
    """The small network's, int8 also with logits for output, fp16 also without permission to compute in 16 bits."""
    ends_int8 = {"representative_dataset": small_images.calibration, "input_type": "int8", "output_type": "int8"}
    plain = unpack(small_files["fp16"])
    plain.metadata = [entry for entry in plain.metadata if entry.name != FLAG]
    return small_files | {"int8 throughout": convert(small_model, "int8", **ends_int8), "fp16 in 32": pack(plain)}


@pytest.fixture(scope="module")
def both(on_arm, files, small_images, tmp_path_factory):
    """Of each file, the outputs on ARM and here."""
    images = small_images.held_out // 2  # also fits int8
    arm, x86 = on_arm(files, images), here(files, images, tmp_path_factory)
    return {name: (arm[name], x86[name]) for name in files}


def test_the_script_gives_what_the_runtime_gives(small_files, small_images, tmp_path_factory):
    images = small_images.held_out[:2]
    found = here({name: small_files[name] for name in ("int8", "fp32")}, images, tmp_path_factory)
    for name, outputs in found.items():
        np.testing.assert_array_equal(outputs, TFLiteModel(small_files[name]).predict(images))


@pytest.mark.parametrize("name", ["int8", "int8 throughout"])
def test_int8_is_the_same_on_both(both, name):
    arm, x86 = both[name]
    assert np.ptp(x86) > 0
    np.testing.assert_array_equal(arm, x86)


@pytest.mark.parametrize("name", ["fp32", "fp16 in 32"])
def test_floats_are_as_close_as_rounding_lets_them(both, name):
    np.testing.assert_allclose(*both[name], atol=1e-5)


def test_fp16_is_computed_in_16_bits(both):
    arm, x86 = both["fp16"]
    difference = np.abs(arm - x86).max()
    # Halves have 11 bits: 5e-4 of a value at each of the 70 or so layers in a row, of either sign.
    assert 1e-5 < difference < 0.02
    np.testing.assert_array_equal(x86, both["fp16 in 32"][1])


def test_dynamic_rounds_activations_elsewhere(both):
    np.testing.assert_allclose(*both["dynamic"], atol=0.02)


def test_full_size(full_files, full_images, on_arm, tmp_path_factory):
    images = full_images.held_out
    arm, x86 = on_arm(full_files, images), here(full_files, images, tmp_path_factory)
    np.testing.assert_array_equal(arm["int8"], x86["int8"])
    np.testing.assert_allclose(arm["fp32"], x86["fp32"], atol=1e-5)


@pytest.mark.parametrize("script", ["emulated_arm.py", "swiftshader.py"])
def test_set_up_without_apt_says_what_is_missing(script, tmp_path):
    for file in FOLDER.glob("*.py"):
        path = tmp_path / "checkout" / "tests" / "tflite" / "devices" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)
    done = subprocess.run(
        [sys.executable, str(path.with_name(script))], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "apt-get is missing: this set-up needs Debian" in done.stderr
    assert not (tmp_path / "checkout" / ".cache").exists()
