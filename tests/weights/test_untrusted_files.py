"""Weight files from strangers: one clear error in 5 seconds and little memory, and the model as it was."""

import json
import random
import re
import struct
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import ghostnet_tf
from ghostnet_tf.commands import BadInput
from ghostnet_tf.models import ghostnet
from ghostnet_tf.tflite import cold_start, sources
from ghostnet_tf.training.predict import load_predictor
from ghostnet_tf.weights import load_weights

SECONDS = 5  # of the processor, since a busy machine makes everything take longer
MEMORY = 300e6  # bytes; building the network of a file takes some 50 MB, what the hostile ones claim takes gigabytes


@pytest.fixture(scope="module")
def model():
    """A network of two rows and 10 classes; the files below are of one like it with other values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:2])
        keras.utils.set_random_seed(1)
        yield ghostnet_tf.GhostNet(0.25, input_shape=(32, 32, 3), classes=10)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory, torch_tensors):
    """Sound files of the network by kind."""
    folder = tmp_path_factory.mktemp("whole")
    files = {kind: folder / f"model.{kind}" for kind in ("safetensors", "weights.h5", "keras")}
    other = keras.models.clone_model(model)
    other.save(files["keras"])
    other.save_weights(files["weights.h5"])
    save_file(torch_tensors(other), files["safetensors"])
    return files


@pytest.fixture
def refused(model):
    """`refused(path, message)`: loading it ends so, in time, in little memory, and leaves the model as it was."""

    def check(path: Path, message: str) -> None:
        before, memory = [weight.numpy() for weight in model.weights], peak_memory()
        start = time.process_time()
        with pytest.raises(ValueError, match=message) as error:
            load_weights(model, path)
        assert time.process_time() - start < SECONDS
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        assert memory is None or peak_memory(reset=False) - memory < MEMORY
        for value, weight in zip(before, model.weights, strict=True):
            np.testing.assert_array_equal(value, weight.numpy())

    return check


def peak_memory(reset: bool = True) -> int | None:
    """Greatest resident memory in bytes since the last reset; None where there is no /proc that tells."""
    if reset and Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
    return cold_start.peak_memory()


def keras_file(path: Path, whole: Path, compression=zipfile.ZIP_STORED, **members: bytes | None) -> Path:
    """`whole` with other members; those that are None are left out."""
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            content = members.get(name.split(".")[0], source.read(name))
            if content is not None:
                target.writestr(name, content)
    return path


def test_the_sound_files_load(whole, model):
    for path in whole.values():
        load_weights(model, path)


@pytest.mark.parametrize("kind", ["safetensors", "weights.h5", "keras"])
def test_truncated(kind, whole, refused, tmp_path):
    content = whole[kind].read_bytes()
    for number, length in enumerate((0, 7, len(content) // 2, len(content) - 1)):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(content[:length])
        refused(path, "Expected `weights` to be a readable file")


@pytest.mark.parametrize(("kind", "times"), [("safetensors", 30), ("weights.h5", 4), ("keras", 20)])
def test_flipped_bits(kind, times, whole, model, tmp_path):
    """All or nothing: an error and the old values, or every value of the file (some bits mean nothing)."""
    content, rng = whole[kind].read_bytes(), random.Random(0)
    path = tmp_path / f"flipped.{kind}"
    for _ in range(times):
        flipped = bytearray(content)
        flipped[rng.randrange(4096)] ^= 1 << rng.randrange(8)  # where the headers are
        path.write_bytes(flipped)
        for weight in model.weights:
            weight.assign(np.full(weight.shape, 7, weight.dtype))
        start = time.process_time()
        try:
            load_weights(model, path)
        except ValueError as error:
            assert re.match(r"Expected (`weights`|weights|\d+ tensors)", str(error))
            assert all((weight.numpy() == 7).all() for weight in model.weights)
        else:
            assert not any((weight.numpy() == 7).any() for weight in model.weights)
        assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 80) + b'{"x":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'.ljust(80),
        struct.pack("<Q", 80) + b'{"x":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}'.ljust(80) + b"abcd",
    ],
)
def test_safetensors_that_claim_gigabytes(header, refused, tmp_path):
    (tmp_path / "huge.safetensors").write_bytes(header)
    refused(tmp_path / "huge.safetensors", "to be a readable file")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_no_numbers(value, whole, model, refused, tmp_path, torch_tensors):
    tensors = torch_tensors(model)
    tensors["bn1.weight"] = np.full(tensors["bn1.weight"].shape, value)
    save_file(tensors, tmp_path / "nan.safetensors")
    refused(tmp_path / "nan.safetensors", r"1 not of finite numbers \(stem_bn/gamma\)")


def _huge(file: h5py.File) -> None:
    file.create_dataset("layers/huge", (1 << 30,), "f4", chunks=(1 << 20,), compression="gzip")


def _classes_without_a_kernel(file: h5py.File) -> None:
    """Four million classes, whose kernel would be 20 GB."""
    del file["layers/dense/vars/1"]
    file.create_dataset("layers/dense/vars/1", (4_000_000,), "f4", chunks=(1 << 20,), compression="gzip")


def _external(file: h5py.File) -> None:
    file["layers/other"] = h5py.ExternalLink("/etc/hostname", "/")


def _text(file: h5py.File) -> None:
    shape = file["layers/dense/vars/1"].shape
    del file["layers/dense/vars/1"]
    file["layers/dense/vars/1"] = np.full(shape, b"one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_huge, "it claims 4,2.. MB"),
        (_classes_without_a_kernel, "tensors for|it claims"),
        (_external, "layers/other refers to another place"),
        (_text, "to be a readable file|not of finite numbers"),
    ],
)
def test_hdf5_that_is_not_what_keras_saves(change, message, whole, refused, tmp_path):
    path = tmp_path / "changed.weights.h5"
    path.write_bytes(whole["weights.h5"].read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    refused(path, message)


def _layers(whole: Path, *layers: dict) -> bytes:
    """A configuration of an input and `layers`."""
    with zipfile.ZipFile(whole) as archive:
        config = json.loads(archive.read("config.json"))
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 8]}}
    sequential = {"module": "keras", "class_name": "Sequential", "config": {"name": "x", "layers": [first, *layers]}}
    return json.dumps(sequential | {"registered_name": None, "compile_config": config.get("compile_config")}).encode()


def test_keras_files_that_are_not_what_keras_saves(whole, refused, tmp_path):
    def dense(units):
        return {"module": "keras.layers", "class_name": "Dense", "registered_name": None, "config": {"units": units}}

    foreign = {"module": "os", "class_name": "system", "registered_name": "other>system", "config": {"command": "ls"}}
    sound = whole["keras"]
    cases = {
        "bomb": ({"config": b" " * 50_000_000, "compression": zipfile.ZIP_DEFLATED}, "it claims 50 MB"),
        "units": ({"config": _layers(sound, dense(10**9))}, "it claims 32,000 MB"),
        "product": ({"config": _layers(sound, dense(60_000), dense(60_000))}, "it claims 14,4.. MB"),
        "foreign": ({"config": _layers(sound, foreign)}, "could not be deserialized|Could not locate"),
        "deep": ({"config": b"[" * 100_000}, "recursion|to be a readable file"),
        "words": ({"config": b"no JSON"}, "to be a readable file"),
        "function": (
            {"config": b'{"module": "builtins", "class_name": "function", "config": "relu"}'},
            "readable file",
        ),
        "bare": ({"model": None}, "no item named 'model.weights.h5'"),
    }
    for name, (members, message) in cases.items():
        refused(keras_file(tmp_path / f"{name}.keras", sound, **members), message)


def test_the_commands_refuse_them_in_one_line(whole, tmp_path):
    bomb = keras_file(tmp_path / "bomb.keras", whole["keras"], zipfile.ZIP_DEFLATED, config=b" " * 50_000_000)
    for read in (load_predictor, sources._input_size):
        with pytest.raises(BadInput, match=r"bomb\.keras.*it claims 50 MB"):
            read(bomb)
