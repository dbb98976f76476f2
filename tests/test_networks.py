"""The registry of networks says what their builders say."""

import inspect

import pytest

from ghostnet_tf.commands import BadInput
from ghostnet_tf.models import BUILDERS, list_models
from ghostnet_tf.networks import NETWORKS, OPTIONS, full_name, option_help, settings


@pytest.mark.parametrize("name", NETWORKS)
def test_options_and_defaults_are_the_builders(name):
    network, parameters = NETWORKS[name], inspect.signature(BUILDERS[name]).parameters
    assert BUILDERS[name].__name__ == network.builder
    assert {option: parameters[option].default for option in network.options} == dict(network.options)
    assert [option for option in OPTIONS if option in parameters] == list(network.options)
    assert parameters["dropout_rate"].default == network.dropout_rate
    if "input_shape" in parameters:
        assert parameters["input_shape"].default == (network.size, network.size, 3)


def test_list_models_names_all():
    assert list_models() == list(NETWORKS)


def test_settings_are_complete():
    given = {"width": 0.5, "ratio": None, "epochs": 3}
    assert settings("ghostnet", given) == {"width": 0.5, "depth": 1.0, "ratio": 2, "dw_size": 3, "dialect": "release"}
    assert settings("efficientnet_b0", {}) == {}


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (
            "mobilenetv2",
            {"ratio": 3},
            "--ratio does not apply to mobilenetv2; expected of it: --width. Received:",
        ),
        ("efficientnet_b0", {"width": 0.5}, "--width does not apply to efficientnet_b0; expected of it: none"),
        ("regnetx", {"dw_size": 5}, "--dw-size does not apply to regnetx"),
        ("mobilnetv2", {}, "Received: 'mobilnetv2'. Did you mean 'mobilenetv2'"),
    ],
)
def test_what_does_not_apply_is_refused(model, given, message):
    with pytest.raises(BadInput, match=message):
        settings(model, given)


@pytest.mark.parametrize(
    ("model", "given", "name"),
    [
        ("ghostnet", {"width": 0.5}, "ghostnet_050"),
        ("ghostnet", {"ratio": 3, "dw_size": 5, "depth": 1.2}, "ghostnet_100_depth1.2_s3_d5"),
        ("ghostnet", {"dialect": "paper"}, "ghostnet_100_paper"),
        ("g_ghostnet", {"width": 0.5}, "g_ghostnet_050"),
        ("g_ghostnet", {"ghost_ratio": 0.0}, "g_ghostnet_100_lambda0"),
        ("g_ghostnet", {"mix": False}, "g_ghostnet_100_mix0"),
        ("g_ghost_regnetx", {"variant": "002"}, "g_ghost_regnetx_002"),
        ("ghost_vgg16", {}, "ghost_vgg16"),
        ("ghost_resnet50", {"ratio": 1}, "ghost_resnet50_s1"),
    ],
)
def test_full_names_tell_networks_apart(model, given, name):
    assert full_name(model, settings(model, given)) == name


def test_help_says_what_an_option_is_for():
    assert option_help("variant") == "by multiply-adds: 032 is 3.2 G (default: 032; of g_ghost_regnetx, regnetx)"
