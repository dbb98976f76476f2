"""The pages' Kotlin names what Android, MediaPipe and LiteRT have, and where a compiler is at hand, it runs."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ghostnet_tf.tflite import artefacts

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs/android.md")
API = (ROOT / "tests/kotlin/api.kt").read_text(encoding="utf-8")
PACKAGES = re.split(r"^(?=package )", API, flags=re.MULTILINE)[1:]
KOTLIN = {"apply", "forEachIndexed", "map", "size", "toByte", "toFloat", "toInt"}  # of its own library
COMPILER = importlib.util.find_spec("run_kotlin_kernel")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```kotlin\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def code(block: str) -> str:
    """Without comments and texts."""
    return re.sub(r"/\*[\s\S]*?\*/|//.*|\"[^\"\n]*\"", "", block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_imported_and_called_is_declared(page):
    classes = [(package.split()[1], re.findall(r"^[a-z ]*class (\w+)", package, re.MULTILINE)) for package in PACKAGES]
    declared = {f"{package}.{name}" for package, names in classes for name in names}
    members = set(re.findall(r"(?:fun|va[lr]|class) (\w+)", API)) | set(re.findall(r"\b[A-Z_]{3,}\b", API))
    for block in blocks(page):
        imports = set(re.findall(r"^import ([\w.]+)$", block, re.MULTILINE))
        assert imports <= declared
        own = set(re.findall(r"(?:fun|val|class) (\w+)", block))
        called = set(re.findall(r"\.([A-Za-z]\w*)", re.sub(r"^import .*$", "", code(block), flags=re.MULTILINE)))
        assert called <= members | own | KOTLIN


def test_files_have_the_names_that_convert_gives():
    text = "".join(block for page in PAGES for block in blocks(page))
    names = set(re.findall(r'"(\S+\.tflite)"', text))
    stem = artefacts.stem("ghostnet_100", (224, 224), "photos")
    assert names == {path.name for path in artefacts.paths(None, Path(), stem, ("int8", "fp16")).values()}


def test_libraries_are_pinned_and_litert_is_the_one_that_is_tested_here():
    text = "".join(block for page in PAGES for block in blocks(page))
    versions = dict(re.findall(r'implementation\("([\w.:-]+):([^"]+)"\)', text))
    assert len(versions) == 3
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values()), versions
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (litert,) = (row for row in map(Requirement, project["dependencies"]) if row.name == "ai-edge-litert")
    for name, version in versions.items():
        assert "litert" not in name or litert.specifier.contains(version), (name, version)


@pytest.mark.skipif(COMPILER is None or not shutil.which("java"), reason="needs Java and a compiler: make test-kotlin")
def test_it_runs(tmp_path):
    """Compiled in one go (types, arguments, names, nullability) against these interfaces, and called by main.kt."""
    for number, package in enumerate(PACKAGES):
        (tmp_path / f"api{number}.kt").write_text(package, encoding="utf-8")
    android = blocks(ROOT / "docs/android.md")
    (readme,) = blocks(ROOT / "README.md")
    imports = "\n".join({line for block in android for line in block.splitlines() if line.startswith("import ")})
    types = "import com.google.mediapipe.tasks.components.containers.Category"
    signature = "fun inAnActivity(context: Context, bitmap: Bitmap): Category"
    sources = {"readme": f"{imports}\n{types}\n{signature} {{\n{readme}return best\n}}\n"}
    calls = []
    for number, block in enumerate(android):
        if "dependencies {" in block:
            block = f"import org.gradle.kotlin.dsl.dependencies\nfun gradle{number}() {{\n{block}}}\n"
            calls.append(f"gradle{number}()")
        sources[f"android{number}"] = block
    main = (ROOT / "tests/kotlin/main.kt").read_text(encoding="utf-8")
    for name, text in (("INT8", "int8"), ("FP16", "fp16")):
        main = main.replace(name, artefacts.stem("ghostnet_100", (224, 224), "photos") + f"_{text}.tflite")
    sources["main"] = main.replace("GRADLE", "\n".join(calls))
    for name, source in sources.items():
        (tmp_path / f"{name}.kt").write_text(source, encoding="utf-8")
    jars = sorted(Path(COMPILER.submodule_search_locations[0], "jars").glob("*.jar"))
    (library,) = (jar for jar in jars if jar.name.startswith("kotlin-stdlib-"))
    compiler = ["java", "-cp", ":".join(map(str, jars)), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    classes = tmp_path / "classes"
    options = ["-no-stdlib", "-no-reflect", "-nowarn", "-classpath", str(library), "-d", str(classes)]
    files = sorted(map(str, tmp_path.glob("*.kt")))
    done = subprocess.run([*compiler, *options, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["java", "-cp", f"{classes}:{library}", "MainKt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == re.findall(r'implementation\("([^"]+)"\)', "".join(android))
