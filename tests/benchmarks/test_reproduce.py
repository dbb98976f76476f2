"""A run of a table of results again, by the real command."""

import re

import pytest

from ghostnet_tf import results
from ghostnet_tf.commands import BAD_INPUT, OK
from ghostnet_tf.training.train import COLUMNS

COMMAND = "python training/train.py --data digits --width 0.25 --size 32 --epochs 1 --batch-size 128 --warmup-epochs 0"
LONGER = {"minutes": 9, "command": "python training/train.py --data cifar10"}
TAUGHT = {"minutes": 0.1, "command": f"{COMMAND} --teacher t.keras"}


@pytest.fixture(scope="module")
def reproduce(script):
    return script("reproduce")


def table(path, *rows):
    common = {"top1": 1.0, "images": 360, "processor": "any"}
    results.append_rows(path, COLUMNS, [common | row for row in rows])
    return path


def test_the_shortest_run_comes_out_as_the_table_has_it_or_not(reproduce, tmp_path, capfd):
    """An epoch does not know the digits, so that 100 % is clearly false; what it does reach, it reaches again."""
    false = table(tmp_path / "false.csv", LONGER, TAUGHT, {"minutes": 0.5, "command": COMMAND})
    assert reproduce.main(["--csv", str(false)]) == 1
    found = float(re.search(r"again: top-1 ([\d.]+) %", capfd.readouterr().out)[1])
    assert found < 90
    true = table(tmp_path / "true.csv", {"minutes": 0.5, "top1": found / 100, "command": COMMAND})
    assert reproduce.main(["--csv", str(true)]) == OK
    # Threads add in any order; of 360 images, each is 0.28 points.
    assert float(re.search(r"([\d.]+) points apart", capfd.readouterr().out)[1]) < 2


def test_bad_input(reproduce, tmp_path, capsys):
    assert reproduce.main(["--csv", str(table(tmp_path / "taught.csv", TAUGHT))]) == BAD_INPUT
    assert "expected a run from random weights" in capsys.readouterr().err
    assert reproduce.main(["--csv", str(tmp_path / "none.csv")]) == BAD_INPUT
    assert "which does not exist" in capsys.readouterr().err
