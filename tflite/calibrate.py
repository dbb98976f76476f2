"""Images for a conversion: some to calibrate with, and others, held out, to verify on."""

import concurrent.futures
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghostnet_tf.commands import BadInput, MissingResource, log, progress

if TYPE_CHECKING:
    import keras

IMAGENET_LIKE = "imagenette/320px-v2"  # photos of ten ImageNet classes, open to download
SETTLING = 16  # synthetic images that give an untrained model its normalization statistics
FEW = 100  # below it, ranges depend on which images they were


@dataclass(frozen=True)
class ImageSet:
    """Images as evaluation sees them.

    Attributes:
        calibration, held_out: uint8 `(n, height, width, channels)`, RGB where there are 3; no image is in both.
        name: What they are, for people.
        natural: Whether they are photos (or scans), not synthetic.
    """

    calibration: np.ndarray
    held_out: np.ndarray
    name: str
    natural: bool = True

    def warn_if_unfit(self) -> None:
        """Says on stderr when there are too few for calibration, or all are the same."""
        if 0 < len(self.calibration) < FEW:
            log(
                f"warning: only {len(self.calibration)} calibration images ({self.name}): the int8 ranges may be too "
                f"narrow for others; {FEW} or more are advised"
            )
        if len(self.calibration) > 1 and (self.calibration == self.calibration[0]).all():
            log(
                f"warning: all {len(self.calibration)} calibration images are the same ({self.name}): the int8 ranges "
                "will fit no other; give different ones with --calibration"
            )


def synthetic(shape: tuple[int, int, int], calibration: int, held_out: int, seed: int = 0) -> ImageSet:
    """Seeded random images with detail at every scale, brightness and contrast as varied as in photos.

    Args:
        shape: `(height, width, channels)`.
        calibration, held_out: How many.
    """
    rng = np.random.default_rng(seed)
    images = np.stack([_random_image(shape, rng) for _ in range(calibration + held_out)])
    return ImageSet(images[:calibration], images[calibration:], f"synthetic images, seed {seed}", natural=False)


def _random_image(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    height, width, channels = shape
    image = np.zeros(shape)
    # Every octave has the same energy, as in photos (amplitude 1/f).
    for octave in range(math.ceil(math.log2(max(height, width)))):
        cells = 2**octave + 1
        grid = rng.standard_normal((cells, cells, channels)) + rng.standard_normal((cells, cells, 1))
        image += np.einsum("hr,rcx,wc->hwx", _bilinear(height, cells), grid, _bilinear(width, cells), optimize=True)
    image = (image - image.mean()) / image.std()
    return np.clip(rng.uniform(60, 195) + rng.uniform(20, 80) * image, 0, 255).astype(np.uint8)


@functools.cache
def _bilinear(length: int, cells: int) -> np.ndarray:
    """The matrix `(length, cells)` that stretches a line of `cells` values to `length` pixels."""
    return np.maximum(0, 1 - np.abs(np.linspace(0, cells - 1, length)[:, None] - np.arange(cells)))


def settle(model: "keras.Model", images: np.ndarray) -> None:
    """Gives an untrained model the normalization statistics of `images`.

    At their initial values, activations grow from block to block: no file could be verified against such a model.
    """
    import keras

    from ghostnet_tf import flatten

    layers = [layer for layer in flatten(model).layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(images.astype(np.float32), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def photos(folder: Path, size: int, calibration: int, held_out: int, seed: int = 0) -> ImageSet:
    """Photos from anywhere below a folder, in a seeded random choice.

    A fifth at most is held out; the rest calibrates. Photos that cannot be read are named and left out.

    Raises:
        BadInput: If there are fewer than two photos, or too many cannot be read.
    """
    from ghostnet_tf.training.data import readable
    from ghostnet_tf.training.images import evaluation_image, list_photos, read_image

    files = list_photos(folder)
    if len(files) < 2:
        raise BadInput(f"expected a folder with at least two photos. Received: {folder}, with {len(files)}")
    order = np.random.default_rng(seed).permutation(len(files))
    held_out = min(held_out, max(1, len(files) // 5))
    files = readable([files[index] for index in order[: calibration + held_out]])
    if len(files) < 2:
        raise BadInput(f"expected at least two readable photos. Received: {folder}, with {len(files)}")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = pool.map(lambda file: evaluation_image(read_image(file), size), files)
        images = np.stack(list(progress(decoded, "reading photos", len(files))))
    held_out = min(held_out, len(images) - 1)
    return ImageSet(images[held_out:], images[:held_out], f"photos in {folder.name}, seed {seed}")


def data_set(
    name: str, size: int, calibration: int, held_out: int, seed: int = 0, data_dir: str | None = None
) -> ImageSet:
    """Training images of a data set by name (see `training.data.load_data`) and others from its test part.

    Raises:
        BadInput: If there is no such data set.
        MissingResource: If it is not prepared and cannot be downloaded.
    """
    from ghostnet_tf.training.data import load_data

    return _parts(load_data(name, data_dir=data_dir, size=size), name, calibration, held_out, seed)


def of_run(run: Path, calibration: int, held_out: int, seed: int = 0) -> ImageSet:
    """Images that a run was trained with, and others from its test part.

    Raises:
        BadInput: If the run's data are not there any more.
        MissingResource: If they have to be downloaded and cannot be.
    """
    from ghostnet_tf.training.runs import load_run, load_run_data

    name = load_run(run).data
    try:
        data = load_run_data(run)
    except (BadInput, MissingResource) as error:
        raise type(error)(f"the data of {run} cannot be read: {error}; give other images with --calibration") from error
    return _parts(data, Path(name).name if Path(name).is_dir() else name, calibration, held_out, seed)


def _parts(data, name: str, calibration: int, held_out: int, seed: int) -> ImageSet:
    return ImageSet(
        data.train.images(min(calibration, len(data.train)), seed),
        data.test.images(min(held_out, len(data.test)), seed),
        f"{name}, training images for calibration, test images held out, seed {seed}",
    )


def imagenet_like(size: int, calibration: int, held_out: int, seed: int = 0, data_dir: str | None = None) -> ImageSet:
    """Photos like ImageNet's: imagenette, where it is prepared or can be downloaded.

    Raises:
        MissingResource: If it is neither.
    """
    try:
        return data_set(IMAGENET_LIKE, size, calibration, held_out, seed, data_dir)
    except MissingResource as error:
        raise MissingResource(
            f"int8 for ImageNet weights is calibrated with {IMAGENET_LIKE} by default: {error}. "
            "Or give photos of your own: --calibration DIR"
        ) from error
