"""The G-Ghost stage: what its parts compute, any block inside, both forms."""

import keras
import numpy as np
import pytest

from ghostnet_tf import GGhostStage, flatten
from ghostnet_tf.layers import ResidualBottleneck

RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable(package="tests")
def plain_block(filters, strides, **options):
    return keras.layers.Conv2D(filters, 3, strides, padding="same", activation="relu", **options)


def unregistered(filters, strides, **options):
    return plain_block(filters, strides, **options)


def stage(form="released", **options):
    options = {"filters": 10, "depth": 4, "block": ResidualBottleneck, "strides": 2, "ghost_ratio": 0.4} | options
    return GGhostStage(form=form, name="stage", **options)


def settled(layer, x):
    """`layer` with random batch normalization, so that no part passes for another."""
    layer(x)
    for weight in layer.weights:
        scale = RNG.uniform(0.5, 1.5, weight.shape)
        weight.assign(scale if "moving_variance" in weight.path else weight + 0.1 * scale)
    return layer


def mean(x):
    return np.mean(x, axis=(1, 2), keepdims=True)


@pytest.mark.parametrize(("form", "depth"), [("paper", 2), ("paper", 4), ("released", 4), ("released", 9)])
def test_output_is_what_the_parts_compute(form, depth):
    x = RNG.normal(size=(2, 8, 8, 5)).astype("float32")
    layer = settled(stage(form, depth=depth), x)
    base = np.asarray(layer.base(x))
    thin_input, rest = (base[..., :6], base[..., 6:]) if form == "released" else (base, base)
    outputs, y = [base] if form == "released" else [], thin_input
    for block in layer.thin:
        y = np.asarray(block(y))
        outputs.append(y)
    # The plain order of the paper and the official code: concatenate the maps, then take their means.
    offset = mean(np.concatenate(outputs, axis=-1))
    for part in layer.mixing:
        offset = np.asarray(part(offset))
    ghosts = np.maximum(np.asarray(layer.cheap(rest)) + offset, 0)
    expected = np.concatenate([y, ghosts], axis=-1)
    if form == "released":
        expected = layer.end(expected)
    # float32 sums in another order, of numbers as large as the largest
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (2, 4, 4, 10)


@pytest.mark.parametrize(("form", "thin", "wide"), [("paper", 3, 1), ("released", 2, 2)])
def test_depth_counts_all_blocks(form, thin, wide):
    layer = stage(form)
    layer.build((None, 8, 8, 5))
    assert len(layer.thin) == thin
    assert sum(isinstance(part, ResidualBottleneck) for part in (layer.base, layer.end)) == wide


@pytest.mark.parametrize(
    ("filters", "ratio", "divisor", "complicated"), [(10, 0.4, 1, 6), (432, 0.5, 36, 216), (192, 0.5, 36, 72)]
)
def test_lambda_splits_the_channels(filters, ratio, divisor, complicated):
    layer = stage(filters=filters, ghost_ratio=ratio, divisor=divisor)
    assert (layer.complicated, layer.ghosts) == (complicated, filters - complicated)


@pytest.mark.parametrize("form", ["paper", "released"])
def test_without_mix_the_ghosts_come_from_the_first_block_alone(form):
    x = RNG.normal(size=(1, 8, 8, 5)).astype("float32")
    layer = stage(form, mix=False)
    layer(x)
    assert not any("mix" in weight.path for weight in layer.weights)


@pytest.mark.parametrize("form", ["paper", "released"])
def test_any_registered_block_survives_saving_and_flattening(form, tmp_path):
    image = keras.Input((8, 8, 5))
    model = keras.Model(image, stage(form, block=plain_block)(image))
    x = RNG.normal(size=(2, 8, 8, 5)).astype("float32")
    expected = model(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), expected)
    assert not any(isinstance(layer, GGhostStage) for layer in flatten(loaded).layers)
    np.testing.assert_allclose(flatten(loaded)(x), expected, rtol=1e-5, atol=1e-6)


def test_an_unregistered_block_says_what_to_do():
    config = stage(block=unregistered).get_config()
    with pytest.raises(ValueError, match="register_keras_serializable"):
        GGhostStage.from_config(config)


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"form": "other"}, "form='other'"),
        ({"depth": 2}, "depth=2"),
        ({"form": "paper", "depth": 1}, "depth=1"),
        ({"ghost_ratio": 1.0}, "ghost_ratio=1.0"),
        ({"divisor": 16}, "divisor=16"),
    ],
)
def test_nonsense_is_refused(options, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        stage(**options)


@pytest.mark.parametrize(
    "options",
    [{"filters": 10, "expansion": 4}, {"filters": 11, "group_width": 4}, {"filters": 10, "group_width": 5, "ratio": 2}],
)
def test_a_bottleneck_refuses_channels_that_do_not_divide(options):
    with pytest.raises(ValueError, match=r"Received: (filters=|ratio=2)"):
        ResidualBottleneck(**options)
