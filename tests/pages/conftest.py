"""A terminal that runs the lines of a page inside this process, with stand-ins for what a test does not have.

Our commands run with flags behind those of the page that leave less to do; TensorFlow is loaded already. Other programs
run in bash. Stand-ins take the place of package indexes, other projects' routes, emulated processors, and hours.
"""

import contextlib
import importlib
import importlib.util
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

import keras
import pytest
from packaging.requirements import Requirement

from ghostnet_tf.commands import COMMANDS, MISSING, OK
from ghostnet_tf.tflite.schemes import convert
from ghostnet_tf.training import train

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

MADE: set[str] = set()  # targets of make that have run

# What is put behind a command's own flags: the last one counts.
FEWER = {
    "train": "--epochs 2 --batch-size 4 --warmup-epochs 0.5 --overwrite",
    "convert": "--calibration-images 4 --verification-images 4 --overwrite",
    "benchmark": "--num-runs 2 --warmup-runs 1",
    "choose": "--max-ms 1000 --num-runs 2",
    "peers": "--rounds 2",
    "g_ghost": "--batches 1 --rounds 2",
    "scaling": "--widths 0.5 --sizes 96 --int8-widths 1 --int8-sizes 96 --rounds 2",
    "startup": "--rounds 1",
    "building_time": "--rounds 1",
    "cheap_operations": "--size 10 --kernel-sizes 1 --ratios 2 --windows 3 --rounds 2",
}


def tiny(filters: int = 4) -> keras.Model:
    """A network of two convolutions."""
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(filters, 3, use_bias=False)(image)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x)))


def _arm(module, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "emulator", lambda folder: [])
    patch.setattr(module, "run_once", lambda words, folder, path: Counter({"gemm": 99, module.OUTSIDE: 1}))


def _g_ghost(module, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "networks", lambda variant, size: {"plain": tiny(8), "ghost": tiny(4)})
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):  # which it sets
        patch.setenv(name, "1")


def _guard(module, patch: pytest.MonkeyPatch) -> None:
    content = convert(tiny(), "fp32")
    patch.setattr(module, "converted", lambda: {"tiny_fp32": content, "tiny_int8": content})
    assert module.main(["--record"]) == OK


def _make_peers(module, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "environment", lambda name, environments, python: Path(sys.executable))
    patch.setattr(module, "versions", lambda python: {"some": "1"})
    patch.setattr(module, "make", lambda name, network, python, log, output: {})


def _startup(module, patch: pytest.MonkeyPatch) -> None:
    names = (module.REFERENCE, "import ghostnet_tf")
    patch.setattr(module, "starts", lambda: {name: [sys.executable, "-c", "pass"] for name in names})


def _study(module, patch: pytest.MonkeyPatch) -> None:
    def run(words: list[str], **_) -> subprocess.CompletedProcess:
        patch.setattr(sys, "argv", words[1:])  # which the run folder keeps
        return subprocess.CompletedProcess(words, train.main(words[2:]))

    patch.setattr(module, "subprocess", SimpleNamespace(run=run))


def _walkthrough(module, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "steps", lambda *_: [("install", "ls Makefile"), ("labels for Android", "ls docs")])


# Script -> what takes the place of hours, other processors and package indexes inside it.
STAND_INS = {
    "arm_instructions": _arm,
    "g_ghost": _g_ghost,
    "guard": _guard,
    "make_peers": _make_peers,
    "startup": _startup,
    "study": _study,
    "walkthrough": _walkthrough,
}


