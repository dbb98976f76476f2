"""Files on an emulated ARM processor against this machine: `make test-arm` sets it up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, pack, unpack, with_outputs

FOLDER = Path(__file__).parent
RUN_FILES = FOLDER / "run_files.py"
ARM = FOLDER.parents[2] / ".cache" / "arm"
FLAG = b"reduced_precision_support"
needs_arm = pytest.mark.skipif(
    not ARM.is_dir(), reason="no emulated ARM processor: make test-arm sets it up, on Debian"
)


def run_files(words: list[str], folder: Path, files: dict[str, bytes], images: np.ndarray) -> dict[str, list]:
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
    outputs = {name: [] for name in files}
    with np.load(folder / "results.npz") as stored:
        for key in stored.files:
            outputs[key.rpartition(" ")[0]].append(stored[key])
    return outputs


@pytest.fixture(scope="module")
def on_arm(tmp_path_factory):
    """`run_files` on a Cortex-A76, a processor of 2018 that computes in 16 bits and multiplies int8 four at a time."""
    words = subprocess.run(
        [sys.executable, str(FOLDER / "emulated_arm.py"), "--command"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return lambda files, images: run_files(words, tmp_path_factory.mktemp("arm"), files, images)


def here(files, images, tmp_path_factory) -> dict[str, np.ndarray]:
    return run_files([sys.executable], tmp_path_factory.mktemp("here"), files, images)


def with_activations(content: bytes) -> bytes:
    """The file with the result of each operation an output, in the order of operations."""
    model = unpack(content)
    return with_outputs(model, [operator.outputs[0] for operator in model.subgraphs[0].operators])


@pytest.fixture(scope="module")
def files(small_files) -> dict[str, bytes]:
    """The small network's, of int8 also every activation, fp16 also without permission to compute in 16 bits."""
    plain = unpack(small_files["fp16"])
    plain.metadata = [entry for entry in plain.metadata if entry.name != FLAG]
    return small_files | {"activations": with_activations(small_files["int8"]), "fp16 in 32": pack(plain)}


@pytest.fixture(scope="module")
def both(on_arm, files, small_images, tmp_path_factory):
    """Of each file, the outputs on ARM and here."""
    arm, x86 = on_arm(files, small_images.held_out), here(files, small_images.held_out, tmp_path_factory)
    return {name: (arm[name], x86[name]) for name in files}


def test_the_script_gives_what_the_runtime_gives(small_files, small_images, tmp_path_factory):
    images = small_images.held_out[:2]
    found = here({name: small_files[name] for name in ("int8", "fp32")}, images, tmp_path_factory)
    for name, (outputs,) in found.items():
        np.testing.assert_array_equal(outputs, TFLiteModel(small_files[name]).predict(images))


def exact_mean(model: schema.ModelT, operator: schema.OperatorT, values: np.ndarray) -> np.ndarray:
    """What MEAN of a whole map of integers is before it is rounded to one, in double precision."""
    tensors = model.subgraphs[0].tensors
    before, after = (tensors[index].quantization for index in (operator.inputs[0], operator.outputs[0]))
    mean = values.mean((1, 2), keepdims=True) - before.zeroPoint[0]
    return mean * (float(before.scale[0]) / float(after.scale[0])) + after.zeroPoint[0]


def check_operations(content: bytes, arm: list[np.ndarray], x86: list[np.ndarray]) -> int:
    """Every operation on equal inputs gives equal outputs, but a mean may round a tie the other way; how many did."""
    model = unpack(content)
    at = {int(operator.outputs[0]): number for number, operator in enumerate(model.subgraphs[0].operators)}
    compared, ties = 0, 0
    for number, operator in enumerate(model.subgraphs[0].operators):
        name, read = op_name(model, operator), [at[int(index)] for index in operator.inputs if int(index) in at]
        same = np.all([(arm[one] == x86[one]).reshape(len(x86[0]), -1).all(1) for one in read], axis=0)
        here, there = (values[same].astype(np.float64) for values in (x86[number], arm[number]))
        compared += here.size > 0
        if name == "MEAN":
            differ = here != there
            assert np.abs(here - there).max(initial=0) <= 1
            exact = exact_mean(model, operator, x86[read[0]][same].astype(np.float64))
            # In single precision, values up to 128 lie up to 2**-17 from where they belong, after few operations.
            np.testing.assert_allclose(exact[differ] % 1, 0.5, rtol=0, atol=1e-4)
            ties += int(differ.sum())
        else:
            np.testing.assert_array_equal(there, here, err_msg=f"operation {number}, {name}")
    # Behind the last mean, four operations or so, nothing is left to compare if it is a tie in every image.
    assert compared >= len(model.subgraphs[0].operators) - (5 if ties else 0)
    return ties


@needs_arm
def test_int8_operations_are_the_same_on_both(both, small_files):
    check_operations(small_files["int8"], *both["activations"])


@needs_arm
def test_int8_differs_by_no_more_than_ties(both):
    (arm,), (x86,) = both["int8"]
    assert np.ptp(x86) > 0
    assert np.abs(arm - x86).max() <= 2 / 256  # bit-identical where no mean is a tie, which is most of the time


@needs_arm
@pytest.mark.parametrize("name", ["fp32", "fp16 in 32"])
def test_floats_are_as_close_as_rounding_lets_them(both, name):
    (arm,), (x86,) = both[name]
    np.testing.assert_allclose(arm, x86, atol=1e-5)


@needs_arm
def test_fp16_is_computed_in_16_bits(both):
    (arm,), (x86,) = both["fp16"]
    # Halves have 11 bits: 5e-4 of a value at each of the 70 or so layers in a row, of either sign.
    assert 1e-5 < np.abs(arm - x86).max() < 0.02
    np.testing.assert_array_equal(x86, both["fp16 in 32"][1][0])


@needs_arm
def test_dynamic_rounds_activations_elsewhere(both):
    (arm,), (x86,) = both["dynamic"]
    np.testing.assert_allclose(arm, x86, atol=0.02)


@needs_arm
def test_full_size(full_files, full_images, on_arm, tmp_path_factory):
    files = {"activations": with_activations(full_files["int8"])} | {
        name: full_files[name] for name in ("fp32", "int8")
    }
    images = full_images.held_out
    arm, x86 = on_arm(files, images), here(files, images, tmp_path_factory)
    ties = check_operations(full_files["int8"], arm["activations"], x86["activations"])
    ends = {name: float(np.abs(arm[name][0] - x86[name][0]).max()) for name in ("fp32", "int8")}
    print(f"GhostNet 1.0 at 224 px on ARM: {ties} ties of means, outputs differ by at most {ends}")
    assert ends["int8"] <= 2 / 256
    assert ends["fp32"] <= 1e-5


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
