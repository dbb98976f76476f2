"""The arrows of docs/design.md: which folder of the code may import which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = "ghostnet_tf"  # the modules in the folder itself, not those in its subfolders

# A folder -> those it may import. Commands are found by name at the start (`ghostnet_tf.commands`), which is no arrow.
ARROWS = {
    "layers": (),
    "models": (LIBRARY, "layers", "weights"),
    "weights": (LIBRARY, "layers", "models"),
    "analysis": (LIBRARY, "layers", "models", "weights"),
    "litert": (LIBRARY,),
    LIBRARY: ("layers", "models", "weights"),
    "training": (LIBRARY, "layers", "models", "weights", "litert"),
    "tflite": (LIBRARY, "layers", "models", "weights", "litert", "analysis", "training"),
    "benchmarks": (LIBRARY, "layers", "models", "weights", "litert", "analysis", "training", "tflite"),
}


def folder_of(module: str) -> str | None:
    """Of a module's absolute name; `None` for other packages."""
    first, *rest = module.split(".")
    if first == LIBRARY:
        return rest[0] if rest and rest[0] in ARROWS else LIBRARY
    return first if first == "benchmarks" else None


def imported(source: str) -> set[str]:
    """The folders that a file imports, at its top, inside functions or for type checkers only."""
    modules = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return {folder_of(module) for module in modules} - {None}


def files(folder: str) -> list[Path]:
    if folder in ("training", "tflite", "benchmarks"):
        return sorted((ROOT / folder).rglob("*.py"))
    return sorted((ROOT / LIBRARY).glob("*.py") if folder == LIBRARY else (ROOT / LIBRARY / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ARROWS)
def test_a_folder_imports_only_what_it_may(folder):
    assert files(folder)
    allowed = {folder, *ARROWS[folder]}
    wrong = {
        path.relative_to(ROOT).as_posix(): sorted(beyond)
        for path in files(folder)
        if (beyond := imported(path.read_text(encoding="utf-8")) - allowed)
    }
    assert wrong == {}


def test_every_folder_has_its_arrows():
    folders = {path.parent.name for path in (ROOT / LIBRARY).glob("*/*.py")}
    assert folders | {LIBRARY, "training", "tflite", "benchmarks"} == set(ARROWS)


def test_no_way_of_importing_is_overlooked():
    for line in (
        "import ghostnet_tf.tflite.convert",
        "from ghostnet_tf import tflite",
        "from ghostnet_tf.tflite import convert as c",
        "def later():\n    from ghostnet_tf.tflite.graph import FLOAT",
        "if TYPE_CHECKING:\n    import ghostnet_tf.tflite.sources",
    ):
        assert imported(line) == {"tflite"}, line
    assert imported("import keras, ghostnet_tf\nfrom benchmarks import guard") == {LIBRARY, "benchmarks"}
