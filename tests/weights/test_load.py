"""Loading: all or nothing, from every kind of file, into networks with another top."""

import functools
import re
import zipfile

import keras
import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.models import g_ghost_regnet, ghost_vgg, ghostnet, ghostnet_v2
from ghostnet_tf.weights import imagenet_tag, load_weights
from ghostnet_tf.weights.torch_names import from_torch, torch_name

SMALL = {"width": 0.5, "input_shape": (48, 48, 3)}  # the smallest input of the published networks


def values(model):
    return {weight.path: weight.numpy() for weight in model.weights}


def assert_same(one, other, but=()):
    assert one.keys() == other.keys()
    for path, value in one.items():
        assert path.startswith(but) or np.array_equal(value, other[path]), path


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A network of four rows and 10 classes, as `.keras` and as `.weights.h5`."""
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:4])
    keras.utils.set_random_seed(1)
    model = ghostnet_tf.GhostNet(**SMALL, classes=10)
    paths = {"keras": tmp_path / "model.keras", "h5": tmp_path / "model.weights.h5"}
    model.save(paths["keras"])
    model.save_weights(paths["h5"])
    return values(model), paths


@pytest.fixture(scope="module")
def model():
    return ghostnet_tf.GhostNet(**SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn1.weight": None}, "1 missing (stem_bn/gamma)"),
        ({"extra.weight": np.zeros(3, "float32")}, "1 unexpected (extra.weight)"),
        (
            {"conv_stem.weight": np.zeros((8, 1, 3, 3), "float32")},
            "1 of another shape (stem_conv/kernel: expected (3, 3, 3, 8), received (3, 3, 1, 8))",
        ),
        (
            {f"bn1.{key}": None for key in ("weight", "bias", "running_mean", "running_var")},
            "4 missing (stem_bn/gamma; stem_bn/beta; stem_bn/moving_mean; …)",
        ),
    ],
)
def test_nothing_is_assigned_when_something_does_not_fit(changes, message, golden_checkpoint, model):
    before = values(model)
    with pytest.raises(ValueError, match=re.escape(message)):
        load_weights(model, golden_checkpoint("ghostnet_050", changes))
    assert_same(before, values(model))


def test_another_width_does_not_fit(golden_checkpoint, model):
    with pytest.raises(ValueError, match="of another shape"):
        load_weights(model, golden_checkpoint("ghostnet_100"))


def test_other_classes_keep_the_backbone_and_say_so(golden_checkpoint, golden_tensors):
    with pytest.warns(UserWarning, match="has 1000 classes, the model 7: the classifier starts anew"):
        model = ghostnet_tf.GhostNet(**SMALL, classes=7, weights=golden_checkpoint("ghostnet_050"))
    expected = golden_tensors("ghostnet_050")["conv_head.bias"]
    np.testing.assert_array_equal(model.get_layer("head_conv").bias.numpy(), expected)
    assert np.ptp(model.get_layer("classifier").kernel.numpy()) > 0


def test_without_top_the_tensors_of_the_top_are_ignored(golden_checkpoint, golden_tensors):
    weights, tensors = golden_checkpoint("ghostnet_050"), golden_tensors("ghostnet_050")
    found = values(ghostnet_tf.GhostNet(0.5, input_shape=(None, None, 3), include_top=False, weights=weights))
    np.testing.assert_array_equal(found["final/final_bn/gamma"], tensors["blocks.9.0.bn1.weight"])
    assert not any(path.startswith(("head", "classifier")) for path in found)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_saved_by_keras(kind, saved):
    expected, paths = saved
    assert_same(expected, values(ghostnet_tf.GhostNet(**SMALL, classes=10, weights=paths[kind])))


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_saved_by_keras_with_other_classes(kind, saved):
    expected, paths = saved
    with pytest.warns(UserWarning, match="has 10 classes, the model 4"):
        model = ghostnet_tf.GhostNet(**SMALL, classes=4, weights=str(paths[kind]))
    assert_same(expected, values(model), but="classifier")


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_saved_by_keras_without_top(kind, saved):
    expected, paths = saved
    backbone = {path: value for path, value in expected.items() if not path.startswith(("head", "classifier"))}
    assert_same(backbone, values(ghostnet_tf.GhostNet(**SMALL, include_top=False, weights=paths[kind])))


@pytest.mark.parametrize(
    ("builder", "options"),
    [
        ("GhostNetV3", {"width": 0.1, "input_shape": (48, 48, 3)}),
        ("GhostVGG16", {"ratio": 5}),
        ("GGhostRegNetX", {"variant": "002", "input_shape": (32, 32, 3)}),
    ],
)
def test_other_families_saved_by_keras(builder, options, tmp_path, monkeypatch):
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[3:4])  # with strides, branches, attention and a gate
    monkeypatch.setattr(ghostnet_v2, "FIRST_WITH_ATTENTION", 0)
    monkeypatch.setattr(ghost_vgg, "STAGES", ((4,), (8, 12)))
    monkeypatch.setitem(g_ghost_regnet.VARIANTS, "002", ((1, 1, 3, 1), (16, 24, 32, 48), 8))
    keras.utils.set_random_seed(1)
    build = functools.partial(getattr(ghostnet_tf, builder), **options)
    model = build(classes=4)
    expected = values(model)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    for path in tmp_path.iterdir():
        assert_same(expected, values(build(classes=4, weights=path)))
        with pytest.warns(UserWarning, match="has 4 classes, the model 3"):
            assert_same(expected, values(build(classes=3, weights=path)), but="classifier")
    backbone = {path: value for path, value in expected.items() if not path.startswith(("head", "classifier"))}
    assert_same(backbone, values(build(include_top=False, weights=tmp_path / "model.weights.h5")))


@pytest.mark.parametrize(("kind", "message"), [("keras", "unexpected (blocks_3_"), ("h5", "Expected 89 tensors")])
def test_saved_by_keras_with_more_layers(kind, message, saved, monkeypatch):
    _, paths = saved
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:3])
    with pytest.raises(ValueError, match=re.escape(message)):
        ghostnet_tf.GhostNet(**SMALL, classes=10, weights=paths[kind])


def test_flattened_networks_take_the_same_files(saved):
    expected, paths = saved
    flat = ghostnet_tf.flatten(ghostnet_tf.GhostNet(**SMALL, classes=10))
    load_weights(flat, paths["keras"])
    assert_same(expected, values(flat))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.safetensors", None, "Expected `weights` to be an existing file"),
        ("no.keras", None, "Expected `weights` to be an existing file"),
        ("bad.safetensors", b"not tensors", "Expected `weights` to be a readable file"),
        ("bad.weights.h5", b"not hdf5", "Expected `weights` to be a readable file"),
        ("bad.keras", b"not a zip", "Expected `weights` to be a readable file"),
        ("bad.index", b"not a table", "Expected `weights` to be a readable file"),
        (
            "model.npz",
            b"arrays",
            "a file ending in .safetensors, .weights.h5, .keras, .pth, .pth.tar, .pt, .bin, .index",
        ),
        ("imagnet", None, "Expected `weights` to be one of ghostnet_100.in1k"),
    ],
)
def test_unusable_files(name, content, message, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        load_weights(keras.Sequential(name="any"), path)


def test_a_keras_file_runs_no_code(tmp_path):
    path = tmp_path / "lambda.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save(path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(ValueError, match=r"[Ll]ambda"):
        load_weights(keras.Sequential(name="any"), path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0.5}, "Expected a width with published ImageNet weights (for ghostnet: 1). Received: width=0.5"),
        ({"ratio": 3}, 'Expected the published network with weights="imagenet". Received: other ratio'),
        ({"dw_size": 5}, "Received: other dw_size"),
        ({"dialect": "paper"}, "Received: other dialect"),
        ({"include_top": False, "input_shape": (64, 64, 1)}, "Received: other input channels"),
        ({"input_shape": (47, 64, 3)}, "Received: other input size (below 48 pixels)"),
    ],
)
def test_imagenet_only_where_published(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ghostnet_tf.GhostNet(weights="imagenet", **arguments)


def test_tags():
    assert imagenet_tag("ghostnet", 1.0) == "ghostnet_100.in1k"


def test_names_follow_the_stages_of_the_released_code():
    # Blocks a stage in the released code.
    names = [torch_name(f"blocks_{index}_ghost1_primary_conv/kernel") for index in range(16)]
    stages = [".".join(name.split(".")[1:3]) for name in names]
    assert stages == [f"{s}.0" for s in range(6)] + [f"6.{i}" for i in range(5)] + ["7.0"] + [
        f"8.{i}" for i in range(4)
    ]
    assert torch_name("final_conv/kernel") == "blocks.9.0.conv.weight"
    with pytest.raises(ValueError, match="blocks_16_dw_conv/kernel"):
        torch_name("blocks_16_dw_conv/kernel")


def test_depthwise_kernels_with_several_outputs_a_channel():
    # PyTorch's grouped convolution gives all outputs of channel 0, then those of channel 1.
    torch = np.arange(3 * 2 * 4).reshape(3 * 2, 1, 2, 2)
    ours = from_torch(torch, (2, 2, 3, 2))
    for channel in range(3):
        for multiple in range(2):
            np.testing.assert_array_equal(ours[:, :, channel, multiple], torch[channel * 2 + multiple, 0])
