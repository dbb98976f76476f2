import keras
import numpy as np
import pytest
from scipy import ndimage

from ghostnet_tf.analysis import redundancy


@pytest.fixture
def maps():
    noise = np.random.default_rng(0).normal(size=(16, 16, 5))
    return ndimage.gaussian_filter(noise, (1, 1, 0))  # neighbours alike, as in a network


def filtered(source: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return ndimage.correlate(source, kernel, mode="constant")  # what deep learning calls a convolution, zeros around


def test_cosine_sees_neither_scale_nor_shift_but_the_sign(maps):
    others = np.stack([3 * maps[..., 0] + 7, -maps[..., 1], np.full((16, 16), 2.5)], -1)
    found = redundancy.cosine_similarity(maps, others)
    assert found.shape == (5, 3)
    np.testing.assert_allclose([found[0, 0], found[1, 1]], [1, -1], atol=1e-12)
    assert np.all(found[:, 2] == 0)
    by_numpy = np.corrcoef(maps.reshape(-1, 5), rowvar=False)
    np.testing.assert_allclose(redundancy.cosine_similarity(maps, maps), by_numpy, atol=1e-12)


def test_a_1x1_kernel_makes_the_squared_cosine(maps):
    cosines = redundancy.cosine_similarity(maps, maps)
    np.testing.assert_allclose(redundancy.linear_similarity(maps, maps, 1), cosines**2, atol=1e-12)


@pytest.mark.parametrize("size", [3, 5])
def test_a_map_made_by_a_kernel_and_a_shift_is_recognized(maps, size):
    kernel = np.random.default_rng(1).normal(size=(size, size))
    made = np.stack([filtered(maps[..., 2], kernel) + 4, maps[..., 0]], -1)
    found = redundancy.linear_similarity(maps, made, size)
    assert found[2, 0] == pytest.approx(1, abs=1e-12)
    assert redundancy.linear_similarity(maps, made, 1)[2, 0] < 0.9
    assert found[[0, 1, 3, 4], 0].max() < 0.9
    assert np.all(redundancy.linear_similarity(np.full((16, 16, 1), 0.1), made, 1) == 0)


def test_noise_reaches_what_chance_says():
    rng = np.random.default_rng(2)
    found = redundancy.linear_similarity(rng.normal(size=(12, 12, 20)), rng.normal(size=(12, 12, 50)), 3)
    # The mean over 1000 pairs of a share whose deviation is about 0.02.
    assert found.mean() == pytest.approx(redundancy.chance((12, 12), 3), rel=0.05)


def test_too_few_pixels_are_refused():
    assert redundancy.enough_pixels((5, 4), 3)
    assert not redundancy.enough_pixels((6, 3), 3)
    with pytest.raises(ValueError, match=r"more than 18 pixels for a window of 3\. Received: 6x3"):
        redundancy.linear_similarity(np.ones((6, 3, 2)), np.ones((6, 3, 2)), 3)


def test_pairs_are_the_most_similar_ones_and_share_no_map():
    similarity = np.eye(5)
    for first, second, value in ((0, 1, 0.9), (1, 2, 0.8), (2, 4, 0.7), (0, 3, -0.9)):
        similarity[first, second] = similarity[second, first] = value
    assert redundancy.similar_pairs(similarity, 2) == [(0, 1, 0.9), (2, 4, 0.7)]
    assert len(redundancy.similar_pairs(similarity, 9)) == 2


def test_the_kernel_is_the_one_of_a_keras_layer(maps):
    kernel = np.random.default_rng(3).normal(size=(5, 5))
    layer = keras.layers.DepthwiseConv2D(5, padding="same", use_bias=False)
    layer.build((None, None, None, 1))
    layer.set_weights([kernel[..., None, None]])
    made = np.asarray(layer(maps[None, ..., :1].astype("float32")))[0, ..., 0]
    found, error = redundancy.solve_kernel(maps[..., 0], made, 5)
    # The layer computes in single precision; neighbours that are alike make the kernel less certain than the error.
    np.testing.assert_allclose(found, kernel, atol=1e-3)
    assert error < 1e-12


def test_training_comes_to_the_least_error_and_larger_windows_leave_less(maps):
    pairs = [redundancy.Pair(0, 1, 0.0), redundancy.Pair(3, 2, 0.0)]
    maps[..., 1] = 5 * filtered(maps[..., 0], np.outer([1, 2, 1], [1, 0, -1])) + 0.1 * maps[..., 4]
    table = redundancy.map_errors(maps, pairs, steps=1000, sizes=(1, 3))
    for pair, rows in zip(pairs, table, strict=True):
        assert [row.size for row in rows] == [1, 3]
        assert rows[1].solved < rows[0].solved < rows[0].energy
        assert rows[0].energy == pytest.approx(np.square(maps[..., pair.second]).mean())
        for row in rows:
            # Never below the least, and 1000 steps are within a thousandth of the map's energy.
            assert -1e-9 * row.energy < row.trained - row.solved < 1e-3 * row.energy
    assert table[0][1].solved < 0.01 * table[0][0].solved
