"""Compound scaling against EfficientNet's released multipliers, and GhostNet with it."""

import itertools

import pytest

from ghostnet_tf import GhostNet, compound_scale
from ghostnet_tf.models.ghostnet import ROWS, deepened

# phi, width, depth and resolution of the released EfficientNets B0 to B7.
RELEASED = [
    (0, 1.0, 1.0, 224),
    (0.5, 1.0, 1.1, 240),
    (1, 1.1, 1.2, 260),
    (2, 1.2, 1.4, 300),
    (3.5, 1.4, 1.8, 380),
    (5, 1.6, 2.2, 456),
    (6, 1.8, 2.6, 528),
    (7, 2.0, 3.1, 600),
]


@pytest.mark.parametrize(("phi", "width", "depth", "resolution"), RELEASED)
def test_the_multipliers_of_efficientnet(phi, width, depth, resolution):
    scale = compound_scale(phi)
    # Released widths are the formula's to one digit, with 1.949 taken as 2.0, and resolutions within 4 %. Released
    # depths are the formula's up to B3; from B4 on they stay 5 to 14 % below it.
    assert scale.width == pytest.approx(width, abs=0.0515)
    assert scale.resolution == pytest.approx(resolution, rel=0.04)
    assert scale.depth == pytest.approx(depth, abs=0.05) if phi <= 2 else 1.05 <= scale.depth / depth <= 1.16


def test_cost_doubles_with_phi():
    # alpha * beta^2 * gamma^2 of the paper is 1.92.
    assert compound_scale(1).cost == pytest.approx(1.2 * 1.1**2 * 1.15**2)
    assert compound_scale(3).cost == pytest.approx(compound_scale(1).cost ** 3)


def test_ghostnet_takes_the_scale(count):
    scale = compound_scale(1, base_resolution=64)
    size = (scale.resolution, scale.resolution, 3)
    counted = count(GhostNet, scale.width, depth=scale.depth, input_shape=size)
    blocks = {row.name.split("_ghost1")[0] for row in counted.rows if "_ghost1" in row.name}
    # 1, 2, 2, 6 and 5 bottlenecks at the five resolutions, times 1.2 and rounded up.
    assert len(blocks) == 2 + 3 + 3 + 8 + 6


@pytest.mark.parametrize("depth", [1, 1.2, 2, 3.1])
def test_deeper_networks_repeat_the_last_row_of_each_resolution(depth):
    rows = deepened(ROWS, depth)
    shapes = [(row[2], row[-1]) for row in rows]
    # What is repeated keeps its channels; the order and strides of the table stay.
    assert [shape for shape, _ in itertools.groupby(shapes)] == [shape for shape, _ in itertools.groupby(_shapes())]
    assert deepened(ROWS, 1) == ROWS
    assert sum(row[-1] > 1 for row in rows) == 4


def _shapes():
    return [(row[2], row[-1]) for row in ROWS]


def test_ten_bottlenecks_times_eleven_tenths_are_eleven():
    rows = (ROWS[0],) * 10
    assert len(deepened(rows, 1.1)) == 11


@pytest.mark.parametrize(("arguments", "received"), [({"phi": -1}, "phi=-1"), ({"phi": 1, "beta": 0.9}, "beta=0.9")])
def test_nonsense_is_refused(arguments, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        compound_scale(**arguments)


def test_depth_below_one_is_refused():
    with pytest.raises(ValueError, match=r"Received: depth=0\.5"):
        GhostNet(depth=0.5)
