"""G-GhostNet: a documented default of ours, and the table as a parameter."""

import pytest

from ghostnet_tf import GGhostNet
from ghostnet_tf.layers import make_divisible
from ghostnet_tf.models import g_ghostnet


def convolution(c, n, k, side):
    """Parameters with batch normalization, and multiply-adds."""
    return k * k * c * n + 2 * n, k * k * c * n * side * side


def bottleneck(c, n, before, side):
    """One of expansion 3, with squeeze and excitation of a quarter of the inner channels."""
    inner = n // 3
    squeezed = make_divisible(inner / 4)
    squeeze = (2 * inner * squeezed + inner + squeezed, 2 * inner * squeezed)
    parts = [convolution(c, inner, 1, before), convolution(inner, inner, 3, side), squeeze]
    parts += [convolution(inner, n, 1, side)] + [convolution(c, n, 1, side)] * (c != n)
    return tuple(map(sum, zip(*parts, strict=True)))


def by_hand(ghost_ratio, mix):
    """Parameters and multiply-adds of width 1.0 at 224 pixels, as the paper's text describes the stages."""
    parts, c, side = [convolution(3, 24, 3, 112)], 24, 112
    for n, blocks, stride in g_ghostnet.STAGES:
        before, side = side, side // stride
        parts.append(bottleneck(c, n, before, side))
        ghosts = round(ghost_ratio * n)
        thin = n - ghosts
        parts += [bottleneck(inputs, thin, side, side) for inputs in [n] + [thin] * (blocks - 2)]
        if ghosts:
            parts.append(convolution(n, ghosts, 1, side))
        if mix:
            mixed = (blocks - 1) * thin * ghosts
            parts.append((mixed + ghosts, mixed))
        c = n
    parts += [convolution(c, 960, 1, side), (960 * 1000 + 1000, 960 * 1000)]
    return tuple(map(sum, zip(*parts, strict=True)))


@pytest.mark.parametrize(("ghost_ratio", "mix"), [(0.4, True), (0.4, False), (0, True)])
def test_with_mix_without_and_plain_as_by_hand(ghost_ratio, mix, count):
    counted = count(GGhostNet, ghost_ratio=ghost_ratio, mix=mix)
    assert (counted.params, counted.macs) == by_hand(ghost_ratio, mix and ghost_ratio > 0)
    for number in (counted.params, counted.macs):
        assert f"{number:,}" in GGhostNet.__doc__


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


def test_without_ghosts_every_block_is_wide(count):
    names = [row.name for row in count(GGhostNet, 0.5, ghost_ratio=0).rows]
    assert not any("cheap" in name or "thin" in name or "mix" in name for name in names)
    blocks = {name.removesuffix("_conv3_conv") for name in names if name.endswith("_conv3_conv")}
    assert len(blocks) == sum(depth for _, depth, _ in g_ghostnet.STAGES)


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="Received: width=0"):
        GGhostNet(0)
