"""What is kept of an activation, and the ranges chosen from it, against the values themselves."""

import numpy as np
import pytest

from ghostnet_tf.tflite.ranges import BINS, METHODS, SAMPLE, Activation, minmax, mse, percentile


def seen(*images: np.ndarray) -> Activation:
    activation = Activation()
    for image in images:
        activation.add(image[None].astype(np.float32))
    return activation


def heavy_tailed(seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Most values near `shift`, a few far off, on both sides."""
    return np.random.default_rng(seed).standard_t(3, (40, 40, 20)) + shift


def rounding_error(values: np.ndarray, low: float, high: float) -> float:
    """Mean square error of int8 with a range, zero point and all."""
    scale = (high - low) / 255
    zero_point = round(-128 - low / scale)
    stored = np.clip(np.round(values / scale) + zero_point, -128, 127)
    return float(np.mean(np.square((stored - zero_point) * scale - values)))


def test_everything_is_kept_whatever_the_order():
    images = [10.0**power * heavy_tailed(power + 3) for power in (-2, 1, 0)]
    values = np.stack(images).astype(np.float32)
    for activation in (seen(*images), seen(*images[::-1])):
        assert (activation.low, activation.high) == (values.min(), values.max())
        np.testing.assert_array_equal(activation.highs, values.max(axis=(0, 1, 2)))
        np.testing.assert_allclose(activation.mean, values.mean(axis=0), rtol=1e-5, atol=1e-5)
        edges = np.linspace(-activation.limit, activation.limit, BINS + 1)
        np.testing.assert_array_equal(activation.counts, np.histogram(values, edges)[0])  # edges are exact
        assert activation.limit / 2 < np.abs(values).max() <= activation.limit


def test_memory_does_not_grow_with_the_images():
    activation = seen(*[heavy_tailed(seed) for seed in range(5)])
    assert activation.counts.shape == (BINS,)
    assert activation.mean.shape == (40, 40, 20)
    assert activation.sampled == 5 * 32_000


def test_of_large_maps_an_even_sample_is_counted():
    image = np.broadcast_to(np.arange(1.0, 17), (128, 128, 16))
    activation = seen(image)
    assert SAMPLE / 2 < activation.sampled <= SAMPLE
    found = activation.counts[activation.counts > 0]
    assert len(found) == 16  # every channel
    assert np.ptp(found) <= 1


def test_minmax_is_what_occurs():
    values = heavy_tailed()
    assert minmax(seen(values)) == (np.float32(values.min()), np.float32(values.max()))


def test_percentile_leaves_out_a_ten_thousandth_at_each_end():
    values = heavy_tailed()
    low, high = percentile(seen(values))
    width = 2 * 2 ** np.ceil(np.log2(np.abs(values).max())) / BINS
    expected = np.quantile(values, (1e-4, 1 - 1e-4), method="inverted_cdf")
    np.testing.assert_allclose((low, high), expected, atol=2 * width)
    assert values.min() < low
    assert high < values.max()


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_mse_is_as_good_as_any_range(shift):
    values = heavy_tailed(1, shift)
    low, high = mse(seen(values))
    ends = np.linspace(0.1, 1, 46)
    best = min(rounding_error(values, values.min() * a, values.max() * b) for a in ends for b in ends)
    # The model of the error (a twelfth of the squared step) and the grid of ends: 3 % at most.
    assert rounding_error(values, low, high) < 1.03 * best
    assert rounding_error(values, low, high) < rounding_error(values, *minmax(seen(values)))


def test_even_values_keep_their_whole_range():
    values = np.random.default_rng(0).uniform(-1, 3, (30, 30, 8))
    np.testing.assert_allclose(mse(seen(values)), (values.min(), values.max()), rtol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_a_relu_begins_at_zero(method):
    values = np.maximum(heavy_tailed(), 0)
    low, high = METHODS[method](seen(values))
    assert low == 0
    assert 0 < high <= np.float32(values.max())


@pytest.mark.parametrize("method", METHODS)
def test_an_activation_that_is_never_active(method):
    assert METHODS[method](seen(np.zeros((4, 4, 2)), np.zeros((4, 4, 2)))) == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_rare_values_of_the_other_sign(method):
    values = np.abs(heavy_tailed())
    values[0, 0, 0] = -0.5
    low, high = METHODS[method](seen(values))
    assert -0.5 <= low <= 0
    assert high > 3
