"""Photos as arrays: reading, and the one resize and crop that evaluation, calibration and prediction share."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
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

    Args:
        source: The file or its bytes.
        sketch: Whether a JPEG is to come at an eighth of its size, to see in less time that it is whole.

    Raises:
        UnreadableImage: If it is truncated, corrupt, too large, or no image.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if sketch:
                image.draft("RGB", (1, 1))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(str(error)) from error


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