class Terminal:
    """Runs lines as a shell would, in a folder.

    Args:
        folder: Of a copy of the checkout.
        patch: Undoes at the end of the test what is changed for a command.

    Attributes:
        imagenet: The file that stands for the published weights.
        opened: Addresses that were opened in a browser.
        installed: What `pip` was to install.
    """

    imagenet = "imagenet.weights.h5"

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.folder, self.patch, self.opened, self.installed = folder, patch, [], []
        self._servers = contextlib.ExitStack()

    def run(self, block: str) -> None:
        """Every line; a server among them stays until the end of the block.

        Raises:
            AssertionError: If one ends with another exit code than it may.
        """
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        block = re.sub(r"\b8000\b", port, block).replace("\\\n", " ")
        with self._servers:
            for line in filter(None, map(str.strip, block.splitlines())):
                self.line(line)

    def line(self, line: str) -> None:
        program, *words = shlex.split(line, comments=True) or [""]
        if program == "make":
            self._make(words)
        elif program == "ghostnet-tf":
            self._command(*words)
        elif program.endswith("python") and words[0] != "-m":
            self._script(words[0], self._expanded(words[1:]))
        elif program == "pip":
            self.installed += [Requirement(word) for word in words if not word.startswith("-") and word != "install"]
        elif program:
            # As typed, for its pipes and redirections.
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (line, done.stdout, done.stderr)

    def _make(self, words: list[str]) -> None:
        """The lines of targets; of each the first time only, since pages share some and all begin the same."""
        words = [word for word in words if word.startswith("-") or word not in MADE]
        MADE.update(words)
        if all(word.startswith("-") for word in words):
            return
        done = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", "--old-file", ".venv/installed", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.replace("\\\n", " ").splitlines():
            if "pytest" in line:  # the suite within itself: as far as finding the tests of one file
                _, _, options = line.partition("-m pytest")
                files = [word for word in shlex.split(options) if word.endswith(".py")] or ["tests/test_design.py"]
                assert all((ROOT / file).is_file() for file in files)
                words = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "--override-ini=addopts=", *files[:1]]
                subprocess.run([*words, "--import-mode=importlib"], cwd=ROOT, check=True, capture_output=True)
            elif "tests/tflite/devices/" in line:  # sets up a driver or an emulator with apt
                assert (ROOT / line.split()[-1]).is_file()
            else:
                self.line(line.replace(".venv/bin/python", "python").replace(".venv/bin", str(BIN)))

    def _expanded(self, words: list[str]) -> list[str]:
        """With patterns as the files that they stand for, in order."""
        return [path for word in words for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]

    def loaded(self, file: str) -> ModuleType:
        """A script of the folder as a module."""
        name = Path(file).stem
        spec = importlib.util.spec_from_file_location(name, self.folder / file)
        module = importlib.util.module_from_spec(spec)
        self.patch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    def _script(self, file: str, words: list[str]) -> None:
        name = Path(file).stem
        if name in COMMANDS and file.split("/")[0] in ("training", "tflite"):
            self._command(name, *words)
            return
        module = self.loaded(file)
        if name in STAND_INS:
            STAND_INS[name](module, self.patch)
        if name == "browser":
            self.patch.setattr(sys, "argv", [file, *words])
            module.main()
            return
        self._ends(module.main, name, words)

    def _command(self, name: str, *words: str) -> None:
        module = importlib.import_module(f"ghostnet_tf.{COMMANDS[name][0]}")
        self._ends(module.main, name, list(words))

    def _ends(self, main: Callable[[list[str]], int], name: str, words: list[str]) -> None:
        few = [] if {"--selftest", "--resume"} & {*words} else FEWER.get(name, "").split()
        words = [self.imagenet if word == "imagenet" else word for word in words]
        code = main([*words, *few])
        without_gpu = {"--check-gpu"} & {*words} or words[:2] == ["--device", "gpu"]
        assert code == OK or (code == MISSING and without_gpu), (name, words, code)

    def serve(self, server: HTTPServer) -> None:
        """In place of `serve_forever`: until the end of the block."""
        thread = threading.Thread(target=HTTPServer.serve_forever, args=(server, 0.01))
        thread.start()
        self._servers.callback(server.server_close)
        self._servers.callback(thread.join)
        self._servers.callback(server.shutdown)


@pytest.fixture(scope="session")
def terminal_in() -> type[Terminal]:
    """`terminal_in(folder, patch)` is a `Terminal`."""
    return Terminal


@pytest.fixture(scope="session")
def tiny_file() -> bytes:
    """A classifier of three classes, fp32."""
    return convert(tiny(), "fp32")
