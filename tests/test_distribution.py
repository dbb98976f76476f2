"""What is published: the source distribution and the wheel, built, checked, and installed into a fresh environment."""

import ast
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import keras
import pytest

import ghostnet_tf

pytest.importorskip("build", reason="pip install -e '.[dev]' brings what builds the wheel")
pytest.importorskip("twine", reason="pip install -e '.[dev]' brings what checks the wheel")

ROOT = Path(__file__).resolve().parents[1]
# Not copied: what is no part of the sources and may be large.
SCRATCH = shutil.ignore_patterns(".*", "runs", "exports", "build", "dist", "site", "*.egg-info", "__pycache__")


def run(*words, **options) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy, so that building leaves nothing in the real one."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("distribution") / "source", ignore=SCRATCH)


@pytest.fixture(scope="module")
def distributions(checkout) -> tuple[Path, Path]:
    """The source distribution, and the wheel that it gives."""
    folder = checkout.parent
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", checkout)
    (source,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    return source, wheel


def test_twine_finds_nothing_to_say(distributions):
    assert run(sys.executable, "-m", "twine", "check", "--strict", *distributions).count("PASSED") == 2


def test_the_wheel_holds_the_package_its_data_and_the_licence(checkout, distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        lines = wheel.read(metadata).decode().splitlines()
    info = metadata.removesuffix("METADATA")
    assert {name.split("/")[0] for name in names} == {"ghostnet_tf", info.rstrip("/")}
    in_checkout = {
        f"ghostnet_tf/{file.relative_to(base).as_posix()}"
        for base, folder in ((checkout / "ghostnet_tf", "."), (checkout, "tflite"), (checkout, "training"))
        for file in (base / folder).rglob("*")
        if file.is_file()
    }
    assert {name for name in names if name.startswith("ghostnet_tf/")} == in_checkout
    assert "ghostnet_tf/py.typed" in names
    assert f"{info}licenses/LICENSE" in names
    assert f"Version: {ghostnet_tf.__version__}" in lines
    assert "License-Expression: Apache-2.0" in lines


def test_the_source_distribution_can_test_itself(checkout, distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tested = {file.relative_to(checkout).as_posix() for file in (checkout / "tests").rglob("*.py")}
    assert tested <= names
    assert {"Makefile", "CHANGELOG.md", "CITATION.cff", "results/zoo.csv", "tests/golden/ghostnet_100.npz"} <= names


def test_installed_alone_it_converts(distributions, tmp_path):
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", distributions[1])
    home = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # The dependencies are those of this environment; an editable install of ours in it is not seen, since Python
    # reads no .pth file of a folder that a .pth file names.
    (home / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    command = tmp_path / "env" / "bin" / "ghostnet-tf"
    code = "import sys; sys.argv = ['-m']; import ghostnet_tf; print(ghostnet_tf.__path__)"
    where = run(python, "-c", code, cwd=tmp_path)
    assert where.strip() == str([str(home / "ghostnet_tf")])
    assert run(command, "--version", cwd=tmp_path).strip() == ghostnet_tf.__version__
    layers = [keras.Input((32, 32, 3)), ghostnet_tf.GhostModule(8), keras.layers.GlobalMaxPooling2D()]
    keras.Sequential([*layers, keras.layers.Dense(3)]).save(tmp_path / "small.keras")
    run(command, "convert", "--model", "small.keras", "--fp32", "--verification-images", "4", cwd=tmp_path)
    (file,) = (tmp_path / "exports").glob("*.tflite")
    assert json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["scheme"] == "fp32"


def test_type_checkers_see_every_public_name():
    tree = ast.parse((ROOT / "ghostnet_tf" / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        name.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname == name.name
    }
    assert typed == {name: f"ghostnet_tf.{module}" for name, module in ghostnet_tf._PUBLIC.items()}


def test_the_citation_and_the_changelog_name_this_version():
    version = re.escape(ghostnet_tf.__version__)
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.search(rf"^## {version}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"license: {project['license']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
