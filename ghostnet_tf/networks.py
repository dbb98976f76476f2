"""The networks that the commands know by name: what builds each, and which settings it has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ghostnet_tf.commands import BadInput, choose, flag, positive_float, positive_int


@dataclass(frozen=True)
class Network:
    """What a name stands for.

    Attributes:
        builder: Name of the function in `ghostnet_tf.models`.
        options: The settings of `OPTIONS` that the builder takes, with its defaults.
        dropout_rate: The builder's default.
        size: Pixels a side that it was designed for.
        carried: Data set of the weights that the package has for it, see `weights.carried`; `None` for no weights.
    """

    builder: str
    options: Mapping[str, Any]
    dropout_rate: float = 0.0
    size: int = 224
    carried: str | None = None


@dataclass(frozen=True)
class Option:
    """A setting that makes another network.

    Attributes:
        kind: Reads it from a command line; `bool` for a flag and its opposite, `--no-…`.
        meaning: For `--help`.
        mark: What stands before its value in a network's full name; `None` where the value always stands there, alone.
    """

    kind: Callable[[str], Any]
    meaning: str
    mark: str | None = None


OPTIONS = {
    "width": Option(positive_float, "channel multiplier"),
    "variant": Option(str, "by multiply-adds: 032 is 3.2 G"),
    "depth": Option(positive_float, "multiplies the blocks of every resolution, at least 1", "depth"),
    "ratio": Option(positive_int, "s of the paper: 1/s of the maps are intrinsic; 1 for none", "s"),
    "dw_size": Option(positive_int, "d of the paper: window of the cheap operation", "d"),
    "dialect": Option(str, "form of the code: release, paper or tf", ""),
    "ghost_ratio": Option(float, "lambda of G-Ghost stages: share of the cheap channels; 0 for none", "lambda"),
    "mix": Option(bool, "let the cheap channels know of the others", "mix"),
}

_WIDTH = {"width": 1.0}
_GHOST = {"ratio": 2, "dw_size": 3}
_VARIANT = {"variant": "032"}

NETWORKS = {
    "ghostnet": Network("GhostNet", _WIDTH | {"depth": 1.0} | _GHOST | {"dialect": "release"}, 0.2),
    "ghostnetv2": Network("GhostNetV2", _WIDTH, 0.2),
    "ghostnetv3": Network("GhostNetV3", _WIDTH, 0.2),
    "g_ghostnet": Network("GGhostNet", _WIDTH | {"ghost_ratio": 0.4, "mix": True}, 0.2),
    "g_ghost_regnetx": Network("GGhostRegNetX", _VARIANT, 0.2),
    "regnetx": Network("RegNetX", _VARIANT),
    "ghost_vgg16": Network("GhostVGG16", _GHOST, size=32),
    "ghost_resnet56": Network("GhostResNet56", _GHOST, size=32, carried="cifar10"),
    "ghost_resnet50": Network("GhostResNet50", _GHOST),
    # To compare with, see `ghostnet_tf.models.comparisons`.
    "mobilenetv2": Network("MobileNetV2", _WIDTH),
    "mobilenetv3_small": Network("MobileNetV3Small", _WIDTH, 0.2),
    "mobilenetv3_large": Network("MobileNetV3Large", _WIDTH, 0.2),
    "efficientnet_b0": Network("EfficientNetB0", {}, 0.2),
}


def settings(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a network by name, from those given and its defaults.

    Args:
        model: A key of `NETWORKS`.
        given: Values by name; those that are `None` or not in `OPTIONS` do not count.

    Raises:
        BadInput: If there is no such network, or an option does not apply to it.
    """
    network = NETWORKS[choose("model", model, NETWORKS)]
    given = {name: given[name] for name in OPTIONS if given.get(name) is not None}
    for name, value in given.items():
        if name not in network.options:
            flags = ", ".join(flag(option) for option in network.options) or "none"
            raise BadInput(
                f"{flag(name)} does not apply to {model}; expected of it: {flags}. Received: {flag(name)} {value}"
            )
    return {**network.options, **given}


def full_name(model: str, options: Mapping[str, Any]) -> str:
    """A network's name in files and folders, such as `ghostnet_050`, `regnetx_032` or `ghostnet_100_s3`.

    Args:
        model: A key of `NETWORKS`.
        options: As `settings` gives them.
    """
    parts = [model]
    for name, default in NETWORKS[model].options.items():
        value, mark = options[name], OPTIONS[name].mark
        if mark is None:
            parts.append(f"{round(value * 100):03d}" if name == "width" else value)
        elif value != default:
            parts.append(f"{mark}{value}" if isinstance(value, str) else f"{mark}{value:g}")
    return "_".join(parts)


def option_help(option: str) -> str:
    """What an option does, and for which networks."""
    defaults = {network.options[option] for network in NETWORKS.values() if option in network.options}
    models = ", ".join(name for name, network in NETWORKS.items() if option in network.options)
    return f"{OPTIONS[option].meaning} (default: {', '.join(map(str, defaults))}; of {models})"
