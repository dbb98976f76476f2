"""A run becomes weights of the package and their card, by the command that makes them."""

import json
import shutil

import keras
import numpy as np
import pytest

from ghostnet_tf import GhostResNet56
from ghostnet_tf.commands import BAD_INPUT, OK
from ghostnet_tf.training.config import RunConfig

LABELS = [f"class {index}" for index in range(10)]


@pytest.fixture(scope="module")
def carry(script):
    return script("carry")


@pytest.fixture
def run(tmp_path):
    """The records of a run whose network is not trained."""
    folder = tmp_path / "run"
    folder.mkdir()
    RunConfig(data="cifar10", model="ghost_resnet56", size=32).save(folder / "config.toml")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (folder / "environment.json").write_text(json.dumps({"command": "python train.py", "processor": "any"}))
    result = {"model": "model.keras", "scheme": "keras", "top1": 0.9, "top5": 0.99, "images": 10000}
    (folder / "evaluation.json").write_text(json.dumps([result]))
    (folder / "metrics.csv").write_text("epoch,seconds\n1,60\n2,120\n")
    keras.utils.set_random_seed(3)
    GhostResNet56().save(folder / "model.keras")
    return folder


def test_weights_and_card(run, tmp_path, carry, capsys):
    output = tmp_path / "weights"
    output.mkdir()
    words = ["--model", str(run), "--output", str(output)]
    assert carry.main([*words, "--note", "which are small"]) == OK
    weights, card = output / "ghost_resnet56_cifar10.safetensors", output / "ghost_resnet56_cifar10.md"
    saved, loaded = keras.models.load_model(run / "model.keras"), GhostResNet56(weights=weights)
    for one, other in zip(saved.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    text = card.read_text()
    for part in ("438,154 parameters", "90.00 % top-1 on the 10,000", "2 epochs in 3 minutes", "(which are small)"):
        assert part in text
    # 2 sqrt(0.9 * 0.1 / 10000)
    assert "0.60 points open" in text
    assert carry.main(words) == BAD_INPUT
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert carry.main([*words, "--overwrite"]) == OK


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 3}, "expected a network with its default options. Received: ghost_resnet56_s3"),
        ({"data": "digits"}, "expected a run on cifar10. Received: digits"),
        ({"keep": "best"}, "expected weights of the last epoch"),
    ],
)
def test_other_runs_are_refused(settings, message, run, carry, capsys):
    RunConfig(**{"data": "cifar10", "model": "ghost_resnet56", "size": 32} | settings).save(run / "config.toml")
    assert carry.main(["--model", str(run)]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_the_card_tells_of_all_runs(run, tmp_path, carry):
    second = tmp_path / "second"
    shutil.copytree(run, second)
    RunConfig(data="cifar10", model="ghost_resnet56", size=32, weights=str(run / "model.keras")).save(
        second / "config.toml"
    )
    (second / "environment.json").write_text(json.dumps({"command": "python train.py again", "processor": "any"}))
    assert carry.main(["--model", str(second), "--output", str(tmp_path)]) == OK
    text = (tmp_path / "ghost_resnet56_cifar10.md").read_text()
    assert "\npython train.py\npython train.py again\n" in text
    assert "4 epochs in 6 minutes" in text


def test_the_card_tells_of_teachers(run, tmp_path, carry):
    """Who teaches itself as it was, and has another teacher, took that one's epochs beside its own."""
    teacher, second = tmp_path / "teacher", tmp_path / "second"
    for folder in (teacher, second):
        shutil.copytree(run, folder)
    (teacher / "environment.json").write_text(json.dumps({"command": "python teach.py", "processor": "any"}))
    (second / "environment.json").write_text(json.dumps({"command": "python train.py again", "processor": "any"}))
    first, other = str(run / "model.keras"), str(teacher / "model.keras")
    config = RunConfig(data="cifar10", model="ghost_resnet56", size=32, weights=first, teacher=f"{first},{other}")
    config.save(second / "config.toml")
    assert carry.main(["--model", str(second), "--output", str(tmp_path)]) == OK
    text = (tmp_path / "ghost_resnet56_cifar10.md").read_text()
    assert "\npython train.py\npython teach.py\npython train.py again\n" in text
    assert "4 epochs in 6 minutes" in text
    assert "from teachers that took 2 epochs more" in text


def test_weights_from_elsewhere_are_refused(run, tmp_path, carry, capsys):
    config = RunConfig(data="cifar10", model="ghost_resnet56", size=32, weights=str(tmp_path / "other.safetensors"))
    config.save(run / "config.toml")
    assert carry.main(["--model", str(run)]) == BAD_INPUT
    assert "expected weights that only runs have made" in capsys.readouterr().err


def test_unfinished_runs_are_refused(run, carry, capsys):
    (run / "model.keras").unlink()
    assert carry.main(["--model", str(run)]) == BAD_INPUT
    assert "expected a finished run" in capsys.readouterr().err
