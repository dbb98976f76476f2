"""The documentation: its site builds without a warning, and what its pages tell people to type exists."""

import ast
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SCRIPTS = {f"{folder}/{name}.py": name for folder in ("training", "tflite") for name in COMMANDS}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def lines(page: Path) -> list[list[str]]:
    """The commands in a page's shell blocks, as words."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]' brings what builds the site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {file.parent.name for file in (tmp_path / "site").glob("*/index.html")}
    assert {file.stem for file in (ROOT / "docs").glob("*.md")} | {"model_zoo", "CHANGELOG"} <= pages
    reference = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert all(f"</span>{name}</span>" in reference or f">{name}</span>" in reference for name in ghostnet_tf._PUBLIC)
    zoo = (tmp_path / "site" / "model_zoo" / "index.html").read_text(encoding="utf-8")
    assert all(f"<code>{tag}</code>" in zoo for tag in ghostnet_tf.list_weights())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_commands_on_the_pages_are_understood(page):
    """Each of our commands is parsed by its own parser; `make` targets and scripts exist."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in lines(page):
        words = [word for word in words if "=" not in word or word.startswith("-")]  # settings of the environment
        program, *arguments = words
        if program == "make":
            assert next(word for word in arguments if not word.startswith("-")) in targets, words
        script = arguments[0] if program.endswith("python") and arguments else ""
        name = SCRIPTS.get(script) or (arguments[0] if program.endswith("ghostnet-tf") else None)
        if name in COMMANDS:
            arguments = arguments[1:]
            importlib.import_module(f"ghostnet_tf.{COMMANDS[name][0]}").parser().parse_args(arguments)
        elif script.endswith(".py"):
            assert (ROOT / script).is_file(), words


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_python_on_the_pages_calls_what_exists(page):
    for block in blocks(page, "python"):
        for call in ast.walk(ast.parse(block)):
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("ghostnet_tf."):
                function = getattr(ghostnet_tf, call.func.attr)
                inspect.signature(function).bind(*call.args, **{word.arg: None for word in call.keywords})


def test_python_of_the_quickstart_runs():
    for block in blocks(ROOT / "docs" / "quickstart.md", "python"):
        exec(compile(block, "quickstart.md", "exec"), {"__name__": "quickstart"})


def test_the_family_of_the_example_keeps_the_rules_of_all_builders(tmp_path):
    (block,) = blocks(ROOT / "docs" / "add_a_family.md", "python")
    assert len(block.splitlines()) < 60
    example = {"__name__": "ghost_mini"}
    exec(compile(block, "add_a_family.md", "exec"), example)
    builder = example["GhostMini"]
    common = set(inspect.signature(ghostnet_tf.GhostNetV2).parameters)
    assert set(inspect.signature(builder).parameters) == common
    with pytest.raises(ValueError, match="Expected height and width of at least 32 pixels"):
        builder(input_shape=(16, 16, 3))
    model = builder(0.25, input_shape=(32, 32, 3), classes=3)
    model.save(tmp_path / "mini.keras")
    photo = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    again = keras.models.load_model(tmp_path / "mini.keras")
    np.testing.assert_array_equal(again(photo), model(photo))
    # Flattened it is the same network, with sums in another order.
    np.testing.assert_allclose(ghostnet_tf.flatten(model)(photo), model(photo), atol=1e-6)
