"""`ghostnet-tf list` names everything that the commands take by name."""

import keras

from ghostnet_tf import commands, list_models, list_weights
from ghostnet_tf.analysis import zoo


def test_names_options_and_weights(capsys):
    assert commands.main(["list"]) == commands.OK
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[1 : len(list_models()) + 1]] == list_models()
    assert ["regnetx", "--variant", "032"] in lines
    assert ["ghostnetv2_130.in1k", "ghostnetv2", "1.3", "76.75"] in lines
    assert {line[0] for line in lines if line} >= set(list_weights())


def test_table_is_that_of_the_analysis(monkeypatch, capsys):
    monkeypatch.setattr(zoo, "ROWS", [row for row in zoo.ROWS if row.name == "ResNet-56"])
    assert commands.main(["list", "--table"]) == commands.OK
    keras.utils.clear_session()  # the command builds without values; nothing else may initialize them
    header, row = capsys.readouterr().out.splitlines()
    assert "MACs M" in header
    assert row.split()[:4] == ["ResNet-56", "32x32x3", "0.85", "(0.85)"]
