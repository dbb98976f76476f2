"""PyTorch's own files and official names.

PyTorch is no dependency, and the usual test environment lacks it. There the test without it is real, and most others
run everything but PyTorch: in its place stands a module that hands out what its `load` was given. Where PyTorch is
installed, one test writes and reads its files.
"""

import importlib.util
import json
import pickle
import re
import struct
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import ghostnet_tf
from ghostnet_tf.models import ghostnet
from ghostnet_tf.weights import WeightsUnavailable, load_weights
from ghostnet_tf.weights.torch_names import timm_name

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SMALL = {"width": 0.1, "input_shape": (48, 48, 3), "classes": 5}


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:2])


class Tensor:
    """As much of `torch.Tensor` as the loader uses."""

    def __init__(self, value):
        self.value = np.asarray(value)

    def detach(self):
        return self

    def double(self):
        return Tensor(self.value.astype("float64"))

    def numpy(self):
        return self.value


@pytest.fixture
def torch(monkeypatch):
    """Stands in for PyTorch: `load` gives `content`, or raises it; `calls` has its arguments."""
    module = types.ModuleType("torch")
    module.Tensor, module.content, module.calls = Tensor, None, []

    def load(path, **options):
        module.calls.append((Path(path).name, options))
        if isinstance(module.content, Exception):
            raise module.content
        return module.content

    module.load = load
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_without_pytorch_the_error_says_what_to_do(few_rows, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({}))
    message = r"model\.pth takes PyTorch, .*No module named 'torch'.*pip install torch.*safetensors\.torch\.save_file"
    with pytest.raises(WeightsUnavailable, match=message):
        ghostnet_tf.GhostNet(**SMALL, weights=path)


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("model.pth", lambda tensors: tensors),
        ("model.pth.tar", lambda tensors: {"epoch": 3, "state_dict": tensors, "optimizer": {"lr": 0.1}}),
        (
            "model.bin",
            lambda tensors: {"state_dict": {}, "state_dict_ema": {f"module.{k}": v for k, v in tensors.items()}},
        ),
    ],
)
def test_pytorch_files_are_read_as_weights_only(name, wrap, few_rows, torch, torch_tensors, tmp_path):
    path, tensors = tmp_path / name, torch_tensors(ghostnet_tf.GhostNet(**SMALL))
    path.write_bytes(b"what PyTorch would read")
    extra = {"bn1.num_batches_tracked": Tensor(7), "blocks.0.0.total_ops": Tensor([1.0])}
    torch.content = wrap({key: Tensor(value) for key, value in tensors.items()} | extra)
    model = ghostnet_tf.GhostNet(**SMALL, weights=path)
    assert torch.calls == [(name, {"map_location": "cpu", "weights_only": True})]
    found = torch_tensors(model)
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[key], tensors[key]) for key in tensors)
    with pytest.warns(UserWarning, match="has 5 classes, the model 2: the classifier starts anew"):
        other = ghostnet_tf.GhostNet(**{**SMALL, "classes": 2}, weights=path)
    np.testing.assert_array_equal(other.get_layer("head_conv").bias, tensors["conv_head.bias"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            pickle.UnpicklingError("Weights only load failed"),
            "Expected `weights` to hold tensors and plain values only",
        ),
        (struct.error("unpack requires 4 bytes"), "a readable file (unpack requires 4 bytes)"),
        (EOFError(), "a readable file (EOFError)"),
        (RuntimeError("PytorchStreamReader failed"), "a readable file (PytorchStreamReader failed)"),
        ({"state_dict": {"epoch": 3}}, "Expected a state_dict, or a checkpoint with one under state_dict_ema, "),
        ([1, 2], "Expected a state_dict"),
        ({"bn1.weight": Tensor(np.ones(3))}, "unexpected (bn1.weight)"),
    ],
)
def test_pytorch_files_that_cannot_be_used(content, message, torch, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"what PyTorch would read")
    torch.content = content
    with pytest.raises(ValueError, match=re.escape(message)):
        load_weights(keras.Sequential(name="any"), path)


class Code:
    """Would create a file when it is read by a plain `pickle.load`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_pytorchs_own_files(few_rows, torch_tensors, tmp_path):
    import torch

    tensors, path = torch_tensors(ghostnet_tf.GhostNet(**SMALL)), tmp_path / "model.pth.tar"
    saved = {"epoch": 3, "state_dict": {f"module.{key}": torch.from_numpy(value) for key, value in tensors.items()}}
    torch.save(saved, path)
    found = torch_tensors(ghostnet_tf.GhostNet(**SMALL, weights=path))
    assert all(np.array_equal(found[key], tensors[key]) for key in tensors)

    torch.save(saved | {"code": Code(tmp_path / "it ran")}, path)
    with pytest.raises(ValueError, match="Expected `weights` to hold tensors and plain values only"):
        ghostnet_tf.GhostNet(**SMALL, weights=path)
    assert not (tmp_path / "it ran").exists()


def official(name: str) -> str:
    """A name of timm's GhostNetV3 in the official code, where a branch's normalization is called `bn`."""
    return re.sub(r"(_rpr_conv\.\d|_rpr_scale)\.bn1", r"\1.bn", name)


def test_official_names_of_v3_are_timms_but_for_the_branches_normalization():
    names = list(json.loads((GOLDEN / "ghostnetv3_100.json").read_text()))
    assert sum(official(name) != name for name in names) > 1000
    for name in names:
        expected = None if name.endswith("num_batches_tracked") else name
        assert timm_name(official(name)) == timm_name(f"module.{official(name)}") == timm_name(name) == expected
    assert timm_name("blocks.0.0.ghost1.total_params") is None
    assert timm_name("blocks.9.0.bn1.weight") == "blocks.9.0.bn1.weight"


def test_an_official_checkpoint_of_v3_loads(few_rows, torch_tensors, tmp_path):
    tensors = torch_tensors(ghostnet_tf.GhostNetV3(**SMALL))
    counters = {"total_ops": np.zeros(1), "blocks.1.0.dw_rpr_scale.total_params": np.zeros(1)}
    save_file({official(key): value for key, value in tensors.items()} | counters, tmp_path / "official.safetensors")
    found = torch_tensors(ghostnet_tf.GhostNetV3(**SMALL, weights=tmp_path / "official.safetensors"))
    assert all(np.array_equal(found[key], tensors[key]) for key in tensors)
