"""The documentation: its site builds without a warning, and what its pages tell people to type exists."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from PIL import Image

import ghostnet_tf
from ghostnet_tf.commands import COMMANDS
from ghostnet_tf.models import ghostnet
from ghostnet_tf.tflite.schemes import FILES, convert

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SCRIPTS = {f"{folder}/{name}.py": name for folder in ("training", "tflite") for name in COMMANDS}
INLINE = re.compile(r"`((?:python [\w/]+\.py|ghostnet-tf \w+) [^`]+)`")  # commands with arguments in the text


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def lines(page: Path) -> list[list[str]]:
    """The commands in a page's shell blocks and in its text, as words; without those that leave something out ("…")."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    text += [command.replace("\n", " ") for command in INLINE.findall(page.read_text(encoding="utf-8"))]
    found = (shlex.split(line, comments=True) for line in text)
    return [words for words in found if words and not any("…" in word for word in words)]


def loaded(path: Path, patch: pytest.MonkeyPatch) -> ModuleType:
    """A script that is in no package; what it changes for imports is undone."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    patch.setattr(sys, "path", list(sys.path))
    patch.setitem(sys.modules, path.stem, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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


@pytest.mark.parametrize("page", [page for page in PAGES if lines(page)], ids=lambda page: page.stem)
def test_commands_on_the_pages_are_understood(page, monkeypatch):
    """Each of our commands is parsed by its own parser; `make` targets and scripts exist."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in lines(page):
        words = [word for word in words if "=" not in word or word.startswith("-")]  # settings of the environment
        program, *arguments = words
        if program == "make":
            assert next(word for word in arguments if not word.startswith("-")) in targets, words
        file = arguments[0] if program.endswith("python") and arguments else ""
        name = SCRIPTS.get(file) or (arguments[0] if program.endswith("ghostnet-tf") else None)
        if name in COMMANDS:
            parser = importlib.import_module(f"ghostnet_tf.{COMMANDS[name][0]}").parser()
        elif file.endswith(".py"):
            assert (ROOT / file).is_file(), words
            if not hasattr(module := loaded(ROOT / file, monkeypatch), "parser"):
                continue
            parser = module.parser()
        else:
            continue
        with contextlib.suppress(SystemExit) if "--help" in arguments else contextlib.nullcontext():
            parser.parse_args(arguments[1:])


def test_flags_on_the_pages_exist():
    parsers = [importlib.import_module(f"ghostnet_tf.{module}").parser() for module, *_ in COMMANDS.values()]
    known = {option for parser in parsers for action in parser._actions for option in action.option_strings}
    others = [*ROOT.glob("benchmarks/*.py"), ROOT / "docs/browser.py", ROOT / "tests/fuzz/fuzz.py", ROOT / "Makefile"]
    others = "".join(file.read_text(encoding="utf-8") for file in others)  # scripts that are no command; pip's in make
    for page in PAGES:
        for flag in re.findall(r"`(--[a-z][\w-]*)", page.read_text(encoding="utf-8")):
            assert flag in known or re.search(rf"{flag}\b(?!-)", others), (page.name, flag)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_files_are_those_that_the_converter_gives(page):
    """In Kotlin, which nothing runs here, as in shell: `ghostnet_100_224_photos_int8.tflite`."""
    for name in re.findall(r"\b(ghostnet\w*_\d+_\w+\.tflite)", page.read_text(encoding="utf-8")):
        assert re.fullmatch(rf"\w+_\d{{3}}_\d+_\w+?_({'|'.join(FILES)})\.tflite", name), name


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


def test_python_of_the_readme_runs(monkeypatch):
    """On a network of four blocks and with random weights: those of ImageNet are not at hand in a test."""
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:4])
    (block,) = blocks(ROOT / "README.md", "python")
    names = {"__name__": "readme"}
    exec(compile(block.replace('"imagenet"', "None"), "README.md", "exec"), names)
    assert [names[model].output_shape[-1] for model in ("model", "photos")] == [1000, 5]
    assert names["backbone"].output_shape[1:3] == (None, None)


def test_python_of_the_fine_tuning_page_runs(tmp_path, monkeypatch, capsys):
    """On a run with a network that answers by brightness, since training is not what the block is about."""
    monkeypatch.chdir(tmp_path)
    exports = tmp_path / "runs" / "photos" / "exports"
    exports.mkdir(parents=True)
    image = keras.Input((32, 32, 3), name="image")
    dense = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(image, dense(keras.layers.GlobalAveragePooling2D()(image)))
    dense.set_weights([np.array([[0.1, 0]] * 3), np.array([-15, 0])])
    (exports / "bright_032_photos_int8.tflite").write_bytes(convert(model, "fp32"))
    (exports.parent / "labels.txt").write_text("light\ndark\n")
    (block,) = blocks(ROOT / "docs" / "finetune.md", "python")
    for grey, label in ((200, "light"), (10, "dark")):
        Image.new("RGB", (60, 40), (grey, grey, grey)).save("photo.jpg")
        exec(compile(block, "finetune.md", "exec"), {"__name__": "finetune"})
        assert capsys.readouterr().out.startswith(f"{label} ")


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
