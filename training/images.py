"""Photos as arrays: reading, and the one resize and crop that evaluation, calibration and prediction share."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ghostnet_tf.untrusted import DAMAGE, first_line

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # Pillow would run Ghostscript on others, with files on disk
CROP_FRACTION = 0.875  # share of the shorter side that a 224-pixel evaluation crop keeps, as published
SMALL_SIZE = 96  # pixels; smaller inputs are not cropped


class UnreadableImage(ValueError):
    """A file that is no complete image."""


def list_photos(folder: Path) -> list[Path]:
    """Every image file below `folder`, sorted; hidden files are left out."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def read_image(source: Path | str | bytes, *, sketch: bool = False) -> np.ndarray:
    """Decodes an image file (or its bytes) to uint8 RGB `(height, width, 3)`, upright by its EXIF orientation.

    What is no image of `FORMATS` is refused, whatever its name says; nothing is written to disk. Of an animation the
    first picture counts; transparency is dropped, 16 bits become 8. More than 179 million pixels (Pillow's limit) are
    refused before they are decoded.

    Args:
        source: The file or its bytes.
        sketch: Whether a JPEG is to come at an eighth of its size, to see in less time that it is whole.

    Raises:
        UnreadableImage: If it is truncated, corrupt, too large, or no image.
    """
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file,
            Image.open(file, formats=FORMATS) as image,
        ):
            if sketch:
                image.draft("RGB", (1, 1))
            return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        kinds = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise UnreadableImage(f"no {kinds} image, or damaged at its beginning") from error
    except (*DAMAGE, Image.DecompressionBombError, struct.error, zlib.error) as error:
        raise UnreadableImage(first_line(error)) from error


def _rgb(image: Image.Image) -> np.ndarray:
    """8 bits a channel; Pillow would clip grey values of 16 bits, and those of 32 have no known range."""
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    if image.mode in ("F", "I"):
        raise ValueError("grey values of 32 bits have no known white: save it with 8 or 16 bits")
    return np.asarray(image.convert("RGB"))


def evaluation_image(image: np.ndarray, size: int) -> np.ndarray:
    """The square of `size` pixels that a model is evaluated on, uint8 `(size, size, 3)`.

    From 96 pixels on: the shorter side resized to `size / 0.875` (bicubic, antialiased) and the centre cropped.
    Below: the shorter side resized to `size`, so that small pictures keep their borders.
    """
    if image.shape[:2] == (size, size):
        return image
    height, width = image.shape[:2]
    shorter = round(size / CROP_FRACTION) if size >= SMALL_SIZE else size
    scale = shorter / min(height, width)
    resized = Image.fromarray(image).resize(
        (max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BICUBIC
    )
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)))
