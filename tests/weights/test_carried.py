"""The weights in the package: they load, they know CIFAR-10, and they go into files for phones."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ghostnet_tf
from ghostnet_tf.commands import OK
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import convert as command
from ghostnet_tf.weights import carried

ROW = carried("ghost_resnet56")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tensorflow_datasets"
# The first 20 test images of CIFAR-10 from left to right, and their classes.
IMAGES = Path(__file__).with_name("cifar10_test_images.png")
LABELS = [6, 6, 4, 3, 2, 4, 8, 5, 5, 0, 3, 2, 0, 5, 1, 0, 7, 8, 2, 6]


@pytest.fixture(scope="module")
def model():
    return ghostnet_tf.GhostResNet56(weights="cifar10")


@pytest.fixture(scope="module")
def images():
    return np.stack(np.split(np.asarray(Image.open(IMAGES)), len(LABELS), axis=1)).astype(np.float32)


def test_it_knows_images_that_it_was_not_trained_with(model, images):
    probabilities = model.predict(images, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    # With 89 % of all test images right, fewer than 14 of 20 have a chance below 1 %.
    assert (probabilities.argmax(axis=1) == LABELS).sum() >= 14


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no prepared CIFAR-10 in {SHARED}")
def test_accuracy_is_that_of_the_card(model):
    from ghostnet_tf.training.data import load_data

    test = load_data("cifar10", data_dir=str(SHARED)).test
    probabilities = model.predict(test.images(2000, 0).astype(np.float32), verbose=0)
    printed = float(re.search(r"(\d+\.\d+) % top-1", ROW.card.read_text(encoding="utf-8"))[1]) / 100
    # Three standard errors of 2000 images.
    found = (probabilities.argmax(axis=1) == test.labels[test.indices(2000, 0)]).mean()
    assert found == pytest.approx(printed, abs=0.025)


def test_the_files_are_small_and_say_what_they_are():
    assert ROW.path.stat().st_size <= 2_000_000
    assert len(ROW.labels) == 10 and ROW.labels[3] == "cat"
    card = ROW.card.read_text(encoding="utf-8")
    assert all(f"\n## {part}\n" in card for part in ("Accuracy", "Training", "Limits", "Licence"))
    assert "python training/train.py --data cifar10" in card


def test_other_classes_start_anew(model):
    with pytest.warns(UserWarning, match="has 10 classes, the model 4: the classifier starts anew"):
        other = ghostnet_tf.GhostResNet56(weights="cifar10", classes=4)
    stem = [each.get_layer("stem").get_weights() for each in (model, other)]
    assert all(np.array_equal(one, two) for one, two in zip(*stem, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 3}, 'Expected the trained network with weights="cifar10". Received: other ratio'),
        ({"dw_size": 1}, "Received: other dw_size"),
        ({"include_top": False, "input_shape": (32, 32, 1)}, "Received: other input channels"),
    ],
)
def test_only_for_the_network_that_was_trained(changes, message):
    with pytest.raises(ValueError, match=message):
        ghostnet_tf.GhostResNet56(weights="cifar10", **changes)


def test_converted_by_name_without_a_network(tmp_path, capsys, images):
    assert command.main(["--model", "ghost_resnet56", "--fp32", "--output", str(tmp_path)]) == OK
    assert capsys.readouterr().out.startswith("ghost_resnet56 with the package's weights, trained on cifar10\n")
    file = TFLiteModel(tmp_path / "ghost_resnet56_32_cifar10_fp32.tflite")
    assert (file.predict(images).argmax(axis=1) == LABELS).sum() >= 14
