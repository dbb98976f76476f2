"""What the wheel will hold and need, read from pyproject.toml."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    assert {file.suffix for file in listed} == {".html", ".md", ".safetensors", ".toml", ".txt", ".typed"}
    folders = [folder_of(package) for package in PROJECT["tool"]["setuptools"]["packages"]]
    unlisted = {
        file
        for folder in folders
        for file in (*folder.glob("*"), *folder.glob("recipes/*"))
        if file.is_file() and file.suffix not in (".py", ".pyc") and file not in listed
    }
    assert unlisted == set()


def requirements() -> list[Requirement]:
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [found for found in map(Requirement, lines) if found.name != project["name"]]


def test_every_dependency_has_a_lower_and_an_upper_bound():
    for found in [*requirements(), *map(Requirement, PROJECT["build-system"]["requires"])]:
        assert sorted(bound.operator for bound in found.specifier) == ["<", ">="], found


@pytest.mark.parametrize("name", ["newest", "oldest"])
def test_the_pinned_sets_keep_the_bounds(name):
    """Those of `make test`: what pyproject.toml names, less the extras that its tests do not need."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^(\S+)==(\S+) \\\n    --hash=sha256:", text, re.MULTILINE))
    assert len(pins) == text.count("==") > 100
    found = {each.name: each for each in requirements() if canonicalize_name(each.name) in pins}
    assert {each.name for each in requirements()} - set(found) == {"litert-quantizer", "atheris"}
    for each in found.values():
        pin = pins[canonicalize_name(each.name)]
        assert pin in each.specifier, (each, pin)
        if name == "oldest":
            (lower,) = (bound.version for bound in each.specifier if bound.operator == ">=")
            assert pin.startswith(lower.removesuffix(".0")), (each, pin)


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
