"""How time and memory of GhostNet grow with its width and with the size of its images."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ghostnet_tf.networks import NETWORKS

BASE = NETWORKS["ghostnet"].size  # pixels a side; sizes count relative to it
IMAGES = 2  # synthetic ones that calibrate int8: ranges do not change the time
TERMS = ("1", "w²", "a", "w·a", "w²·a")  # w: width, a: (size / 224)²


def terms(width: np.ndarray | float, size: np.ndarray | float) -> np.ndarray:
    """What the model of `fit` is a sum of, `(…, 5)`.

    Each grows like a part of the network: its start and its classifier; the weights of squeeze and excitation; the
    image's normalization; what is done once for every element (depthwise convolutions, copies, additions); pointwise
    convolutions.
    """
    width, area = np.broadcast_arrays(np.asarray(width, float), (np.asarray(size, float) / BASE) ** 2)
    return np.stack([np.ones_like(width), width**2, area, width * area, width**2 * area], axis=-1)


@dataclass(frozen=True)
class Fit:
    """A sum of `TERMS` that was fitted to measurements.

    Attributes:
        factors: Of the terms, none negative, in the unit of what was measured.
        errors: Of each measurement: measured / fitted - 1.
    """

    factors: tuple[float, ...]
    errors: tuple[float, ...]

    def __call__(self, width: float, size: float) -> float:
        """What to expect of a width and a size in pixels."""
        return float(terms(width, size) @ self.factors)

    @property
    def worst(self) -> float:
        """The greatest error, without its sign."""
        return max(map(abs, self.errors))

    @property
    def typical(self) -> float:
        """The median error, without its sign."""
        return float(np.median(np.abs(self.errors)))

    def __str__(self) -> str:
        parts = (f"{factor:.3g}" + f"·{term}" * (term != "1") for factor, term in zip(self.factors, TERMS, strict=True))
        return " + ".join(parts)


def fit(widths: Sequence[float], sizes: Sequence[float], values: Sequence[float]) -> Fit:
    """Fits a sum of `TERMS`, without negative ones, to `values` above 0 by least squares of the relative errors.

    Raises:
        ValueError: If there are fewer measurements than terms, or one is not above 0.
    """
    from scipy.optimize import nnls

    values = np.asarray(values, float)
    if len(values) < len(TERMS) or not (values > 0).all():
        raise ValueError(f"Expected at least {len(TERMS)} values above 0. Received: values={values.tolist()}")
    matrix = terms(np.asarray(widths), np.asarray(sizes))
    factors, _ = nnls(matrix / values[:, None], np.ones_like(values))
    errors = values / (matrix @ factors) - 1
    return Fit(tuple(map(float, factors)), tuple(map(float, errors)))


def converted(width: float, size: int, scheme: str, any_size: bool = False) -> bytes:
    """The `.tflite` file of an untrained GhostNet with 1000 classes.

    Args:
        width: Its width.
        size: Pixels a side.
        scheme: A key of `schemes.SCHEMES`.
        any_size: Whether it is to run on images of other sizes, too. It is then not of the fastest graph.
    """
    import keras

    from ghostnet_tf.models import GhostNet
    from ghostnet_tf.tflite import calibrate
    from ghostnet_tf.tflite.schemes import GRAPH, SCHEMES, convert

    keras.utils.set_random_seed(0)
    shape = (size, size, 3)
    options = {"graph": "plain" if any_size else GRAPH}
    if SCHEMES[scheme].needs_images:
        options |= {"calibration_method": "minmax", "bias_correction": False}
        options["representative_dataset"] = calibrate.synthetic(shape, IMAGES, 0).calibration
    content = convert(GhostNet(width, input_shape=shape), scheme, **options)
    keras.utils.clear_session()
    return content


def multiply_adds(width: float, size: int) -> int:
    """Of GhostNet with 1000 classes for one image; exact for sizes that are multiples of 32, its strides' product."""
    once, everywhere = _multiply_adds_at_base(width)
    return once + round(everywhere * (size / BASE) ** 2)


@functools.cache
def _multiply_adds_at_base(width: float) -> tuple[int, int]:
    """Those that an image of any size needs once, and those that it needs at every position."""
    from ghostnet_tf.analysis import complexity
    from ghostnet_tf.models import GhostNet

    counted = complexity(GhostNet(width, input_shape=(BASE, BASE, 3)))
    once = sum(row.macs for row in counted.rows if row.output_shape[:-1] in ((), (1, 1)))
    return once, counted.macs - once
