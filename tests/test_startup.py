"""What starting costs, by the modules imported, and that it speaks to nobody; times are for `benchmarks/startup.py`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ghostnet_tf.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("tflite", "training", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if re.search(r"^GHOSTNET_TF_COMMAND = True", path.read_text(encoding="utf-8"), re.MULTILINE)
)
# Sees what Python itself opens. The last connection, to this machine, shows that it does.
USES_MODULES = r"""
import importlib, json, pkgutil, socket, sys
spoken = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        spoken.append(f"{event} {list(arguments[1:])}")
sys.addaudithook(hook)
import keras
before = set(sys.modules)
import ghostnet_tf
added = sorted(set(sys.modules) - before)
modules = [each.name for each in pkgutil.walk_packages(ghostnet_tf.__path__[:1], "ghostnet_tf.")]
for folder in ("tflite", "training"):
    path = importlib.import_module(f"ghostnet_tf.{folder}").__path__
    modules += [each.name for each in pkgutil.iter_modules(path, f"ghostnet_tf.{folder}.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
socket.socket().connect_ex(("127.0.0.1", 9))
print(json.dumps({"added": added, "modules": modules, "spoken": spoken}))
"""


def _packages(modules) -> set[str]:
    """Their top-level packages, without the standard library's and what that looks for: `copy` asks for Jython's."""
    return {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"org"}


def _imports(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "importtime", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )


def _imported(log: str) -> list[str]:
    return [line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")][1:]


@pytest.fixture(scope="module")
def of_python() -> set[str]:
    """What Python imports by itself here, such as an editable installation's finder."""
    return _packages(_imported(_imports("-c", "pass").stderr))


def test_the_commands_are_found():
    assert {"tflite/convert.py", "tflite/benchmark.py", "training/train.py", "training/evaluate.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_but_this_package(script, of_python):
    done = _imports(script, "--help")
    assert done.stdout.startswith("usage:")
    assert _packages(_imported(done.stderr)) - of_python - {"benchmarks"} == {"ghostnet_tf"}


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """What importing the package brings, all its modules, and the connections that importing all of them opens."""
    done = subprocess.run([sys.executable, "-c", USES_MODULES], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_adds_only_its_own_modules_to_those_of_keras(imported):
    added = imported["added"]
    assert "ghostnet_tf.models" in added and "ghostnet_tf.layers" in added
    assert _packages(added) == {"ghostnet_tf"}
    # Nor the folders of the commands, which bring data sets, the converter and the drawing of charts.
    assert not [name for name in added if name.startswith(("ghostnet_tf.tflite", "ghostnet_tf.training"))]


def test_importing_opens_no_connection(imported):
    assert {f"ghostnet_tf.{module}" for module, _ in COMMANDS.values()} <= set(imported["modules"])
    assert imported["spoken"] == ["socket.connect [('127.0.0.1', 9)]"]  # its own
