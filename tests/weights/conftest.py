"""Checkpoints in PyTorch's form with known numbers, and a stand-in for the hub."""

import hashlib
import http.server
import importlib.util
import json
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from ghostnet_tf.layers.composite import variable_key
from ghostnet_tf.weights.torch_names import torch_name

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture
def float64():
    """Layers made in double precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="session")
def golden():
    """The module that derives numbers from tensor names."""
    spec = importlib.util.spec_from_file_location("golden_generate", GOLDEN / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden_tensors(golden):
    """`golden_tensors(name)` gives the reference's state_dict."""

    def tensors(name: str) -> dict[str, np.ndarray]:
        shapes = json.loads((GOLDEN / f"{name}.json").read_text())
        return {key: golden.tensor(key, tuple(shape)) for key, shape in shapes.items()}

    return tensors


@pytest.fixture
def golden_checkpoint(golden_tensors, tmp_path):
    """`golden_checkpoint(name, **changes)` writes the reference's state_dict and gives the path.

    A change to None leaves a tensor out.
    """

    def checkpoint(name: str, changes: dict | None = None) -> Path:
        tensors = {k: v for k, v in {**golden_tensors(name), **(changes or {})}.items() if v is not None}
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path)
        return path

    return checkpoint


@pytest.fixture(scope="session")
def golden_logits():
    """`golden_logits(name)` gives the reference's logits."""
    return lambda name: np.load(GOLDEN / f"{name}.npz")["logits"]


@pytest.fixture(scope="session")
def torch_tensors():
    """`torch_tensors(model)` gives a model's state_dict, under PyTorch's names and in its layouts."""

    def tensors(model: keras.Model) -> dict[str, np.ndarray]:
        depthwise = {layer.name for layer in model._flatten_layers() if isinstance(layer, keras.layers.DepthwiseConv2D)}
        found = {}
        for weight in model.weights:
            key, value = variable_key(weight), weight.numpy()
            if key.split("/")[0] in depthwise:
                value = value.transpose(2, 3, 0, 1).reshape(-1, 1, *value.shape[:2])
            elif value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            found[torch_name(key)] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
        return found

    return tensors


class Hub:
    """Serves one file of one repository as the Hugging Face hub does.

    Attributes:
        content: Of the file; None makes it 404.
        stated: The SHA-256 that the headers state.
        requests: Methods and paths received.
    """

    def __init__(self, path: str):
        self.path, self.content, self.stated, self.requests = path, None, None, []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.requests.append(f"{self.command} {self.path}")
                if hub.content is None or self.path != hub.path:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return False
                self.send_response(200)
                self.send_header("Content-Length", str(len(hub.content)))
                self.send_header("ETag", f'"{hub.stated}"')
                self.send_header("X-Repo-Commit", "0123456789abcdef" * 2 + "01234567")
                self.end_headers()
                return True

            def do_GET(self):
                if self.do_HEAD():
                    self.wfile.write(hub.content)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, content: bytes, stated: str | None = None):
        self.content, self.stated = content, stated or hashlib.sha256(content).hexdigest()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on 127.0.0.1 with the file of `ghostnet_100.in1k`, and an empty cache."""
    hub = Hub("/timm/ghostnet_100.in1k/resolve/main/model.safetensors")
    # What HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_OFFLINE set; the variables themselves are read at import only.
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield hub
    hub.close()
