"""Checkpoints in PyTorch's form with known numbers, and a stand-in for the hub."""

import hashlib
import http.server
import importlib.util
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from safetensors.numpy import save_file

from ghostnet_tf.layers.composite import variable_key
from ghostnet_tf.weights import WeightsUnavailable, fetch
from ghostnet_tf.weights.torch_names import torch_name

SOON = 0.5  # seconds without an answer from 127.0.0.1 after which tests that wait for it in vain give up
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
        path: Of the file in the newest revision, which is also served as that of `COMMIT`.
        content: Of the file; None makes it 404.
        stated: The SHA-256 that the headers state.
        requests: Methods and paths received.
        ranges: What each GET asked for, None for all.
        instead: By method, what to do with a request in place of `answer`.
        closing: Set when the hub closes: answers that wait have to wait for this.
    """

    COMMIT = "0123456789abcdef" * 2 + "01234567"

    def __init__(self, path: str, certificate: ssl.SSLContext | None = None):
        self.path, self.content, self.stated, self.requests = path, None, None, []
        self.ranges, self.instead, self.closing = [], {}, threading.Event()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.requests.append(f"{self.command} {self.path}")
                if self.command == "GET":
                    hub.ranges.append(self.headers["Range"])
                hub.instead.get(self.command, hub.answer)(self)

            do_GET = do_CONNECT = do_HEAD

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients go, as they should
        if certificate:
            self.server.socket = certificate.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()  # closes as soon

    def serve(self, content: bytes, stated: str | None = None):
        self.content, self.stated = content, stated or hashlib.sha256(content).hexdigest()

    def answer(self, request: http.server.BaseHTTPRequestHandler):
        if self.content is None or request.path not in (self.path, self.path.replace("/main/", f"/{self.COMMIT}/")):
            return self.send(request, 404, {"X-Error-Code": "EntryNotFound", "Content-Length": 0})
        start, size = 0, len(self.content)
        if request.command == "GET" and request.headers["Range"]:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Length": size - start, "ETag": f'"{self.stated}"', "X-Repo-Commit": self.COMMIT}
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        return self.send(request, 206 if start else 200, headers, self.content[start:])

    def breaks_off(self, start: int, end: int, then: Callable = lambda: None) -> Callable:
        """An answer to GET that sends the content from `start` and breaks off at `end`, after `then`."""

        def answer(request):
            size = len(self.content)
            headers = {"Content-Length": size - start}
            if start:
                headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            self.send(request, 206 if start else 200, headers, self.content[start:end])
            request.wfile.flush()
            then()

        return answer

    def stalls(self, request=None):
        """No answer, or no more of it."""
        self.closing.wait()

    @property
    def partial(self) -> str:
        """The name of the file while it is not whole."""
        return f"{self.stated}.ghostnet-tf.incomplete"

    @staticmethod
    def cached() -> dict[str, int]:
        """Sizes of all files in the cache but locks, which are empty, and what it says of branches."""
        files = [path for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()]
        return {file.name: file.stat().st_size for file in files if file.suffix != ".lock" and "refs" not in file.parts}

    @staticmethod
    def send(request: http.server.BaseHTTPRequestHandler, status: int, headers: dict, body: bytes = b""):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, str(value))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint(tmp_path, monkeypatch):
    """`endpoint(url)` is as setting HF_ENDPOINT, with an empty cache; also what the environment says of networks.

    The variables themselves are read at import only.
    """
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # else a process's first request is about itself
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, "")

    def point(url: str):
        close_session()  # whose proxies and certificates are those of its beginning
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + template)

    yield point
    close_session()


@pytest.fixture
def hub(endpoint):
    """A hub on 127.0.0.1 with the file of `ghostnet_100.in1k`, and an empty cache."""
    hub = Hub("/timm/ghostnet_100.in1k/resolve/main/model.safetensors")
    endpoint(hub.url)
    yield hub
    hub.close()


@pytest.fixture
def refused():
    """`refused(message)`: the weights are not to be had, and one line says why and what to do; gives the seconds."""

    def check(message: str, timeout: float = SOON) -> float:
        start = time.monotonic()
        with pytest.raises(WeightsUnavailable, match=message) as error:
            fetch("ghostnet_100.in1k", timeout)
        seconds = time.monotonic() - start
        assert "\n" not in str(error.value) and len(str(error.value)) < 700
        assert "give the path of a downloaded model.safetensors" in str(error.value)
        assert "model.safetensors" not in Hub.cached()
        return seconds

    return check
