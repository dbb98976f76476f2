"""What a user may get wrong, through the command: one line with the way out, and what was there stays."""

import re
import shutil

import pytest

from ghostnet_tf.commands import BAD_INPUT, FAILED
from ghostnet_tf.training import fit, history, train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.runs import load_run

SMALL = ["--size", "32", "--batch-size", "8", "--epochs", "2", "--warmup-epochs", "0.5"]

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def run(tmp_path, photos):
    """A run on a folder of photos as it begins, which is what a resumed one is compared with."""
    config = RunConfig(data=str(photos), size=32, batch_size=8, epochs=2, warmup_epochs=0.5)
    data, config = fit.prepare(config)
    fit.begin(tmp_path / "run", config, data, fit.model_of_logits(config, data.labels))
    return tmp_path / "run"


def last_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_a_diverging_run_names_step_batch_and_the_last_good_checkpoint(tmp_path, capsys):
    """One step an epoch, the first with a learning rate of 0: what ends later has a checkpoint behind it."""
    run = tmp_path / "run"
    command = ["--data", "digits", "--output", str(run), "--batch-size", "1400", "--epochs", "9"]
    assert train.main([*command, "--warmup-epochs", "2", "--learning-rate", "3e38"]) == FAILED
    error = last_line(capsys)
    found = re.search(r"the loss is (nan|inf) at (?:step (\d), batch 1 of 1 in epoch \2|.* after step (\d));", error)
    failed = int(found[2] or found[3])
    assert failed > 1
    assert error.endswith(f"The last good checkpoint is {run}/checkpoints/epoch_{failed - 1:04d}.weights.h5")
    assert len(history.read_metrics(run)) == failed - 1
    assert not (run / "model.keras").exists()


def test_a_misspelt_setting_of_a_recipe(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("epochs = 3\nlearning_rte = 0.1\n")
    assert train.main(["--config", str(recipe), "--output", str(tmp_path / "run")]) == BAD_INPUT
    assert "Received: 'learning_rte'. Did you mean 'learning_rate'?" in last_line(capsys)
    assert not (tmp_path / "run").exists()


def test_fewer_photos_than_a_batch(tmp_path, photos, capsys):
    command = ["--data", str(photos), "--output", str(tmp_path / "run"), *SMALL, "--batch-size", "25"]
    assert train.main(command) == BAD_INPUT
    assert "at least one batch of training images. Received: 24 images, --batch-size 25" in last_line(capsys)
    assert not (tmp_path / "run").exists()


def test_a_part_without_photos(tmp_path, draw_photos, capsys):
    draw_photos(tmp_path / "photos" / "train", 4)
    (tmp_path / "photos" / "val").mkdir()
    assert train.main(["--data", str(tmp_path / "photos"), "--output", str(tmp_path / "run"), *SMALL]) == BAD_INPUT
    assert "Received: no val images" in last_line(capsys)


def test_a_resumed_run_with_another_network(run, capsys):
    """Changed in the run's own settings, behind the command's back."""
    RunConfig(**{**vars(load_run(run)), "width": 2.0}).save(run / "config.toml")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert train.main(["--resume", str(run)]) == BAD_INPUT
    error = last_line(capsys)
    assert "setting width: 1.0 -> 2.0; variable" in error
    assert "[3, 3, 3, 8] -> [3, 3, 3, 16]" in error
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_resumed_run_with_other_data(run, photos, capsys):
    shutil.move(photos / "red" / "0.jpg", photos / "red" / "other.jpg")
    assert train.main(["--resume", str(run)]) == BAD_INPUT
    assert "1 photos of the recorded split are gone" in last_line(capsys)
    (photos / "red" / "other.jpg").write_bytes(b"")
    shutil.move(photos / "red" / "other.jpg", photos / "red" / "0.jpg")
    assert train.main(["--resume", str(run)]) == BAD_INPUT
    assert re.search(r"(train|val) images: 1 photos changed, first .*red/0\.jpg, \d+ -> 0 bytes", last_line(capsys))
