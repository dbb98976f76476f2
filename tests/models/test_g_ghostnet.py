"""G-GhostNet: a documented default of ours, and the table as a parameter."""

import pytest

from ghostnet_tf import GGhostNet
from ghostnet_tf.models import g_ghostnet


def test_default_counts_are_the_documented_ones(count):
    counted = count(GGhostNet)
    assert (counted.params, counted.macs, counted.activations) == (3_368_000, 279_069_888, 2_772_256)
    for number in (counted.params, counted.macs, counted.activations):
        assert f"{number:,}" in GGhostNet.__doc__


def test_lambda_and_expansion_are_exactly_the_papers_in_the_default_table(count):
    layers = {row.name: row for row in count(GGhostNet).rows}
    for index, (channels, _, _) in enumerate(g_ghostnet.STAGES):
        assert layers[f"stage_{index}_cheap_conv"].output_shape[-1] == pytest.approx(0.4 * channels)
        assert layers[f"stage_{index}_base_conv2_conv"].output_shape[-1] == channels / 3
        assert layers[f"stage_{index}_thin_0_conv2_conv"].output_shape[-1] == pytest.approx(0.6 * channels / 3)


def test_table_lambda_and_mix_are_parameters(count):
    counted = count(GGhostNet, 0.5, stages=((48, 2, 2), (96, 2, 2)), ghost_ratio=0.5, mix=False)
    layers = {row.name: row for row in counted.rows}
    assert layers["stage_1_cheap_conv"].output_shape == (28, 28, 24)
    assert not any("mix" in name for name in layers)


def test_every_residual_block_has_squeeze_and_excitation(count):
    layers = [row.name for row in count(GGhostNet).rows]
    blocks = sum(depth for _, depth, _ in g_ghostnet.STAGES)
    assert sum(name.endswith("_se_reduce") for name in layers) == blocks


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="Received: width=0"):
        GGhostNet(0)
