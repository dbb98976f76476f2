"""GhostNetV3: counts of both forms; that they compute the same is tested with the golden references."""

import pytest

from ghostnet_tf import GhostNetV3


# Width 1.0 is counted with the golden references.
@pytest.mark.parametrize(("width", "params"), [(0.5, 3_395_384), (1.3, 12_217_720), (1.6, 17_275_700)])
def test_counts_in_training(width, params, count):
    assert count(GhostNetV3, width).params == params


@pytest.mark.parametrize(
    ("width", "params", "macs"),
    [
        (0.5, 2_853_176, 49_640_656),
        (1.0, 6_147_588, 167_048_288),
        (1.3, 8_948_296, 269_322_976),
        (1.6, 12_377_778, 398_607_224),
    ],
)
def test_counts_to_run(width, params, macs, zoo):
    row = zoo[f"GhostNetV3 {width} to run"]
    assert (int(row["params"]), int(row["macs"])) == (params, macs)
    for number in (params, macs):
        assert f"{number:,}" in GhostNetV3.__doc__
