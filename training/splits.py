"""Labelled images in splits, either as pixels or encoded until they are used."""

import concurrent.futures
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput, progress
from ghostnet_tf.training.images import CROP_FRACTION, SMALL_SIZE, evaluation_image, read_image
from ghostnet_tf.training.records import Records


@dataclass
class Split:
    """Labelled images.

    Attributes:
        items: Either uint8 pixels `(n, size, size, 3)`, RGB, or encoded images (paths or bytes), decoded when used.
        labels: Class indices `(n,)`, int64.
        size: Pixels a side of the images handed out.
    """

    items: np.ndarray | Sequence[Path | bytes]
    labels: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def encoded(self) -> bool:
        return not isinstance(self.items, np.ndarray)

    def image(self, index: int) -> np.ndarray:
        """One image as evaluation sees it, uint8 `(size, size, 3)`."""
        return evaluation_image(read_image(self.items[index]), self.size) if self.encoded else self.items[index]

    def preparation(self) -> str:
        """How an image becomes what the model sees, for logs."""
        if self.encoded and self.size >= SMALL_SIZE:
            shorter = round(self.size / CROP_FRACTION)
            return f"shorter side to {shorter} px (bicubic), centre crop of {self.size} px"
        return f"shorter side to {self.size} px (bicubic), centre crop" if self.encoded else f"{self.size} px"

    def indices(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        """Which `n` images `images` takes: the first, or with a seed a random choice without repetition."""
        order = np.arange(len(self)) if seed is None else np.random.default_rng(seed).permutation(len(self))
        return order[: len(self) if n is None else n]

    def images(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        """`n` images (all by default) as evaluation sees them, uint8 `(n, size, size, 3)`."""
        chosen = self.indices(n, seed)
        if not self.encoded:
            return self.items[chosen]
        if not len(chosen):
            return np.empty((0, self.size, self.size, 3), np.uint8)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(self.image, chosen)
            return np.stack(list(progress(decoded, "reading images", len(chosen))))

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All images in order as `images` gives them, `size` at a time, which bounds memory."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self), size):
                part = range(start, min(start + size, len(self)))
                yield np.stack(list(pool.map(self.image, part))) if self.encoded else self.items[start : part.stop]

    def subset(self, chosen: np.ndarray) -> "Split":
        """The images of these indices."""
        if isinstance(self.items, Records):
            items = self.items.subset(chosen)
        else:
            items = [self.items[index] for index in chosen] if self.encoded else self.items[chosen]
        return Split(items, self.labels[chosen], self.size)


@dataclass
class Data:
    """A data set in splits.

    Attributes:
        train, val, test: The splits; `test` is `val` where there is no other.
        labels: Class names by index.
        flip: Whether a mirrored image keeps its class (False for digits).
    """

    train: Split
    val: Split
    test: Split
    labels: list[str]
    flip: bool = True

    def __post_init__(self):
        for name, part in self.parts.items():
            if not len(part):
                raise BadInput(f"expected images to train on and others to measure on. Received: no {name} images")
            wrong = np.flatnonzero((part.labels < 0) | (part.labels >= len(self.labels)))
            if len(wrong):
                raise BadInput(
                    f"expected labels of 0 to {len(self.labels) - 1}, {len(self.labels)} classes. Received: "
                    f"{part.labels[wrong[0]]} of {name} image {wrong[0]}, {len(wrong)} such images in all"
                )

    @property
    def parts(self) -> dict[str, Split]:
        """The splits by name, `test` only where it is not `val`."""
        parts = {"train": self.train, "val": self.val}
        return parts if self.test is self.val else {**parts, "test": self.test}


def square_pixels(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 `(n, h, w, 1 or 3)` as RGB `(n, size, size, 3)`."""
    images = images[..., 0] if images.shape[-1] == 1 else images
    if images.shape[1:3] != (size, size):
        images = np.stack([evaluation_image(image, size) for image in images])
    return np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images


def stratified(labels: np.ndarray, seed: int, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a train and a held-out part with the same share of each class; `held_out` from 0 to 1.

    Raises:
        BadInput: If there are too few images for that.
    """
    from sklearn.model_selection import train_test_split

    try:
        parts = train_test_split(np.arange(len(labels)), test_size=held_out, random_state=seed, stratify=labels)
    except ValueError as error:
        raise BadInput(f"{len(labels)} images cannot be split into a train and a held-out part: {error}") from error
    return np.sort(parts[0]), np.sort(parts[1])
