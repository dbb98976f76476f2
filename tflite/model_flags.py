"""The arguments that say which model a command takes, as `sources.find` reads them."""

import argparse

from ghostnet_tf import commands
from ghostnet_tf.networks import NETWORKS, OPTIONS, option_help


def add_model_arguments(group, default: str = "ghostnet") -> None:
    """Adds `--model`, `--weights`, the options of networks, `--size` and `--classes` to an argument group.

    Args:
        group: Of an argument parser.
        default: What the command takes without `--model`, for its help.
    """
    group.add_argument(
        "--model",
        metavar="RUN|FILE|NAME",
        help=f"a run folder, a .keras or (of GhostNet) a .weights.h5 file, or one of {', '.join(NETWORKS)}; by default "
        f"{default}",
    )
    group.add_argument(
        "--weights",
        metavar="imagenet|cifar10|none|FILE",
        help="of a network by name; cifar10: the package's, of ghost_resnet56; by default those, or ImageNet's where "
        "they are cached or the hub answers within 5 seconds, else none",
    )
    for name, option in OPTIONS.items():
        how = {"action": argparse.BooleanOptionalAction} if option.kind is bool else {"type": option.kind}
        group.add_argument(commands.flag(name), help=option_help(name), **how)
    group.add_argument(
        "--size", type=commands.positive_int, help="pixels a side, by default the model's (of most networks 224)"
    )
    group.add_argument(
        "--classes", type=commands.positive_int, help="of a network by name, by default 1000, of those for CIFAR 10"
    )
