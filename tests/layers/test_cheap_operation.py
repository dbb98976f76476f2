"""Ghosts from several windows, scales and shifts, and the Haar wavelet: values, counts, gradients, saving."""

import keras
import numpy as np
import pytest

from ghostnet_tf import GhostModule, flatten
from ghostnet_tf.analysis import complexity
from ghostnet_tf.layers.cheap_operation import AffineGhosts, FixedDepthwiseConv2D, HaarGhosts, MixedDepthwise

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 8, 8, 6)).astype("float32")
VARIANTS = {
    "two windows": {"dw_size": (3, 5)},
    "three windows, s=3": {"dw_size": (3, 5, 7), "ratio": 3},
    "affine": {"cheap_operation": "affine"},
    "affine, s=4": {"cheap_operation": "affine", "ratio": 4},
    "haar": {"cheap_operation": "haar"},
    "haar, s=5": {"cheap_operation": "haar", "ratio": 5},
}


@pytest.mark.parametrize(
    ("options", "weights", "macs"),
    # Weights that train and multiply-adds a pixel of the cheap operation, for 24 filters: 12 intrinsic maps with s=2,
    # 8 with s=3. Normalization does not count.
    [
        ({"dw_size": (3, 5)}, 6 * 9 + 6 * 25, 6 * 9 + 6 * 25),
        ({"dw_size": (3, 5, 7), "ratio": 3}, 2 * (3 * 9 + 3 * 25 + 2 * 49), 2 * (3 * 9 + 3 * 25 + 2 * 49)),
        ({"cheap_operation": "affine"}, 12 * 2, 12),
        ({"cheap_operation": "haar"}, 0, 12 * 4),
        ({"cheap_operation": "haar", "ratio": 3}, 0, 16 * 4),
    ],
)
def test_counts(options, weights, macs):
    image = keras.Input((8, 8, 6))
    counted = complexity(keras.Model(image, GhostModule(24, **options)(image)))
    primary = 6 * 24 // options.get("ratio", 2)
    assert counted.params_without_bn == primary + weights
    assert counted.macs == 8 * 8 * (primary + macs)
    assert counted.macs_by_kind["depthwise"] == 8 * 8 * macs


def test_each_window_serves_its_share_of_the_maps():
    layer = MixedDepthwise((1, 3, 5), depth_multiplier=2, activation=None)
    layer.build((None, 8, 8, 7))
    assert [conv.conv.kernel.shape for conv in layer.convolutions] == [(1, 1, 3, 2), (3, 3, 2, 2), (5, 5, 2, 2)]
    images = RNG.normal(size=(1, 8, 8, 7)).astype("float32")
    parts = np.split(images, [3, 5], axis=-1)
    expected = [np.asarray(conv(part)) for conv, part in zip(layer.convolutions, parts, strict=True)]
    np.testing.assert_allclose(layer(images), np.concatenate(expected, axis=-1), atol=1e-6)


def test_affine_ghosts_are_scales_and_shifts():
    layer = AffineGhosts(depth_multiplier=2, activation="relu")
    layer.build(IMAGES.shape)
    scale, shift = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2))
    layer.conv.kernel.assign(scale[None, None])
    layer.conv.bias.assign(shift.ravel())
    expected = np.maximum(IMAGES[..., None] * scale + shift, 0).reshape(2, 8, 8, 12)
    np.testing.assert_allclose(layer(IMAGES), expected, rtol=1e-5, atol=1e-6)


def test_haar_ghosts_are_means_and_differences_in_turn():
    layer = HaarGhosts(depth_multiplier=4, activation=None)
    ghosts = np.asarray(layer(IMAGES)).reshape(2, 8, 8, 6, 4) * np.sqrt(1 + 1e-5)  # fresh normalization
    padded = np.pad(IMAGES, ((0, 0), (0, 1), (0, 1), (0, 0)))
    here, right, below = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1]
    diagonal = padded[:, 1:, 1:]
    expected = [
        here + right + below + diagonal,
        here - right + below - diagonal,
        here + right - below - diagonal,
        here - right - below + diagonal,
    ]
    np.testing.assert_allclose(ghosts, np.stack(expected, axis=-1) / 2, rtol=1e-4, atol=1e-5)


def test_haar_kernels_are_orthonormal_and_dealt_out_over_the_channels():
    layer = HaarGhosts()
    layer.build((None, 8, 8, 8))
    kernels = np.asarray(layer.conv.kernel)[..., 0].reshape(4, 8)
    np.testing.assert_array_equal(kernels[:, :4].T @ kernels[:, :4], np.eye(4))
    np.testing.assert_array_equal(kernels[:, :4], kernels[:, 4:])


def test_haar_kernels_never_train():
    image = keras.Input((8, 8, 6))
    model = keras.Model(image, GhostModule(12, cheap_operation="haar", name="ghost")(image))
    model.trainable = False
    model.trainable = True  # as fine-tuning does
    (fixed,) = [layer for layer in flatten(model).layers if isinstance(layer, FixedDepthwiseConv2D)]
    assert not fixed.trainable_weights
    assert not any("cheap_conv" in weight.path for weight in model.trainable_weights)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
def test_variants_train_save_and_flatten(options, tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 6))
    model = keras.Model(image, GhostModule(12, name="ghost", **options)(image))
    model.compile("sgd", "mse")
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(IMAGES, np.ones((2, 8, 8, 12)), verbose=0)
    for was, weight in zip(before, model.trainable_weights, strict=True):
        assert np.any(was != weight), weight.path
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert loaded.get_layer("ghost").get_config() == model.get_layer("ghost").get_config()
    np.testing.assert_allclose(flatten(loaded)(IMAGES), model(IMAGES), atol=1e-6)


def test_the_published_operation_keeps_its_names():
    layer = GhostModule(8, name="ghost")
    layer.build((None, 8, 8, 6))
    assert [sub.name for sub in (layer.cheap.conv, layer.cheap.bn)] == ["ghost_cheap_conv", "ghost_cheap_bn"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cheap_operation": "fourier"}, "Received: cheap_operation='fourier'"),
        ({"dw_size": (3, 4)}, "odd"),
        ({"dw_size": ()}, r"1 to 4 windows.*Received: kernel_sizes=\(\)"),
        ({"dw_size": (1, 3, 5, 7, 9)}, "1 to 4 windows"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        GhostModule(8, **options).build((None, 8, 8, 6))
