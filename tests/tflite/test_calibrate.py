"""Calibration images: which they are, that none is held out as well, what is said about bad ones."""

import keras
import numpy as np
import pytest
from PIL import Image

from ghostnet_tf import flatten
from ghostnet_tf.commands import BadInput, MissingResource
from ghostnet_tf.layers import ConvBN
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.training import data
from ghostnet_tf.training.config import RunConfig


@pytest.fixture
def photo_folder(tmp_path):
    """120 photos in two subfolders; the colour of each is its number."""
    for number in range(120):
        file = tmp_path / ("even" if number % 2 == 0 else "odd") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 50), (number, number, 255 - number)).save(file)
    return tmp_path


def numbers(images: np.ndarray) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def test_synthetic_images_are_seeded_and_varied():
    first = calibrate.synthetic((48, 64, 3), 20, 10, seed=3)
    again = calibrate.synthetic((48, 64, 3), 20, 10, seed=3)
    np.testing.assert_array_equal(first.calibration, again.calibration)
    np.testing.assert_array_equal(first.held_out, again.held_out)
    assert first.calibration.shape == (20, 48, 64, 3)
    assert first.calibration.dtype == np.uint8
    assert not first.natural
    assert "seed 3" in first.name
    everything = np.concatenate([first.calibration, first.held_out])
    assert len(np.unique(everything.reshape(30, -1), axis=0)) == 30
    assert not np.array_equal(first.calibration, calibrate.synthetic((48, 64, 3), 20, 10, seed=4).calibration)
    # Of photos: dark to bright, flat to rich in contrast, neighbours alike.
    assert np.ptp(everything.mean(axis=(1, 2, 3))) > 60
    assert np.ptp(everything.std(axis=(1, 2, 3))) > 20
    pixels = everything.astype(float)
    assert np.corrcoef(pixels[:, :, :-1].ravel(), pixels[:, :, 1:].ravel())[0, 1] > 0.8


def test_photos_are_split_between_calibration_and_verification(photo_folder):
    images = calibrate.photos(photo_folder, 32, calibration=60, held_out=100)
    assert images.calibration.shape == (60, 32, 32, 3)
    assert len(images.held_out) == 24  # a fifth of what there is
    used = numbers(images.calibration) + numbers(images.held_out)
    assert len(set(used)) == 84
    assert {number % 2 for number in numbers(images.calibration)} == {0, 1}  # from both subfolders
    assert images.natural
    again = calibrate.photos(photo_folder, 32, calibration=60, held_out=100)
    np.testing.assert_array_equal(images.calibration, again.calibration)
    other = calibrate.photos(photo_folder, 32, calibration=60, held_out=100, seed=1)
    assert numbers(images.calibration) != numbers(other.calibration)


def test_an_unreadable_photo_is_named_and_left_out(photo_folder, capsys):
    (photo_folder / "even" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    images = calibrate.photos(photo_folder, 32, calibration=200, held_out=10)
    assert len(images.calibration) + len(images.held_out) == 120
    said = capsys.readouterr().err
    assert "skipped" in said
    assert "broken.jpg" in said
    assert "1 of 121 photos cannot be read" in said


def test_many_unreadable_photos_stop(photo_folder):
    for number in range(3):
        (photo_folder / f"broken{number}.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match="3 of 123 photos cannot be read, more than 1%"):
        calibrate.photos(photo_folder, 32, calibration=200, held_out=10)


def test_a_folder_without_photos(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(BadInput, match=r"at least two photos\. Received: .*with 0"):
        calibrate.photos(tmp_path, 32, 10, 10)


@pytest.mark.parametrize(("count", "warned"), [(0, False), (99, True), (100, False)])
def test_few_images_warn(count, warned, capsys):
    varied = np.arange(count * 3).reshape(count, 1, 1, 3)
    calibrate.ImageSet(varied, np.zeros((1, 1, 1, 3)), "some").warn_if_unfit()
    said = capsys.readouterr().err
    assert said.startswith("warning: only 99 calibration images (some)") if warned else said == ""


def test_images_that_are_all_alike_warn(capsys):
    calibrate.ImageSet(np.full((100, 2, 2, 3), 7, np.uint8), np.zeros((1, 2, 2, 3)), "white walls").warn_if_unfit()
    assert capsys.readouterr().err.startswith("warning: all 100 calibration images are the same (white walls)")


def test_grey_photos_of_any_size_become_what_the_model_takes(tmp_path):
    Image.new("L", (40, 90), 77).save(tmp_path / "tall.png")
    Image.new("L", (300, 20), 77).save(tmp_path / "wide.jpg")
    images = calibrate.photos(tmp_path, 32, calibration=1, held_out=1)
    for part in (images.calibration, images.held_out):
        np.testing.assert_array_equal(part, np.full((1, 32, 32, 3), 77))


def test_a_run_gives_its_own_images(tmp_path):
    RunConfig(data="digits", size=32, seed=5).save(tmp_path / "config.toml")
    images = calibrate.of_run(tmp_path, 30, 20)
    digits = data.load_data("digits", size=32, seed=5)

    def found(image, split):
        return (split.images() == image).all(axis=(1, 2, 3)).any()

    assert len(images.calibration) == 30
    assert len(images.held_out) == 20
    assert all(found(image, digits.train) for image in images.calibration)
    assert all(found(image, digits.test) for image in images.held_out)


def test_a_run_whose_photos_are_gone_names_the_flag(tmp_path):
    RunConfig(data=str(tmp_path / "gone"), size=32).save(tmp_path / "config.toml")
    with pytest.raises(BadInput, match="other images with --calibration"):
        calibrate.of_run(tmp_path, 30, 20)


def test_imagenet_weights_without_photos_name_the_flag(monkeypatch):
    def unreachable(name, **options):
        assert name == "imagenette/320px-v2"
        raise MissingResource("not prepared and cannot be downloaded")

    monkeypatch.setattr(data, "load_data", unreachable)
    with pytest.raises(MissingResource, match="photos of your own: --calibration DIR"):
        calibrate.imagenet_like(224, 200, 100)


def test_settled_statistics_are_those_of_the_images():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, ConvBN(5, 3, activation=None, name="last")(keras.layers.ReLU()(x)))
    model.get_layer("last").bn.momentum = 0.8
    images = calibrate.synthetic((8, 8, 3), 16, 0).calibration
    calibrate.settle(model, images)
    outputs = model.predict(images.astype(np.float32), verbose=0)
    # Normalized by their own statistics; epsilon of 0.001 beside the variance takes a little.
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.std(axis=(0, 1, 2)), 1, atol=1e-2)
    assert [layer.momentum for layer in flatten(model).layers if hasattr(layer, "momentum")] == [0.9, 0.8]
