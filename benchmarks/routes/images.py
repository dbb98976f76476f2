"""Images for the routes: random, since the files are for speed only."""

import numpy as np

SIZE = 224
COUNT = 8


def images(count: int = COUNT, seed: int = 0) -> np.ndarray:
    """`(count, 224, 224, 3)` float32 from 0 to 255: coarse squares and fine noise, so that images differ throughout."""
    rng = np.random.default_rng(seed)
    squares = np.kron(rng.uniform(0, 192, (count, 7, 7, 3)), np.ones((1, SIZE // 7, SIZE // 7, 1)))
    return (squares + rng.uniform(0, 63, squares.shape)).astype(np.float32)
