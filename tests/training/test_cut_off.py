"""A run that is cut off before its first epoch: its folder is a run's, and can be continued or replaced."""

import pytest

from ghostnet_tf.commands import OK, BadInput
from ghostnet_tf.training import fit, train
from ghostnet_tf.training.runs import check_output

SMALL = ["--data", "digits", "--epochs", "1", "--warmup-epochs", "0.5", "--batch-size", "1400"]


@pytest.mark.parametrize("earlier", [False, True])
def test_while_the_folder_is_made(earlier, tmp_path, tiny_network, monkeypatch):
    run = tmp_path / "run"
    if earlier:
        for name in ("checkpoints", "exports"):
            (run / name).mkdir(parents=True)
        (run / "config.toml").write_text('data = "digits"\n')
        (run / "checkpoints" / "epoch_0001.weights.h5").write_bytes(b"of the earlier run")

    def cut_off(path, text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "write_text", cut_off)
        assert train.main([*SMALL, "--output", str(run), "--overwrite"]) == 130
    assert not (run / "checkpoints").exists() and not (run / "exports").exists()
    assert train.main(["--resume", str(run)]) == OK
    assert {"labels.txt", "resume.json", "environment.json", "model.keras"} <= {path.name for path in run.iterdir()}


def test_before_the_settings_are_written(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.toml-abcd.toml").touch()
    check_output(tmp_path / "run", "digits")
    (tmp_path / "run" / ".git").mkdir()
    with pytest.raises(BadInput, match="is not empty and holds no run"):
        check_output(tmp_path / "run", "digits")
