import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from ghostnet_tf.training.images import UnreadableImage, evaluation_image, list_photos, read_image


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_a_photo_is_read_upright(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    turned = save(tmp_path / "turned.png", picture, exif=exif)
    np.testing.assert_array_equal(read_image(turned), np.rot90(picture, -1))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(path)
    assert read_image(path).shape == (4, 5, 3)
    assert read_image(path.read_bytes()).min() >= 250


@pytest.mark.parametrize("damage", [b"", b"not an image", None])
def test_what_is_no_image_is_named_so(tmp_path, damage):
    whole = save(tmp_path / "whole.jpg", np.full((64, 64, 3), 128, np.uint8))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(whole.read_bytes()[:300] if damage is None else damage)
    with pytest.raises(UnreadableImage):
        read_image(broken)


def test_no_program_is_run_for_a_photo(tmp_path, monkeypatch):
    """Pillow gives PostScript to Ghostscript, in a temporary file."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(UnreadableImage, match="no BMP, GIF, JPEG, PNG, TIFF or WEBP image"):
        read_image(path)


def test_evaluation_keeps_the_centre():
    wide = np.zeros((256, 512, 3), np.uint8)
    wide[:, 128:384] = 200  # the centre square of the picture
    image = evaluation_image(wide, 224)
    assert image.shape == (224, 224, 3)
    assert image.min() > 190


def test_small_images_are_not_cropped():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[0], picture[-1] = 255, 255
    image = evaluation_image(picture, 32)
    assert image[0].mean() > 200
    assert image[-1].mean() > 200
    assert evaluation_image(image, 32) is image


def test_photos_are_found_in_order_without_hidden_files(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2.JPG", "a.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_photos(tmp_path)] == ["a.png", "b/2.JPG"]
