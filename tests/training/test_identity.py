"""A resumed run finds what it began with, or says what has changed."""

import dataclasses

import numpy as np
import pytest

from ghostnet_tf.commands import BAD_INPUT, BadInput
from ghostnet_tf.training import fit, identity, train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Data, Split, split_of

CONFIG = RunConfig(width=1.0)


def make_data(images=(3, 2), names=("cat", "dog"), pixel=0):
    labels = np.repeat(np.arange(len(images)), images)
    part = Split(np.full((len(labels), 32, 32, 3), pixel, np.uint8), labels, 32)
    return Data(part, Split(part.items[:2], labels[:2], 32), part, list(names))


@pytest.fixture
def model(tiny_network):
    return tiny_network(input_shape=(32, 32, 3), classes=2, classifier_activation=None)


def test_the_same_is_accepted(tmp_path, model, capsys):
    identity.record(tmp_path, CONFIG, make_data(), model)
    identity.check_same(tmp_path, CONFIG, make_data(), model)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_data((3, 1)), r"train images: 5 -> 4, by class \[3, 2\] -> \[3, 1\]"),
        (make_data((2, 3)), r"train images: 5 -> 5, by class \[3, 2\] -> \[2, 3\]"),
        (make_data(pixel=1), "test images: as many, but other pixels or labels; train images: as many"),
        (make_data(names=("cat", "fox")), "classes cat, dog -> cat, fox"),
    ],
)
def test_other_data_are_refused(tmp_path, model, data, message):
    identity.record(tmp_path, CONFIG, make_data(), model)
    with pytest.raises(BadInput, match=message):
        identity.check_same(tmp_path, CONFIG, data, model)


def test_other_settings_and_networks_are_refused(tmp_path, model, tiny_network):
    identity.record(tmp_path, CONFIG, make_data(), model)
    other = tiny_network(input_shape=(32, 32, 3), classes=2, classifier_activation=None, width=2.0)
    with pytest.raises(BadInput, match=r"setting seed: 0 -> 1; variable .*kernel \[3, 3, 3, 8\] -> \[3, 3, 3, 16\]"):
        identity.check_same(tmp_path, dataclasses.replace(CONFIG, seed=1), make_data(), other)


def test_a_run_from_before_the_record_is_said_to_be_unchecked(tmp_path, model, capsys):
    identity.check_same(tmp_path, CONFIG, make_data(), model)
    assert "it is not checked" in capsys.readouterr().err


def test_a_changed_photo_stops_the_command(tmp_path, photos, tiny_network, capsys):
    config = RunConfig(data=str(photos), size=32, batch_size=8)
    data, config = fit.prepare(config)
    logits = tiny_network(input_shape=(32, 32, 3), classes=3, classifier_activation=None)
    run = tmp_path / "run"
    fit.write_json(run / "split.json", split_of(data, photos))
    config.save(run / "config.toml")
    identity.record(run, config, data, logits)
    changed = data.train.items[4]
    changed.write_bytes(changed.read_bytes() + b"0")
    assert train.main(["--resume", str(run)]) == BAD_INPUT
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"train images: 1 photos changed, first {changed}" in error


def test_labels_out_of_range_are_named():
    part = Split(np.zeros((3, 32, 32, 3), np.uint8), np.array([0, 1, 2]), 32)
    with pytest.raises(BadInput, match=r"labels of 0 to 1, 2 classes\. Received: 2 of train image 2, 1 such images"):
        Data(part, part, part, ["cat", "dog"])
