"""Weights of one dialect of GhostNet in a graph of another: equal outputs, or an error that says why not."""

import math

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

import ghostnet_tf
from ghostnet_tf.models import ghostnet
from ghostnet_tf.weights import load_weights

SMALL = {"input_shape": (48, 48, 3), "include_preprocessing": False, "classifier_activation": None, "classes": 5}
IMAGES = np.random.default_rng(3).normal(size=(2, 48, 48, 3))


@pytest.fixture
def few_rows(monkeypatch):
    """Four rows, the last with strides, a shortcut and squeeze-and-excitation."""
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:4])


def network(dialect, width=0.25, **options):
    return ghostnet_tf.GhostNet(width, dialect=dialect, **{**SMALL, **options})


def trained(dialect, width=0.25):
    """A network whose every variable matters, with gates at both ends and between."""
    model, rng = network(dialect, width), np.random.default_rng(1)
    ranges = {"gamma": (0.7, 1.3), "moving_variance": (0.6, 1.6), "beta": (-0.3, 0.3), "moving_mean": (-0.3, 0.3)}
    for weight in model.weights:
        kind = weight.path.split("/")[-1]
        if kind != "kernel":
            low, high = (-4, 4) if weight.path.endswith("_se_expand/bias") else ranges.get(kind, (-0.2, 0.2))
            weight.assign(rng.uniform(low, high, weight.shape))
    return model


def logits(model):
    return np.asarray(model(IMAGES, training=False))


def assert_equal(model, other, tolerance):
    expected = logits(model)
    assert np.abs(logits(other) - expected).max() <= tolerance * expected.std()


def saved(model, path):
    model.save(path)
    return path


# At width 0.25 the last row squeezes to 5 channels in the paper's dialect and to 8 in the released one; at 1.17 to 21
# and to 20. The wider one takes any weights, and gives back what it took.
@pytest.mark.parametrize(
    ("width", "narrow", "wide", "units"), [(0.25, "paper", "release", (5, 8)), (1.17, "release", "paper", (20, 21))]
)
def test_there_and_back(width, narrow, wide, units, few_rows, float64, tmp_path):
    model = trained(narrow, width)
    there = network(wide, width, weights=saved(model, tmp_path / "narrow.keras"))
    back = network(narrow, width, weights=saved(there, tmp_path / "wide.keras"))
    squeezed = [m.get_layer("blocks_3").se.reduce.filters for m in (model, there, back)]
    assert squeezed == [units[0], units[1], units[0]]
    # All in double precision: rounding is near 1e-15; an error of the bridge is not.
    assert_equal(model, there, 1e-12)
    assert_equal(model, back, 1e-12)


@pytest.mark.parametrize(
    ("width", "source", "target", "units"), [(0.25, "release", "paper", 5), (1.17, "paper", "release", 20)]
)
def test_more_squeezed_channels_in_use_than_there_are(width, source, target, units, few_rows, tmp_path):
    path = saved(trained(source, width), tmp_path / "model.keras")
    model = network(target, width)
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match=rf"at most {units} squeezed channels in use in blocks_3_se, as the model has"):
        load_weights(model, path)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.weights, strict=True))


@pytest.mark.parametrize("kind", ["weights.h5", "safetensors"])
def test_other_files(kind, few_rows, torch_tensors, tmp_path):
    model, path = trained("paper"), tmp_path / f"model.{kind}"
    if kind == "safetensors":
        save_file(torch_tensors(model), path)
    else:
        model.save_weights(path)
    # The same weights in single precision, rounded twice on their way: 1e-7 a layer.
    assert_equal(model, network("release", weights=path), 1e-5)
    assert_equal(model, network("paper", weights=path), 0)

    with pytest.warns(UserWarning, match="has 5 classes, the model 3: the classifier starts anew"):
        other = network("release", classes=3, weights=path)
    final = [m.get_layer("final").conv.kernel.numpy() for m in (model, other)]
    np.testing.assert_array_equal(*final)
    bare = network("release", include_top=False, weights=path)
    np.testing.assert_array_equal(bare.get_layer("final").conv.kernel.numpy(), final[0])
    gate = [m.get_layer("blocks_3").se.expand.bias.numpy() for m in (model, other, bare)]
    np.testing.assert_allclose(gate[1:], [6 * gate[0] - 3] * 2, rtol=1e-6)


