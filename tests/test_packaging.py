"""What the wheel will hold, read from pyproject.toml."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def folder_of(package: str) -> Path:
    mapped = PROJECT["tool"]["setuptools"]["package-dir"]
    return ROOT / mapped.get(package, package.replace(".", "/"))


def test_every_package_is_listed():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    found = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "ghostnet_tf").rglob("*.py")} | {
        "ghostnet_tf.tflite",
        "ghostnet_tf.training",
    }
    assert found == set(listed)


def test_data_files_are_listed():
    data = PROJECT["tool"]["setuptools"]["package-data"]
    listed = {file for package, patterns in data.items() for p in patterns for file in folder_of(package).glob(p)}
    assert {file.suffix for file in listed} == {".html", ".toml", ".txt", ".typed"}
    folders = [folder_of(package) for package in PROJECT["tool"]["setuptools"]["packages"]]
    unlisted = {
        file
        for folder in folders
        for file in (*folder.glob("*"), *folder.glob("recipes/*"))
        if file.is_file() and file.suffix not in (".py", ".pyc") and file not in listed
    }
    assert unlisted == set()


def test_nothing_called_tflite_or_training_is_importable_as_ours():
    for name in ("tflite", "training"):
        assert not (ROOT / name / "__init__.py").exists()


@pytest.mark.parametrize("start", [["training/train.py"], ["-m", "ghostnet_tf.training.train"], ["tflite/convert.py"]])
def test_commands_start_as_script_and_as_module(start):
    done = subprocess.run([sys.executable, *start, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")


def test_public_names_exist():
    package = importlib.import_module("ghostnet_tf")
    assert all(hasattr(package, name) for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'GhostNte'"):
        _ = package.GhostNte


def test_public_names_are_never_modules():
    code = "import sys; sys.argv = ['-m']\n"  # as at the start of a command, which imports nothing yet
    code += "import ghostnet_tf, pkgutil\n"
    code += "print({m.name for m in pkgutil.iter_modules(ghostnet_tf.__path__[:1])} & set(ghostnet_tf._PUBLIC))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
