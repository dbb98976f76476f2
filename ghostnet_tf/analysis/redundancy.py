"""How alike feature maps are, and how well a cheap operation makes one from another (GhostNet, figure 1 and table 2).

Feature maps are those of one image, `(height, width, channels)`. A map is compared by its variation: its mean is
removed first, which the shift of a normalization gives anyway. A map without variation is like no other.
"""

from typing import NamedTuple

import numpy as np

SIZES = (1, 3, 5, 7)  # d of the paper's table 2
ROUNDING = 1e-6  # of the size of a map: networks compute in single precision, and less variation is none


class Pair(NamedTuple):
    """Two maps of a layer by their channels, the lower one first, and how alike they are."""

    first: int
    second: int
    similarity: float


class MapError(NamedTuple):
    """What is left of a map when the best depthwise kernel makes it from another.

    Attributes:
        size: d, the window of the kernel.
        solved: Mean squared error of the least-squares kernel, which is the smallest that there is.
        trained: The same of a kernel that gradient descent found.
        energy: Mean square of the map itself, the error of a kernel of zeros.
    """

    size: int
    solved: float
    trained: float
    energy: float


def cosine_similarity(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine of the angle between each of `maps` and each of `others`, means removed: their correlation.

    Args:
        maps: `(height, width, n)`.
        others: `(height, width, m)`.

    Returns:
        `(n, m)`, from -1 to 1.
    """
    return _directions(maps).T @ _directions(others)


def linear_similarity(maps: np.ndarray, others: np.ndarray, size: int) -> np.ndarray:
    """How much of each of `others` the best depthwise kernel and shift make from each of `maps`.

    That is the share of the variance that is explained, R^2, by a `size` x `size` window with zeros around the map,
    as the cheap operation of a ghost module reads it. At size 1 it is the square of `cosine_similarity`. Maps of
    noise reach `size`^2 / (height * width - 1) on average, see `chance`.

    Args:
        maps: Maps to read, `(height, width, n)`.
        others: Maps to make, `(height, width, m)`.
        size: d of the paper, odd.

    Returns:
        `(n, m)`, from 0 to 1; not symmetric.

    Raises:
        ValueError: If there are too few pixels, see `enough_pixels`.
    """
    height, width, count = maps.shape
    if not enough_pixels(maps.shape, size):
        raise ValueError(
            f"Expected maps of more than {2 * size**2} pixels for a window of {size}. Received: {height}x{width}"
        )
    targets = _directions(others)
    shares = np.empty((count, others.shape[-1]))
    for channel in range(count):
        windows = _windows(maps[..., channel], size)
        # Without the means, since the map may be shifted.
        basis, strengths, _ = np.linalg.svd(windows - windows.mean(0), full_matrices=False)
        basis = basis[:, strengths > ROUNDING * np.linalg.norm(windows)]
        shares[channel] = np.square(basis.T @ targets).sum(0)
    return np.clip(shares, 0, 1)


def enough_pixels(shape: tuple[int, ...], size: int) -> bool:
    """Whether maps of `shape` (height, width, …) have over two pixels for each weight of a window of `size`."""
    return shape[0] * shape[1] > 2 * size**2


def chance(shape: tuple[int, ...], size: int) -> float:
    """What `linear_similarity` gives on average for maps of noise of `shape` (height, width, …)."""
    return size**2 / (shape[0] * shape[1] - 1)


def similar_pairs(similarity: np.ndarray, count: int) -> list[Pair]:
    """The most similar pairs of maps, each map in one pair at most, most similar first.

    Args:
        similarity: `(n, n)`, symmetric.
        count: How many; there are fewer where the maps run out.
    """
    found, taken = [], set()
    rows, columns = np.triu_indices(len(similarity), 1)
    for index in np.argsort(-similarity[rows, columns], kind="stable"):
        first, second = int(rows[index]), int(columns[index])
        if len(found) < count and not taken & {first, second}:
            taken |= {first, second}
            found.append(Pair(first, second, float(similarity[first, second])))
    return found


def solve_kernel(source: np.ndarray, target: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """The depthwise kernel that makes `target` from `source` with the least squared error, without a shift.

    Args:
        source, target: One map each, `(height, width)`.
        size: d of the paper, odd.

    Returns:
        The kernel `(size, size)`, as a convolution layer holds it, and the mean squared error that it leaves.
    """
    windows = _windows(source, size)
    values = np.asarray(target, np.float64).ravel()
    kernel, *_ = np.linalg.lstsq(windows, values, rcond=None)
    return kernel.reshape(size, size), float(np.square(windows @ kernel - values).mean())


def train_kernels(sources: np.ndarray, targets: np.ndarray, size: int, steps: int, seed: int = 0) -> np.ndarray:
    """What gradient descent finds in place of `solve_kernel`, for several pairs at once.

    A depthwise Keras layer without bias trains with Adam at 0.03, which falls to 0 as a cosine, on all pixels in each
    step; maps are scaled to a mean square of 1 first.

    Args:
        sources, targets: `(height, width, pairs)`.
        size: d of the paper, odd.
        steps: How many.
        seed: Of the first kernel.

    Returns:
        The mean squared error of each pair, `(pairs,)`.
    """
    import keras
    import tensorflow as tf

    scales = [np.sqrt(np.square(maps).mean((0, 1))) for maps in (sources, targets)]
    x, y = (np.asarray(maps / scale, "float32")[None] for maps, scale in zip((sources, targets), scales, strict=True))
    start = keras.initializers.RandomNormal(stddev=1 / size, seed=seed)
    layer = keras.layers.DepthwiseConv2D(size, padding="same", use_bias=False, depthwise_initializer=start)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    rate = keras.optimizers.schedules.CosineDecay(0.03, steps)
    # One loss for all pairs: Adam steps in each weight by itself, so they do not disturb each other.
    model.compile(keras.optimizers.Adam(rate), loss="mse", steps_per_execution=min(steps, 100))
    model.fit(tf.data.Dataset.from_tensors((x, y)).repeat(steps), shuffle=False, verbose=0)
    kernels = np.asarray(layer.kernel, np.float64)[..., 0]
    errors = []
    for pair in range(x.shape[-1]):
        kernel = kernels[..., pair] * scales[1][pair] / scales[0][pair]
        made = _windows(sources[..., pair], size) @ kernel.ravel()
        errors.append(np.square(made - targets[..., pair].ravel()).mean())
    return np.array(errors)


def map_errors(maps: np.ndarray, pairs: list[Pair], steps: int, sizes: tuple[int, ...] = SIZES) -> list[list[MapError]]:
    """The paper's table 2: for each pair, by window, what is left of the second map made from the first.

    Args:
        maps: `(height, width, channels)`.
        pairs: As `similar_pairs` gives them.
        steps: Of training, see `train_kernels`.
        sizes: Windows to try.

    Returns:
        For each pair, its errors by size.
    """
    maps = np.asarray(maps, np.float64)
    sources, targets = maps[..., [pair.first for pair in pairs]], maps[..., [pair.second for pair in pairs]]
    table = [[] for _ in pairs]
    for size in sizes:
        trained = train_kernels(sources, targets, size, steps)
        for index, rows in enumerate(table):
            source, target = sources[..., index], targets[..., index]
            _, solved = solve_kernel(source, target, size)
            rows.append(MapError(size, solved, float(trained[index]), float(np.square(target).mean())))
    return table


def _directions(maps: np.ndarray) -> np.ndarray:
    """Maps `(height, width, n)` as columns `(pixels, n)` of mean 0 and length 1, or 0 without variation."""
    columns = np.asarray(maps, np.float64).reshape(-1, maps.shape[-1])
    centred = columns - columns.mean(0)
    lengths = np.linalg.norm(centred, axis=0)
    varies = lengths > ROUNDING * np.linalg.norm(columns, axis=0)
    return np.where(varies, centred / np.where(varies, lengths, 1), 0)


def _windows(source: np.ndarray, size: int) -> np.ndarray:
    """What a depthwise kernel of `size` with zero padding sees at each pixel, `(pixels, size * size)`, float64."""
    padded = np.pad(np.asarray(source, np.float64), size // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).reshape(source.size, size * size).copy()
