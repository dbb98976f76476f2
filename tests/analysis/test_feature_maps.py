import keras
import numpy as np
import pytest

from ghostnet_tf.analysis.feature_maps import Inside
from ghostnet_tf.analysis.redundancy import linear_similarity
from ghostnet_tf.layers import ConvBN, GhostBottleneck, GhostModule
from ghostnet_tf.models import ghost_resnet


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = ConvBN(6, 3, name="stem")(inputs)
    for index in range(3):
        x = GhostBottleneck(18, 6, ratio=3, dw_size=5, name=f"blocks_{index}")(x)
    x = GhostBottleneck(18, 8, strides=2, name="blocks_3")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="classifier")(x), name="small")


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0, 255, (16, 16, 3))


def test_maps_are_what_the_layers_put_out(model, image):
    found = Inside(model).maps(image, ["blocks_0", "stem", "blocks_1"])
    assert list(found) == ["blocks_0", "stem", "blocks_1"]
    for name, maps in found.items():
        tapped = keras.Model(model.input, model.get_layer(name).output)
        expected = np.asarray(tapped(image[None].astype("float32")))[0]
        # The same operations on the same numbers, in another graph.
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_ghosts_come_from_the_intrinsic_map_that_is_named(model, image):
    inside = Inside(model)
    assert [row.name for row in inside.ghosts()] == [f"blocks_{i}_ghost{k}" for i in range(4) for k in (1, 2)]
    ghosts = inside.ghosts()[3]  # the second module of a block ends without an activation: its ghosts are linear
    assert (ghosts.intrinsic, ghosts.size, list(ghosts.sources)) == (2, 5, [0, 0, 1, 1])
    (maps,) = inside.maps(image, [ghosts.concat]).values()
    shares = linear_similarity(maps[..., :2], maps[..., 2:], ghosts.size)
    own = shares[ghosts.sources, np.arange(4)]
    np.testing.assert_allclose(own, 1, atol=1e-6)  # of maps in single precision
    assert shares[1 - ghosts.sources, np.arange(4)].max() < 0.9


def test_stages_are_runs_of_blocks_of_one_shape(model):
    inside = Inside(model)
    assert inside.stages() == [(("blocks_0", "blocks_1", "blocks_2"), (16, 16, 6)), (("blocks_3",), (8, 8, 8))]
    assert inside.first_group() == "blocks_2"


def test_networks_of_others_have_additions_for_blocks_or_convolutions():
    inputs = x = keras.Input((8, 8, 4))
    for index in range(2):
        x = keras.layers.Add(name=f"add_{index}")([x, keras.layers.Conv2D(4, 3, padding="same")(x)])
    inside = Inside(keras.Model(inputs, x))
    assert inside.stages() == [(("add_0", "add_1"), (8, 8, 4))]
    assert inside.ghosts() == []
    plain = Inside(keras.Sequential([keras.Input((8, 8, 3)), GhostModule(4, name="first"), keras.layers.Flatten()]))
    assert (plain.stages(), plain.first_group()) == ([], "first")


def test_a_resnets_blocks_end_with_their_activations(monkeypatch):
    """As the maps of the paper's figure 1 and table 2, which are those of a plain ResNet."""
    monkeypatch.setattr(ghost_resnet, "RESNET56", ((16, 2, 1), (32, 1, 2)))
    inside = Inside(ghost_resnet.GhostResNet56(ratio=1))
    assert inside.stages() == [
        (("stage_0_0_act", "stage_0_1_act"), (32, 32, 16)),
        (("stage_1_0_act",), (16, 16, 32)),
    ]
    assert inside.first_group() == "stage_0_1_act"
    assert inside.ghosts() == []
    (maps,) = inside.maps(np.random.default_rng(0).uniform(0, 255, (32, 32, 3)), ["stage_0_1_act"]).values()
    assert maps.min() == 0 < maps.max()


@pytest.mark.parametrize(
    ("name", "message"),
    [("blocks_7x", "Did you mean 'blocks_"), ("pool", r"feature maps\. Received: 'pool' of shape \(8,\)")],
)
def test_wrong_layers_are_explained(model, image, name, message):
    with pytest.raises(ValueError, match=message):
        Inside(model).maps(image, [name])
