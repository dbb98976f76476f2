"""Tables 3, 4 and 5 of the GhostNet paper: VGG-16 on CIFAR-10."""

import math

import pytest

from ghostnet_tf import GhostVGG16

CONVOLUTIONS = [  # input side, input channels, output channels
    (32, 3, 64),
    (32, 64, 64),
    (16, 64, 128),
    (16, 128, 128),
    (8, 128, 256),
    (8, 256, 256),
    (8, 256, 256),
    (4, 256, 512),
    (4, 512, 512),
    (4, 512, 512),
    (2, 512, 512),
    (2, 512, 512),
    (2, 512, 512),
]
DENSE = 512 * 512 + 512 + 2 * 512 + 512 * 10 + 10  # with batch normalization after the first


def by_hand(s, d):
    """Parameters, and multiply-adds of the convolutions, as the paper's section 3.1 writes them."""
    params, macs = DENSE, 0
    for side, c, n in CONVOLUTIONS:
        m = math.ceil(n / s)
        weights = 3 * 3 * c * m + (s - 1) * m * d * d
        params += weights + 2 * m * s
        macs += side * side * weights
    return params, macs


@pytest.mark.parametrize(
    ("s", "d", "params", "macs"),
    [
        (1, 3, "15.0", "313"),
        (2, 1, "7.6", "157"),
        (2, 3, "7.7", "158"),
        (2, 5, "7.7", "160"),
        (2, 7, "7.7", "163"),
        (3, 3, "5.2", "107"),
        (4, 3, "4.0", "80"),
        (5, 3, "3.3", "65"),
    ],
)
def test_every_printed_cell(s, d, params, macs, zoo):
    row = zoo["VGG-16" if s == 1 else f"Ghost-VGG-16 s={s} d={d}"]
    ours, convolutions = int(row["params"]), int(row["macs"]) - int(row["dense_macs"])
    assert (ours, convolutions) == by_hand(s, d)
    assert f"{ours / 1e6:.1f}" == params
    assert f"{convolutions / 1e6:.0f}" == macs


def test_without_top_the_maps_have_512_channels(count):
    assert count(GhostVGG16, include_top=False, pooling="avg").rows[-1].output_shape == (512,)
