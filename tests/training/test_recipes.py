"""Every recipe trains through the command, on a handful of images; its header's command is one that it takes."""

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from ghostnet_tf.commands import OK
from ghostnet_tf.models import GhostNet, ghost_resnet, ghost_vgg, ghostnet, ghostnet_v2
from ghostnet_tf.training import train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.flags import check
from ghostnet_tf.training.runs import load_run, read_config

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "training" / "recipes").glob("*.toml"))
WHOLE = "cifar_vgg"  # trains its whole network, quick to build, in a process of its own; the others train a block


@pytest.fixture(scope="module")
def photos(tmp_path_factory, draw_photos) -> Path:
    """Three classes of five photos, of which twelve train."""
    return draw_photos(tmp_path_factory.mktemp("recipes") / "photos", 5)


@pytest.fixture
def few_blocks(monkeypatch):
    """Networks of the recipes with a block or two, in GhostNet's one with strides, attention and a gate."""
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[3:4])
    monkeypatch.setattr(ghostnet_v2, "FIRST_WITH_ATTENTION", 0)
    monkeypatch.setattr(ghost_resnet, "RESNET56", ((4, 1, 1), (8, 1, 2)))
    monkeypatch.setattr(ghost_vgg, "STAGES", ((4,), (8,)))


def small(recipe: Path, photos: Path, folder: Path) -> dict[str, str]:
    """Flags that make a recipe's training short: setting -> value. Networks that it starts from go to `folder`."""
    config = RunConfig(**read_config(recipe))
    flags = {"data": photos, "size": 32, "batch_size": 6, "epochs": 1, "warmup_epochs": 0}
    flags |= {name: 0.25 for name in ("width",) if config.width is not None}
    for name, classes in (("weights", 4), ("teacher", 3)):  # a teacher has the photos' classes
        if getattr(config, name) is not None:
            flags[name] = folder / f"{name}.keras"
            GhostNet(0.25, input_shape=(32, 32, 3), classes=classes).save(flags[name])
    flags |= {"decay_epochs": 0.5} if config.decay_epochs is not None else {}
    flags |= {"epochs": 2, "freeze_epochs": 1} if config.freeze_epochs else {}
    flags |= {"epochs": 2, "progressive_epochs": 1} if config.progressive_sizes else {}
    return {name: str(value) for name, value in flags.items()}


def arguments(recipe: Path, flags: dict[str, str], run: Path) -> list[str]:
    given = [word for name, value in flags.items() for word in (f"--{name}", value)]
    return ["--config", str(recipe), *given, "--output", str(run)]


def check_run(recipe: Path, flags: dict[str, str], run: Path) -> None:
    """The run is complete, and has the settings of the recipe where no flag says otherwise."""
    assert keras.models.load_model(run / "model.keras").output_shape == (None, 3)
    expected, found = read_config(recipe), dataclasses.asdict(load_run(run))
    for name in expected.keys() - flags.keys():
        assert found[name] == expected[name], name
    assert {name: str(found[name]) for name in ("data", "size", "epochs")} == {
        name: flags[name] for name in ("data", "size", "epochs")
    }


@pytest.mark.filterwarnings("always:.* the classifier starts anew")  # which the command says in a line of its own
@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe.stem != WHOLE], ids=lambda path: path.stem)
def test_a_recipe_trains(recipe, photos, tmp_path, few_blocks, capsys):
    flags = small(recipe, photos, tmp_path)
    assert train.main(arguments(recipe, flags, tmp_path / "run")) == OK
    anew = "weights.keras has 4 classes, the model 3: the classifier starts anew" in capsys.readouterr().err
    assert anew == ("weights" in flags)
    check_run(recipe, flags, tmp_path / "run")


def test_a_recipe_trains_as_a_user_runs_it(photos, tmp_path):
    recipe = ROOT / "training" / "recipes" / f"{WHOLE}.toml"
    flags, run = small(recipe, photos, tmp_path), tmp_path / "run"
    command = [sys.executable, "training/train.py", *arguments(recipe.relative_to(ROOT), flags, run)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"saved as {run}" in done.stdout
    assert "Warning" not in done.stderr
    check_run(recipe, flags, run)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_header_has_a_command_that_works(recipe):
    header = [line.removeprefix("# ") for line in recipe.read_text().splitlines() if line.startswith("#")]
    (command,) = [line for line in header if line.startswith("python training/train.py")]
    given = train.parser().parse_args(shlex.split(command)[2:])
    assert given.config == recipe.relative_to(ROOT)
    assert re.search(r"\d+ %|accuracy|minute", " ".join(header)), "what to expect"
    check(RunConfig(**read_config(recipe)))