def test_without_a_head_squeezed_channels_tell_the_dialect(few_rows, torch_tensors, tmp_path):
    model = trained("paper")
    tensors = {name: value for name, value in torch_tensors(model).items() if "head" not in name}
    path = tmp_path / "headless.safetensors"
    save_file({name: value for name, value in tensors.items() if "classifier" not in name}, path)
    expected = model.get_layer("blocks_3").se.expand.bias.numpy()
    for dialect, gate in (("paper", expected), ("release", 6 * expected - 3)):
        bare = network(dialect, include_top=False, weights=path)
        np.testing.assert_allclose(bare.get_layer("blocks_3").se.expand.bias.numpy(), gate, rtol=1e-6)


def test_padding_has_no_bridge(few_rows, torch_tensors, tmp_path):
    with pytest.raises(ValueError, match=r"Expected weights for symmetric padding, .* for same padding, which has no"):
        network("paper", weights=saved(trained("tf"), tmp_path / "tf.keras"))
    path = tmp_path / "release.safetensors"
    save_file(torch_tensors(trained("release")), path)
    with pytest.raises(ValueError, match="Expected weights for same padding, as ghostnet_025_tf has"):
        network("tf", weights=path)


class Official:
    """The official `ghostnet.py` and `myconv2d.py`, written down once more in plain TensorFlow, with its names.

    Variables come into being where the code first uses them, in `variables`, in single precision as in a checkpoint.
    """

    ROWS = (
        # kernel, stride, depth, factor, squeeze-and-excitation
        (3, 1, 16, 1, 0),
        (3, 2, 24, 48 / 16, 0),
        (3, 1, 24, 72 / 24, 0),
        (5, 2, 40, 72 / 24, 1),
        (5, 1, 40, 120 / 40, 1),
        (3, 2, 80, 240 / 40, 0),
        (3, 1, 80, 200 / 80, 0),
        (3, 1, 80, 184 / 80, 0),
        (3, 1, 80, 184 / 80, 0),
        (3, 1, 112, 480 / 80, 1),
        (3, 1, 112, 672 / 112, 1),
        (5, 2, 160, 672 / 112, 1),
        (5, 1, 160, 960 / 160, 0),
        (5, 1, 160, 960 / 160, 1),
        (5, 1, 160, 960 / 160, 0),
        (5, 1, 160, 960 / 160, 1),
    )

    def __init__(self, width):
        self.width, self.variables, self.rng = width, {}, np.random.default_rng(2)

    def get(self, name, shape):
        kind = name.rsplit("/", 1)[-1]
        if kind in ("W", "DW"):
            fan_in = math.prod(shape[:2]) * (1 if shape[-1] == 1 else shape[2])
            value = self.rng.normal(0, (1.6 / fan_in) ** 0.5, shape)
        elif name.endswith(("gamma", "variance/EMA")):
            value = self.rng.uniform(0.7, 1.4, shape)
        else:
            value = self.rng.normal(0, 1 if name.endswith("fc2/b") else 0.1, shape)
        value = value.astype("float32")
        self.variables[f"MobileNetV2/{name}"] = value
        return value.astype("float64")

    def depth(self, d):
        return round(max(int(d * self.width), 8) / 4) * 4

    def bn(self, x, scope):
        names = ("gamma", "beta", "mean/EMA", "variance/EMA")
        gamma, beta, mean, variance = (self.get(f"{scope}/{name}", x.shape[-1:]) for name in names)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def conv(self, x, scope, filters, kernel=1, stride=1):
        return tf.nn.conv2d(x, self.get(f"{scope}/W", (kernel, kernel, x.shape[-1], filters)), stride, "SAME")

    def depthwise(self, x, scope, kernel, stride, name="W"):
        weights = self.get(f"{scope}/{name}", (kernel, kernel, x.shape[-1], 1))
        return tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], "SAME")

    def ghost(self, x, scope, filters, relu):
        activation = tf.nn.relu if relu else tf.identity
        x = activation(self.bn(self.conv(x, f"{scope}/conv1", math.ceil(filters / 2)), f"{scope}/conv1/bn"))
        ghosts = self.bn(self.depthwise(x, f"{scope}/dw1", 3, 1, "DW"), f"{scope}/dw1/{'bn' if relu else 'output'}")
        return tf.concat([x, activation(ghosts)[..., : filters - x.shape[-1]]], -1)

    def se(self, x, scope, channels):
        gate = tf.reduce_mean(x, (1, 2), keepdims=True)
        for name, filters in (("fc1", int(channels / 4)), ("fc2", channels)):
            gate = self.conv(gate, f"{scope}/{name}", filters) + self.get(f"{scope}/{name}/b", (filters,))
            gate = tf.nn.relu(gate) if name == "fc1" else tf.clip_by_value(gate, 0, 1)
        return x * gate

    def block(self, x, scope, depth_in, kernel, stride, depth, factor, se):
        residual = x
        if stride > 1 or depth_in != depth:
            residual = self.depthwise(x, f"{scope}_shortcut_dw", kernel, stride)
            residual = self.bn(residual, f"{scope}_shortcut_dw/output")
            residual = self.conv(residual, f"{scope}_shortcut_1x1", self.depth(depth))
            residual = self.bn(residual, f"{scope}_shortcut_1x1/bn")
        expanded = self.depth(depth_in * factor)
        x = self.ghost(x, f"{scope}_up_pointwise", expanded, relu=True)
        if stride > 1:
            x = self.bn(self.depthwise(x, f"{scope}_depthwise", kernel, stride), f"{scope}_depthwise/output")
        if se:
            x = self.se(x, f"{scope}_se", expanded)
        return residual + self.ghost(x, f"{scope}_down_pointwise", self.depth(depth), relu=False)

    def __call__(self, bgr, classes):
        x = tf.nn.relu(self.bn(self.conv(bgr, "Conv2d_0", self.depth(16), 3, 2), "Conv2d_0/bn"))
        depth_in = 16
        for index, row in enumerate(self.ROWS, start=1):
            x = self.block(x, f"Conv2d_{index}", depth_in, *row)
            depth_in = row[2]
        x = tf.nn.relu(self.bn(self.conv(x, "Conv2d_17", self.depth(960)), "Conv2d_17/bn"))
        x = tf.reduce_mean(x, (1, 2), keepdims=True)
        x = tf.nn.relu(self.bn(self.conv(x, "Conv2d_18", 1280), "Conv2d_18/bn"))
        x = self.conv(x, "Logits/Conv2d_1c_1x1", classes) + self.get("Logits/Conv2d_1c_1x1/b", (classes,))
        return x[:, 0, 0].numpy()


def test_the_official_tensorflow_code_and_its_checkpoint(float64, tmp_path):
    rgb = np.random.default_rng(4).normal(size=(2, 96, 98, 3)).astype("float32").astype("float64")  # inputs are single
    official = Official(0.35)  # some rows' channels differ from the released code's rounding
    expected = official(tf.constant(rgb[..., ::-1].copy()), classes=5)
    assert len(official.variables) == 435  # as many as in the official checkpoint
    prefix = str(tmp_path / "ghostnet_checkpoint")
    names, values = zip(*official.variables.items(), strict=True)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)

    model = network("tf", 0.35, input_shape=(96, 98, 3), weights=f"{prefix}.index")
    # Both in double precision; the checkpoint's single precision is the same on both sides.
    assert np.abs(np.asarray(model(rgb)) - expected).max() <= 1e-10 * expected.std()
    with pytest.raises(ValueError, match=r"Received: .* for same padding, which has no equal there"):
        network("release", 0.35, input_shape=(96, 98, 3), weights=f"{prefix}.index")
