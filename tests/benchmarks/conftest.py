"""The scripts in benchmarks/ as modules: they are no package."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    """`script(name)` loads `benchmarks/NAME.py`; what that changes for imports is undone."""
    path, loaded = list(sys.path), []

    def load(name: str):
        spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path[:] = path
    for name in loaded:
        del sys.modules[name]
