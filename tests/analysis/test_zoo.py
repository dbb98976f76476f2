"""The committed table of all networks is what the command writes."""

import csv
from pathlib import Path

import keras
import pytest

from ghostnet_tf.analysis.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def test_zoo_csv_is_what_its_command_writes(tmp_path, monkeypatch, capsys):
    committed = (ROOT / "results" / "zoo.csv").read_text()
    (command,) = {row["command"] for row in csv.DictReader(committed.splitlines())}
    python, flag, module, *arguments = command.split()
    assert (python, flag, module) == ("python", "-m", "ghostnet_tf.analysis")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    keras.utils.clear_session()  # the command builds without values; nothing else may initialize them
    assert (tmp_path / "results" / "zoo.csv").read_text() == committed
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["GhostNet", "1.0", "224x224x3", "5.18", "(5.2)", "141.15", "(141)", "3.54", "73.9"] in printed
    to_run = ["GhostNetV3", "1.3", "to", "run", "224x224x3", "8.95", "269.32", "(269)", "5.89", "79.1"]
    assert to_run in printed
    (note,) = [line for line in printed if line[:2] == ["Ghost-ResNet-50", "s=2,"]]
    assert " ".join(note).startswith("Ghost-ResNet-50 s=2, Ghost-ResNet-50 s=4: the paper's FLOPs are reproduced,")


def test_whatever_a_paper_prints_otherwise_has_a_note():
    def reproduced(counted: str, printed: str) -> bool:
        # In millions; thousands of millions are printed to a tenth.
        digit = 100 if len(printed.split(".")[0]) > 3 else 10.0 ** -len(printed.partition(".")[2])
        return float(printed) == pytest.approx(round(int(counted) / 1e6 / digit) * digit)

    rows = list(csv.DictReader((ROOT / "results" / "zoo.csv").read_text().splitlines()))
    other = {
        row["model"]
        for row in rows
        for ours, theirs in (("params", "paper_params_m"), ("macs", "paper_macs_m"))
        if row[theirs] and not reproduced(row[ours], row[theirs])
    }
    assert other == {row["model"] for row in rows if row["note"]}
