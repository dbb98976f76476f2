"""`ConvBN` against PyTorch's rule: `kernel_size // 2` zeros on every side, whatever the size of the image."""

import keras
import numpy as np
import pytest

from ghostnet_tf.layers import ConvBN


def windows_sum(image: np.ndarray, kernel: int, strides: int) -> np.ndarray:
    """Sums over kernel x kernel windows of `(height, width)` with symmetric zero padding."""
    padded = np.pad(image, kernel // 2)
    rows, columns = ((side + 2 * (kernel // 2) - kernel) // strides + 1 for side in image.shape)
    starts = np.arange(max(rows, columns)) * strides
    return np.array([[padded[i : i + kernel, j : j + kernel].sum() for j in starts[:columns]] for i in starts[:rows]])


@pytest.mark.parametrize("size", [(7, 8), (5, 6)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("depthwise", [False, True])
def test_padding(size, kernel, strides, depthwise):
    image = np.random.default_rng(0).normal(size=size).astype("float32")
    layer = ConvBN(None if depthwise else 1, kernel, strides, activation=None)
    layer.build((None, *size, 1))
    layer.conv.kernel.assign(np.ones(layer.conv.kernel.shape))
    output = layer(image[None, :, :, None])
    assert output.shape == layer.compute_output_shape((1, *size, 1))
    expected = windows_sum(image, kernel, strides) / np.sqrt(1 + 1e-5)  # fresh normalization only divides
    np.testing.assert_allclose(np.asarray(output)[0, :, :, 0], expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [0, 2, (3, 4)])
def test_even_windows_are_refused(kernel):
    with pytest.raises(ValueError, match=r"Expected `kernel_size` to be odd and positive. Received: kernel_size="):
        ConvBN(4, kernel)


def test_unknown_padding_is_refused():
    with pytest.raises(ValueError, match=r"""Expected `padding` to be "symmetric" or "same". Received: padding='va"""):
        ConvBN(4, 3, padding="valid")


def test_config_round_trip():
    layer = ConvBN(
        None, (1, 5), strides=2, activation="hard_sigmoid", use_bias=True, depth_multiplier=3, padding="same"
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, ConvBN) and again.get_config() == layer.get_config()
    assert again.compute_output_shape((None, 9, None, 2)) == (None, 5, None, 6)
