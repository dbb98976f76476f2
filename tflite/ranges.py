"""Ranges of activations: what calibration images show of each, and the range that int8 then gets."""

import math

import numpy as np

BINS = 8192
SAMPLE = 1 << 16  # values of one image in one tensor that are counted
STEPS = 255  # of int8, from the least to the greatest value
OUTSIDE = 1e-4  # share of the values that `percentile` leaves out at each end


class Activation:
    """Everything that is kept of one tensor over many images, in memory that does not grow with them.

    Attributes:
        lows, highs: Least and greatest value in each channel (of the last axis).
        sum: Of the images, in their shape, without the batch.
        images: Their number.
        counts: How many values lie in each of `BINS` equal bins from `-limit` to `limit`, of up to `SAMPLE` an image.
            Zeros are not counted: int8 represents them exactly, and most values of a ReLU are zeros.
        limit: A power of two, doubled when a greater value comes; two bins then become one.
        sampled: How many values the counts are of, zeros included.
    """

    def __init__(self):
        self.lows, self.highs = np.float32(np.inf), np.float32(-np.inf)
        self.sum, self.images = 0.0, 0
        self.counts, self.limit = np.zeros(BINS, np.int64), 0.0
        self.sampled = 0

    def add(self, values: np.ndarray, count: bool = True) -> None:
        """Takes in one image's values `(1, …, channels)`; `counts` stay as they are without `count`."""
        pixels = values.reshape(-1, values.shape[-1])
        lows, highs = pixels.min(axis=0), pixels.max(axis=0)
        self.lows, self.highs = np.minimum(self.lows, lows), np.maximum(self.highs, highs)
        self.sum = self.sum + values[0]
        self.images += 1
        greatest = max(-float(lows.min()), float(highs.max()))
        if count and math.isfinite(greatest):
            self._count(_sample(pixels), greatest)

    def _count(self, values: np.ndarray, greatest: float) -> None:
        self.sampled += values.size
        if greatest > 0 and not self.limit:
            self.limit = 2.0 ** math.ceil(math.log2(greatest))
        while greatest > self.limit:
            self.counts = np.pad(self.counts.reshape(-1, 2).sum(axis=1), BINS // 4)
            self.limit *= 2
        values = values[values != 0]
        if values.size:
            # Down before the sum, which would round what is just below 0 into the bin above.
            bins = np.floor(values * np.float32(BINS / 2 / self.limit)).astype(np.int32) + BINS // 2
            self.counts += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)

    @property
    def low(self) -> float:
        """Least value."""
        return float(np.min(self.lows))

    @property
    def high(self) -> float:
        """Greatest value."""
        return float(np.max(self.highs))

    @property
    def mean(self) -> np.ndarray:
        """Of the images, in their shape, without the batch."""
        return self.sum / self.images

    @property
    def centres(self) -> np.ndarray:
        """The middle of each bin."""
        return (np.arange(BINS) + 0.5) * (2 * self.limit / BINS) - self.limit


def _sample(pixels: np.ndarray) -> np.ndarray:
    """Up to `SAMPLE` of the values `(pixels, channels)`, evenly over both."""
    step = -(-pixels.size // SAMPLE)
    while math.gcd(step, pixels.shape[1]) > 1:
        step += 1
    return pixels.ravel()[::step]


def minmax(seen: Activation) -> tuple[float, float]:
    """From the least value to the greatest."""
    return seen.low, seen.high


def percentile(seen: Activation) -> tuple[float, float]:
    """Without the `OUTSIDE` share of values at each end."""
    allowed = OUTSIDE * seen.sampled
    below, above = np.cumsum(seen.counts), np.cumsum(seen.counts[::-1])[::-1]
    low = seen.centres[np.searchsorted(below, allowed, side="right").clip(max=BINS - 1)]
    high = seen.centres[BINS - 1 - np.searchsorted(above[::-1], allowed, side="right").clip(max=BINS - 1)]
    # More than the share may be zeros, and a range holds zero anyway.
    return max(seen.low, min(low, 0.0)), min(seen.high, max(high, 0.0))


def mse(seen: Activation) -> tuple[float, float]:
    """Of least mean square error: of rounding inside, of clipping outside.

    Ends of 1 to 0.2 times the least and greatest value are tried, each with each. Rounding costs a twelfth of the
    squared step for every value but zeros.
    """
    fractions = np.linspace(0.2, 1, 81)
    lows, highs = min(seen.low, 0.0) * fractions, max(seen.high, 0.0) * fractions
    below, few = _clipped(-seen.centres[::-1], seen.counts[::-1], -lows)
    above, many = _clipped(seen.centres, seen.counts, highs)
    inside = seen.counts.sum() - few[:, None] - many[None, :]
    steps = (highs[None, :] - lows[:, None]) / STEPS
    errors = below[:, None] + above[None, :] + inside * steps**2 / 12
    low, high = np.unravel_index(np.argmin(errors), errors.shape)
    return float(lows[low]), float(highs[high])


def _clipped(centres: np.ndarray, counts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared error, and number, of the values that each of `ends` clips from above."""

    def tail(weights: np.ndarray) -> np.ndarray:
        return np.append(np.cumsum((counts * weights)[::-1])[::-1], 0.0)

    first = np.searchsorted(centres, ends, side="right")
    ones, sums, squares = (tail(centres**power)[first] for power in (0, 1, 2))
    return squares - 2 * ends * sums + ends**2 * ones, ones


METHODS = {"minmax": minmax, "percentile": percentile, "mse": mse}
