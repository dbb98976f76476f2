"""Over random arguments: outputs as large as promised, finite, and the same from a layer of the same settings."""

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostnet_tf.layers import ConvBN, GhostBottleneck, ResidualBottleneck, SqueezeExcite

SIDE = st.integers(1, 13)  # odd and even, and less than the windows
WINDOW, STRIDES = st.sampled_from([1, 3, 5, 7]), st.integers(1, 3)
SOME = settings(max_examples=15, deadline=None, derandomize=True, database=None)
FEW = settings(SOME, max_examples=6)  # of blocks, which take long to build


def check(layer: keras.layers.Layer, height: int, width: int, channels: int) -> tuple[int, ...]:
    """Runs the layer and one made from its configuration, with its weights; the shape of the output."""
    images = np.random.default_rng(0).normal(size=(2, height, width, channels)).astype("float32")
    output = layer(images).numpy()
    assert output.shape == layer.compute_output_shape(images.shape)
    assert layer.compute_output_shape((None, None, None, channels))[-1] == output.shape[-1]
    assert np.isfinite(output).all()
    again = type(layer).from_config(layer.get_config())
    again.build(images.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(images).numpy(), output)
    return output.shape


def strided(side: int, window: int, strides: int) -> int:
    """PyTorch's rule for a convolution padded by half its window, rounded down, on both sides."""
    return (side + 2 * (window // 2) - window) // strides + 1


@SOME
@given(height=SIDE, width=SIDE, channels=st.integers(1, 6), filters=st.integers(1, 9), window=WINDOW, strides=STRIDES)
def test_convolution(height, width, channels, filters, window, strides):
    shape = check(ConvBN(filters, window, strides), height, width, channels)
    assert shape == (2, strided(height, window, strides), strided(width, window, strides), filters)


@SOME
@given(height=SIDE, width=SIDE, channels=st.integers(1, 40), se_ratio=st.floats(0.01, 1), divisor=st.integers(1, 8))
def test_squeeze_excite(height, width, channels, se_ratio, divisor):
    assert check(SqueezeExcite(se_ratio, divisor), height, width, channels) == (2, height, width, channels)


@FEW
@given(
    height=SIDE,
    width=SIDE,
    channels=st.integers(1, 9),
    expansion=st.integers(1, 20),
    filters=st.integers(1, 9),
    window=WINDOW,
    strides=st.integers(1, 2),
    se_ratio=st.sampled_from([0.0, 0.25]),
    ratio=st.integers(1, 4),
    dw_size=st.sampled_from([1, 3, 5]),
)
def test_ghost_bottleneck(height, width, channels, expansion, filters, window, strides, se_ratio, ratio, dw_size):
    layer = GhostBottleneck(expansion, filters, window, strides, se_ratio, ratio, dw_size)
    shape = check(layer, height, width, channels)
    assert shape == (2, strided(height, window, strides), strided(width, window, strides), filters)


@FEW
@given(
    height=SIDE,
    width=SIDE,
    channels=st.integers(1, 9),
    groups=st.integers(1, 3),
    expansion=st.integers(1, 2),
    strides=st.integers(1, 2),
)
def test_residual_bottleneck(height, width, channels, groups, expansion, strides):
    layer = ResidualBottleneck(4 * groups * expansion, strides, expansion, group_width=4)
    shape = check(layer, height, width, channels)
    assert shape == (2, strided(height, 3, strides), strided(width, 3, strides), 4 * groups * expansion)
