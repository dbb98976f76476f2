"""What a network takes in place of pixels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Normalization:
    """`(pixel - mean) / std`, of RGB values from 0 to 255.

    A quantized input takes that in its own scale and zero point.

    Attributes:
        mean, std: A number for all channels, or one for each.
    """

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """`images` `(…, channels)` normalized, float32; as they are where that changes nothing."""
        if self == PIXELS:
            return images
        return (images.astype(np.float32) - per_channel(self.mean)) / per_channel(self.std)

    def __str__(self) -> str:
        if self == PIXELS:
            return "RGB from 0 to 255"
        mean, std = (", ".join(f"{number:g}" for number in per_channel(numbers)) for numbers in (self.mean, self.std))
        return f"(pixel - [{mean}]) / [{std}]" if "," in mean + std else f"(pixel - {mean}) / {std}"


PIXELS = Normalization(0.0, 1.0)  # what models take that normalize themselves


def per_channel(numbers: float | tuple[float, ...]) -> np.ndarray:
    """A mean or a standard deviation as an array, float32, `(1,)` or `(channels,)`."""
    return np.ravel(np.asarray(numbers, np.float32))
