"""What becomes of every kind of photo that people have: one table, through the loader of a folder of photos."""

import io
import random
import shutil
import struct
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from ghostnet_tf.commands import BadInput
from ghostnet_tf.training.data import load_data
from ghostnet_tf.training.images import UnreadableImage, read_image

RED = (200, 30, 30)
GREY = np.tile(np.arange(0, 65536, 256, dtype=np.uint16), (8, 1))  # 0 to 65280 from left to right


def plain(path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(path)


def cmyk(path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path)


def grey_16(path: Path) -> None:
    Image.fromarray(GREY).save(path)


def grey_float(path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32)).save(path)


def palette(path: Path) -> None:
    Image.new("RGB", (8, 8), RED).quantize(2).save(path, transparency=0)


def alpha(path: Path) -> None:
    Image.new("RGBA", (8, 8), (*RED, 0)).save(path)


def animated(path: Path) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 0, 255)))
    first.save(path, save_all=True, append_images=[second])


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(path)


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))


def empty(path: Path) -> None:
    path.touch()


def huge(path: Path) -> None:
    """A PNG of 20,000 x 20,000 as its header says: 57 bytes that decode to 1.2 GB."""
    chunks = b""
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)),
        (b"IDAT", b""),
        (b"IEND", b""),
    ):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def without_reading(path: Path) -> None:
    """A file that is there and that nobody can read, not even root."""
    if not Path("/proc/self/mem").exists():
        pytest.skip("Linux's /proc has such a file")
    path.symlink_to("/proc/self/mem")


def loop(path: Path) -> None:
    path.symlink_to(path)


def folder(path: Path) -> None:
    path.mkdir()


# What is drawn, under which name, and the colour in the corner of the centre crop; None: named and refused.
TABLE = [
    (plain, "with spaces and ünïcødé 写真.png", RED),
    (plain, "UPPER.JPG", RED),
    (cmyk, "cmyk.jpg", (255, 0, 0)),
    (grey_16, "grey.png", (124, 124, 124)),
    (grey_16, "grey.tif", (124, 124, 124)),
    (grey_float, "float.tif", None),
    (palette, "palette.png", RED),
    (alpha, "alpha.png", RED),
    (animated, "animated.gif", RED),
    (animated, "animated.webp", RED),
    (one_pixel, "one.png", RED),
    (truncated, "truncated.jpg", None),
    (truncated, "truncated.png", None),
    (corrupt, "corrupt.jpg", None),
    (empty, "empty.png", None),
    (huge, "huge.png", None),
    (without_reading, "unreadable.jpg", None),
    (loop, "loop.jpg", "ignored"),
    (folder, "folder.jpg", "ignored"),
    (plain, ".hidden.png", "ignored"),
]


@pytest.mark.parametrize(("draw", "name", "expected"), TABLE, ids=[f"{row[0].__name__}-{row[1]}" for row in TABLE])
def test_table(draw, name, expected, tmp_path, capsys):
    photos = tmp_path / "my photos"
    for label in ("blue", "red"):
        (photos / "train" / label).mkdir(parents=True)
        (photos / "val" / label).mkdir(parents=True)
        plain(photos / "train" / label / "sound.png")
        plain(photos / "val" / label / "sound.png")
    path = photos / "train" / "red" / name
    draw(path)
    if expected is None:
        with pytest.raises(BadInput, match="1 of 3 photos cannot be read"):
            load_data(str(photos), size=8)
        assert f"skipped {path}: " in capsys.readouterr().err
        return
    train = load_data(str(photos), size=8).train
    assert len(train) == (2 if expected == "ignored" else 3)
    if expected != "ignored":
        image = train.image(train.items.index(path))
        assert image.shape == (8, 8, 3)
        np.testing.assert_allclose(image[0, 0], expected, atol=3)  # of JPEG's rounding


def test_16_bits_keep_their_range(tmp_path):
    for name in ("grey.png", "grey.tif"):
        grey_16(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name)[0, :, 0], np.arange(256))


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path):
    huge(tmp_path / "huge.png")
    with pytest.raises(UnreadableImage, match="400000000 pixels"):
        read_image(tmp_path / "huge.png")


def test_a_class_that_is_a_link_to_all_classes(tmp_path, photos):
    (photos / "again").symlink_to(photos)
    with pytest.raises(BadInput, match="again, a link to what holds all classes"):
        load_data(str(photos), size=8)


def test_predictions_for_a_turned_photo_are_those_of_the_upright_one(tmp_path):
    """All eight orientations of EXIF, each with the pixels as such a camera stores them."""
    upright = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for part in ("train", "val"):
            (tmp_path / part / str(orientation)).mkdir(parents=True)
            path = tmp_path / part / str(orientation) / "photo.png"
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif)
    images = load_data(str(tmp_path), size=8).val.images()
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, strides=2), keras.layers.Flatten()]
    scores = keras.Sequential([*layers, keras.layers.Dense(3)])(images.astype("float32")).numpy()
    assert np.ptp(scores[0]) > 1
    for row in scores[1:]:
        np.testing.assert_array_equal(row, scores[0])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_flipped_bits_end_in_an_image_or_its_error(kind):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole, rng = io.BytesIO(), random.Random(1)
    Image.fromarray(noise).save(whole, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
    outcomes = set()
    for _ in range(150):
        flipped = bytearray(whole.getvalue())
        for _ in range(rng.choice((1, 2, 8))):
            flipped[rng.randrange(min(len(flipped), 400))] ^= 1 << rng.randrange(8)
        try:
            outcomes.add(read_image(bytes(flipped)).dtype == np.uint8)
        except UnreadableImage as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes >= {"refused"} and False not in outcomes


def test_a_photo_that_breaks_after_it_was_checked_is_named(tmp_path, photos):
    data = load_data(str(photos), size=8)
    path = data.val.items[0]
    shutil.copy(path, tmp_path / "copy.jpg")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableImage):
        data.val.images()
